//! Whether pods of a class still fit: on a node that is there, and in a claim that is being filled.

use super::{
    amounts::{Amounts, Dimensions},
    daemons,
    pools::PoolTable,
    problem::{ExistingNode, Problem},
    queue::{Class, first_conflict},
};
use crate::model::{Requirements, Taint, host_port::HostPort, pod::Pod, requirements::Undefined};

/// How many pods of a class one node can hold at most whatever its size: host ports are taken by the first.
fn most_per_node(class: &Class<'_>, pods: u64) -> u64 {
    if class.host_ports().is_empty() { pods } else { pods.min(1) }
}

/// A node that is there, with what pods of this plan leave of it.
#[derive(Debug, Clone)]
pub(super) struct NodeRoom<'p> {
    pub(super) node: &'p ExistingNode,
    pub(super) labels: Requirements,
    /// Nothing, if the node is overcommitted.
    free: Option<Amounts>,
    host_ports: Vec<&'p HostPort>,
}

impl<'p> NodeRoom<'p> {
    pub(super) fn new(problem: &'p Problem, node: &'p ExistingNode, dimensions: &Dimensions) -> Self {
        let labels = node.labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let labels = Requirements::from_labels(labels);
        let to_come = daemons::still_to_come(&problem.daemons, node, &labels);
        let free = dimensions.room(&node.available().minus(&to_come));
        Self { node, labels, free, host_ports: node.host_ports.iter().collect() }
    }

    /// Takes as many of `pods` pods of the class as fit, and says how many.
    pub(super) fn fill(&mut self, class: &Class<'p>, pods: u64) -> u64 {
        let Some((example, free)) = class.example().zip(self.free.as_mut()) else { return 0 };
        let most = class.requests.times_in(free, most_per_node(class, pods));
        if most == 0
            || is_kept_away(&example.pod, &self.node.taints, &self.labels)
            || first_conflict(class.host_ports(), self.host_ports.iter().copied()).is_some()
        {
            return 0;
        }
        free.take(&class.requests, most);
        self.host_ports.extend(class.host_ports());
        most
    }
}

/// Whether the node's taints or labels keep the pod away.
fn is_kept_away(pod: &Pod, taints: &[Taint], labels: &Requirements) -> bool {
    let mut alternatives = pod.alternatives.iter();
    let matches = alternatives.any(|wanted| labels.is_compatible(&wanted.requirements, Undefined::Denied));
    !matches || !daemons::tolerates_all(pod, taints)
}

/// So many pods of one class in a claim, as one of the class's shapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    /// The class, by its place in the queue.
    pub(super) class: usize,
    /// The shape, by its place among those of the class in the claim's pool.
    pub(super) shape: usize,
    pub(super) pods: u64,
}

/// A claim that is being filled, meant to be bought as one row of its pool's catalogue.
#[derive(Debug, Clone)]
pub(super) struct Draft<'p> {
    /// The pool, by number.
    pub(super) pool: usize,
    pub(super) row: usize,
    pub(super) loads: Vec<Load>,
    free: Amounts,
    host_ports: Vec<&'p HostPort>,
    /// What the pods have agreed on so far, once one of them has asked for what the row leaves open.
    agreed: Option<Requirements>,
}

impl<'p> Draft<'p> {
    /// An empty claim; nothing, if there is no such row.
    pub(super) fn new<'t: 'p>(pool: usize, table: &'t PoolTable<'p>, row: usize) -> Option<Self> {
        let instance_type = table.type_of(row)?;
        let overhead = table.overheads.on(instance_type);
        Some(Self {
            pool,
            row,
            loads: Vec::new(),
            free: table.room(instance_type)?.clone(),
            host_ports: overhead.map(|overhead| overhead.host_ports.iter().collect()).unwrap_or_default(),
            agreed: None,
        })
    }

    /// Takes as many of `pods` pods of the class as fit, and says how many. `table` is the claim's pool.
    pub(super) fn fill(&mut self, table: &PoolTable<'p>, number: usize, class: &Class<'p>, pods: u64) -> u64 {
        let most = class.requests.times_in(&self.free, most_per_node(class, pods));
        if most == 0 || first_conflict(class.host_ports(), self.host_ports.iter().copied()).is_some() {
            return 0;
        }
        for (shape_number, shape) in class.shapes_in(self.pool).iter().enumerate() {
            if !shape.rows.contains(self.row) {
                continue;
            }
            if shape.is_open {
                let agreed = self.agreed.as_ref().unwrap_or(&table.requirements).and(&shape.requirements);
                if agreed.contradiction().is_some() || !self.can_become(table, &agreed, &shape.requirements) {
                    continue;
                }
                self.agreed = Some(agreed);
            }
            self.loads.push(Load { class: number, shape: shape_number, pods: most });
            self.free.take(&class.requests, most);
            self.host_ports.extend(class.host_ports());
            return most;
        }
        0
    }

    /// Whether the row still does for what was agreed, which can have become narrower for the labels of `changed`.
    fn can_become(&self, table: &PoolTable<'_>, agreed: &Requirements, changed: &Requirements) -> bool {
        let mut narrowed = changed.iter().filter_map(|requirement| agreed.get(requirement.key()));
        narrowed.all(|requirement| table.pool.catalog.rows_meeting(requirement).contains(self.row))
    }
}
