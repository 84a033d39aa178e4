//! Why a pod gets no node: for each pool that it may use, the first thing that is in the way, with its numbers.
//!
//! The questions are those that the solver asks, in the order in which a person would: is there such a pool, does the pod tolerate its
//! taints, can its labels be met, by an instance type, that is large enough, that can be bought, within the limits.

use super::{
    daemons,
    limits::Ledger,
    plan::PoolReason,
    pools::{PoolTable, Pools, Shape},
    problem::{PendingPod, Problem},
    queue::{Class, first_conflict},
    table::RowSet,
};
use crate::model::{
    Pod, Reason, Requirements, host_port::HostPort, requirements::Undefined, workload_type::is_ownable,
};

/// Why no pod of this class gets another node.
pub(super) fn reasons(
    problem: &Problem,
    pools: &Pools<'_>,
    class: &Class<'_>,
    ledgers: &[Ledger<'_>],
) -> Vec<PoolReason> {
    let Some(example) = class.example() else { return Vec::new() };
    let mut found = Vec::new();
    let mut awaited: Option<String> = None;
    for tier in &class.tiers {
        let unusable = tier.unusable.iter().map(|name| {
            let reason = match pools.not_ready(name) {
                Some(why) => Reason::PoolNotReady { why: why.to_owned() },
                None => Reason::PoolMissing,
            };
            PoolReason { pool: Some(name.clone()), reason }
        });
        found.extend(unusable);
        for number in &tier.pools {
            if let Some((table, ledger)) = pools.get(*number).zip(ledgers.get(*number)) {
                let reason = Obstacles { problem, table, ledger }.first(example, class, *number);
                let reason = match (reason, &awaited) {
                    (Some(reason), _) => reason,
                    (None, Some(pool)) => Reason::FallbackNotDue { pool: pool.clone() },
                    (None, None) => Reason::NoOffering,
                };
                found.push(PoolReason { pool: Some(table.name().to_owned()), reason });
            }
        }
        if !tier.may_fall_back && pools.is_short(class, tier) {
            awaited = awaited.or_else(|| found.last().and_then(|last| last.pool.clone()));
        }
    }
    if found.is_empty() {
        let reason = Reason::NoPool { workload_type: example.workload_type.clone() };
        found.push(PoolReason { pool: None, reason });
    }
    found
}

struct Obstacles<'a> {
    problem: &'a Problem,
    table: &'a PoolTable<'a>,
    ledger: &'a Ledger<'a>,
}

impl Obstacles<'_> {
    /// Nothing, if a node could be launched.
    fn first(&self, pending: &PendingPod, class: &Class<'_>, number: usize) -> Option<Reason> {
        let pod = &pending.pod;
        if let Some(taint) = daemons::first_untolerated(pod, &self.table.pool.node_pool.taints) {
            let taint = taint.clone();
            return Some(match pending.workload_type.clone().filter(|_| is_ownable(&taint)) {
                Some(workload_type) => Reason::CreatedBeforeItsType { workload_type, taint },
                None => Reason::TaintNotTolerated { taint },
            });
        }
        let known = Undefined::Allowed(&self.problem.well_known);
        let shapes = self.table.shapes(pod, &self.problem.well_known);
        // Of several alternatives the first is explained: it is the one that the author thought of first.
        for alternative in pod.alternatives.iter().take(1) {
            let incompatible = self.table.once_ready.compatible(&alternative.requirements, known).err();
            if let Some(obstacle) =
                incompatible.as_ref().and_then(|all| all.iter().next()).filter(|_| shapes.is_empty())
            {
                return Some(obstacle.into());
            }
            if shapes.iter().all(|shape| shape.rows.is_empty()) {
                return Some(self.no_type_for(&alternative.requirements));
            }
        }
        if class.shapes_in(number).is_empty() {
            return Some(self.too_large(pod, &shapes));
        }
        self.not_to_be_had(class, number)
    }

    /// No row of the pool meets what is asked, alone or together.
    fn no_type_for(&self, wanted: &Requirements) -> Reason {
        let catalog = &self.table.pool.catalog;
        let conflict = wanted
            .iter()
            .find(|requirement| self.table.rows.and(&catalog.rows_meeting(requirement)).is_empty());
        let of_pool = &self.table.pool.node_pool.requirements;
        if let Some(zones) = catalog.without_subnet(&of_pool.and(wanted)) {
            let node_class = self.table.pool.node_class.clone();
            return Reason::NoSubnet { node_class, zones };
        }
        match conflict {
            _ if self.table.rows.is_empty() => self.no_type(of_pool),
            Some(requirement) => Reason::RequirementConflict {
                incoming: requirement.clone(),
                existing: catalog.values(requirement.key(), &self.table.rows),
            },
            None => self.no_type(&of_pool.and(wanted)),
        }
    }

    /// No type meets these requirements together; those that are not in the way are left out.
    fn no_type(&self, requirements: &Requirements) -> Reason {
        let unmet = self.table.pool.catalog.unmet(requirements);
        Reason::NoInstanceType {
            requirements: unmet.map_or_else(|| requirements.clone(), |unmet| unmet.requirements),
        }
    }

    /// Every type that meets what is asked is too small, or has daemons on the pod's host ports.
    fn too_large(&self, pod: &Pod, shapes: &[Shape]) -> Reason {
        let mut rows = RowSet::none(self.table.pool.catalog.rows().len());
        for shape in shapes {
            rows.include(&shape.rows);
        }
        let types = self.table.types_of(&rows);
        let leaves = types.iter().filter_map(|i| {
            let instance_type = self.table.pool.catalog.types().get(*i)?;
            Some((instance_type.name.as_str(), self.table.left(*i)?))
        });
        if let Some(reason) = Reason::does_not_fit(&pod.requests, leaves) {
            return reason;
        }
        let taken = |i: &usize| self.table.overheads.on(*i).map_or(&[][..], |overhead| &overhead.host_ports);
        let is_free = self.table.overheads.free_of_daemons(&pod.host_ports);
        let taken = types.iter().find(|i| !is_free(**i)).map(taken);
        let conflict: Option<&HostPort> = taken.and_then(|taken| first_conflict(&pod.host_ports, taken));
        match conflict {
            Some(port) => Reason::HostPortTaken { port: port.clone() },
            None => Reason::NoOffering,
        }
    }

    /// Some row would do; it cannot be bought, or the pool is at its limit.
    fn not_to_be_had(&self, class: &Class<'_>, number: usize) -> Option<Reason> {
        let catalog = &self.table.pool.catalog;
        let mut rows = RowSet::none(catalog.rows().len());
        class.shapes_in(number).iter().for_each(|shape| rows.include(&shape.rows));
        rows.retain(catalog.available());
        // Rows are in the order of their prices: what the cheapest would exceed is the least that has to be changed.
        let Some(cheapest) = rows.iter().find_map(|row| self.table.capacity(row)) else {
            return Some(Reason::NoOffering);
        };
        let exceeded = self.ledger.check(cheapest).err()?;
        let types = self.table.pool.catalog.types();
        let mut others = self.table.types_of(&rows).into_iter().filter_map(|i| types.get(i));
        let is_allowed = others.any(|other| self.ledger.allows(other.resources.capacity()));
        (!is_allowed).then_some(Reason::LimitReached { exceeded })
    }
}
