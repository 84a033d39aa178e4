//! What is to be done: nodes to launch, nodes to count on, and why some pods get none.
//!
//! A plan names pods, pools and instance types; it does nothing. [`Plan`]'s text form is for people and tests.

use std::{collections::BTreeMap, fmt};

use crate::model::{Price, Reason, Requirements, ResourceList, Taint, pod::PodKey};

/// The answer to a problem.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// The nodes to launch, in the order in which they were found to be needed.
    pub claims: Vec<PlannedClaim>,
    /// The nodes that are there or on their way and will take pods of the problem, by name.
    pub nominations: Vec<Nomination>,
    /// The pods that get no node, by name.
    pub unschedulable: Vec<Unschedulable>,
}

impl Plan {
    /// What the nodes to launch cost, each as its cheapest option.
    #[must_use]
    pub fn price(&self) -> Price {
        self.claims.iter().map(PlannedClaim::price).sum()
    }
}

/// A node to launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedClaim {
    /// The pool that it belongs to.
    pub pool: String,
    /// What its labels must be: the pool's requirements, its pods' and the list of its instance types.
    pub requirements: Requirements,
    /// The labels that it gets, those aside that its provider adds.
    pub labels: BTreeMap<String, String>,
    /// The taints that it keeps.
    pub taints: Vec<Taint>,
    /// The taints that it starts with.
    pub startup_taints: Vec<Taint>,
    /// What its pods request together with the daemons that run on it whichever instance type it becomes.
    pub requests: ResourceList,
    /// The instance types that hold all of its pods and daemons, the cheapest first; at least one.
    pub instance_types: Vec<InstanceOption>,
    /// Its pods, by name.
    pub pods: Vec<PodKey>,
}

impl PlannedClaim {
    /// What it costs as its cheapest option.
    #[must_use]
    pub fn price(&self) -> Price {
        self.instance_types.first().map_or(Price::ZERO, |option| option.price)
    }
}

/// An instance type that a claim can become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceOption {
    /// The type's name.
    pub name: String,
    /// Its price in the cheapest way to buy it that the claim allows.
    pub price: Price,
}

/// A node that is there, and the pods that will run on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nomination {
    /// The node's name.
    pub node: String,
    /// The pods, by name.
    pub pods: Vec<PodKey>,
}

/// A pod that gets no node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unschedulable {
    /// The pod.
    pub pod: PodKey,
    /// What is in the way: one reason for each pool that the pod may use, in its order of preference, or one about the pod alone.
    pub reasons: Vec<PoolReason>,
}

/// What is in the way in one pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolReason {
    /// The pool; absent if no pool could help.
    pub pool: Option<String>,
    /// The first thing that is in the way.
    pub reason: Reason,
}

/// `pool application: spec.tolerations: …`.
impl fmt::Display for PoolReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(pool) = &self.pool {
            write!(f, "pool {pool}: ")?;
        }
        write!(f, "{}", self.reason)
    }
}

/// One paragraph for each claim, nomination and unschedulable pod; equal neighbours are counted.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (claim, count) in runs(&self.claims, PlannedClaim::is_alike) {
            if count > 1 {
                write!(f, "{count} × ")?;
            }
            writeln!(f, "claim of pool {}: {claim}", claim.pool)?;
        }
        for nomination in &self.nominations {
            writeln!(f, "node {}: {}", nomination.node, Count(nomination.pods.len()))?;
        }
        for (pod, count) in runs(&self.unschedulable, |a, b| a.reasons == b.reasons) {
            write!(f, "no node for pod {}", pod.pod)?;
            match count - 1 {
                0 => writeln!(f)?,
                1 => writeln!(f, " and one other")?,
                others => writeln!(f, " and {others} others")?,
            }
            for reason in &pod.reasons {
                writeln!(f, "  {reason}")?;
            }
        }
        writeln!(f, "price {}", self.price())
    }
}

/// `c7i.xlarge at $0.1785/h or 3 others, 7 pods, requests 3500m cpu`.
impl fmt::Display for PlannedClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(cheapest) = self.instance_types.first() {
            write!(f, "{} at {}", cheapest.name, cheapest.price)?;
        }
        match self.instance_types.len().saturating_sub(1) {
            0 => {}
            1 => f.write_str(" or one other")?,
            others => write!(f, " or {others} others")?,
        }
        write!(f, ", {}, requests {}", Count(self.pods.len()), self.requests)
    }
}

impl PlannedClaim {
    /// Whether both are the same but for their pods' names.
    fn is_alike(&self, other: &Self) -> bool {
        self.pods.len() == other.pods.len()
            && self.pool == other.pool
            && self.requests == other.requests
            && self.requirements == other.requirements
            && self.instance_types == other.instance_types
    }
}

/// `1 pod`, `7 pods`.
struct Count(usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pod{}", self.0, if self.0 == 1 { "" } else { "s" })
    }
}

/// The first of each run of equals, and the run's length.
fn runs<T>(items: &[T], equal: impl Fn(&T, &T) -> bool) -> impl Iterator<Item = (&T, usize)> {
    items.chunk_by(equal).filter_map(|run| Some((run.first()?, run.len())))
}
