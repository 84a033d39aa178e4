//! Network interfaces of an instance and how their connections are tracked.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::text_enum::text_enum;

text_enum! {
    /// Kind of a network interface.
    pub enum InterfaceType {
        /// An ordinary interface with addresses.
        Interface = "interface",
        /// An Elastic Fabric Adapter without addresses.
        EfaOnly = "efa-only",
    }
}

/// A network interface of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NetworkInterface {
    /// Network card that the interface is on.
    #[schemars(range(min = 0))]
    pub network_card_index: i32,
    /// Device of the card.
    #[schemars(range(min = 0))]
    pub device_index: i32,
    /// Kind of the interface: `interface` or `efa-only`.
    pub interface_type: InterfaceType,
}

/// How long idle connections are tracked by security groups, in seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "has(self.tcpEstablishedTimeout) || has(self.udpStreamTimeout) || has(self.udpTimeout)",
    "at least one of tcpEstablishedTimeout, udpStreamTimeout and udpTimeout must be set",
))]
pub struct ConnectionTracking {
    /// For established TCP connections.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 432_000))]
    pub tcp_established_timeout: Option<i32>,
    /// For UDP with more than one request and answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 180))]
    pub udp_stream_timeout: Option<i32>,
    /// For UDP with traffic in one direction, or one request and answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 30, max = 60))]
    pub udp_timeout: Option<i32>,
}
