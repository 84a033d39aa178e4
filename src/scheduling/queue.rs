//! The pods of a problem as classes with counts, in the order in which they are placed.
//!
//! Pods that ask for the same in every respect are one class; all work is done for classes. Classes that request more cpu come first,
//! then more memory, then more of the rest: what is large is hard to place later. Among equals, and within a class, the pod that was
//! created first comes first, then by UID and name. Priority does not count, as in Karpenter.

use std::{cmp::Reverse, collections::BTreeMap};

use jiff::Timestamp;

use super::{
    amounts::{Amounts, Dimensions},
    pools::{Pools, Shape, Tier},
    problem::PendingPod,
    table::RowSet,
};
use crate::model::{
    Quantity, Reason, Toleration, host_port::HostPort, label::LabelKeys, pod::PodKey, requirement::Operator,
};

/// Pods that ask for the same.
#[derive(Debug, Clone)]
pub(super) struct Class<'p> {
    /// The pods, in order; at least one.
    pub(super) pods: Vec<&'p PendingPod>,
    pub(super) requests: Amounts,
    /// The pools that they may use, in order.
    pub(super) tiers: Vec<Tier>,
    /// How the nodes of each pool can hold one of them, by the pool's number.
    pub(super) shapes: BTreeMap<usize, Vec<Shape>>,
}

impl<'p> Class<'p> {
    /// A pod of the class; what it asks for, all of them do.
    pub(super) fn example(&self) -> Option<&'p PendingPod> {
        self.pods.first().copied()
    }

    pub(super) fn host_ports(&self) -> &'p [HostPort] {
        self.example().map_or(&[], |pending| &pending.pod.host_ports)
    }

    /// The ways in which a pool's nodes can hold one of the pods.
    pub(super) fn shapes_in(&self, pool: usize) -> &[Shape] {
        self.shapes.get(&pool).map_or(&[], Vec::as_slice)
    }
}

/// The classes in order, and the pods that nothing can be done for.
#[derive(Debug, Clone)]
pub(super) struct Queue<'p> {
    pub(super) classes: Vec<Class<'p>>,
    pub(super) rejected: Vec<(&'p PodKey, Reason)>,
}

/// Where a pod stands among those that ask for the same.
fn seniority(pending: &PendingPod) -> (Option<Timestamp>, &str, &PodKey) {
    (pending.pod.created, &pending.pod.uid, &pending.pod.key)
}

/// What makes pods one class.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct ClassKey<'p> {
    requests: Reverse<Amounts>,
    /// Which resources that nothing has, so that each pod is told of its own.
    unknown: Vec<(&'p str, Quantity)>,
    workload_type: Option<&'p str>,
    alternatives: Vec<Vec<(String, Operator, Vec<String>)>>,
    tolerations: &'p [Toleration<'static>],
    host_ports: &'p [HostPort],
}

impl<'p> ClassKey<'p> {
    fn new(pending: &'p PendingPod, dimensions: &Dimensions) -> Self {
        let pod = &pending.pod;
        let alternatives = pod.alternatives.iter().map(|alternative| {
            let entries = alternative.requirements.to_entries().into_iter();
            entries.map(|entry| (entry.key, entry.operator, entry.values)).collect()
        });
        Self {
            requests: Reverse(dimensions.requests(&pod.requests)),
            unknown: dimensions.unknown(&pod.requests).collect(),
            workload_type: pending.workload_type.as_deref(),
            alternatives: alternatives.collect(),
            tolerations: &pod.tolerations,
            host_ports: &pod.host_ports,
        }
    }
}

impl<'p> Queue<'p> {
    /// Of several pods with one name only the most senior counts.
    pub(super) fn new(
        pods: &'p [PendingPod],
        dimensions: &Dimensions,
        pools: &Pools<'_>,
        well_known: &LabelKeys,
    ) -> Self {
        let mut pods: Vec<&PendingPod> = pods.iter().collect();
        pods.sort_by_key(|pending| (&pending.pod.key, seniority(pending)));
        pods.dedup_by_key(|pending| &pending.pod.key);
        pods.sort_by_key(|pending| seniority(pending));
        let mut classes: BTreeMap<ClassKey<'_>, Vec<&PendingPod>> = BTreeMap::new();
        let mut rejected = Vec::new();
        for pending in pods {
            match about_the_pod_alone(pending) {
                Some(reason) => rejected.push((&pending.pod.key, reason)),
                None => classes.entry(ClassKey::new(pending, dimensions)).or_default().push(pending),
            }
        }
        let mut classes: Vec<_> = classes.into_iter().collect();
        classes.sort_by(|(a, a_pods), (b, b_pods)| {
            let oldest = |pods: &[&'p PendingPod]| pods.first().map(|pending| seniority(pending));
            a.requests.cmp(&b.requests).then_with(|| oldest(a_pods).cmp(&oldest(b_pods)))
        });
        let classes = classes.into_iter().map(|(key, pods)| class(key, pods, pools, well_known));
        Self { classes: classes.collect(), rejected }
    }
}

fn class<'p>(
    key: ClassKey<'p>,
    pods: Vec<&'p PendingPod>,
    pools: &Pools<'_>,
    well_known: &LabelKeys,
) -> Class<'p> {
    let tiers = pools.tiers(key.workload_type).to_vec();
    let Reverse(requests) = key.requests;
    let mut class = Class { pods, requests, tiers, shapes: BTreeMap::new() };
    let Some(example) = class.example() else { return class };
    for number in class.tiers.iter().flat_map(|tier| &tier.pools) {
        let Some(table) = pools.get(*number) else { continue };
        let is_free = table.overheads.free_of_daemons(class.host_ports());
        let holds = |instance_type: usize| {
            let has_room = table.room(instance_type).is_some_and(|room| class.requests.fit_in(room));
            has_room && is_free(instance_type)
        };
        let types: Vec<bool> = (0..table.pool.catalog.types().len()).map(holds).collect();
        let is_large_enough =
            |row: &usize| table.type_of(*row).and_then(|i| types.get(i)).copied().unwrap_or(false);
        let mut large_enough = RowSet::none(table.pool.catalog.rows().len());
        table.rows.iter().filter(is_large_enough).for_each(|row| large_enough.insert(row));
        let mut shapes = table.shapes(&example.pod, well_known);
        for shape in &mut shapes {
            shape.rows.retain(&large_enough);
        }
        shapes.retain(|shape| !shape.rows.is_empty());
        class.shapes.insert(*number, shapes);
    }
    class
}

/// The first of `wanted` that one of `taken` conflicts with.
pub(super) fn first_conflict<'a, 't>(
    wanted: &'a [HostPort],
    taken: impl IntoIterator<Item = &'t HostPort> + Clone,
) -> Option<&'a HostPort> {
    wanted.iter().find(|port| taken.clone().into_iter().any(|taken| port.conflicts_with(taken)))
}

/// What is in the way whatever the pools and nodes are like.
fn about_the_pod_alone(pending: &PendingPod) -> Option<Reason> {
    let pod = &pending.pod;
    if let Some(constraint) = pod.unsupported.first() {
        return Some(constraint.clone().into());
    }
    if pod.alternatives.is_empty() {
        return Some(Reason::NodeAffinityUnusable { terms: pod.unusable_terms.clone() });
    }
    None
}
