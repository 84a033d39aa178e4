//! `karpenter.sh/v1` NodeClaim: one machine, asked for and then found.
//!
//! Types, schema and the names of its conditions. What happens to a claim is decided by the lifecycle.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::{Condition, ConditionTypes};
use super::duration::{GoDuration, NillableDuration};
use super::labels;
use super::requirement::NodeSelectorRequirement;
use super::schema::{self, requirements};
use super::taint::Taint;

/// The instance exists.
pub const LAUNCHED: &str = "Launched";
/// The instance joined the cluster as a Node that was adopted.
pub const REGISTERED: &str = "Registered";
/// The Node is ready for the pods that it was launched for.
pub const INITIALIZED: &str = "Initialized";
/// The node may be consolidated. Free.
pub const CONSOLIDATABLE: &str = "Consolidatable";
/// The node is no longer what its pool and class describe. Free.
pub const DRIFTED: &str = "Drifted";
/// No pod is left that a drain waits for. Free.
pub const DRAINED: &str = "Drained";
/// No volume is left attached. Free.
pub const VOLUMES_DETACHED: &str = "VolumesDetached";
/// The termination of the instance was asked for. Free.
pub const INSTANCE_TERMINATING: &str = "InstanceTerminating";
/// Why the node is being disrupted. Free.
pub const DISRUPTION_REASON: &str = "DisruptionReason";
/// The node's shape is the one that was promised. Free.
pub const CONSISTENT_STATE_FOUND: &str = "ConsistentStateFound";

/// Conditions of a NodeClaim.
pub const CONDITIONS: ConditionTypes = ConditionTypes { dependents: &[LAUNCHED, REGISTERED, INITIALIZED] };

/// What the machine must be. Never changes after creation.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "karpenter.sh",
    version = "v1",
    kind = "NodeClaim",
    plural = "nodeclaims",
    status = "NodeClaimStatus",
    category = "karpenter",
    derive = "PartialEq",
    doc = "NodeClaim is one machine that was asked for: its requirements, and what became of them.",
    printcolumn(
        name = "Type",
        type_ = "string",
        json_path = r".metadata.labels.node\.kubernetes\.io/instance-type"
    ),
    printcolumn(
        name = "Capacity",
        type_ = "string",
        json_path = r".metadata.labels.karpenter\.sh/capacity-type"
    ),
    printcolumn(
        name = "Zone",
        type_ = "string",
        json_path = r".metadata.labels.topology\.kubernetes\.io/zone"
    ),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.nodeName"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "ImageID", type_ = "string", json_path = ".status.imageID", priority = 1),
    printcolumn(name = "ID", type_ = "string", json_path = ".status.providerID", priority = 1),
    printcolumn(
        name = "NodePool",
        type_ = "string",
        json_path = r".metadata.labels.karpenter\.sh/nodepool",
        priority = 1
    ),
    printcolumn(name = "NodeClass", type_ = "string", json_path = ".spec.nodeClassRef.name", priority = 1),
    printcolumn(
        name = "Drifted",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Drifted")].status"#,
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self == oldSelf", "spec is immutable"))]
pub struct NodeClaimSpec {
    /// Taints of the node, from its registration on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub taints: Vec<Taint>,
    /// Taints that the node starts with and that something else (a DaemonSet, usually) removes soon. Pods
    /// need not tolerate them for the node to be launched.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "atomic"))]
    pub startup_taints: Vec<Taint>,
    /// Requirements on the node's labels. All must hold.
    #[schemars(length(max = 100), extend("x-kubernetes-list-type" = "atomic"))]
    #[x_kube(
        validation = requirements::IN,
        validation = requirements::NUMBER,
        validation = requirements::MIN_VALUES,
    )]
    pub requirements: Vec<NodeSelectorRequirement>,
    /// The node class that says how machines are made.
    pub node_class_ref: NodeClassReference,
    /// How long a drain may take, from the deletion on, before the remaining pods are deleted. It overrules
    /// disruption budgets and the do-not-disrupt annotation. Without it a drain waits as long as it must.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub termination_grace_period: Option<GoDuration>,
    /// How old the node may become before it is replaced; `Never` for no limit.
    #[serde(default = "default_expire_after")]
    pub expire_after: NillableDuration,
    /// What the machine must offer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
}

/// The node class that a claim or a pool uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeClassReference {
    /// API group of the node class, without a version, for example `karpenter.k8s.aws`.
    #[schemars(extend("pattern" = "^[^/]*$"))]
    #[x_kube(validation = ("self != ''", "group may not be empty"))]
    pub group: String,
    /// Kind of the node class, for example `EC2NodeClass`.
    #[x_kube(validation = ("self != ''", "kind may not be empty"))]
    pub kind: String,
    /// Name of the node class.
    #[x_kube(validation = ("self != ''", "name may not be empty"))]
    pub name: String,
}

impl NodeClassReference {
    /// Whether it names one of Karpenter's EC2 node classes, the only kind that is acted on for now.
    #[must_use]
    pub fn is_ec2(&self) -> bool {
        self.group == labels::KARPENTER_AWS_GROUP && self.kind == "EC2NodeClass"
    }
}

/// What a machine must offer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceRequirements {
    /// Resources that pods and daemons on the node will request, the least that the machine must offer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::resource_list")]
    pub requests: BTreeMap<String, Quantity>,
}

/// What became of the claim.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeClaimStatus {
    /// Name of the Node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Provider ID of the instance and of the Node, the key that joins the two:
    /// `aws:///us-east-1a/i-0123456789abcdef0`.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "providerID")]
    pub provider_id: Option<String>,
    /// Image that the instance was launched from.
    #[serde(default, skip_serializing_if = "Option::is_none", rename = "imageID")]
    pub image_id: Option<String>,
    /// Estimated capacity of the node.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::resource_list")]
    pub capacity: BTreeMap<String, Quantity>,
    /// Estimated capacity that pods may request.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::resource_list")]
    pub allocatable: BTreeMap<String, Quantity>,
    /// Conditions of the claim; `Ready` sums up `Launched`, `Registered` and `Initialized`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
    /// When a pod was last bound to the node, removed from it, or ended on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::time")]
    pub last_pod_event_time: Option<Time>,
}

pub(super) fn default_expire_after() -> NillableDuration {
    NillableDuration::from("720h")
}
