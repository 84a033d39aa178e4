//! What keeps a type from doing its job, as values that become conditions and warnings.

use std::collections::BTreeSet;
use std::fmt;

use super::{Fleet, Pool, Readiness, Unfenced, WorkloadType, is_ownable};
use crate::api::workload_type as api;
use crate::model::problem::Problem;
use crate::model::text::Excerpt;

/// So many nodes are named.
const MOST_SHOWN: usize = 3;

/// What is wrong with a type, most serious first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingKind {
    /// Its spec cannot be carried out: the type is closed.
    Invalid,
    /// A pool that it names does not exist.
    PoolMissing,
    /// Nothing can be launched from a pool that it names.
    PoolUnusable,
    /// What a pool that it names depends on is not ready.
    PoolNotReady,
    /// Whether a pool that it names is ready is not known yet.
    PoolNotResolved,
    /// A pool that it names lets everybody's pods in.
    PoolOpen,
    /// Nodes of a pool that it names let everybody's pods in: they were launched while the pool did.
    NodesOpen,
    /// Nodes of a pool that it names let everybody's pods in: somebody took the taint off, or changed it.
    NodesUnfenced,
    /// A taint of it is on a pool that no type shares with it.
    TaintShared,
}

impl FindingKind {
    /// The condition of the WorkloadType that is not as it should be.
    #[must_use]
    pub const fn condition(self) -> &'static str {
        match self {
            Self::Invalid => api::VALIDATION_SUCCEEDED,
            Self::PoolMissing | Self::PoolUnusable | Self::PoolNotReady | Self::PoolNotResolved => {
                api::POOLS_READY
            }
            Self::PoolOpen | Self::NodesOpen | Self::NodesUnfenced => api::ISOLATED,
            Self::TaintShared => api::TAINT_SHARED,
        }
    }

    /// The condition's reason.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "Invalid",
            Self::PoolMissing => "NodePoolNotFound",
            Self::PoolUnusable => "NodePoolUnusable",
            Self::PoolNotReady => "NodePoolNotReady",
            Self::PoolNotResolved => "NodePoolNotResolved",
            Self::PoolOpen => "NodePoolOpen",
            Self::NodesOpen => "NodesOpen",
            Self::NodesUnfenced => "NodesUnfenced",
            Self::TaintShared => "TaintShared",
        }
    }
}

/// One thing that is wrong with a type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// The object to blame, as `NodePool application`.
    pub object: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do.
    pub fix: String,
}

/// `object: problem; fix`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.object, self.problem, self.fix)
    }
}

pub(super) fn find(workload_type: &WorkloadType, fleet: &Fleet<'_>) -> Vec<Finding> {
    let mut findings: Vec<_> =
        workload_type.problems.iter().map(|problem| invalid(workload_type, problem)).collect();
    for name in &workload_type.pools {
        match fleet.pools.get(name) {
            None => findings.push(missing(name)),
            Some(pool) => findings.extend(pool_findings(name, pool, fleet)),
        }
    }
    findings.sort_by_key(|finding| finding.kind);
    findings
}

fn invalid(workload_type: &WorkloadType, problem: &Problem) -> Finding {
    Finding {
        kind: FindingKind::Invalid,
        object: format!("WorkloadType {}", Excerpt(&workload_type.name)),
        problem: problem.to_string(),
        fix: "until then the type is closed".to_owned(),
    }
}

fn missing(name: &str) -> Finding {
    Finding {
        kind: FindingKind::PoolMissing,
        object: object(name),
        problem: "does not exist".to_owned(),
        fix: "create it, or take it out of spec.pools".to_owned(),
    }
}

