//! The part of a Pod that decisions are made from, read once from the API object.
//!
//! Preferences (preferred affinity, soft spread constraints) are left out: nothing decides by them yet. Required constraints that
//! nothing solves yet are kept by name in [`Pod::unsupported`], so that a pod that has one is refused with a reason and never placed
//! as if it had none. So is one that asks for more than is planned for ([`Excess`]); what else it asks for is then not read at all.

use std::{collections::BTreeMap, fmt};

use jiff::Timestamp;
use k8s_openapi::{
    api::core::v1::{NodeSelectorTerm, Pod as ApiPod, PodSpec, PodTemplateSpec},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference},
};

use super::{
    host_port::HostPort,
    requirement::{Requirement, RequirementError},
    requirements::Requirements,
    resources::{InvalidAmount, ResourceList},
    taints::Toleration,
    text::Excerpt,
};

mod excess;
mod provisionable;
mod requests;
mod unsupported;

pub use excess::{Excess, Measure};
pub use provisionable::NotProvisionable;
pub(super) use requests::effective_requests;
pub use unsupported::UnsupportedConstraint;

#[cfg(test)]
mod tests;

/// The user name under which the DaemonSet controller creates pods.
pub const DAEMON_SET_CONTROLLER: &str = "system:serviceaccount:kube-system:daemon-set-controller";

/// The field by which DaemonSet pods are pinned to their node.
const NODE_NAME_FIELD: &str = "metadata.name";

/// The most problems of one pod that a message spells out.
const PROBLEMS_SHOWN: usize = 5;

/// A pod's namespace and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PodKey {
    /// The namespace.
    pub namespace: String,
    /// The name; empty while the API server has not generated it.
    pub name: String,
}

/// `namespace/name`.
impl fmt::Display for PodKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Excerpt(&self.namespace), Excerpt(&self.name))
    }
}

/// An object that another belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Owner {
    /// Group and version, as `apps/v1`.
    pub api_version: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The UID.
    pub uid: String,
    /// Whether this owner is the controller, of which there is at most one.
    pub is_controller: bool,
}

impl Owner {
    fn is(&self, api_version: &str, kind: &str) -> bool {
        self.api_version == api_version && self.kind == kind
    }
}

impl From<&OwnerReference> for Owner {
    fn from(reference: &OwnerReference) -> Self {
        Self {
            api_version: reference.api_version.clone(),
            kind: reference.kind.clone(),
            name: reference.name.clone(),
            uid: reference.uid.clone(),
            is_controller: reference.controller.unwrap_or_default(),
        }
    }
}

/// Where a pod is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Phase {
    /// Not started. Also what an absent or unknown phase is read as.
    #[default]
    Pending,
    /// Started.
    Running,
    /// Finished well.
    Succeeded,
    /// Finished badly.
    Failed,
}

impl Phase {
    /// Reads `status.phase`.
    #[must_use]
    pub fn read(phase: Option<&str>) -> Self {
        match phase {
            Some("Running") => Self::Running,
            Some("Succeeded") => Self::Succeeded,
            Some("Failed") => Self::Failed,
            _ => Self::Pending,
        }
    }

    /// Whether the pod holds resources no more.
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        match self {
            Self::Succeeded | Self::Failed => true,
            Self::Pending | Self::Running => false,
        }
    }
}

/// One of several sets of requirements of which a node must meet one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct NodeAlternative {
    /// What the node's labels must be: the pod's node selector and one term of its required node affinity.
    pub requirements: Requirements,
    /// What the node's name must be, if the term asks for it by `matchFields`.
    pub node_name: Option<Requirement>,
}

/// Why no node can ever meet a term of a pod's required node affinity, or its node selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnusableTerm {
    /// The term is empty. Kubernetes takes that for nothing, Karpenter for everything.
    #[error("it is empty, and an empty term matches no node")]
    Empty,
    /// An expression cannot be read.
    #[error(transparent)]
    Invalid(#[from] RequirementError),
    /// A field other than `metadata.name` is asked for.
    #[error("field {} is unknown; only {NODE_NAME_FIELD} can be matched", Excerpt(.field))]
    UnknownField {
        /// The field as it was given.
        field: String,
    },
    /// Expressions of the term, or one of them and the node selector, exclude each other.
    #[error("its requirements on {} contradict each other or those of the node selector", Excerpt(.key))]
    Contradiction {
        /// The label or field.
        key: String,
    },
}

