//! Why not: the one vocabulary in which events, metrics, the command line and admission say what stands in the way.
//!
//! A reason is a value with the facts in it. It is put into words here and nowhere else; which object it is about, and who is told, is
//! known to whoever holds it.

use std::fmt;

use jiff::Timestamp;

use crate::api::labels;

use super::{
    host_port::HostPort,
    min_values::MinValuesShortfall,
    node_pool::LimitExceeded,
    pod::{Excess, MalformedPod, NotProvisionable, UnsupportedConstraint, UnusableTerm},
    quantity::Quantity,
    requirement::Requirement,
    requirements::{Incompatibility, Requirements},
    resources::{HUGE_PAGES_PREFIX, ResourceList, Shortage},
    taints::Taint,
    text::{Excerpt, Quote},
};

#[cfg(test)]
mod tests;

const NODE_LABELS: &str = "spec.nodeSelector or spec.affinity.nodeAffinity";
const NODE_AFFINITY: &str =
    "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms";
const REQUESTS: &str = "spec.containers[*].resources.requests";
const POOL_REQUIREMENTS: &str = "spec.template.spec.requirements";

/// The most of anything that one message lists.
const LISTED: usize = 5;

/// What to do about huge pages, which no node is launched with.
pub const ADVICE_ON_HUGE_PAGES: &str =
    "do not request huge pages: they need kernel settings in user data, which is not supported yet";

/// Why a pod gets no node, or a node is not launched.
///
/// Shown as one line: the field where there is one, what is wrong, what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The pod does not tolerate a taint of the nodes.
    TaintNotTolerated {
        /// The taint.
        taint: Taint,
    },
    /// The pod does not tolerate a taint of its own workload type, though admission adds the toleration to every pod that is created.
    CreatedBeforeItsType {
        /// The type.
        workload_type: String,
        /// The taint.
        taint: Taint,
    },
    /// The pod asks for a label value that the nodes do not have.
    RequirementConflict {
        /// What the pod asks for.
        incoming: Requirement,
        /// What the nodes have.
        existing: Requirement,
    },
    /// The pod asks for a label that the nodes do not have.
    LabelUndefined {
        /// What the pod asks for.
        incoming: Requirement,
        /// A label that they do have, and that was probably meant.
        hint: Option<String>,
    },
    /// Requirements on one label exclude each other.
    RequirementContradiction {
        /// The label's key.
        key: String,
    },
    /// No term of the pod's required node affinity can be met by any node.
    NodeAffinityUnusable {
        /// The terms by their index, and what is wrong with each.
        terms: Vec<(usize, UnusableTerm)>,
    },
    /// The pod requests more than the nodes have.
    ResourcesDoNotFit {
        /// The node or instance type that comes closest.
        closest: String,
        /// What is missing there.
        shortages: Vec<Shortage>,
    },
    /// The pod needs a port of the node that another pod has.
    HostPortTaken {
        /// The port.
        port: HostPort,
    },
    /// Each label could be as it is asked for, but no instance type has all of them together.
    NoInstanceType {
        /// What the pool and the pod ask for together.
        requirements: Requirements,
    },
    /// No instance type that would do can be bought in a zone and in a way that would do.
    NoOffering,
    /// Instance types that would do are offered only in zones in which the node class has no subnet.
    NoSubnet {
        /// The class.
        node_class: String,
        /// Those zones.
        zones: Requirement,
    },
    /// The pool may not hold one more node.
    LimitReached {
        /// The limits that are in the way.
        exceeded: Vec<LimitExceeded>,
    },
    /// No node of the pool may be launched.
    PoolNotReady {
        /// Why not.
        why: String,
    },
    /// The pool does not exist.
    PoolMissing,
    /// There is no pool that the pod may use.
    NoPool {
        /// The pod's workload type, if it has one.
        workload_type: Option<String>,
    },
    /// The pod's workload type cannot be used as it is written.
    WorkloadTypeClosed {
        /// The type.
        workload_type: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The pod's own label names a workload type that its namespace may not use.
    WorkloadTypeNotAllowed {
        /// The type.
        workload_type: String,
        /// The namespace.
        namespace: String,
    },
    /// The pod asks for nodes of a workload type, and its namespace has none.
    NamespaceNotLabelled {
        /// The type.
        workload_type: String,
        /// The namespace.
        namespace: String,
    },
    /// Nodes were there for the pod, one after the other, and it was bound to none of them.
    NeverBound {
        /// How many.
        times: u32,
        /// When the next one may be launched.
        until: Timestamp,
    },
    /// Nodes were launched for the pod, one after the other, and each was given up before the pod could be bound to it.
    NodesLost {
        /// How many.
        times: u32,
        /// When the next one may be launched.
        until: Timestamp,
    },
    /// The API server refused the NodeClaim of the pod's node.
    ClaimRefused {
        /// How often.
        times: u32,
        /// When it is tried again.
        until: Timestamp,
    },
    /// An earlier pool of the workload type would do, and has not been without capacity for so long that this one may be used.
    FallbackNotDue {
        /// The earlier pool.
        pool: String,
    },
    /// The instance types that would do offer too few values of some label.
    TooFewValues {
        /// Which labels, and how many values.
        shortfalls: Vec<MinValuesShortfall>,
    },
    /// The pod has a required constraint that cannot be solved yet.
    NotSupportedYet {
        /// The constraint.
        constraint: UnsupportedConstraint,
    },
    /// The pod has more of something than is planned for.
    PodTooLarge(Excess),
    /// The pod cannot be read.
    MalformedPod(MalformedPod),
    /// The pod is not one to launch nodes for.
    NotProvisionable(NotProvisionable),
}

