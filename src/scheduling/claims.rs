//! From a filled draft to a claim: its requirements, and every instance type that it can become.

use std::collections::BTreeSet;

use super::{
    amounts::{Amounts, Dimensions},
    fit::Draft,
    limits::Ledger,
    plan::{InstanceOption, PlannedClaim},
    pools::{PoolTable, Pools},
    problem::{PendingPod, Problem},
    queue::Queue,
    table::RowSet,
};
use crate::{
    api::labels,
    model::{Requirement, Requirements, ResourceList, host_port::HostPort, label},
};

/// The most instance types that a claim lists. More would hardly ever be tried, and every one of them is sent with each launch.
pub const MOST_INSTANCE_TYPES: usize = 60;

/// What claims are finished with.
pub(super) struct Finisher<'a> {
    pub(super) problem: &'a Problem,
    pub(super) dimensions: &'a Dimensions,
    pub(super) pools: &'a Pools<'a>,
    pub(super) queue: &'a Queue<'a>,
}

impl Finisher<'_> {
    /// The claim that a draft becomes with these pods. The ledger of its pool, which the draft's own type is charged to, is charged with
    /// what the other options need beyond that.
    pub(super) fn finish(
        &self,
        draft: &Draft<'_>,
        pods: &[&PendingPod],
        ledgers: &mut [Ledger<'_>],
    ) -> Option<PlannedClaim> {
        let (table, ledger) = self.pools.get(draft.pool).zip(ledgers.get_mut(draft.pool))?;
        let catalog = &table.pool.catalog;
        let (mut requirements, rows) = self.agreed(draft, table)?;
        let pod_requests: ResourceList = pods.iter().map(|pending| &pending.pod.requests).sum();
        let mut amounts: Amounts = self.dimensions.names().map(|_| 0).collect();
        for pending in pods {
            amounts.add(&self.dimensions.requests(&pending.pod.requests), 1);
        }
        let ports: Vec<HostPort> =
            pods.iter().flat_map(|pending| pending.pod.host_ports.iter().cloned()).collect();
        let is_free = table.overheads.free_of_daemons(&ports);

        let own_type = table.type_of(draft.row)?;
        let mut charged = table.capacity(draft.row)?.clone();
        let mut seen = BTreeSet::new();
        let mut options = Vec::new();
        let mut daemons: Option<ResourceList> = None;
        for row in rows.iter() {
            let (Some(row), Some(capacity)) = (catalog.row(row), table.capacity(row)) else { continue };
            let Some(room) = table.room(row.instance_type).filter(|_| seen.insert(row.instance_type)) else {
                continue;
            };
            let overhead = table.overheads.on(row.instance_type);
            let holds = amounts.fit_in(room) && is_free(row.instance_type);
            if holds && (row.instance_type == own_type || ledger.widen(&mut charged, capacity)) {
                let name = catalog.types().get(row.instance_type)?.name.clone();
                options.push(InstanceOption { name, price: row.price });
                let requests = overhead.map(|overhead| overhead.requests.clone()).unwrap_or_default();
                daemons = Some(daemons.map_or(requests.clone(), |least| least_of(&least, &requests)));
            }
            if options.len() == MOST_INSTANCE_TYPES {
                break;
            }
        }
        let names = options.iter().map(|option| option.name.as_str());
        requirements.add(Requirement::one_of(label::INSTANCE_TYPE, names));
        let mut node_labels = requirements.labels(&self.problem.well_known);
        node_labels.insert(labels::NODEPOOL.to_owned(), table.name().to_owned());
        let mut pods: Vec<_> = pods.iter().map(|pending| pending.pod.key.clone()).collect();
        pods.sort_unstable();
        Some(PlannedClaim {
            pool: table.name().to_owned(),
            requirements,
            labels: node_labels,
            taints: table.pool.node_pool.taints.clone(),
            startup_taints: table.pool.node_pool.startup_taints.clone(),
            requests: [pod_requests, daemons.unwrap_or_default()].iter().sum(),
            instance_types: options,
            pods,
        })
    }

    /// What pool and pods agree on, and the rows that can be bought and meet it.
    fn agreed(&self, draft: &Draft<'_>, table: &PoolTable<'_>) -> Option<(Requirements, RowSet)> {
        let catalog = &table.pool.catalog;
        let mut requirements = table.requirements.clone();
        let mut rows = table.rows.and(catalog.available());
        let mut open: BTreeSet<&str> = BTreeSet::new();
        for load in &draft.loads {
            let shape = self.queue.classes.get(load.class)?.shapes_in(draft.pool).get(load.shape)?;
            requirements.extend(shape.requirements.iter().cloned());
            rows.retain(&shape.rows);
            if shape.is_open {
                open.extend(shape.requirements.iter().map(Requirement::key));
            }
        }
        for requirement in open.into_iter().filter_map(|key| requirements.get(key)) {
            rows.retain(&catalog.rows_meeting(requirement));
        }
        Some((requirements, rows))
    }
}

/// The smaller amount of each resource that both lists name.
fn least_of(a: &ResourceList, b: &ResourceList) -> ResourceList {
    let both = a.iter().filter_map(|(name, amount)| Some((name, amount.min(b.get(name)?))));
    both.collect()
}
