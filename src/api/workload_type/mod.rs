//! `treenail.dev/v1alpha1` WorkloadType: which pools the pods of a team's namespaces run on, and who else
//! may get there.
//!
//! Types, schema and the names of its conditions. The schema is as strict as schema and CEL can be about
//! one object alone; what depends on other objects is a condition. Absent means the documented default: none
//! is written into list items, since tools that compare manifests would show each as a difference.

use std::collections::{BTreeMap, BTreeSet};

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::conditions::ConditionTypes;
use super::labels;
use super::schema;
use super::text_enum::text_enum;

mod limits;
mod pool;
mod selector;
mod status;
mod toleration;

pub use limits::{AmountLimits, Limits};
pub use pool::{PoolReference, Tenancy};
pub use selector::{NamespaceExpression, NamespaceSelector, SelectorOperator};
pub use status::{
    DaemonSetReference, EffectiveToleration, Envelope, EnvelopeVector, ObservedObject, OwnedTaint,
    PoolStatus, WorkloadTypeStatus,
};
pub use toleration::{Toleration, TolerationOperator};

/// Keeps a default of the Rust type out of the schema.
const NO_DEFAULT: Option<bool> = None;

/// The spec can be carried out as it is written.
pub const VALIDATION_SUCCEEDED: &str = "ValidationSucceeded";
/// Every pool that the type names is there and ready.
pub const POOLS_READY: &str = "PoolsReady";
/// Nobody but pods of the type, and agents, can get onto its nodes. Free.
pub const ISOLATED: &str = "Isolated";
/// The network policies of the type are in force. Free.
pub const NETWORK_ISOLATED: &str = "NetworkIsolated";
/// Every node of the type carries its label. Free.
pub const NODES_LABELLED: &str = "NodesLabelled";
/// Pools of the type that differ in who may use them carry the same taints. Free.
pub const POOLS_INDISTINGUISHABLE: &str = "PoolsIndistinguishable";
/// A taint of the type is also on pools that no type shares with it. Free.
pub const TAINT_SHARED: &str = "TaintShared";

/// The type was deleted and something of it is left. Free, and only there once the type was deleted.
pub const DELETION_BLOCKED: &str = "DeletionBlocked";

/// Conditions of a WorkloadType.
pub const CONDITIONS: ConditionTypes = ConditionTypes { dependents: &[VALIDATION_SUCCEEDED, POOLS_READY] };

impl WorkloadType {
    /// Marks an object whose stored spec could not be read, and why. What is in `spec` then means nothing.
    pub fn mark_unreadable(&mut self, why: &str) {
        self.metadata
            .annotations
            .get_or_insert_default()
            .insert(labels::UNREADABLE.to_owned(), why.to_owned());
    }

    /// Why the stored spec could not be read, if it could not.
    #[must_use]
    pub fn unreadable(&self) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(labels::UNREADABLE).map(String::as_str)
    }
}

text_enum! {
    /// What happens to pods that break the type's rules.
    pub enum Enforcement {
        /// Pods are changed, and refused if they cannot be made right.
        Enforce = "Enforce",
        /// Pods are changed, and admitted with a warning if they cannot be made right.
        Warn = "Warn",
        /// Pods are neither changed nor refused; what would happen is recorded.
        Audit = "Audit",
    }
}

text_enum! {
    /// Whom the network lets in to pods of the type.
    pub enum NetworkIsolation {
        /// Everybody.
        None = "None",
        /// Pods of the same type.
        Type = "Type",
        /// Pods of the same namespace.
        Namespace = "Namespace",
    }
}

