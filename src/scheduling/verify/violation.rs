//! What can be wrong with a plan, and where.

use std::fmt;

use crate::model::{
    Requirement, Taint, host_port::HostPort, node_pool::LimitExceeded, pod::PodKey, resources::Shortage,
};

/// What is wrong with a plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// There is no plan: the scheduler, or the check, panicked over the pods of a workload type.
    #[error("the scheduler panicked over the pods {}: {message}", of_type(.workload_type.as_deref()))]
    Panicked {
        /// The type; nothing for pods without one.
        workload_type: Option<String>,
        /// What it said.
        message: String,
    },
    /// The problem has no such pod.
    #[error("{pod} does not wait for a node")]
    UnknownPod {
        /// The pod.
        pod: PodKey,
    },
    /// The plan names a pod more than once.
    #[error("{pod} is named {times} times")]
    NamedTwice {
        /// The pod.
        pod: PodKey,
        /// How often.
        times: usize,
    },
    /// The plan does not name a pod.
    #[error("{pod} is forgotten")]
    Forgotten {
        /// The pod.
        pod: PodKey,
    },
    /// A pod gets no node, and no reason.
    #[error("{pod} gets no node and no reason")]
    NoReason {
        /// The pod.
        pod: PodKey,
    },
    /// A pod is placed that has a constraint which nobody has looked at.
    #[error("{pod} is placed, and has a constraint that is not supported")]
    UnsupportedPlaced {
        /// The pod.
        pod: PodKey,
    },
    /// The problem has no such node.
    #[error("{node} does not exist")]
    UnknownNode {
        /// The node.
        node: String,
    },
    /// No node of this pool may be launched, or there is none of the name.
    #[error("{place}: no node of the pool may be launched")]
    PoolUnusable {
        /// The claim.
        place: Place,
    },
    /// A pod may not use the pool of its claim.
    #[error("{place}: {pod} may not use the pool")]
    PoolNotForPod {
        /// The claim.
        place: Place,
        /// The pod.
        pod: PodKey,
    },
    /// The claim lacks taints of its pool, or has others.
    #[error("{place}: its taints are not those of the pool")]
    WrongTaints {
        /// The claim.
        place: Place,
    },
    /// The claim allows what its pool does not.
    #[error("{place}: it does not keep to the pool's requirement {requirement}")]
    WiderThanPool {
        /// The claim.
        place: Place,
        /// What the pool requires.
        requirement: Requirement,
    },
    /// The claim has a label that its own requirements do not allow.
    #[error("{place}: it has a label {key} that its requirements do not allow")]
    WrongLabel {
        /// The claim.
        place: Place,
        /// The label.
        key: String,
    },
    /// The claim has no instance type, or one that cannot be bought as its requirements say, or does not list them in the order of
    /// their true prices.
    #[error("{place}: {problem}")]
    WrongInstanceTypes {
        /// The claim.
        place: Place,
        /// What is wrong.
        problem: String,
    },
    /// A pod does not tolerate a taint.
    #[error("{place}: {pod} does not tolerate {taint}")]
    TaintNotTolerated {
        /// The node or claim.
        place: Place,
        /// The pod.
        pod: PodKey,
        /// The taint.
        taint: Taint,
    },
    /// A pod's requirements may turn out not to be met.
    #[error("{place}: what {pod} requires of its node is not certain")]
    LabelsNotMet {
        /// The node or claim.
        place: Place,
        /// The pod.
        pod: PodKey,
    },
    /// Pods and daemons do not fit.
    #[error("{place}: pods and daemons do not fit: {}", listed(.shortages))]
    DoesNotFit {
        /// The node or claim.
        place: Place,
        /// What is missing.
        shortages: Vec<Shortage>,
    },
    /// The claim requests less than its pods do.
    #[error("{place}: it requests less than its pods")]
    RequestsTooLittle {
        /// The claim.
        place: Place,
    },
    /// Two pods want the same port of a node.
    #[error("{place}: {port} is wanted twice")]
    HostPortConflict {
        /// The node or claim.
        place: Place,
        /// The port.
        port: HostPort,
    },
    /// The claims of a pool exceed its limits, each counted as the largest that it can become.
    #[error("pool {pool}: {limit}")]
    LimitExceeded {
        /// The pool.
        pool: String,
        /// The limit, what was held before, and what the claims add.
        limit: LimitExceeded,
    },
    /// A pod is left out that fits on a node that is there.
    #[error("{pod} is left out and fits on node {node}")]
    FitsOnNode {
        /// The pod.
        pod: PodKey,
        /// The node.
        node: String,
    },
    /// A pod is left out for which a node could be launched.
    #[error("{pod} is left out and pool {pool} could launch {instance_type} for it")]
    FitsInPool {
        /// The pod.
        pod: PodKey,
        /// The pool.
        pool: String,
        /// The instance type.
        instance_type: String,
    },
}

fn listed(shortages: &[Shortage]) -> String {
    shortages.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Where pods are placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A claim of the plan, by its position, as a certain instance type if that matters.
    Claim {
        /// The position from zero.
        position: usize,
        /// The pool.
        pool: String,
        /// The instance type.
        instance_type: Option<String>,
    },
    /// A node that is there.
    Node(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim { position, pool, instance_type } => {
                write!(f, "claim {position} of pool {pool}")?;
                instance_type.as_ref().map_or(Ok(()), |name| write!(f, " as {name}"))
            }
            Self::Node(name) => write!(f, "node {name}"),
        }
    }
}

fn of_type(workload_type: Option<&str>) -> String {
    workload_type.map_or_else(|| "without a type".to_owned(), |name| format!("of type {name}"))
}