impl Reason {
    /// A short name that never changes with the facts: for metrics, for event reasons, and to search for.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TaintNotTolerated { .. } => "TaintNotTolerated",
            Self::CreatedBeforeItsType { .. } => "CreatedBeforeItsType",
            Self::RequirementConflict { .. } => "RequirementConflict",
            Self::LabelUndefined { .. } => "LabelUndefined",
            Self::RequirementContradiction { .. } => "RequirementContradiction",
            Self::NodeAffinityUnusable { .. } => "NodeAffinityUnusable",
            Self::ResourcesDoNotFit { .. } => "ResourcesDoNotFit",
            Self::HostPortTaken { .. } => "HostPortTaken",
            Self::NoInstanceType { .. } => "NoInstanceType",
            Self::NoOffering => "NoOffering",
            Self::NoSubnet { .. } => "NoSubnet",
            Self::LimitReached { .. } => "LimitReached",
            Self::PoolNotReady { .. } => "PoolNotReady",
            Self::PoolMissing => "PoolMissing",
            Self::NoPool { .. } => "NoPool",
            Self::WorkloadTypeClosed { .. } => "WorkloadTypeClosed",
            Self::WorkloadTypeNotAllowed { .. } => "WorkloadTypeNotAllowed",
            Self::NamespaceNotLabelled { .. } => "NamespaceNotLabelled",
            Self::NeverBound { .. } => "NeverBound",
            Self::NodesLost { .. } => "NodesLost",
            Self::ClaimRefused { .. } => "ClaimRefused",
            Self::FallbackNotDue { .. } => "FallbackNotDue",
            Self::TooFewValues { .. } => "TooFewValues",
            Self::NotSupportedYet { .. } => "NotSupportedYet",
            Self::PodTooLarge(_) => "PodTooLarge",
            Self::MalformedPod(_) => "MalformedPod",
            Self::NotProvisionable(_) => "NotProvisionable",
        }
    }

    /// The field of the pod or pool that is to be changed, if it is one.
    #[must_use]
    pub const fn field(&self) -> Option<&'static str> {
        match self {
            Self::TaintNotTolerated { .. } | Self::CreatedBeforeItsType { .. } => Some("spec.tolerations"),
            Self::RequirementConflict { .. }
            | Self::LabelUndefined { .. }
            | Self::RequirementContradiction { .. }
            | Self::NamespaceNotLabelled { .. } => Some(NODE_LABELS),
            Self::NodeAffinityUnusable { .. } => Some(NODE_AFFINITY),
            Self::ResourcesDoNotFit { .. } => Some(REQUESTS),
            Self::HostPortTaken { .. } => Some("spec.containers[*].ports[*].hostPort"),
            Self::LimitReached { .. } => Some("spec.limits"),
            Self::TooFewValues { .. } | Self::NoInstanceType { .. } => Some(POOL_REQUIREMENTS),
            Self::NotSupportedYet { constraint } => Some(constraint.field()),
            Self::PodTooLarge(excess) => Some(excess.field()),
            Self::PoolMissing => Some("spec.pools"),
            Self::WorkloadTypeNotAllowed { .. } => Some("metadata.labels[treenail.dev/workload-type]"),
            Self::NoOffering
            | Self::NoSubnet { .. }
            | Self::PoolNotReady { .. }
            | Self::NoPool { .. }
            | Self::WorkloadTypeClosed { .. }
            | Self::NeverBound { .. }
            | Self::NodesLost { .. }
            | Self::ClaimRefused { .. }
            | Self::FallbackNotDue { .. }
            | Self::MalformedPod(_)
            | Self::NotProvisionable(_) => None,
        }
    }

    /// What keeps these requests from fitting into any of `places`, each with its name and what it leaves: the shortages in the place that
    /// comes closest, which lacks the fewest resources, and of those the smallest part of them. Nothing, if they fit somewhere, or
    /// there is no place.
    #[must_use]
    pub fn does_not_fit<'a>(
        requests: &ResourceList,
        places: impl IntoIterator<Item = (&'a str, &'a ResourceList)>,
    ) -> Option<Self> {
        let mut closest: Option<(&str, Vec<Shortage>)> = None;
        for (name, left) in places {
            let shortages = requests.shortages(left);
            if shortages.is_empty() {
                return None;
            }
            if closest.as_ref().is_none_or(|(_, so_far)| is_closer(&shortages, so_far)) {
                closest = Some((name, shortages));
            }
        }
        closest.map(|(name, shortages)| Self::ResourcesDoNotFit { closest: name.to_owned(), shortages })
    }

    /// What is wrong, without the field and without advice.
    #[must_use]
    pub fn problem(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| self.write_problem(f))
    }

    /// What to do.
    #[must_use]
    pub fn advice(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(|f| self.write_advice(f))
    }

    fn write_problem(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TaintNotTolerated { taint } => write!(f, "the taint {taint} is not tolerated"),
            Self::CreatedBeforeItsType { workload_type, taint } => write!(
                f,
                "the pod was created before its namespace had the workload type {}, or before that had the taint {taint}",
                Excerpt(workload_type)
            ),
            Self::RequirementConflict { incoming, existing } => {
                write!(f, "{incoming} is asked for, but the nodes have {existing}")
            }
            Self::LabelUndefined { incoming, .. } => {
                write!(f, "{incoming} is asked for, but the nodes do not have the label")
            }
            Self::RequirementContradiction { key } => {
                write!(f, "the requirements on {} contradict each other", Excerpt(key))
            }
            Self::NodeAffinityUnusable { terms } if terms.is_empty() => {
                f.write_str("there is no term, and so no node matches")
            }
            Self::NodeAffinityUnusable { terms } => {
                f.write_str("no term can match any node (")?;
                write_list(f, "; ", terms, |f, (i, problem)| write!(f, "[{i}]: {problem}"))?;
                f.write_str(")")
            }
            Self::ResourcesDoNotFit { closest, shortages } => {
                write_list(f, ", ", shortages, |f, shortage| {
                    write!(f, "{} {}", shortage.requested, Excerpt(&shortage.resource))
                })?;
                write!(f, " requested, and {}, which comes closest, leaves ", Excerpt(closest))?;
                write_list(f, ", ", shortages, |f, shortage| {
                    write!(f, "{} {}", shortage.available, Excerpt(&shortage.resource))
                })
            }
            Self::HostPortTaken { port } => write!(f, "{port} is taken on the node by another pod"),
            Self::NoInstanceType { requirements } if requirements.is_empty() => {
                f.write_str("there is no instance type")
            }
            Self::NoInstanceType { requirements } => write!(f, "no instance type has {requirements}"),
            Self::NoOffering => f.write_str("no instance type that would do can be bought now"),
            Self::NoSubnet { node_class, zones } => {
                write!(
                    f,
                    "the instance types that will do are offered with {zones}, where EC2NodeClass {} has no subnet",
                    Excerpt(node_class)
                )
            }
            Self::PoolNotReady { why } => write!(f, "no node of the pool may be launched: {}", Quote(why)),
            Self::PoolMissing => f.write_str("there is no such NodePool"),
            Self::NoPool { workload_type: Some(name) } => {
                write!(f, "the workload type {} has no pool, or does not exist", Excerpt(name))
            }
            Self::NoPool { workload_type: None } => {
                f.write_str("every NodePool belongs to a workload type, and the pod has none")
            }
            Self::WorkloadTypeClosed { workload_type, problem } => {
                write!(f, "the workload type {} is closed: {}", Excerpt(workload_type), Quote(problem))
            }
            Self::WorkloadTypeNotAllowed { workload_type, namespace } => write!(
                f,
                "the namespace {} may not use the workload type {}",
                Excerpt(namespace),
                Excerpt(workload_type)
            ),
            Self::NamespaceNotLabelled { workload_type, namespace } => write!(
                f,
                "nodes of the workload type {} are asked for, and the namespace {} has no workload type",
                Excerpt(workload_type),
                Excerpt(namespace)
            ),
            Self::NeverBound { times, until } => write!(
                f,
                "{times} times a node was there for the pod and kube-scheduler did not bind it; the next one is launched after {until:.0}"
            ),
            Self::NodesLost { times, until } => write!(
                f,
                "{times} times the node that was launched for the pod was given up before the pod could use it; the next one is launched after {until:.0}"
            ),
            Self::ClaimRefused { times, until } => write!(
                f,
                "{times} times the API server refused to create the NodeClaim of a node for the pod; it is tried again after {until:.0}"
            ),
            Self::FallbackNotDue { pool } => {
                write!(f, "pool {} comes first, and may be of use again soon", Excerpt(pool))
            }
            Self::LimitReached { exceeded } => write_list(f, ", ", exceeded, |f, limit| write!(f, "{limit}")),
            Self::TooFewValues { shortfalls } => {
                write_list(f, ", ", shortfalls, |f, shortfall| write!(f, "{shortfall}"))
            }
            Self::NotSupportedYet { constraint } => write!(f, "not supported yet: {constraint}"),
            Self::PodTooLarge(excess) => write!(f, "{excess}"),
            Self::MalformedPod(malformed) => write!(f, "{malformed}"),
            Self::NotProvisionable(why) => write!(f, "no node is launched for this pod: {why}"),
        }
    }

    fn write_advice(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreatedBeforeItsType { .. } => f.write_str(
                "create it anew (kubectl rollout restart), and admission adds what pods of the type need",
            ),
            Self::TaintNotTolerated { .. } => {
                f.write_str("tolerate it if the pod belongs there, or select other nodes")
            }
            Self::RequirementConflict { .. } => {
                f.write_str("ask for a value that the nodes have, or let the NodePool allow it")
            }
            Self::LabelUndefined { hint: Some(hint), .. } => write!(f, "did you mean {}?", Excerpt(hint)),
            Self::LabelUndefined { incoming, hint: None } => {
                match labels::type_of_node_label(incoming.key()) {
                    Some(workload_type) => write!(
                        f,
                        "do not ask for it: Treenail gives it only to nodes of pools that WorkloadType {} names",
                        Excerpt(workload_type)
                    ),
                    None => f.write_str("add the label to the NodePool's template, or do not ask for it"),
                }
            }
            Self::RequirementContradiction { .. } => f.write_str("remove all but one of them"),
            Self::NodeAffinityUnusable { .. } => f.write_str("correct one of them, or remove the affinity"),
            Self::ResourcesDoNotFit { shortages, .. } => write_advice_on_size(f, shortages),
            Self::HostPortTaken { .. } => f.write_str("use another host port, or none"),
            Self::NoOffering => f.write_str(
                "allow more instance types, zones or capacity types, or wait until there is capacity",
            ),
            Self::NoSubnet { .. } => f.write_str(
                "ask for others, or let spec.subnetSelectorTerms of the class select one there",
            ),
            Self::NoInstanceType { .. } => {
                f.write_str("ask for a combination that exists, or let the NodePool allow more")
            }
            Self::LimitReached { .. } => f.write_str("raise the limit, or wait until nodes are gone"),
            Self::PoolNotReady { .. } => {
                f.write_str("as soon as that is corrected, nodes are launched from it")
            }
            Self::PoolMissing => f.write_str("create it, or take it out of the workload type"),
            Self::NoPool { workload_type: Some(_) } => f.write_str("add a pool to the workload type"),
            Self::NoPool { workload_type: None } => f.write_str(
                "label the namespace with a workload type, or create a NodePool that no type uses",
            ),
            Self::WorkloadTypeClosed { .. } => f.write_str("correct the WorkloadType"),
            Self::WorkloadTypeNotAllowed { .. } => {
                f.write_str("label the namespace with the type, or create the pod without the label")
            }
            Self::NamespaceNotLabelled { workload_type, namespace } => write!(
                f,
                "label the namespace {} {}={} and create the pod anew, or do not ask for these nodes",
                Excerpt(namespace),
                labels::WORKLOAD_TYPE,
                Excerpt(workload_type)
            ),
            Self::NeverBound { .. } => f.write_str(
                "see kube-scheduler's event on the pod for what those nodes lacked, and request or select less",
            ),
            Self::NodesLost { .. } => {
                f.write_str("see the events of the NodeClaims and of the node class for what went wrong")
            }
            Self::ClaimRefused { .. } => {
                f.write_str("see the event NodeClaimNotCreated of the NodePool for what was refused")
            }
            Self::FallbackNotDue { .. } => f.write_str("wait: this pool is used once that one has been short for a while"),
            Self::TooFewValues { .. } => f.write_str("lower minValues, or allow more instance types"),
            Self::NotSupportedYet { constraint } => f.write_str(constraint.advice()),
            Self::PodTooLarge(excess) => f.write_str(excess.advice()),
            Self::MalformedPod(_) => f.write_str("correct the pod"),
            Self::NotProvisionable(why) => f.write_str(match why {
                NotProvisionable::Bound | NotProvisionable::Finished | NotProvisionable::Terminating => {
                    "there is nothing to do"
                }
                NotProvisionable::Gated => "whoever set the gates has to remove them",
                NotProvisionable::Nominated => "wait for the preemption",
                NotProvisionable::DaemonSet | NotProvisionable::Mirror => "it runs on nodes that are there",
                NotProvisionable::NotUnschedulable => {
                    "wait for the scheduler named in spec.schedulerName, and see that it is running"
                }
            }),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(field) = self.field() {
            write!(f, "{field}: ")?;
        }
        self.write_problem(f)?;
        f.write_str("; ")?;
        self.write_advice(f)
    }
}

