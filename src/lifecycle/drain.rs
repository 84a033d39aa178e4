//! Which pods of a node are to be evicted now, deleted now, or waited for.
//!
//! Pods leave in four groups, one after the other: ordinary pods, their daemons, critical pods, critical daemons. A pod that asks to be
//! left alone, or that a disruption budget protects, holds its group up, until the deadline if there is one. Before the deadline each
//! pod is deleted early enough to get its whole grace; groups, budgets and wishes count no more then.
//!
//! Not drained, and not waited for: pods that have ended, that tolerate the taint of a disrupted node, that the kubelet runs by itself,
//! and that should have been gone for a minute.

use jiff::{SignedDuration, Timestamp};

use super::backoff::later;
use super::effect::Effect;
use super::memory::{ClaimMemory, EvictionAnswer};
use crate::api::labels;
use crate::model::bound_pod::{BoundPod, Runner};
use crate::model::event::{Event, Regarding, Severity};
use crate::model::node::disrupted_taint;
use crate::model::{NodeClaim, PodRef};

/// How long after its time a pod is waited for before it counts as stuck.
const STUCK_AFTER: SignedDuration = SignedDuration::from_mins(1);
/// The least grace of a pod that is deleted at the deadline.
const LEAST_GRACE: SignedDuration = SignedDuration::from_secs(1);
/// Timestamps of pods are whole seconds; nothing is done for less.
const ROUNDING: SignedDuration = SignedDuration::from_secs(1);

/// What to do with the pods of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Drain<'a> {
    /// To be evicted now.
    pub evict: Vec<&'a BoundPod>,
    /// To be deleted now, with this grace.
    pub delete: Vec<(&'a BoundPod, SignedDuration)>,
    /// Everything that the drain waits for, those to be evicted or deleted included. Nothing left: the node is drained.
    pub waiting: Vec<Waiting<'a>>,
    /// When to look again, if nothing happens before.
    pub look_again: Option<Timestamp>,
}

/// A pod that a drain waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting<'a> {
    /// The pod.
    pub pod: &'a BoundPod,
    /// What holds it.
    pub hold: Hold,
}

/// Why a pod is still there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hold {
    /// It has been asked to go, or is now.
    Asked,
    /// It is being deleted.
    Ending {
        /// When it should be gone.
        by: Timestamp,
    },
    /// It asks to be left alone.
    LeftAlone {
        /// Until when, if that is known.
        until: Option<Timestamp>,
    },
    /// A disruption budget protects it.
    Blocked {
        /// What the API server said.
        message: String,
    },
    /// The eviction failed for another reason.
    Failed {
        /// Why.
        message: String,
    },
    /// Pods of an earlier group are still there.
    LaterGroup,
}

impl Hold {
    /// Whether somebody may have to do something.
    #[must_use]
    pub const fn is_trouble(&self) -> bool {
        match self {
            Self::LeftAlone { .. } | Self::Blocked { .. } | Self::Failed { .. } => true,
            Self::Asked | Self::Ending { .. } | Self::LaterGroup => false,
        }
    }
}

impl BoundPod {
    /// Which pod, for effects.
    #[must_use]
    pub fn reference(&self) -> PodRef {
        PodRef { key: self.key.clone(), uid: self.uid.clone() }
    }
}

/// When a claim's drain stops waiting, if ever: the moment that its annotation names, or else its grace period after its deletion.
///
/// An annotation that is no moment counts as if it were not there.
#[must_use]
pub fn deadline(claim: &NodeClaim) -> Option<Timestamp> {
    let noted = claim.annotations.get(labels::TERMINATION_TIMESTAMP).and_then(|text| text.parse().ok());
    noted.or_else(|| Some(later(claim.deleted?, claim.termination_grace_period?)))
}

/// Whether a drain takes the pod away or waits until it is gone.
#[must_use]
pub fn is_drained(pod: &BoundPod, now: Timestamp) -> bool {
    let is_stuck = pod.gone_by.is_some_and(|by| now > later(by, STUCK_AFTER));
    !pod.phase.is_terminal()
        && pod.runner != Runner::Kubelet
        && !is_stuck
        && !pod.tolerates(&disrupted_taint())
}

/// What to do with these pods of a node now.
#[must_use]
pub fn drain<'a>(
    pods: &'a [BoundPod],
    memory: &ClaimMemory,
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Drain<'a> {
    let mut pods: Vec<_> = pods.iter().filter(|pod| is_drained(pod, now)).collect();
    pods.sort_by_key(|pod| (group(pod), &pod.key, &pod.uid));
    let first_group = pods.first().map(|pod| group(pod));
    let mut drain = Drain::default();
    for pod in pods {
        let hold = drain.judge(pod, first_group == Some(group(pod)), memory, deadline, now);
        drain.waiting.push(Waiting { pod, hold });
    }
    drain
}

