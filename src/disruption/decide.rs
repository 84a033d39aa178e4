//! From all machines to what is to be done about them now.
//!
//! A node is given up in two strokes. First it is *marked*: its Node gets the taint `karpenter.sh/disrupted`, so that no pod is scheduled
//! there, then its claim gets the condition `DisruptionReason`. When the mark has held for five seconds, so that a pod that was being bound
//! as the taint was put on would be there, and nothing speaks against it, the claim is deleted; if something does, it is *released*. The
//! marks are all the state there is: after a restart they are found where they are, confirmed or released, and counted.
//!
//! From its mark until its claim is gone a node counts against the budgets of its pool, so that never more are disrupted at once than
//! these allow. (Karpenter stops counting when the instance begins to terminate.) As in Karpenter, nodes that are not ready and nodes that
//! are being removed for other reasons count too.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::budgets::{Allowance, Held, allowance};
use super::candidates::{Ineligible, Machine, Pool, check};
use super::emptiness::{is_settled, quiet_since};
use crate::api::budget::DisruptionReason;
use crate::api::conditions::{Change, Condition};
use crate::api::nodeclaim::{CONDITIONS, DISRUPTION_REASON, INITIALIZED};
use crate::model::event::{Event, Regarding, Severity};
use crate::model::node::disrupted_taint;
use crate::model::{NodeClaim, ObjectRef};

/// So long a mark must hold before the claim is deleted.
pub const MARK_HOLDS_FOR: SignedDuration = SignedDuration::from_secs(5);
/// How soon to look whether pods are followed again: no change tells.
const LOOK_FOR_PODS: SignedDuration = SignedDuration::from_secs(10);

/// All that is decided from.
#[derive(Debug, Clone, Copy)]
pub struct Fleet<'a> {
    /// What the pools say, by name.
    pub pools: &'a BTreeMap<String, Pool>,
    /// Every claim that is ours, with what belongs to it.
    pub machines: &'a [Machine<'a>],
    /// Whether pods are followed: otherwise what is on the machines may be old.
    pub knows_pods: bool,
    /// The names of claims for which this process has begun a command, until what it wrote can be seen, or has failed. They count as
    /// disrupted, and no other command is given for them.
    pub begun: &'a BTreeSet<String>,
}

/// What to do about one claim. Writes are made on the condition of the versions given; a conflict means to decide again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// First put [`disrupted_taint`] on the Node, then set the claim's conditions to those that [`marked`] makes, at a moment when the Node is
    /// known to have the taint.
    Mark {
        /// The claim.
        claim: ObjectRef,
        /// Its Node.
        node: ObjectRef,
    },
    /// First take [`disrupted_taint`] off the Node, if it is named, then set the claim's conditions.
    Release {
        /// The claim.
        claim: ObjectRef,
        /// Its Node, if it has the taint.
        node: Option<ObjectRef>,
        /// All conditions of the claim.
        conditions: Vec<Condition>,
    },
    /// Delete the claim. The lifecycle does the rest.
    Delete {
        /// The claim.
        claim: ObjectRef,
    },
}

impl Command {
    /// The claim.
    #[must_use]
    pub const fn claim(&self) -> &ObjectRef {
        match self {
            Self::Mark { claim, .. } | Self::Release { claim, .. } | Self::Delete { claim } => claim,
        }
    }

    /// What people are told once it is done.
    #[must_use]
    pub fn event(&self) -> Event {
        let (reason, message) = match self {
            Self::Mark { .. } => (
                "Disrupting",
                "nothing runs on it, so no more pods are scheduled there and it is removed soon",
            ),
            Self::Release { .. } => {
                let message = "it is needed again, or no budget allows its removal any more, or what runs on it is not known at the moment";
                ("DisruptionReleased", message)
            }
            Self::Delete { .. } => ("DisruptionTerminating", "nothing runs on it, so it is removed"),
        };
        let claim = self.claim();
        Event {
            regarding: Regarding::NodeClaim { name: claim.name.clone(), uid: claim.uid.clone() },
            severity: Severity::Normal,
            reason,
            message: message.to_owned(),
            same_if: String::new(),
        }
    }
}

/// What is to be done now, and why not more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What to do.
    pub commands: Vec<Command>,
    /// Why each of the others is kept, by the name of its claim.
    pub kept: BTreeMap<String, Ineligible>,
    /// Pools whose budgets keep nodes.
    pub held: Vec<Held>,
    /// When to decide again, if nothing changes before.
    pub look_again: Option<Timestamp>,
}

/// All conditions of a claim whose Node has got the taint by `now`. The wait of [`MARK_HOLDS_FOR`] counts from this moment, so it must not be an
/// earlier one: a pod may be bound until the taint is on.
#[must_use]
pub fn marked(claim: &NodeClaim, now: Timestamp) -> Vec<Condition> {
    let change = Change::holds(DISRUPTION_REASON).with_reason(DisruptionReason::Empty.as_str().to_owned());
    CONDITIONS.merge(claim.subject(), &[change], now)
}

/// What is to be done about the machines now.
#[must_use]
pub fn decide(fleet: &Fleet<'_>, now: Timestamp) -> Decision {
    let mut by_pool: BTreeMap<Option<&str>, Vec<&Machine<'_>>> = BTreeMap::new();
    for machine in fleet.machines {
        by_pool.entry(machine.claim.pool()).or_default().push(machine);
    }
    let mut decision = Decision::default();
    for (name, mut machines) in by_pool {
        machines.sort_by_key(|machine| &machine.claim.object);
        let pool = name.and_then(|name| fleet.pools.get(name));
        let mut round =
            Round { fleet, name: name.unwrap_or_default(), pool, now, disrupted: 0, decision: &mut decision };
        round.go(&machines);
    }
    decision
}