/// Larger machines have more of everything but of what only some have, and none has what its user data has to set up.
fn write_advice_on_size(f: &mut fmt::Formatter<'_>, shortages: &[Shortage]) -> fmt::Result {
    let is_none = |shortage: &&Shortage| shortage.available <= Quantity::default();
    let mut missing = shortages.iter().filter(is_none);
    if missing.clone().any(|shortage| shortage.resource.starts_with(HUGE_PAGES_PREFIX)) {
        return f.write_str(ADVICE_ON_HUGE_PAGES);
    }
    let lacking: Vec<_> = missing.by_ref().filter(|shortage| shortage.resource.contains('/')).collect();
    if lacking.is_empty() {
        return f.write_str("request less, or let the NodePool use larger instance types");
    }
    f.write_str("do not request it, or let the NodePool use instance types that have ")?;
    write_list(f, " and ", &lacking, |f, shortage| write!(f, "{}", Excerpt(&shortage.resource)))
}

/// Whether less is missing: fewer resources, or of the same number a smaller part of what is requested.
fn is_closer(shortages: &[Shortage], than: &[Shortage]) -> bool {
    let worst = |shortages: &[Shortage]| {
        // What is missing in thousandths of what is requested.
        let missing = |shortage: &Shortage| {
            let gap = (shortage.requested - shortage.available).nanos().saturating_mul(1000);
            gap / shortage.requested.nanos().max(1)
        };
        shortages.iter().map(missing).max()
    };
    (shortages.len(), worst(shortages)) < (than.len(), worst(than))
}

