//! The most that a type, or one tenant of it, may have.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The most that all nodes of the type may have, or cost, together. Hard: checked before a launch.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// For all nodes of the type together.
    #[serde(flatten)]
    pub all: AmountLimits,
    /// For the nodes of one tenant, in pools with tenancy Team or Namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_tenant: Option<AmountLimits>,
}

/// The most that some nodes may have, or cost, together.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AmountLimits {
    /// CPUs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "amount")]
    pub cpu: Option<Quantity>,
    /// Memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "amount")]
    pub memory: Option<Quantity>,
    /// Number of nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub nodes: Option<i64>,
    /// Price per hour, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "dollars")]
    pub hourly_cost: Option<Quantity>,
}

/// A quantity of at least 0.
fn amount(_: &mut SchemaGenerator) -> Schema {
    non_negative("^[0-9]+([.][0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
}

/// Dollars with up to four decimals.
fn dollars(_: &mut SchemaGenerator) -> Schema {
    non_negative("^[0-9]+([.][0-9]{1,4})?$")
}

fn non_negative(pattern: &str) -> Schema {
    json_schema!({
        "minimum": 0,
        "pattern": pattern,
        "x-kubernetes-int-or-string": true,
    })
}