/// Which pools the pods of a type run on, and who else may get there.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "treenail.dev",
    version = "v1alpha1",
    kind = "WorkloadType",
    plural = "workloadtypes",
    shortname = "wt",
    status = "WorkloadTypeStatus",
    category = "treenail",
    derive = "PartialEq",
    doc = "WorkloadType binds namespaces to node pools: pods of a namespace with the label \
           treenail.dev/workload-type get the tolerations and the node selector of the type, and nobody else's \
           pods get onto its nodes.",
    validation = (
        "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",
        "the name of a workload type must be a DNS label: at most 63 lower-case letters, digits and hyphens",
    ),
    printcolumn(name = "Namespaces", type_ = "integer", json_path = ".status.namespaces",
        description = "Namespaces whose pods are of the type"),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes",
        description = "Nodes that pods of the type can use"),
    printcolumn(name = "$/h", type_ = "string", json_path = ".status.hourlyCost",
        description = "What these nodes cost per hour, in US dollars"),
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Enforcement", type_ = "string", json_path = ".spec.enforcement", priority = 1),
    printcolumn(name = "Isolated", type_ = "string", json_path = r#".status.conditions[?(@.type=="Isolated")].status"#,
        priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].message"#,
        priority = 1, description = "Why the type is not ready"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = (
        "!has(self.limits) || !has(self.limits.perTenant) || \
         self.pools.exists(p, has(p.tenancy) && p.tenancy != 'Shared')",
        "limits.perTenant needs a pool with tenancy Team or Namespace",
    ),
)]
pub struct WorkloadTypeSpec {
    /// The NodePools whose nodes the type uses, in order of preference.
    #[schemars(
        length(min = 1, max = 32),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"])
    )]
    pub pools: Vec<PoolReference>,
    /// Further namespaces whose pods are of the type, beside those with the label
    /// `treenail.dev/workload-type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<NamespaceSelector>,
    /// What happens to pods that break the type's rules: `Enforce`, `Warn` or `Audit`.
    #[serde(default = "enforce")]
    pub enforcement: Enforcement,
    /// Tolerations that pods of the type get, instead of those derived from the taints of the pools. An empty
    /// list means none. Taints that match are the type's own: nobody else's pods may tolerate them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub tolerations: Option<Vec<Toleration>>,
    /// Node selector that pods of the type get, instead of the label that marks the nodes of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::labels", extend("minProperties" = 1, "maxProperties" = 16))]
    #[x_kube(validation = (
        "self.all(k, k.size() <= 316 && k.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]$'))",
        "a key of nodeSelector must be a label key",
    ))]
    pub node_selector: Option<BTreeMap<String, String>>,
    /// What a pod of the type may ask for beyond that.
    #[serde(default)]
    #[schemars(extend("default" = NO_DEFAULT))]
    pub allow: Allow,
    /// DaemonSets that also run on the type's nodes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["namespace", "name"])
    )]
    pub agents: Vec<Agent>,
    /// The most that all nodes of the type may have, or cost, together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// Network policies that are kept in the namespaces of the type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<Network>,
}

/// What a pod of the type may ask for beyond the type's own tolerations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Allow {
    /// Tolerations for taints that other types own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub tolerations: Vec<Toleration>,
    /// Schedulers that pods may name. Default: `default-scheduler`. Not judged yet: pods may name any.
    #[serde(default = "default_scheduler")]
    #[schemars(
        length(min = 1, max = 16),
        schema_with = "schema::object_names",
        extend("default" = NO_DEFAULT)
    )]
    pub scheduler_names: BTreeSet<String>,
    /// Priority classes that pods may name. Without any: all but `system-*`. Not judged yet: pods may name any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(max = 64), schema_with = "schema::object_names")]
    pub priority_class_names: BTreeSet<String>,
    /// Runtime classes that pods may name. Without any: those whose scheduling stays inside the type. Not judged yet: pods may name any.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(max = 64), schema_with = "schema::object_names")]
    pub runtime_class_names: BTreeSet<String>,
    /// Whether required pod affinity and anti-affinity may reach into namespaces of other types. Not judged yet: they may.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cross_namespace_affinity: bool,
}

impl Default for Allow {
    fn default() -> Self {
        Self {
            tolerations: Vec::new(),
            scheduler_names: default_scheduler(),
            priority_class_names: BTreeSet::new(),
            runtime_class_names: BTreeSet::new(),
            cross_namespace_affinity: false,
        }
    }
}

/// A DaemonSet that also runs on the type's nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Agent {
    /// Namespace of the DaemonSet.
    #[schemars(length(max = 63), extend("pattern" = schema::DNS_LABEL))]
    pub namespace: String,
    /// Name of the DaemonSet.
    #[schemars(length(max = 253), extend("pattern" = schema::DNS_SUBDOMAIN))]
    pub name: String,
    /// Whether the tolerations are added to the DaemonSet's template. Without it a warning shows them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub inject: bool,
}

/// Network policies that are kept in the namespaces of the type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!has(self.allowFromTypes) || self.allowFromTypes.size() == 0 || (has(self.isolation) && self.isolation != 'None')",
    "allowFromTypes needs isolation Type or Namespace",
))]
pub struct Network {
    /// Whom the network lets in: `None` (everybody), `Type` (pods of the same type) or `Namespace` (pods of
    /// the same namespace). Default: `None`.
    #[serde(default = "no_isolation")]
    #[schemars(extend("default" = NO_DEFAULT))]
    pub isolation: NetworkIsolation,
    /// Types whose pods are let in too.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[schemars(length(max = 64), schema_with = "schema::type_names")]
    pub allow_from_types: BTreeSet<String>,
}

fn enforce() -> Enforcement {
    Enforcement::Enforce
}

fn no_isolation() -> NetworkIsolation {
    NetworkIsolation::None
}

fn default_scheduler() -> BTreeSet<String> {
    BTreeSet::from(["default-scheduler".to_owned()])
}