fn write_list<T>(
    f: &mut fmt::Formatter<'_>,
    separator: &str,
    items: &[T],
    mut write_item: impl FnMut(&mut fmt::Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (i, item) in items.iter().take(LISTED).enumerate() {
        if i > 0 {
            f.write_str(separator)?;
        }
        write_item(f, item)?;
    }
    match items.len().saturating_sub(LISTED) {
        0 => Ok(()),
        more => write!(f, "{separator}and {more} more"),
    }
}

impl From<Incompatibility<'_>> for Reason {
    fn from(incompatibility: Incompatibility<'_>) -> Self {
        match incompatibility {
            Incompatibility::Undefined { incoming, .. } => Self::LabelUndefined {
                incoming: incoming.clone(),
                hint: incompatibility.hint().map(str::to_owned),
            },
            Incompatibility::Contradiction { incoming } => {
                Self::RequirementContradiction { key: incoming.key().to_owned() }
            }
            Incompatibility::Conflict { existing, incoming } => {
                Self::RequirementConflict { incoming: incoming.clone(), existing: existing.clone() }
            }
        }
    }
}

impl From<UnsupportedConstraint> for Reason {
    fn from(constraint: UnsupportedConstraint) -> Self {
        match constraint {
            UnsupportedConstraint::TooLarge(excess) => Self::PodTooLarge(excess),
            constraint => Self::NotSupportedYet { constraint },
        }
    }
}

impl From<MalformedPod> for Reason {
    fn from(malformed: MalformedPod) -> Self {
        Self::MalformedPod(malformed)
    }
}

impl From<NotProvisionable> for Reason {
    fn from(why: NotProvisionable) -> Self {
        Self::NotProvisionable(why)
    }
}
