//! From a claim to its instance: when to launch, how an answer is noted, what to do about a failure.
//!
//! A launch is idempotent for the claim's UID and the attempt. The attempt goes up only when the cloud has refused the one before for
//! good, or can make it no more and has shown no instance of it for long enough, and is noted on the claim before it is used, so that at any
//! moment at most one attempt can have an instance: after a crash the same attempt is made again and is answered with the instance that it
//! has. A call that is refused is no refusal of its attempt: an earlier call may have launched it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;

use super::draft::{Draft, missing};
use super::effect::{ClaimPatch, DeletionReason, Effect};
use super::fence::Gate;
use super::liveness;
use super::memory::{ClaimMemory, LaunchFailure, LaunchProblem, LaunchResult, LaunchedInstance};
use super::notice::Notice;
use super::planted::removal::{Held, Way, remove_planted};
use super::terminate::LAUNCH_SHOWS_WITHIN;
use crate::api::conditions::Change;
use crate::api::nodeclaim::LAUNCHED;
use crate::model::NodeClaim;

/// Annotation on a NodeClaim: the number of the launch that is being attempted. Absent for the first one, 0.
pub const LAUNCH_ATTEMPT: &str = "treenail.dev/launch-attempt";

/// The longest message of a failed launch in a condition, in characters, as in Karpenter.
const LONGEST_MESSAGE: usize = 300;

/// Gets the claim launched; whether it is.
pub(super) fn launch(draft: &mut Draft<'_>) -> bool {
    let claim = draft.view.claim;
    if claim.provider_id.is_some() {
        draft.set(Change::holds(LAUNCHED));
        return true;
    }
    match next(claim, draft.view.memory, draft.now) {
        Next::Start => start(draft),
        Next::Note(instance) => note(draft, instance),
        Next::GiveUp(reason, notice) => draft.give_up(reason, &notice),
        Next::TimeOut(failure) => liveness::launch_in_time(draft, Some(&failure.message)),
        Next::Wait(failure, ask_again) => wait(draft, failure, ask_again),
        Next::CountUp(attempt) => {
            let annotations = BTreeMap::from([(LAUNCH_ATTEMPT.to_owned(), attempt.to_string())]);
            draft.push(Effect::PatchClaim(ClaimPatch { annotations, ..ClaimPatch::default() }));
        }
    }
    false
}

