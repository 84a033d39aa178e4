//! A NodePool as decisions see it, and its limits.

use std::{cmp::Ordering, fmt};

use super::{
    quantity::Quantity,
    requirements::Requirements,
    resources::{self, ResourceList},
    taints::Taint,
    text::Excerpt,
};

mod from_api;

/// What is the same for every node of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodePool {
    /// The pool's name.
    pub name: String,
    /// Pools of larger weight are tried first.
    pub weight: u32,
    /// What the nodes' labels can be: the template's requirements and labels.
    pub requirements: Requirements,
    /// The taints that the nodes keep.
    pub taints: Vec<Taint>,
    /// The taints that the nodes have until something on them takes these away. Pods need not tolerate them.
    pub startup_taints: Vec<Taint>,
    /// How much the pool may hold.
    pub limits: Limits,
}

impl NodePool {
    /// Which pool is tried first: the larger weight, and among equals, as in Karpenter, the name that is later in the alphabet.
    #[must_use]
    pub fn preference(&self, other: &Self) -> Ordering {
        (other.weight, &other.name).cmp(&(self.weight, &self.name))
    }
}

/// How much a pool may hold of each resource that is named; `nodes` counts nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Limits(pub ResourceList);

impl Limits {
    /// Whether a node of this capacity may be added to what the pool holds, or every limit that is in the way.
    ///
    /// The node counts as one of `nodes`, at once and not only when it has appeared, as in Karpenter. A limit that is exceeded
    /// already keeps out every node.
    pub fn check(&self, held: &ResourceList, capacity: &ResourceList) -> Result<(), Vec<LimitExceeded>> {
        let exceeded = self.exceeded(held, capacity).map(|(name, limit)| LimitExceeded {
            resource: name.to_owned(),
            limit,
            held: held.amount(name),
            added: added(name, capacity),
        });
        let exceeded: Vec<_> = exceeded.collect();
        if exceeded.is_empty() { Ok(()) } else { Err(exceeded) }
    }

    /// Whether [`check`](Self::check) finds nothing in the way.
    #[must_use]
    pub fn allow(&self, held: &ResourceList, capacity: &ResourceList) -> bool {
        self.exceeded(held, capacity).next().is_none()
    }

    fn exceeded<'a>(
        &'a self,
        held: &'a ResourceList,
        capacity: &'a ResourceList,
    ) -> impl Iterator<Item = (&'a str, Quantity)> {
        self.0.iter().filter(|(name, limit)| held.amount(name) + added(name, capacity) > *limit)
    }
}

/// What one more node of this capacity adds.
fn added(resource: &str, capacity: &ResourceList) -> Quantity {
    if resource == resources::NODES { Quantity::from_units(1) } else { capacity.amount(resource) }
}

/// A limit that a further node would exceed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LimitExceeded {
    /// The limited resource.
    pub resource: String,
    /// How much there may be.
    pub limit: Quantity,
    /// How much there is.
    pub held: Quantity,
    /// How much the node would add.
    pub added: Quantity,
}

/// `limit of 100 cpu: 96 are held, 8 would be added`.
impl fmt::Display for LimitExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_one_node = self.resource == resources::NODES && self.limit == Quantity::from_units(1);
        write!(
            f,
            "limit of {} {}: {} held, {} would be added",
            self.limit,
            Excerpt(if is_one_node { "node" } else { &self.resource }),
            self.held,
            self.added
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::resource_list as list;

    #[test]
    fn heavier_pools_come_first_and_equals_in_descending_order_of_their_names() {
        let pool = |name: &str, weight| NodePool { name: name.into(), weight, ..NodePool::default() };
        let mut pools = [pool("b", 0), pool("a", 10), pool("c", 0), pool("d", 5)];
        pools.sort_by(NodePool::preference);
        assert_eq!(pools.map(|pool| pool.name), ["a", "d", "c", "b"]);
    }

    #[test]
    fn a_node_is_kept_out_by_every_limit_that_it_would_exceed() {
        let cases = [
            ("", "cpu=1000", "cpu=4", ""),
            ("cpu=8", "cpu=4", "cpu=4", ""),
            ("cpu=8", "cpu=4", "cpu=4001m", "limit of 8 cpu: 4 held, 4001m would be added"),
            ("cpu=0", "", "cpu=1", "limit of 0 cpu: 0 held, 1 would be added"),
            ("cpu=0", "", "memory=1Gi", ""),
            ("nvidia.com/gpu=0", "", "cpu=4", ""),
            ("cpu=8", "cpu=9", "memory=1Gi", "limit of 8 cpu: 9 held, 0 would be added"),
            ("nodes=2", "nodes=1", "cpu=4", ""),
            ("nodes=2", "nodes=2", "cpu=4", "limit of 2 nodes: 2 held, 1 would be added"),
            ("nodes=1", "nodes=1", "cpu=4", "limit of 1 node: 1 held, 1 would be added"),
            (
                "memory=1Gi nodes=0",
                "",
                "memory=2Gi",
                "limit of 1Gi memory: 0 held, 2Gi would be added; limit of 0 nodes: 0 held, 1 would be added",
            ),
        ];
        for (limits, held, capacity, expected) in cases {
            let exceeded = Limits(list(limits)).check(&list(held), &list(capacity)).err().unwrap_or_default();
            let shown: Vec<_> = exceeded.iter().map(LimitExceeded::to_string).collect();
            assert_eq!(shown.join("; "), expected, "{limits} / {held} / {capacity}");
        }
    }
}
