//! For how long a pool of a workload type has been short, so that the type's next pool may be used. Pure.
//!
//! A pool is short from the first plan on in which it would have done for a pod and could not be had, while plans for all who wait go on to
//! show that: pods are left out for it, or get a node of a later pool. It ends with a launch from the pool that leaves nobody out who needs it,
//! and when nobody has needed it for a while. In memory: after a restart the time begins anew.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::Scope;
use crate::model::Reason;
use crate::model::pod::PodKey;
use crate::scheduling::{Plan, Problem};

/// For how long a pool must have been short. Another value of `fallbackAfter` is not supported yet.
const FALLBACK_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// The pools that are short, by workload type and pool.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortages(BTreeMap<(String, String), Shortage>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shortage {
    since: Timestamp,
    /// When it was seen last.
    seen: Timestamp,
}

impl Shortage {
    /// Whether it was seen lately. Those who wait are planned for again every few seconds.
    fn is_current(self, now: Timestamp) -> bool {
        now.duration_since(self.seen) < FALLBACK_AFTER
    }
}

impl Shortages {
    /// Whether pods of the type may use the pool after this one.
    #[must_use]
    pub fn may_fall_back(&self, workload_type: &str, pool: &str, now: Timestamp) -> bool {
        let short = self.0.get(&(workload_type.to_owned(), pool.to_owned()));
        short.is_some_and(|short| short.is_current(now) && now.duration_since(short.since) >= FALLBACK_AFTER)
    }

    /// Takes in what a plan shows. A plan for some of those that wait shows what is short, and never what is not.
    pub(super) fn note(&mut self, scope: Scope, problem: &Problem, plan: &Plan, now: Timestamp) {
        let short = short(problem, plan);
        if scope == Scope::All {
            let is_launched = |name: &str| plan.claims.iter().any(|claim| claim.pool == name);
            self.0.retain(|key, known| short.contains(key) || known.is_current(now) && !is_launched(&key.1));
        }
        for key in short.into_iter().chain(self.passed_over(problem, plan)) {
            let known = self.0.entry(key).or_insert(Shortage { since: now, seen: now });
            if !known.is_current(now) {
                known.since = now;
            }
            known.seen = now;
        }
    }

    /// The pools that are known to be short and come before those that the plan launches from for pods of their type.
    fn passed_over(&self, problem: &Problem, plan: &Plan) -> Vec<(String, String)> {
        let types = types_of(problem);
        let mut used = BTreeSet::new();
        for claim in &plan.claims {
            let of_claim = claim.pods.iter().filter_map(|pod| *types.get(pod)?);
            used.extend(of_claim.map(|workload_type| (workload_type, claim.pool.as_str())));
        }
        let comes_before = |(workload_type, pool): &(String, String)| {
            let of_type = problem.workload_types.iter().find(|known| known.name == *workload_type);
            let pools = of_type.map(|known| known.pools.as_slice()).unwrap_or_default();
            let later = pools.iter().skip_while(|preference| preference.pool != *pool).skip(1);
            later.into_iter().any(|later| used.contains(&(workload_type.as_str(), later.pool.as_str())))
        };
        self.0.keys().filter(|key| comes_before(key)).cloned().collect()
    }
}

/// The pools that pods of each type were left out for, although they would do.
fn short(problem: &Problem, plan: &Plan) -> BTreeSet<(String, String)> {
    let types = types_of(problem);
    let mut short = BTreeSet::new();
    for left_out in &plan.unschedulable {
        let Some(Some(workload_type)) = types.get(&left_out.pod) else { continue };
        for reason in left_out.reasons.iter().filter(|reason| is_short(&reason.reason)) {
            short.insert(((*workload_type).to_owned(), reason.pool.clone().unwrap_or_default()));
        }
    }
    short
}

fn types_of(problem: &Problem) -> BTreeMap<&PodKey, Option<&str>> {
    problem.pods.iter().map(|pending| (&pending.pod.key, pending.workload_type.as_deref())).collect()
}

/// Whether the pool would do and cannot be had now.
const fn is_short(reason: &Reason) -> bool {
    matches!(reason, Reason::NoOffering | Reason::LimitReached { .. } | Reason::PoolNotReady { .. })
}
