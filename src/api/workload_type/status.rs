//! What became of a type.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::conditions::Condition;
use crate::api::schema;

/// What became of the type: what its pods get, who owns which taint, and what its nodes hold and cost.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadTypeStatus {
    /// Generation that the status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Conditions of the type; `Ready` sums up `ValidationSucceeded` and `PoolsReady`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// Tolerations that pods of the type get.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub tolerations: Vec<EffectiveToleration>,
    /// Node selector that pods of the type get.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that only pods of the type, and of types that share a pool with it, may tolerate. A taint stays
    /// until the last node that carries it is gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub taints: Vec<OwnedTaint>,
    /// The largest pods that the type can run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope: Option<Envelope>,
    /// Number of namespaces whose pods are of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespaces: Option<i64>,
    /// The pools of the type, in its order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub pools: Vec<PoolStatus>,
    /// Number of nodes that pods of the type can use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<i64>,
    /// What these nodes cost per hour, in US dollars, for example `1.4280`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly_cost: Option<String>,
    /// Since when a limit of the type has kept a node from being launched; absent if none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub limited_since: Option<Time>,
    /// DaemonSets whose templates carry tolerations of the type that were added to them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace", "name"]))]
    pub adopted_agents: Vec<DaemonSetReference>,
    /// Number of pods of the type that were admitted under an older policy and lack something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_pods: Option<i64>,
}

/// A toleration that pods of the type get.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveToleration {
    /// Key of the taint.
    pub key: String,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Effect of the taint.
    pub effect: String,
}

/// A taint that only pods of the type, and of types that share a pool with it, may tolerate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct OwnedTaint {
    /// Key of the taint.
    pub key: String,
    /// Value of the taint.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// Effect of the taint.
    pub effect: String,
    /// Pools whose nodes carry the taint, or carried it when they were launched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub pools: Vec<String>,
}

/// A pool of the type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolStatus {
    /// Name of the NodePool.
    pub name: String,
    /// Whether nodes can be launched from it.
    pub ready: bool,
    /// Why not, or what else is to be known of it: who launches its nodes, and what they need.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Number of its nodes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<i64>,
    /// What these nodes cost per hour, in US dollars.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hourly_cost: Option<String>,
}

/// The largest pods that a type can run, for admission to refuse what will never fit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// What the envelope was computed from. It says nothing about other generations of these objects.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["kind", "name"]))]
    pub generations: Vec<ObservedObject>,
    /// What the largest nodes leave to pods. None of them is dominated by another of the same pool,
    /// architecture and zones: a pod that fits in none of them never fits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub vectors: Vec<EnvelopeVector>,
}

/// An object in the generation that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedObject {
    /// Kind of the object: WorkloadType, NodePool or EC2NodeClass.
    pub kind: String,
    /// Name of the object.
    pub name: String,
    /// Its generation.
    pub generation: i64,
}

/// What a node of one shape leaves to pods.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvelopeVector {
    /// Pool of the node.
    pub pool: String,
    /// Its architecture: `amd64` or `arm64`.
    pub architecture: String,
    /// Zones that it can be in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "set"))]
    pub zones: Vec<String>,
    /// Instance type, for messages.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub instance_type: String,
    /// What pods can request on it, after daemons.
    #[schemars(schema_with = "schema::resource_list")]
    pub allocatable: BTreeMap<String, Quantity>,
}

/// A DaemonSet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DaemonSetReference {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}