/// A Pod, as far as we decide on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pod {
    /// Namespace and name.
    pub key: PodKey,
    /// The UID; empty while the API server has not given one.
    pub uid: String,
    /// When the pod was created.
    pub created: Option<Timestamp>,
    /// Whether the pod is being deleted.
    pub is_terminating: bool,
    /// The pod's labels.
    pub labels: BTreeMap<String, String>,
    /// The objects that the pod belongs to.
    pub owners: Vec<Owner>,
    /// The node that the pod is bound to.
    pub node_name: Option<String>,
    /// The node on which the scheduler is making room for the pod.
    pub nominated_node_name: Option<String>,
    /// Where the pod is in its life.
    pub phase: Phase,
    /// Whether the scheduler has looked for a node and found none.
    pub is_unschedulable: bool,
    /// What the pod waits for before it is scheduled at all.
    pub scheduling_gates: Vec<String>,
    /// The scheduler that is to bind the pod; absent for the default one.
    pub scheduler_name: Option<String>,
    /// The class of the pod's priority.
    pub priority_class_name: Option<String>,
    /// The pod's priority.
    pub priority: Option<i32>,
    /// The class of the pod's runtime.
    pub runtime_class_name: Option<String>,
    /// What the node's labels must be.
    pub node_selector: BTreeMap<String, String>,
    /// What a node must meet one of, in the pod's order. Empty if no node can ever do; one that every node meets, if
    /// the pod is too large to say.
    pub alternatives: Vec<NodeAlternative>,
    /// Terms of the required node affinity that no node can meet, by their index.
    pub unusable_terms: Vec<(usize, UnusableTerm)>,
    /// The taints that the pod tolerates.
    pub tolerations: Vec<Toleration<'static>>,
    /// What the pod effectively requests, itself included as one of `pods`.
    pub requests: ResourceList,
    /// The ports that the pod takes on its node.
    pub host_ports: Vec<HostPort>,
    /// Required constraints that cannot be solved yet.
    pub unsupported: Vec<UnsupportedConstraint>,
}

impl Pod {
    /// Reads an API object; every amount that is no quantity is reported.
    pub fn from_api(pod: &ApiPod) -> Result<Self, MalformedPod> {
        let metadata = &pod.metadata;
        let key = PodKey {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            name: metadata.name.clone().unwrap_or_default(),
        };
        let requests = match requests::effective_requests(pod) {
            Ok(requests) => requests,
            Err(problems) => return Err(MalformedPod { pod: key, problems }),
        };
        let read = Self {
            key,
            uid: metadata.uid.clone().unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            is_terminating: metadata.deletion_timestamp.is_some(),
            labels: metadata.labels.clone().unwrap_or_default(),
            owners: metadata.owner_references.iter().flatten().map(Owner::from).collect(),
            requests,
            ..Self::default()
        };
        Ok(read.with_spec(pod.spec.as_ref().unwrap_or(&PodSpec::default())).with_status(pod))
    }

    /// Reads a template as the pod that its controller would create in `namespace`. The pod has no name, node or status yet.
    pub fn from_template(namespace: &str, template: &PodTemplateSpec) -> Result<Self, MalformedPod> {
        let template = template.clone();
        let mut spec = template.spec.unwrap_or_default();
        requests::default_from_limits(&mut spec);
        let metadata = ObjectMeta {
            namespace: Some(namespace.to_owned()),
            labels: template.metadata.and_then(|metadata| metadata.labels),
            ..ObjectMeta::default()
        };
        Self::from_api(&ApiPod { metadata, spec: Some(spec), status: None })
    }

    fn with_spec(self, spec: &PodSpec) -> Self {
        let text = |field: &Option<String>| field.clone().filter(|text| !text.is_empty());
        let gates = spec.scheduling_gates.iter().flatten();
        let tolerations = spec.tolerations.iter().flatten();
        let read = Self {
            node_name: text(&spec.node_name),
            scheduling_gates: gates.map(|gate| gate.name.clone()).collect(),
            scheduler_name: text(&spec.scheduler_name),
            priority_class_name: text(&spec.priority_class_name),
            priority: spec.priority,
            runtime_class_name: text(&spec.runtime_class_name),
            tolerations: tolerations.map(|toleration| Toleration::from(toleration).into_owned()).collect(),
            ..self
        };
        match Excess::find(spec) {
            // Where it may run is not known: anywhere.
            Some(excess) => Self {
                unsupported: vec![UnsupportedConstraint::TooLarge(excess)],
                alternatives: vec![NodeAlternative::default()],
                ..read
            },
            None => read.with_demands(spec),
        }
    }

    /// What the pod asks of its node, which planning multiplies.
    fn with_demands(self, spec: &PodSpec) -> Self {
        let node_selector = spec.node_selector.clone().unwrap_or_default();
        let (alternatives, unusable_terms) = node_alternatives(&node_selector, spec);
        Self {
            unsupported: UnsupportedConstraint::of_pod(spec, &alternatives),
            node_selector,
            alternatives,
            unusable_terms,
            host_ports: HostPort::of_pod(spec),
            ..self
        }
    }

    fn with_status(self, pod: &ApiPod) -> Self {
        let Some(status) = &pod.status else { return self };
        let conditions = status.conditions.iter().flatten();
        Self {
            nominated_node_name: status.nominated_node_name.clone().filter(|name| !name.is_empty()),
            phase: Phase::read(status.phase.as_deref()),
            is_unschedulable: conditions.into_iter().any(|condition| {
                condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
            }),
            ..self
        }
    }

    /// What the pod has too much of, so that nothing is known of what it asks of nodes.
    #[must_use]
    pub fn excess(&self) -> Option<Excess> {
        self.unsupported.iter().find_map(|constraint| match constraint {
            UnsupportedConstraint::TooLarge(excess) => Some(*excess),
            _ => None,
        })
    }

