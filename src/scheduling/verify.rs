//! Checks a plan against its problem, pod by pod and type by type, by the plainest means there are.
//!
//! This shares no code with the solver, only the values of the model; it is slow where the solver is quick, and exact where the solver
//! rounds. What it accepts may be expensive, but is right: every pod can run where the plan puts it, *whichever* of its instance types and
//! offerings a claim becomes, no limit is exceeded, and no pod is left out that plainly could have been placed.
//!
//! Anybody can make hundreds of pods of which each asks for something else, and everybody's plan waits for this check: what is the same for
//! all pods is found out once, and only if it is asked for ([`pool`], [`node`]).

use std::collections::BTreeMap;

use self::{node::NodeFacts, pool::PoolFacts};
use super::{PendingPod, Plan, Problem};
use crate::model::{node_pool::LimitExceeded, pod::PodKey};

mod contents;
mod demands;
mod left_out;
mod node;
mod placed;
mod pool;
mod violation;

pub use violation::{Place, Violation};

#[cfg(test)]
mod tests;

/// Everything that is wrong with a plan; nothing, if it is right.
#[must_use]
pub fn verify(problem: &Problem, plan: &Plan) -> Vec<Violation> {
    let check = Check::new(problem, plan);
    let mut found = check.names();
    for (position, claim) in plan.claims.iter().enumerate() {
        check.claim(position, claim, &mut found);
    }
    plan.nominations.iter().for_each(|nomination| check.nomination(nomination, &mut found));
    check.limits(&mut found);
    check.all_left_out(&mut found);
    found
}

/// A pool that pods may use, and whether they may use the next one when it is short.
type Preference<'a> = (&'a str, bool);

struct Check<'a> {
    plan: &'a Plan,
    pods: BTreeMap<&'a PodKey, &'a PendingPod>,
    pools: Vec<PoolFacts<'a>>,
    /// Where a pool of this name is.
    positions: BTreeMap<&'a str, usize>,
    nodes: Vec<NodeFacts<'a>>,
    /// The pools that pods of each type may use, in order.
    of_types: BTreeMap<&'a str, Vec<Preference<'a>>>,
    of_typeless: Vec<Preference<'a>>,
}

impl<'a> Check<'a> {
    fn new(problem: &'a Problem, plan: &'a Plan) -> Self {
        let mut pods = BTreeMap::new();
        for pending in &problem.pods {
            pods.entry(&pending.pod.key).or_insert(pending);
        }
        let mut positions = BTreeMap::new();
        for (position, pool) in problem.pools.iter().enumerate() {
            positions.entry(pool.node_pool.name.as_str()).or_insert(position);
        }
        let mut of_types = BTreeMap::new();
        for workload_type in &problem.workload_types {
            let used = workload_type.pools.iter().map(|used| (used.pool.as_str(), used.may_fall_back));
            of_types.entry(workload_type.name.as_str()).or_insert_with(|| used.collect());
        }
        let types = &problem.workload_types;
        let is_used = |name: &str| types.iter().flat_map(|it| &it.pools).any(|used| used.pool == name);
        let names = problem.pools.iter().map(|pool| pool.node_pool.name.as_str());
        Self {
            plan,
            pools: problem.pools.iter().map(|pool| PoolFacts::new(problem, plan, pool)).collect(),
            positions,
            nodes: node::all(problem, plan, &pods),
            of_types,
            of_typeless: names.filter(|name| !is_used(name)).map(|name| (name, true)).collect(),
            pods,
        }
    }

    /// Every pod is named once.
    fn names(&self) -> Vec<Violation> {
        let placed = self.plan.claims.iter().flat_map(|claim| &claim.pods);
        let placed = placed.chain(self.plan.nominations.iter().flat_map(|nomination| &nomination.pods));
        let mut times: BTreeMap<&PodKey, usize> = self.pods.keys().map(|pod| (*pod, 0)).collect();
        let mut found = Vec::new();
        for pod in placed.clone().chain(self.plan.unschedulable.iter().map(|left_out| &left_out.pod)) {
            match times.get_mut(pod) {
                Some(times) => *times += 1,
                None => found.push(Violation::UnknownPod { pod: pod.clone() }),
            }
        }
        for (pod, times) in times {
            match times {
                0 => found.push(Violation::Forgotten { pod: pod.clone() }),
                1 => {}
                times => found.push(Violation::NamedTwice { pod: pod.clone(), times }),
            }
        }
        let unsupported =
            |pod: &&PodKey| self.pods.get(pod).is_some_and(|pending| !pending.pod.unsupported.is_empty());
        found.extend(placed.filter(unsupported).map(|pod| Violation::UnsupportedPlaced { pod: pod.clone() }));
        found
    }

    fn pods_of(&self, names: &[PodKey]) -> Vec<&'a PendingPod> {
        names.iter().filter_map(|name| self.pods.get(name).copied()).collect()
    }

    fn pool(&self, name: &str) -> Option<&PoolFacts<'a>> {
        self.pools.get(*self.positions.get(name)?)
    }

    /// The pools that a pod may use, in order.
    fn pools_of(&self, pending: &PendingPod) -> &[Preference<'a>] {
        match &pending.workload_type {
            Some(name) => self.of_types.get(name.as_str()).map_or(&[], Vec::as_slice),
            None => &self.of_typeless,
        }
    }

    fn limits(&self, found: &mut Vec<Violation>) {
        for PoolFacts { pool, held, added, .. } in self.pools.iter().filter(|pool| !pool.added.is_empty()) {
            let exceeded = pool.node_pool.limits.0.iter().filter(|(name, limit)| held.amount(name) > *limit);
            found.extend(exceeded.map(|(name, limit)| Violation::LimitExceeded {
                pool: pool.node_pool.name.clone(),
                limit: LimitExceeded {
                    resource: name.to_owned(),
                    limit,
                    held: pool.held.amount(name),
                    added: added.amount(name),
                },
            }));
        }
    }
}