/// What a claim without an instance needs next.
enum Next<'m> {
    /// To be launched, if nothing is in the way.
    Start,
    /// That its instance is noted.
    Note(&'m LaunchedInstance),
    /// An end.
    GiveUp(DeletionReason, Notice<'m>),
    /// An end, since there is no time left for another attempt.
    TimeOut(&'m LaunchFailure),
    /// Time.
    Wait(&'m LaunchFailure, Timestamp),
    /// This attempt, since there will be no instance of the one before.
    CountUp(u32),
}

fn next<'m>(claim: &NodeClaim, memory: &'m ClaimMemory, now: Timestamp) -> Next<'m> {
    let Some(known) = &memory.launch else { return Next::Start };
    let (attempt, failure) = match &known.value {
        LaunchResult::Launched(instance) => return Next::Note(instance),
        LaunchResult::Failed { attempt, failure } => (*attempt, failure),
    };
    match failure.problem {
        LaunchProblem::NoCapacity => {
            let notice = Notice::InsufficientCapacity { message: &failure.message };
            Next::GiveUp(DeletionReason::InsufficientCapacity, notice)
        }
        LaunchProblem::NodeClassNotReady => {
            let notice = Notice::NodeClassNotReady { message: &failure.message };
            Next::GiveUp(DeletionReason::NodeClassNotReady, notice)
        }
        LaunchProblem::Other if now >= liveness::launch_deadline(claim) => Next::TimeOut(failure),
        LaunchProblem::Other if now < known.ask_again => Next::Wait(failure, known.ask_again),
        LaunchProblem::Other
            if attempt == self::attempt(claim)
                && (failure.is_answered || memory.is_spent_for(LAUNCH_SHOWS_WITHIN)) =>
        {
            Next::CountUp(attempt.saturating_add(1))
        }
        LaunchProblem::Other => Next::Start,
    }
}

/// Whether a step with this memory launches the claim's instance now if no pod is in the way: only then it must be known which are.
#[must_use]
pub fn is_next(claim: &NodeClaim, memory: &ClaimMemory, now: Timestamp) -> bool {
    let may_be = claim.deleted.is_none() && claim.has_finalizer && claim.provider_id.is_none();
    may_be
        && match next(claim, memory, now) {
            Next::Start => true,
            Next::Note(_) | Next::GiveUp(..) | Next::TimeOut(_) | Next::Wait(..) | Next::CountUp(_) => false,
        }
}

/// The attempt that is to be made, or was.
#[must_use]
pub fn attempt(claim: &NodeClaim) -> u32 {
    claim.annotations.get(LAUNCH_ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn start(draft: &mut Draft<'_>) {
    let claim = draft.view.claim;
    match remove_planted(draft, Held::Launch) {
        Way::Free => {}
        Way::Unknown => return,
        Way::Blocked { why } => return liveness::launch_in_time(draft, Some(&why)),
    }
    if let Gate::Closed { reason, message } = draft.view.gate {
        draft.set(Change::unknown(LAUNCHED, *reason, message.as_str()));
        draft.report(&Notice::LaunchHeld { message });
        liveness::launch_in_time(draft, Some(message));
    } else if claim.problems.is_empty() {
        draft.push(Effect::Launch { attempt: attempt(claim) });
    } else {
        let notice = Notice::InvalidNodeClaim { problems: &claim.problems };
        draft.set(Change::unknown(LAUNCHED, "InvalidNodeClaim", notice.to_string()));
        draft.report(&notice);
        liveness::launch_in_time(draft, None);
    }
}

/// First what the instance adds to the metadata, then the status: a claim with a provider ID has all of its labels.
fn note(draft: &mut Draft<'_>, instance: &LaunchedInstance) {
    let claim = draft.view.claim;
    let labels =
        instance.labels.iter().filter(|(key, _)| !claim.labels.contains_key(*key)).map(owned).collect();
    let pairs = instance.annotations.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let annotations = missing(&claim.annotations, pairs);
    let patch = ClaimPatch { add_finalizer: false, labels, annotations };
    if patch.is_empty() {
        draft.set(Change::holds(LAUNCHED));
        note_instance(draft, instance);
    } else {
        draft.push(Effect::PatchClaim(patch));
    }
}

fn owned((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

/// Notes in the status which instance the claim has.
pub(super) fn note_instance(draft: &mut Draft<'_>, instance: &LaunchedInstance) {
    draft.status.provider_id = Some(instance.provider_id.clone());
    draft.status.image_id = Some(instance.image_id.clone());
    draft.status.capacity = Some(instance.capacity.clone());
    draft.status.allocatable = Some(instance.allocatable.clone());
}

fn wait(draft: &mut Draft<'_>, failure: &LaunchFailure, ask_again: Timestamp) {
    draft.set(Change::unknown(LAUNCHED, condition_reason(&failure.reason), excerpt(&failure.message)));
    draft.report(&Notice::LaunchFailed { message: &failure.message });
    draft.look_again_at(ask_again);
    draft.look_again_at(liveness::launch_deadline(draft.view.claim));
}

/// The reason as the CRD allows it: a letter, then letters, digits, `_`, `,` and `:`.
fn condition_reason(reason: &str) -> Cow<'static, str> {
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | ',' | ':');
    let kept: String = reason.chars().map(|letter| if allowed(letter) { letter } else { '_' }).collect();
    let kept = kept.trim_end_matches([',', ':']);
    let is_usable = kept.len() <= 1024 && kept.starts_with(|first: char| first.is_ascii_alphabetic());
    if is_usable { kept.to_owned().into() } else { "LaunchFailed".into() }
}

fn excerpt(message: &str) -> String {
    let mut excerpt: String = message.chars().take(LONGEST_MESSAGE).collect();
    if excerpt.len() < message.len() {
        excerpt.push_str("...");
    }
    excerpt
}

#[cfg(test)]
mod tests;