/// What the people of a pod are told once it has been asked, or told, to leave.
#[must_use]
pub fn event(effect: &Effect, answer: &EvictionAnswer) -> Option<Event> {
    let (pod, reason, message) = match effect {
        Effect::Evict(pod) => (pod, "Evicted", "evicted, since its node is being removed".to_owned()),
        Effect::DeletePod { pod, grace } => (
            pod,
            "Disrupted",
            format!("deleted with {grace:#} of grace, since the removal of its node may take no longer"),
        ),
        _ => return None,
    };
    let regarding = Regarding::Pod { key: pod.key.clone(), uid: pod.uid.clone() };
    let event = Event { regarding, severity: Severity::Normal, reason, message, same_if: String::new() };
    (*answer == EvictionAnswer::Accepted).then_some(event)
}

/// The place of a pod's group in the order in which these leave.
fn group(pod: &BoundPod) -> u8 {
    match (pod.is_critical, pod.runner == Runner::DaemonSet) {
        (false, false) => 0,
        (false, true) => 1,
        (true, false) => 2,
        (true, true) => 3,
    }
}

impl<'a> Drain<'a> {
    fn judge(
        &mut self,
        pod: &'a BoundPod,
        is_its_turn: bool,
        memory: &ClaimMemory,
        deadline: Option<Timestamp>,
        now: Timestamp,
    ) -> Hold {
        let last = memory.evictions.get(&pod.uid);
        let may_ask = last.is_none_or(|last| now >= last.ask_again);
        if let Some(deadline) = deadline {
            let must_go_at = must_go_at(pod, deadline);
            if must_go_at.is_some_and(|at| now >= at) {
                // That a budget protects it is no reason to wait any more; that it was just deleted, or could not be, is.
                let is_blocked =
                    last.is_some_and(|last| matches!(last.value, EvictionAnswer::Blocked { .. }));
                if may_ask || is_blocked {
                    self.delete.push((pod, remaining_grace(pod, deadline, now)));
                    self.look_again_at(later(now, ROUNDING));
                } else {
                    self.look_again_at(last.map(|last| last.ask_again));
                }
                return pod.gone_by.map_or(Hold::Asked, |by| Hold::Ending { by });
            }
            self.look_again_at(must_go_at);
        }
        if let Some(by) = pod.gone_by {
            self.look_again_at(later(later(by, STUCK_AFTER), ROUNDING));
            return Hold::Ending { by };
        }
        if !is_its_turn {
            return Hold::LaterGroup;
        }
        if pod.is_to_be_left_alone(now) {
            let until = pod.left_alone_until();
            self.look_again_at(until);
            return Hold::LeftAlone { until };
        }
        if may_ask {
            self.evict.push(pod);
        }
        let Some(last) = last else { return Hold::Asked };
        if !may_ask {
            self.look_again_at(last.ask_again);
        }
        match &last.value {
            EvictionAnswer::Accepted | EvictionAnswer::Gone => Hold::Asked,
            EvictionAnswer::Blocked { message } => Hold::Blocked { message: message.clone() },
            EvictionAnswer::Failed { message } => Hold::Failed { message: message.clone() },
        }
    }

    fn look_again_at(&mut self, moment: impl Into<Option<Timestamp>>) {
        self.look_again = self.look_again.into_iter().chain(moment.into()).min();
    }
}

/// When the pod must be deleted for the deadline to be kept; `None` if it will be gone by then.
fn must_go_at(pod: &BoundPod, deadline: Timestamp) -> Option<Timestamp> {
    match pod.gone_by {
        // It was given more grace than there is time: that is cut short at once.
        Some(by) => (by > later(deadline, ROUNDING)).then_some(Timestamp::MIN),
        None => Some(deadline.saturating_sub(pod.grace).unwrap_or(Timestamp::MIN)),
    }
}

/// What is left until the deadline, in whole seconds, but no more than the pod asks for and no less than a second.
fn remaining_grace(pod: &BoundPod, deadline: Timestamp, now: Timestamp) -> SignedDuration {
    let left = deadline.duration_since(now);
    let whole = SignedDuration::from_secs(left.as_secs().saturating_add(i64::from(left.subsec_nanos() > 0)));
    let most = if pod.is_terminating() { whole } else { pod.grace };
    whole.min(most).max(LEAST_GRACE)
}

#[cfg(test)]
mod tests;
