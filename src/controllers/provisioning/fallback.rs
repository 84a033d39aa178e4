//! For how long a pool of a workload type has been short, so that the type's next pool may be used. Pure.
//!
//! A pool is short from the first plan on in which it would have done for a pod and could not be had, until a plan launches from it and
//! leaves nobody out who needs it: what is had of it for small pods says nothing to those that wait for large nodes. In memory: after a
//! restart the time begins anew.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use crate::model::Reason;
use crate::scheduling::{Plan, Problem};

/// For how long a pool must have been short. Another value of `fallbackAfter` is not supported yet.
const FALLBACK_AFTER: SignedDuration = SignedDuration::from_mins(2);

/// The pools that are short, by workload type and pool, and since when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shortages(BTreeMap<(String, String), Timestamp>);

impl Shortages {
    /// Whether pods of the type may use the pool after this one.
    #[must_use]
    pub fn may_fall_back(&self, workload_type: &str, pool: &str, now: Timestamp) -> bool {
        let since = self.0.get(&(workload_type.to_owned(), pool.to_owned()));
        since.is_some_and(|since| now.duration_since(*since) >= FALLBACK_AFTER)
    }

    /// Takes in what a plan shows.
    pub fn note(&mut self, problem: &Problem, plan: &Plan, now: Timestamp) {
        let types = problem.pods.iter().map(|pending| (&pending.pod.key, pending.workload_type.as_ref()));
        let types: BTreeMap<_, _> = types.collect();
        let mut short = BTreeSet::new();
        for left_out in &plan.unschedulable {
            let Some(Some(workload_type)) = types.get(&left_out.pod) else { continue };
            for reason in left_out.reasons.iter().filter(|reason| is_short(&reason.reason)) {
                short.insert(((*workload_type).clone(), reason.pool.clone().unwrap_or_default()));
            }
        }
        let is_launched = |name: &str| plan.claims.iter().any(|claim| claim.pool == name);
        self.0.retain(|key, _| short.contains(key) || !is_launched(&key.1));
        for key in short {
            self.0.entry(key).or_insert(now);
        }
    }
}

/// Whether the pool would do and cannot be had now.
const fn is_short(reason: &Reason) -> bool {
    matches!(reason, Reason::NoOffering | Reason::LimitReached { .. } | Reason::PoolNotReady { .. })
}
