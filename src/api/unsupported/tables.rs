//! Every field of every spec: whether it is honoured, and what it would do to ignore it.
//!
//! A row speaks for the field and all below it. Making a field work means changing its row. The rule for
//! the severity: if a node or a pod could come out other than the author wrote (more rights, other hardware,
//! other image, other network, other kubelet), it blocks; if only less is saved, replaced or cleaned up
//! than the author wrote, it weakens.

use serde_json::Value;

use super::Severity;
use crate::api::requirement::Operator;
use crate::api::taint::TaintEffect;

/// Which values of a field are honoured.
#[derive(Clone, Copy)]
pub(super) enum Honours {
    /// All of them.
    Everything,
    /// None but those that say nothing.
    Nothing,
    /// None: even an empty value means something.
    NothingNotEvenEmpty,
    /// These words.
    Words(&'static [&'static str]),
    /// Those for which the function says so.
    Values(fn(&Value) -> bool),
}

/// One field and all below it.
#[derive(Clone, Copy)]
pub(super) struct Row {
    /// Path with `[]` for every item of a list, and `*` for every other field of an open map.
    pub(super) path: &'static str,
    pub(super) honours: Honours,
    pub(super) severity: Severity,
    pub(super) text: &'static str,
}

const fn honoured(path: &'static str) -> Row {
    Row { path, honours: Honours::Everything, severity: Severity::Weakens, text: "" }
}

const fn blocks(path: &'static str, honours: Honours, text: &'static str) -> Row {
    Row { path, honours, severity: Severity::Blocks, text }
}

const fn weakens(path: &'static str, honours: Honours, text: &'static str) -> Row {
    Row { path, honours, severity: Severity::Weakens, text }
}

/// Fields of a NodePool.
pub(super) const NODE_POOL: &[Row] = &[
    honoured("spec.template.metadata.labels"),
    honoured("spec.template.metadata.annotations"),
    honoured("spec.template.spec.requirements[].key"),
    honoured("spec.template.spec.requirements[].values"),
    // An operator that is not understood could admit any instance type.
    blocks(
        "spec.template.spec.requirements[].operator",
        Honours::Words(Operator::WORDS),
        "this version does not know the operator",
    ),
    // Launching with fewer choices open than promised is what the author ruled out.
    blocks(
        "spec.template.spec.requirements[].minValues",
        Honours::Nothing,
        "keeping a minimum of values open when instances are chosen",
    ),
    honoured("spec.template.spec.taints[].key"),
    honoured("spec.template.spec.taints[].value"),
    // A taint that is left out would let everybody in.
    blocks(
        "spec.template.spec.taints[].effect",
        Honours::Words(TaintEffect::WORDS),
        "this version does not know the effect",
    ),
    // Kubernetes sets it when it adds the taint; nothing depends on it before.
    weakens(
        "spec.template.spec.taints[].timeAdded",
        Honours::Nothing,
        "the time is set when the taint is added",
    ),
    honoured("spec.template.spec.startupTaints[].key"),
    honoured("spec.template.spec.startupTaints[].value"),
    blocks(
        "spec.template.spec.startupTaints[].effect",
        Honours::Words(TaintEffect::WORDS),
        "this version does not know the effect",
    ),
    weakens(
        "spec.template.spec.startupTaints[].timeAdded",
        Honours::Nothing,
        "the time is set when the taint is added",
    ),
    // Another class makes other machines. The copy of the kind under treenail.dev is one of them.
    blocks(
        "spec.template.spec.nodeClassRef.group",
        Honours::Words(&["karpenter.k8s.aws"]),
        "node classes of other groups than karpenter.k8s.aws",
    ),
    blocks(
        "spec.template.spec.nodeClassRef.kind",
        Honours::Words(&["EC2NodeClass"]),
        "node classes of other kinds than EC2NodeClass",
    ),
    honoured("spec.template.spec.nodeClassRef.name"),
    honoured("spec.template.spec.terminationGracePeriod"),
    // Nodes only live longer. Set in every pool, since Karpenter's schema has a default.
    weakens(
        "spec.template.spec.expireAfter",
        Honours::Words(&["Never"]),
        "nodes are not replaced when they reach an age, as with Never",
    ),
    honoured("spec.disruption.consolidateAfter"),
    // Nodes are only used less well. Set in every pool, since Karpenter's schema has a default.
    weakens(
        "spec.disruption.consolidationPolicy",
        Honours::Words(&["WhenEmpty"]),
        "only empty nodes are removed, as with WhenEmpty",
    ),
    honoured("spec.disruption.budgets[].nodes"),
    honoured("spec.disruption.budgets[].reasons"),
    // Applying a budget outside its window disrupts less than asked for, never more.
    weakens("spec.disruption.budgets[].schedule", Honours::Nothing, "the budget applies at all times"),
    weakens("spec.disruption.budgets[].duration", Honours::Nothing, "the budget applies at all times"),
    honoured("spec.limits"),
    honoured("spec.weight"),
    // A static pool that follows pending pods instead would launch and remove what its author fixed; 0 is a
    // number too.
    blocks("spec.replicas", Honours::NothingNotEvenEmpty, "pools with a fixed number of nodes"),
];

