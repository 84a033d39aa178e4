//! `karpenter.sh/v1` NodePool: what nodes of the pool look like, how many there may be, and when they may
//! be disrupted.
//!
//! Types, schema and the names of its conditions. Treenail never writes the spec of a NodePool.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::budget::Budget;
use super::conditions::{Condition, ConditionTypes};
use super::duration::{GoDuration, NillableDuration};
use super::nodeclaim::{NodeClassReference, default_expire_after};
use super::requirement::NodeSelectorRequirement;
use super::schema::{self, Keys, requirements};
use super::taint::Taint;
use super::text_enum::text_enum;

/// The spec is one that nodes can be launched from.
pub const VALIDATION_SUCCEEDED: &str = "ValidationSucceeded";
/// The node class is there and ready.
pub const NODE_CLASS_READY: &str = "NodeClassReady";
/// Recent launches became nodes. Free: it never keeps a pool from being used.
pub const NODE_REGISTRATION_HEALTHY: &str = "NodeRegistrationHealthy";

/// Conditions of a NodePool.
pub const CONDITIONS: ConditionTypes =
    ConditionTypes { dependents: &[VALIDATION_SUCCEEDED, NODE_CLASS_READY] };

text_enum! {
    /// Which nodes consolidation may disrupt.
    pub enum ConsolidationPolicy {
        /// Nodes on which nothing runs.
        WhenEmpty = "WhenEmpty",
        /// Those, and nodes whose pods fit elsewhere or on something cheaper.
        WhenEmptyOrUnderutilized = "WhenEmptyOrUnderutilized",
        /// Those, but only when the saving outweighs the disruption.
        Balanced = "Balanced",
    }
}

/// What the pool's nodes look like and how many there may be.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "karpenter.sh",
    version = "v1",
    kind = "NodePool",
    plural = "nodepools",
    status = "NodePoolStatus",
    category = "karpenter",
    derive = "PartialEq",
    doc = "NodePool describes nodes that may be launched for pods that are pending: their requirements, taints \
           and labels, how many there may be, and when they may be disrupted.",
    scale(spec_replicas_path = ".spec.replicas", status_replicas_path = ".status.nodes"),
    printcolumn(name = "NodeClass", type_ = "string", json_path = ".spec.template.spec.nodeClassRef.name"),
    printcolumn(name = "Nodes", type_ = "string", json_path = ".status.resources.nodes"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Weight", type_ = "integer", json_path = ".spec.weight", priority = 1),
    printcolumn(name = "CPU", type_ = "string", json_path = ".status.resources.cpu", priority = 1),
    printcolumn(name = "Memory", type_ = "string", json_path = ".status.resources.memory", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "has(self.replicas) == has(oldSelf.replicas)",
        "a pool cannot change between static (with replicas) and dynamic (without)",
    ),
    validation = (
        "!has(self.replicas) || !has(self.limits) || self.limits.all(name, name == 'nodes')",
        "a static pool (with replicas) can only limit 'nodes'",
    ),
    validation = ("!has(self.replicas) || !has(self.weight)", "a static pool (with replicas) has no weight"),
)]
pub struct NodePoolSpec {
    /// What every node of the pool is made from.
    pub template: NodeClaimTemplate,
    /// When nodes of the pool may be disrupted, and how many at once.
    #[serde(default)]
    pub disruption: Disruption,
    /// The most that all nodes of the pool may have together, by resource; `nodes` limits their number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::resource_list")]
    pub limits: BTreeMap<String, Quantity>,
    /// Pools with a higher weight are tried first. Without one it counts as 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub weight: Option<i32>,
    /// Makes the pool static: so many nodes, whatever is pending. Alpha in Karpenter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub replicas: Option<i64>,
}

/// What every node of a pool is made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimTemplate {
    /// Labels and annotations of every node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<TemplateMetadata>,
    /// Requirements and taints of every node.
    pub spec: NodeClaimTemplateSpec,
}

/// Labels and annotations of every node of a pool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels of every node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::labels", extend("maxProperties" = 100))]
    #[x_kube(
        validation = schema::karpenter_domain(Keys::All),
        validation = schema::not_nodepool_label(Keys::All),
        validation = schema::not_hostname_label(Keys::All),
        validation = schema::aws_domain(Keys::All),
    )]
    pub labels: BTreeMap<String, String>,
    /// Annotations of every node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Requirements and taints of every node of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimTemplateSpec {
    /// Taints of every node, from its registration on. Pods need a toleration for them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub taints: Vec<Taint>,
    /// Taints that every node starts with and that something else (a DaemonSet, usually) removes soon. Pods
    /// need not tolerate them for a node to be launched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub startup_taints: Vec<Taint>,
    /// Requirements on the labels of every node, which is how instance types, zones and the like are
    /// chosen. All must hold; several on one label narrow each other.
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = requirements::IN,
        validation = requirements::NUMBER,
        validation = requirements::MIN_VALUES,
        validation = requirements::NOT_NODEPOOL,
    )]
    pub requirements: Vec<NodeSelectorRequirement>,
    /// The node class that says how machines are made. Its group and kind never change.
    #[x_kube(
        validation = ("self.group == oldSelf.group", "nodeClassRef.group is immutable"),
        validation = ("self.kind == oldSelf.kind", "nodeClassRef.kind is immutable"),
    )]
    pub node_class_ref: NodeClassReference,
    /// How long a drain may take, from the deletion on, before the remaining pods are deleted. It overrules
    /// disruption budgets and the do-not-disrupt annotation. Without it a drain waits as long as it must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period: Option<GoDuration>,
    /// How old a node may become before it is replaced; `Never` for no limit.
    #[serde(default = "default_expire_after")]
    pub expire_after: NillableDuration,
}

/// When nodes of a pool may be disrupted, and how many at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Disruption {
    /// How long a node must have been left alone by pods before it may be consolidated; `Never` switches
    /// consolidation off.
    #[serde(default = "default_consolidate_after")]
    pub consolidate_after: NillableDuration,
    /// Which nodes may be consolidated: `WhenEmpty`, `WhenEmptyOrUnderutilized` or `Balanced`.
    #[serde(default = "default_consolidation_policy")]
    pub consolidation_policy: ConsolidationPolicy,
    /// How many nodes may be disrupted at once. Of several budgets that apply the strictest counts.
    #[serde(default = "default_budgets")]
    #[schemars(length(max = 50), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(validation = (
        "self.all(b, has(b.schedule) == has(b.duration))",
        "a budget has both schedule and duration, or neither",
    ))]
    pub budgets: Vec<Budget>,
}

impl Default for Disruption {
    fn default() -> Self {
        Self {
            consolidate_after: default_consolidate_after(),
            consolidation_policy: default_consolidation_policy(),
            budgets: default_budgets(),
        }
    }
}

/// What became of the pool.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodePoolStatus {
    /// What all nodes of the pool have together; `nodes` is their number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::resource_list")]
    pub resources: BTreeMap<String, Quantity>,
    /// Number of nodes of the pool.
    #[serde(default)]
    pub nodes: i64,
    /// Generation of the node class that the conditions are about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_class_observed_generation: Option<i64>,
    /// Conditions of the pool; `Ready` sums up `ValidationSucceeded` and `NodeClassReady`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

fn default_consolidate_after() -> NillableDuration {
    NillableDuration::from("0s")
}

fn default_consolidation_policy() -> ConsolidationPolicy {
    ConsolidationPolicy::WhenEmptyOrUnderutilized
}

fn default_budgets() -> Vec<Budget> {
    vec![Budget::default()]
}
