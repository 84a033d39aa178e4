//! From a claim to its instance: when to launch, how an answer is noted, what to do about a failure.
//!
//! A launch is idempotent for the claim's UID and the attempt. The attempt goes up only when the cloud has refused the one before for
//! good, and is noted on the claim before it is used, so that at any moment at most one attempt can have an instance: after a crash the
//! same attempt is made again and is answered with the instance that it has.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::backoff::later;
use super::claim::{Draft, missing};
use super::effect::{ClaimPatch, DeletionReason, Effect};
use super::fence::Gate;
use super::liveness;
use super::memory::{LaunchFailure, LaunchProblem, LaunchResult, LaunchedInstance};
use super::notice::Notice;
use crate::api::conditions::Change;
use crate::api::nodeclaim::LAUNCHED;
use crate::model::NodeClaim;

/// Annotation on a NodeClaim: the number of the launch that is being attempted. Absent for the first one, 0.
pub const LAUNCH_ATTEMPT: &str = "treenail.dev/launch-attempt";

/// Pods that have no node go at once, whatever grace they are given.
const PLANTED_GRACE: SignedDuration = SignedDuration::from_secs(1);
/// Pods that are in the way are looked for so often: each change of a pod would be too much.
const LOOK_FOR_PLANTED: SignedDuration = SignedDuration::from_secs(5);

/// The longest message of a failed launch in a condition, in characters, as in Karpenter.
const LONGEST_MESSAGE: usize = 300;

/// Gets the claim launched; whether it is.
pub(super) fn launch(draft: &mut Draft<'_>) -> bool {
    let claim = draft.view.claim;
    if claim.provider_id.is_some() {
        draft.set(Change::holds(LAUNCHED));
        return true;
    }
    match draft.view.memory.launch.as_ref() {
        None => start(draft),
        Some(known) => match &known.value {
            LaunchResult::Launched(instance) => note(draft, instance),
            LaunchResult::Failed { attempt, failure } => match failure.problem {
                LaunchProblem::NoCapacity => {
                    let notice = Notice::InsufficientCapacity { message: &failure.message };
                    draft.give_up(DeletionReason::InsufficientCapacity, &notice);
                }
                LaunchProblem::NodeClassNotReady => {
                    let notice = Notice::NodeClassNotReady { message: &failure.message };
                    draft.give_up(DeletionReason::NodeClassNotReady, &notice);
                }
                LaunchProblem::Other if draft.now >= liveness::launch_deadline(claim) => {
                    liveness::launch_in_time(draft, Some(&failure.message));
                }
                LaunchProblem::Other if draft.now < known.ask_again => wait(draft, failure, known.ask_again),
                LaunchProblem::Other if failure.is_answered && *attempt == self::attempt(claim) => {
                    let next = attempt.saturating_add(1).to_string();
                    let annotations = BTreeMap::from([(LAUNCH_ATTEMPT.to_owned(), next)]);
                    draft.push(Effect::PatchClaim(ClaimPatch { annotations, ..ClaimPatch::default() }));
                }
                LaunchProblem::Other => start(draft),
            },
        },
    }
    false
}

/// The attempt that is to be made, or was.
#[must_use]
pub fn attempt(claim: &NodeClaim) -> u32 {
    claim.annotations.get(LAUNCH_ATTEMPT).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn start(draft: &mut Draft<'_>) {
    let claim = draft.view.claim;
    if remove_planted(draft) {
        return;
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

/// Whether pods are in the way that would get onto the node without a right to. Those that something made go; the others are left to
/// people, since nobody would make them again.
fn remove_planted(draft: &mut Draft<'_>) -> bool {
    let planted = draft.view.planted;
    let (made, alone): (Vec<_>, Vec<_>) = planted.iter().partition(|planted| planted.has_controller);
    for planted in made {
        draft.push(Effect::Report(planted.event()));
        draft.push(Effect::DeletePod { pod: planted.pod.clone(), grace: PLANTED_GRACE });
    }
    if !alone.is_empty() {
        let notice = Notice::PlantedPods { planted: &alone };
        draft.set(Change::unknown(LAUNCHED, "ForeignPodsWait", notice.to_string()));
        draft.report(&notice);
        draft.look_again_at(later(draft.now, LOOK_FOR_PLANTED));
        liveness::launch_in_time(draft, None);
    }
    !planted.is_empty()
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

fn wait(draft: &mut Draft<'_>, failure: &LaunchFailure, ask_again: jiff::Timestamp) {
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
