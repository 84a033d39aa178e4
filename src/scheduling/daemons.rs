//! What daemons take of a node before any other pod does.
//!
//! Daemons run on every node that they match; their controller binds them, so they are never placed here. On a node that is yet to be
//! launched a daemon is counted for every instance type on which it can run in some zone and way to buy it: too much rather than too
//! little, as in Karpenter. Preferences are ignored. A daemon pod's node name, which its controller adds, is ignored too.
//!
//! Unlike in Karpenter, a daemon that requests more than a machine has counts for nothing there: kube-scheduler never puts it on one, and
//! one such daemon must not keep all other pods from having nodes.

use std::collections::BTreeMap;

use super::{
    amounts::{Amounts, Dimensions},
    catalog::Catalog,
    problem::{Daemon, ExistingNode},
    queue::first_conflict,
    table::RowSet,
};
use crate::model::{
    Pod, Requirements, ResourceList, Taint, host_port::HostPort, label::LabelKeys, requirements::Undefined,
    taints,
};

/// What the daemons of one set take together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Overhead {
    pub(super) requests: ResourceList,
    pub(super) amounts: Amounts,
    pub(super) host_ports: Vec<HostPort>,
}

impl Overhead {
    fn of<'p>(daemons: impl Iterator<Item = &'p Pod> + Clone, dimensions: &Dimensions) -> Self {
        let requests: ResourceList = daemons.clone().map(|daemon| &daemon.requests).sum();
        let host_ports = daemons.flat_map(|daemon| daemon.host_ports.iter().cloned()).collect();
        Self { amounts: dimensions.requests(&requests), requests, host_ports }
    }
}

/// What daemons take on each instance type of a pool.
#[derive(Debug, Clone)]
pub(super) struct Overheads {
    /// One for each set of daemons that some type runs.
    sets: Vec<Overhead>,
    of_type: Vec<usize>,
}

impl Overheads {
    /// What daemons take on the types of a pool whose nodes have these labels, once they are ready, and taints.
    pub(super) fn of_pool(
        daemons: &[Daemon],
        of_nodes: &Requirements,
        taints: &[Taint],
        well_known: &LabelKeys,
        (catalog, dimensions): (&Catalog, &Dimensions),
    ) -> Self {
        let mut of_type: Vec<Vec<usize>> = vec![Vec::new(); catalog.types().len()];
        for (i, daemon) in daemons.iter().enumerate().filter(|(_, daemon)| may_run(daemon, taints)) {
            let matching = daemon
                .pod
                .alternatives
                .iter()
                .map(|alternative| &alternative.requirements)
                .filter(|wanted| of_nodes.is_compatible(wanted, Undefined::Allowed(well_known)));
            let mut rows = RowSet::none(catalog.rows().len());
            matching.for_each(|wanted| rows.include(&catalog.rows_meeting_all(wanted)));
            let holds = |instance_type: usize| {
                let instance_type = catalog.types().get(instance_type);
                instance_type.is_some_and(|it| daemon.pod.requests.fits_in(it.resources.allocatable()))
            };
            let rows = rows.iter().filter_map(|row| catalog.row(row));
            for row in rows.filter(|row| holds(row.instance_type)) {
                // A type has several rows. Daemons come in order: one that is there already is the last.
                let running = of_type.get_mut(row.instance_type);
                if let Some(running) = running.filter(|set| set.last() != Some(&i)) {
                    running.push(i);
                }
            }
        }
        let mut numbers = BTreeMap::new();
        let mut sets = Vec::new();
        let of_type = of_type.into_iter().map(|set| {
            *numbers.entry(set).or_insert_with_key(|set| {
                sets.push(Overhead::of(
                    set.iter().filter_map(|i| daemons.get(*i)).map(|daemon| &daemon.pod),
                    dimensions,
                ));
                sets.len() - 1
            })
        });
        Self { of_type: of_type.collect(), sets }
    }

    /// Whether these host ports are free on a type, as far as daemons go. Types with the same daemons are compared once.
    pub(super) fn free_of_daemons(&self, wanted: &[HostPort]) -> impl Fn(usize) -> bool {
        let is_free = |set: &Overhead| first_conflict(wanted, &set.host_ports).is_none();
        let free: Vec<bool> = self.sets.iter().map(is_free).collect();
        move |instance_type| {
            let set = self.of_type.get(instance_type);
            set.and_then(|set| free.get(*set)).copied().unwrap_or(true)
        }
    }

    /// What daemons take on a type.
    pub(super) fn on(&self, instance_type: usize) -> Option<&Overhead> {
        self.of_type.get(instance_type).and_then(|set| self.sets.get(*set))
    }
}

/// What daemons that run on a node, or will, still take of it beyond what those take that are there.
pub(super) fn still_to_come(
    daemons: &[Daemon],
    node: &ExistingNode,
    node_labels: &Requirements,
) -> ResourceList {
    let all: ResourceList = daemons
        .iter()
        .filter(|daemon| may_run(daemon, &node.taints) && daemon.pod.requests.fits_in(&node.allocatable))
        .filter(|daemon| {
            let mut alternatives = daemon.pod.alternatives.iter();
            alternatives.any(|wanted| node_labels.is_compatible(&wanted.requirements, Undefined::Denied))
        })
        .map(|daemon| &daemon.pod.requests)
        .sum();
    all.minus(&node.daemon_requests).floored()
}

/// Whether the daemon may be on nodes with these taints, and tolerates them.
fn may_run(daemon: &Daemon, taints: &[Taint]) -> bool {
    daemon.may_be_behind(taints) && tolerates_all(&daemon.pod, taints)
}

/// Whether the pod tolerates every taint that keeps pods away.
pub(super) fn tolerates_all(pod: &Pod, taints: &[Taint]) -> bool {
    first_untolerated(pod, taints).is_none()
}

/// The first taint that keeps the pod away. `PreferNoSchedule` is a preference, and those are ignored.
pub(super) fn first_untolerated<'t>(pod: &Pod, taints: &'t [Taint]) -> Option<&'t Taint> {
    taints::first_untolerated(taints.iter().filter(|taint| taint.effect.is_hard()), &pod.tolerations)
}