/// Fields of an EC2NodeClass.
pub(super) const EC2_NODE_CLASS: &[Row] = &[
    honoured("spec.subnetSelectorTerms"),
    honoured("spec.securityGroupSelectorTerms"),
    // Instances run, but the reserved capacity is paid for and idle.
    weakens(
        "spec.capacityReservationSelectorTerms",
        Honours::Nothing,
        "capacity reservations: on-demand instances are launched outside of them",
    ),
    blocks("spec.placementGroupSelector", Honours::Nothing, "placement groups"),
    honoured("spec.associatePublicIPAddress"),
    // With fewer addresses than kubelet.maxPods counts on, pods would get none. 0 is the default.
    blocks("spec.ipPrefixCount", Honours::Values(is_zero), "address prefixes on network interfaces"),
    blocks(
        "spec.amiSelectorTerms[].alias",
        Honours::Values(is_al2023_alias),
        "images other than Amazon Linux 2023 (alias al2023@…)",
    ),
    blocks("spec.amiSelectorTerms[].tags", Honours::Nothing, "images by tags: use alias al2023@…"),
    blocks("spec.amiSelectorTerms[].id", Honours::Nothing, "images by id: use alias al2023@…"),
    blocks("spec.amiSelectorTerms[].name", Honours::Nothing, "images by name: use alias al2023@…"),
    blocks("spec.amiSelectorTerms[].owner", Honours::Nothing, "images by owner: use alias al2023@…"),
    blocks(
        "spec.amiSelectorTerms[].ssmParameter",
        Honours::Nothing,
        "images by SSM parameter: use alias al2023@…",
    ),
    blocks("spec.amiFamily", Honours::Words(&["AL2023"]), "families other than AL2023"),
    // A node without its user data lacks whatever its author put there, hardening included.
    blocks("spec.userData", Honours::Nothing, "user data of your own"),
    honoured("spec.role"),
    honoured("spec.instanceProfile"),
    honoured("spec.tags"),
    honoured("spec.kubelet.maxPods"),
    honoured("spec.kubelet.podsPerCore"),
    honoured("spec.kubelet.systemReserved"),
    honoured("spec.kubelet.kubeReserved"),
    honoured("spec.kubelet.evictionHard"),
    honoured("spec.kubelet.clusterDNS"),
    // `false` and 0 are settings like any other.
    blocks("spec.kubelet.*", Honours::NothingNotEvenEmpty, "this setting of the kubelet"),
    honoured("spec.blockDeviceMappings"),
    // Ephemeral storage would be that of the root volume, not that of the local disks.
    blocks("spec.instanceStorePolicy", Honours::Nothing, "local disks as pods' storage"),
    blocks("spec.networkInterfaces", Honours::Nothing, "network interfaces of your own"),
    honoured("spec.detailedMonitoring"),
    honoured("spec.metadataOptions"),
    blocks("spec.connectionTracking", Honours::Nothing, "timeouts of connection tracking"),
    blocks("spec.context", Honours::Nothing, "the reserved context of the EC2 API"),
    blocks(
        "spec.cpuOptions.nestedVirtualization",
        Honours::Words(&["disabled"]),
        "virtual machines on instances",
    ),
];

/// Fields of a WorkloadType. All block: a fence with a part missing is no fence, and a type that is used as
/// if a field were not there would be another type.
pub(super) const WORKLOAD_TYPE: &[Row] = &[
    honoured("spec.pools[].name"),
    blocks("spec.pools[].tenancy", Honours::Words(&["Shared"]), "nodes of one team or namespace"),
    blocks("spec.pools[].namespaceSelector", Honours::Nothing, "pools for some namespaces of a type"),
    blocks("spec.pools[].onlyForResources", Honours::Nothing, "pools for some resources"),
    blocks(
        "spec.pools[].fallbackAfter",
        Honours::Words(&["2m"]),
        "another time before the next pool is used",
    ),
    blocks("spec.namespaceSelector", Honours::Nothing, "namespaces by selector: label each namespace"),
    blocks("spec.enforcement", Honours::Words(&["Enforce"]), "enforcement other than Enforce"),
    // An empty list takes the derived tolerations away.
    blocks(
        "spec.tolerations",
        Honours::NothingNotEvenEmpty,
        "tolerations of your own: they are derived from the taints of the pools",
    ),
    blocks("spec.nodeSelector", Honours::NothingNotEvenEmpty, "a node selector of your own: it is derived"),
    blocks("spec.allow.tolerations", Honours::Nothing, "tolerations for other types' taints"),
    blocks(
        "spec.allow.schedulerNames",
        Honours::Values(is_default_scheduler),
        "schedulers other than default-scheduler",
    ),
    blocks("spec.allow.priorityClassNames", Honours::Nothing, "a list of priority classes"),
    blocks("spec.allow.runtimeClassNames", Honours::Nothing, "a list of runtime classes"),
    blocks("spec.allow.crossNamespaceAffinity", Honours::Nothing, "affinity to other types' namespaces"),
    blocks("spec.agents", Honours::Nothing, "agents of a type"),
    blocks("spec.limits", Honours::Nothing, "limits of a type: limit its pools"),
    blocks("spec.network.isolation", Honours::Words(&["None"]), "network policies of a type"),
    blocks("spec.network.allowFromTypes", Honours::Nothing, "network policies of a type"),
];

fn is_zero(value: &Value) -> bool {
    value.as_i64() == Some(0)
}

fn is_al2023_alias(value: &Value) -> bool {
    value.as_str().is_some_and(|alias| alias.starts_with("al2023@"))
}

fn is_default_scheduler(value: &Value) -> bool {
    value.as_array().is_some_and(|names| names.iter().all(|name| name == "default-scheduler"))
}