fn pool_findings(name: &str, pool: &Pool, fleet: &Fleet<'_>) -> Vec<Finding> {
    let mut findings: Vec<_> = pool
        .problems
        .iter()
        .map(|problem| Finding {
            kind: FindingKind::PoolUnusable,
            object: object(name),
            problem: problem.to_string(),
            fix: "until then nothing is launched from it".to_owned(),
        })
        .collect();
    let not_ready = |kind, why: &String| Finding {
        kind,
        object: object(name),
        problem: why.clone(),
        fix: "until then nothing is launched from it".to_owned(),
    };
    match &pool.readiness {
        // What is wrong with the pool itself comes first.
        Readiness::NotReady(why) if pool.problems.is_empty() => {
            findings.push(not_ready(FindingKind::PoolNotReady, why));
        }
        Readiness::Unknown(why) if pool.problems.is_empty() => {
            findings.push(not_ready(FindingKind::PoolNotResolved, why));
        }
        Readiness::NotReady(_) | Readiness::Unknown(_) | Readiness::Ready => {}
    }
    if pool.ownable().next().is_none() {
        findings.push(Finding {
            kind: FindingKind::PoolOpen,
            object: object(name),
            problem: "has no taint that keeps other pods away".to_owned(),
            fix: format!(
                "add one like node-type={}:NoSchedule to its spec.template.spec.taints",
                Excerpt(name)
            ),
        });
    }
    let of_pool = fleet.nodes.iter().filter(|node| node.pool == name);
    let unfenced: Vec<_> = of_pool.clone().filter_map(|node| node.unfenced.as_ref()).collect();
    let open = of_pool.filter(|node| !node.taints.iter().any(is_ownable));
    let open: Vec<_> = open.map(|node| node.name.as_str()).collect();
    if !open.is_empty() && pool.ownable().next().is_some() {
        findings.push(nodes_open(name, &open));
    }
    findings.extend(nodes_unfenced(name, &unfenced));
    findings.extend(shared_taints(name, fleet));
    findings
}

fn nodes_open(pool: &str, nodes: &[&str]) -> Finding {
    Finding {
        kind: FindingKind::NodesOpen,
        object: object(pool),
        problem: format!("has nodes without a taint that keeps other pods away: {}", first(nodes)),
        fix: "delete these NodeClaims; what replaces them has the taints of the pool".to_owned(),
    }
}

fn nodes_unfenced(pool: &str, nodes: &[&Unfenced]) -> Option<Finding> {
    let Unfenced { node, taint } = nodes.first()?;
    let names: Vec<_> = nodes.iter().map(|unfenced| unfenced.node.as_str()).collect();
    Some(Finding {
        kind: FindingKind::NodesUnfenced,
        object: object(pool),
        problem: format!("has Nodes on which a taint of it was taken off or changed: {}", first(&names)),
        fix: format!(
            "put it on again (kubectl taint node {} {taint} --overwrite), or delete their NodeClaims",
            Excerpt(node)
        ),
    })
}

/// The first few of these names, and how many more there are.
fn first(names: &[&str]) -> String {
    let shown: Vec<_> = names.iter().take(MOST_SHOWN).map(|name| Excerpt(name).to_string()).collect();
    let more = match names.len().saturating_sub(shown.len()) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("{}{more}", shown.join(", "))
}

/// The pool's taints that are also on pools with which it has no type in common, although a type uses one of the two. Whoever tolerates the
/// one tolerates the other.
#[must_use]
pub fn shared_taints(name: &str, fleet: &Fleet<'_>) -> Vec<Finding> {
    let Some(pool) = fleet.pools.get(name) else { return Vec::new() };
    let names = |workload_type: &&WorkloadType| workload_type.names(name);
    let pools_of = |workload_type: &'_ WorkloadType| workload_type.pools.clone();
    let companions: BTreeSet<String> = fleet.types.values().filter(names).flat_map(pools_of).collect();
    let used: BTreeSet<String> = fleet.types.values().flat_map(pools_of).collect();
    let is_stranger = |other: &String| {
        other != name && !companions.contains(other) && (used.contains(name) || used.contains(other))
    };
    let strangers: Vec<_> = fleet.pools.iter().filter(|(other, _)| is_stranger(other)).collect();
    let shared = pool.ownable().filter_map(|taint| {
        let others = strangers.iter().filter(|(_, other)| other.taints.contains(taint));
        let others: Vec<_> = others.map(|(other, _)| other.as_str()).collect();
        (!others.is_empty()).then(|| Finding {
            kind: FindingKind::TaintShared,
            object: object(name),
            problem: format!("has the taint {taint}, as {} has, and no type uses both", list(&others)),
            fix: "give each pool a taint of its own, or name both in one type".to_owned(),
        })
    });
    shared.collect()
}

fn object(pool: &str) -> String {
    format!("NodePool {}", Excerpt(pool))
}

fn list(pools: &[&str]) -> String {
    match pools {
        [pool] => object(pool),
        [pool, rest @ ..] => format!("{} (and {} more)", object(pool), rest.len()),
        [] => String::new(),
    }
}
