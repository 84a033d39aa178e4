//! Options of an instance: its metadata service and its processor.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::text_enum::text_enum;

text_enum! {
    /// On or off.
    pub enum Toggle {
        /// On.
        Enabled = "enabled",
        /// Off.
        Disabled = "disabled",
    }
}

text_enum! {
    /// Whether the metadata service wants a session token.
    pub enum HttpTokens {
        /// It does (version 2).
        Required = "required",
        /// It does not insist (version 1 works too).
        Optional = "optional",
    }
}

/// How the instance metadata service can be reached from the node and its pods.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetadataOptions {
    /// Whether it can be reached at all: `enabled` or `disabled`.
    #[serde(default = "enabled", rename = "httpEndpoint")]
    pub http_endpoint: Toggle,
    /// Whether it can be reached over IPv6: `enabled` or `disabled`.
    #[serde(default = "disabled", rename = "httpProtocolIPv6")]
    pub http_protocol_ipv6: Toggle,
    /// How many network hops an answer survives; with 1 it does not reach pods that have a network of their
    /// own.
    #[serde(default = "one_hop")]
    #[schemars(range(min = 1, max = 64))]
    pub http_put_response_hop_limit: i64,
    /// Whether a session token is needed: `required` or `optional`.
    #[serde(default = "required")]
    pub http_tokens: HttpTokens,
}

impl Default for MetadataOptions {
    fn default() -> Self {
        Self {
            http_endpoint: enabled(),
            http_protocol_ipv6: disabled(),
            http_put_response_hop_limit: one_hop(),
            http_tokens: required(),
        }
    }
}

/// Options of the processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CpuOptions {
    /// Whether virtual machines can run on the instance: `enabled` or `disabled`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nested_virtualization: Option<Toggle>,
}

fn enabled() -> Toggle {
    Toggle::Enabled
}

fn disabled() -> Toggle {
    Toggle::Disabled
}

fn one_hop() -> i64 {
    1
}

fn required() -> HttpTokens {
    HttpTokens::Required
}
