//! What the selectors of a class found.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::selectors::InstanceMatchCriteria;
use crate::api::conditions::Condition;
use crate::api::schema;
use crate::api::text_enum::text_enum;

/// What the selectors of the class found, and whether instances can be launched from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ec2NodeClassStatus {
    /// Subnets, the one with the most free addresses first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subnets: Vec<Subnet>,
    /// Security groups, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<SecurityGroup>,
    /// Capacity reservations, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capacity_reservations: Vec<CapacityReservation>,
    /// Images, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amis: Vec<Ami>,
    /// Instance profile that instances are launched with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance_profile: Option<String>,
    /// Conditions of the class; `Ready` sums up the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A subnet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Subnet {
    /// Id of the subnet.
    pub id: String,
    /// Its zone, for example `us-east-1a`.
    pub zone: String,
    /// Its zone's account-independent id, for example `use1-az1`.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "zoneID")]
    pub zone_id: Option<String>,
}

/// A security group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecurityGroup {
    /// Id of the security group.
    pub id: String,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// An image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ami {
    /// Id of the image.
    pub id: String,
    /// Whether its owner deprecated it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deprecated: bool,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Requirements on instance types that can run it, by key.
    pub requirements: Vec<AmiRequirement>,
}

/// A requirement on instance types, for an image to run on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AmiRequirement {
    /// Label key, for example `kubernetes.io/arch`.
    pub key: String,
    /// How the label relates to the values.
    pub operator: String,
    /// Values of the label.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub values: Vec<String>,
}

text_enum! {
    /// Kind of a capacity reservation.
    pub enum CapacityReservationType {
        /// On-demand capacity.
        Default = "default",
        /// A block of capacity with a fixed end.
        CapacityBlock = "capacity-block",
    }
}

text_enum! {
    /// State of a capacity reservation.
    pub enum CapacityReservationState {
        /// It can be launched into.
        Active = "active",
        /// EC2 is about to take it back.
        Expiring = "expiring",
    }
}

/// A capacity reservation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityReservation {
    /// Zone that the capacity is in.
    pub availability_zone: String,
    /// When the reservation ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub end_time: Option<Time>,
    /// Id of the reservation.
    #[schemars(extend("pattern" = "^cr-[0-9a-z]+$"))]
    pub id: String,
    /// Which instances the reservation takes: `open` or `targeted`.
    pub instance_match_criteria: InstanceMatchCriteria,
    /// Instance type of the reservation.
    pub instance_type: String,
    /// Whether EC2 may interrupt instances in the reservation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub interruptible: bool,
    /// Account that owns the reservation.
    #[serde(rename = "ownerID")]
    #[schemars(extend("pattern" = "^[0-9]{12}$"))]
    pub owner_id: String,
    /// Kind of the reservation: `default` or `capacity-block`.
    #[serde(default = "default_type")]
    pub reservation_type: CapacityReservationType,
    /// State of the reservation: `active` or `expiring`.
    #[serde(default = "active")]
    pub state: CapacityReservationState,
}

fn default_type() -> CapacityReservationType {
    CapacityReservationType::Default
}

fn active() -> CapacityReservationState {
    CapacityReservationState::Active
}