    /// The object that manages the pod, if any.
    #[must_use]
    pub fn controller(&self) -> Option<&Owner> {
        self.owners.iter().find(|owner| owner.is_controller)
    }

    /// Whether the pod says that it belongs to a DaemonSet. Anybody can write that; see
    /// [`is_daemon_pod`](Self::is_daemon_pod).
    #[must_use]
    pub fn is_owned_by_daemon_set(&self) -> bool {
        self.owners.iter().any(|owner| owner.is("apps/v1", "DaemonSet"))
    }

    /// Whether the pod says that it mirrors a static pod of a kubelet. Anybody can write that, too.
    #[must_use]
    pub fn is_owned_by_node(&self) -> bool {
        self.owners.iter().any(|owner| owner.is("v1", "Node"))
    }

    /// The node that every alternative asks for by name, if all ask for the same one.
    #[must_use]
    pub fn pinned_to(&self) -> Option<&str> {
        let mut names = self.alternatives.iter().map(|term| term.node_name.as_ref()?.single_value());
        let first = names.next()??;
        names.all(|name| name == Some(first)).then_some(first)
    }

    /// Whether a pod that `created_by` asks for is the DaemonSet controller's, one for one node: the user is that controller, and
    /// the pod has a DaemonSet for its controller and is pinned to one node by name. An owner reference alone proves nothing.
    #[must_use]
    pub fn is_daemon_pod(&self, created_by: &str) -> bool {
        created_by == DAEMON_SET_CONTROLLER
            && self.controller().is_some_and(|owner| owner.is("apps/v1", "DaemonSet"))
            && self.pinned_to().is_some()
    }

    /// Whether every alternative asks for nodes without this label, as pods do that are not to be provisioned for.
    #[must_use]
    pub fn requires_absence_of(&self, label: &str) -> bool {
        let asks_absence = |term: &NodeAlternative| {
            let requirement = term.requirements.get(label);
            requirement.is_some_and(|requirement| *requirement == Requirement::does_not_exist(label))
        };
        !self.alternatives.is_empty() && self.alternatives.iter().all(asks_absence)
    }
}

/// The alternatives of a pod in order, and the terms that are none.
fn node_alternatives(
    node_selector: &BTreeMap<String, String>,
    spec: &PodSpec,
) -> (Vec<NodeAlternative>, Vec<(usize, UnusableTerm)>) {
    let selector =
        Requirements::from_labels(node_selector.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    let affinity = spec.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
    let Some(required) = required else {
        let contradiction = selector.contradiction().map(|found| found.key().to_owned());
        return match contradiction {
            None => (vec![NodeAlternative { requirements: selector, node_name: None }], Vec::new()),
            Some(key) => (Vec::new(), vec![(0, UnusableTerm::Contradiction { key })]),
        };
    };
    let (mut alternatives, mut unusable) = (Vec::new(), Vec::new());
    for (i, term) in required.node_selector_terms.iter().enumerate() {
        match read_term(&selector, term) {
            Ok(alternative) => alternatives.push(alternative),
            Err(problem) => unusable.push((i, problem)),
        }
    }
    (alternatives, unusable)
}

fn read_term(selector: &Requirements, term: &NodeSelectorTerm) -> Result<NodeAlternative, UnusableTerm> {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return Err(UnusableTerm::Empty);
    }
    let mut requirements = selector.clone();
    let mut others = Vec::new();
    for expression in expressions {
        let values = expression.values.as_deref().unwrap_or_default();
        let requirement = Requirement::parse(&expression.key, &expression.operator, values)?;
        // Bounds come first: each of them makes every value be looked at that is there already.
        if requirement.is_bounded() { requirements.add(requirement) } else { others.push(requirement) }
    }
    requirements.extend(others);
    let mut names = Requirements::new();
    for field in fields {
        if field.key != NODE_NAME_FIELD {
            return Err(UnusableTerm::UnknownField { field: field.key.clone() });
        }
        let values = field.values.as_deref().unwrap_or_default();
        names.add(Requirement::parse(&field.key, &field.operator, values)?);
    }
    if let Some(found) = requirements.contradiction().or_else(|| names.contradiction()) {
        return Err(UnusableTerm::Contradiction { key: found.key().to_owned() });
    }
    Ok(NodeAlternative { requirements, node_name: names.remove(NODE_NAME_FIELD) })
}

/// A Pod whose resources cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedPod {
    /// Which pod.
    pub pod: PodKey,
    /// What is wrong, with the path of the list it is in.
    pub problems: Vec<(String, InvalidAmount)>,
}

impl fmt::Display for MalformedPod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}: ", self.pod)?;
        for (i, (path, problem)) in self.problems.iter().take(PROBLEMS_SHOWN).enumerate() {
            write!(f, "{}{}: {problem}", if i == 0 { "" } else { "; " }, Excerpt(path))?;
        }
        match self.problems.len().saturating_sub(PROBLEMS_SHOWN) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

impl std::error::Error for MalformedPod {}