/// How far a machine is with being given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    None,
    /// Since then.
    Whole(Timestamp),
    /// One of taint and condition is there: a crash has come between, or somebody has taken the other off.
    Half,
}

/// One pool's turn.
struct Round<'a, 'd> {
    fleet: &'a Fleet<'a>,
    name: &'a str,
    pool: Option<&'a Pool>,
    now: Timestamp,
    /// How many count against the budgets.
    disrupted: usize,
    decision: &'d mut Decision,
}

impl Round<'_, '_> {
    fn go(&mut self, machines: &[&Machine<'_>]) {
        let (mut marked, mut open) = (Vec::new(), Vec::new());
        let size = machines.iter().filter(|machine| is_settled(machine.claim, self.now)).count();
        for machine in machines {
            let claim = machine.claim;
            let is_going = claim.deleted.is_some() || machine.node.is_some_and(|node| node.is_deleting);
            let is_begun = self.fleet.begun.contains(&claim.object.name);
            match mark(machine) {
                _ if is_going || is_begun => {
                    self.keep(machine, Ineligible::Deleting);
                    self.disrupted += usize::from(is_settled(claim, self.now) || is_begun);
                }
                Mark::Whole(since) => marked.push((since, *machine)),
                Mark::Half => {
                    self.release(machine);
                    self.disrupted += 1;
                }
                Mark::None => {
                    let is_out = machine.node.is_none_or(|node| !node.is_ready);
                    self.disrupted += usize::from(claim.is(INITIALIZED) && is_out);
                    open.push(*machine);
                }
            }
        }
        let no_budgets = Vec::new();
        let budgets = self.pool.map_or(&no_budgets, |pool| &pool.budgets);
        let allowance = allowance(budgets, &DisruptionReason::Empty, size);
        marked.sort_by_key(|(since, machine)| (*since, &machine.claim.object));
        for (since, machine) in marked {
            self.confirm(machine, since, &allowance);
        }
        self.mark_more(&open, &allowance);
    }

    fn check(&self, machine: &Machine<'_>) -> Result<(), Ineligible> {
        check(machine, self.pool, self.now)?;
        let until = self.now.saturating_add(LOOK_FOR_PODS).unwrap_or(Timestamp::MAX);
        if self.fleet.knows_pods { Ok(()) } else { Err(Ineligible::PodsUnknown { until }) }
    }

    /// A marked node goes, or is let off, or has to wait for a moment.
    fn confirm(&mut self, machine: &Machine<'_>, since: Timestamp, allowance: &Allowance) {
        // Released or not, it has the taint until that can be seen to be off.
        let is_within_budget = self.disrupted < allowance.nodes;
        self.disrupted += 1;
        if self.check(machine).is_err() || !is_within_budget {
            self.release(machine);
            return;
        }
        let due = since.saturating_add(MARK_HOLDS_FOR).unwrap_or(Timestamp::MAX);
        if self.now >= due {
            self.decision.commands.push(Command::Delete { claim: machine.claim.object.clone() });
        } else {
            self.look_again_at(due);
        }
    }

    /// Marks as many as the budgets allow, those first that have been quiet for longest.
    fn mark_more(&mut self, open: &[&Machine<'_>], allowance: &Allowance) {
        let mut candidates = Vec::new();
        for machine in open {
            match self.check(machine) {
                Ok(()) => candidates.push(*machine),
                Err(why) => {
                    self.look_again_at(why.until());
                    self.keep(machine, why);
                }
            }
        }
        candidates.sort_by_key(|machine| (quiet_since(machine.claim, machine.pods), &machine.claim.object));
        let (mut waiting, disrupted) = (0, self.disrupted);
        for machine in candidates {
            let Some(node) = machine.node.filter(|_| self.disrupted < allowance.nodes) else {
                waiting += 1;
                continue;
            };
            self.disrupted += 1;
            let (claim, node) = (machine.claim.object.clone(), node.object.clone());
            self.decision.commands.push(Command::Mark { claim, node });
        }
        if waiting > 0 {
            let (pool, uid) = (self.name.to_owned(), self.pool.map(|pool| pool.uid.clone()));
            let uid = uid.unwrap_or_default();
            let held = Held { pool, uid, allowance: *allowance, disrupted, waiting };
            self.decision.held.push(held);
        }
    }

    fn release(&mut self, machine: &Machine<'_>) {
        let claim = machine.claim;
        let tainted = machine.node.filter(|node| node.has_taint_like(&disrupted_taint()));
        self.decision.commands.push(Command::Release {
            claim: claim.object.clone(),
            node: tainted.map(|node| node.object.clone()),
            conditions: CONDITIONS.clear(&claim.conditions, DISRUPTION_REASON),
        });
    }

    fn keep(&mut self, machine: &Machine<'_>, why: Ineligible) {
        self.decision.kept.insert(machine.claim.object.name.clone(), why);
    }

    fn look_again_at(&mut self, moment: impl Into<Option<Timestamp>>) {
        self.decision.look_again = self.decision.look_again.into_iter().chain(moment.into()).min();
    }
}

fn mark(machine: &Machine<'_>) -> Mark {
    let is_tainted = machine.node.is_some_and(|node| node.has_taint_like(&disrupted_taint()));
    match (is_tainted, machine.claim.true_since(DISRUPTION_REASON)) {
        (false, None) => Mark::None,
        (true, Some(since)) => Mark::Whole(since),
        (true, None) | (false, Some(_)) => Mark::Half,
    }
}

#[cfg(test)]
mod tests;
