//! What becomes of planted pods: those that something made go, the others are left to people, since nobody would make them again.

use jiff::SignedDuration;

use super::PlantedPod;
use crate::api::conditions::Change;
use crate::api::nodeclaim::{LAUNCHED, REGISTERED};
use crate::lifecycle::backoff::later;
use crate::lifecycle::draft::Draft;
use crate::lifecycle::effect::Effect;
use crate::lifecycle::memory::EvictionAnswer;
use crate::lifecycle::notice::{InTheWay, Notice};

/// Pods that are in the way are looked for so often: each change of a pod would be too much.
const LOOK_FOR_PLANTED: SignedDuration = SignedDuration::from_secs(5);
/// How soon to look whether a pod that was deleted is gone.
const SEE_PLANTED_GO: SignedDuration = SignedDuration::from_millis(250);

/// Whether the node may be used as it is.
#[derive(Debug)]
pub(in crate::lifecycle) enum Way {
    Free,
    /// Nobody has looked which pods wait.
    Unknown,
    /// Pods would get onto it without a right to.
    Blocked {
        /// What is told about them.
        why: String,
    },
}

/// What waits while there are planted pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::lifecycle) enum Held {
    /// The launch.
    Launch,
    /// The opening of the Node.
    Opening,
    /// That the open Node gets the label of a type.
    Joining,
}

impl Held {
    /// The condition that tells of it.
    const fn condition(self) -> Option<&'static str> {
        match self {
            Self::Launch => Some(LAUNCHED),
            Self::Opening => Some(REGISTERED),
            Self::Joining => None,
        }
    }
}

/// Whether pods are in the way of this, and has those deleted that something made.
pub(in crate::lifecycle) fn remove_planted(draft: &mut Draft<'_>, held: Held) -> Way {
    let (claim, memory) = (draft.view.claim, draft.view.memory);
    let Some(planted) = draft.view.planted else {
        draft.look_again_at(later(draft.now, LOOK_FOR_PLANTED));
        return Way::Unknown;
    };
    let (mut is_free, mut in_the_way, mut unjudged) = (true, Vec::new(), None);
    for pod in planted {
        if let Some(known) = memory.rightful.get(&pod.pod.uid).filter(|known| draft.now < known.ask_again) {
            draft.look_again_at(known.ask_again);
            continue;
        }
        is_free = false;
        if pod.has_controller {
            let refusal = delete(draft, pod);
            in_the_way.extend(refusal.map(|refusal| InTheWay { pod, refusal: Some(refusal) }));
        } else if pod.is_judged {
            in_the_way.push(InTheWay { pod, refusal: None });
        } else {
            unjudged.get_or_insert(&pod.pod.key);
        }
    }
    if is_free {
        return Way::Free;
    }
    draft.look_again_at(later(draft.now, LOOK_FOR_PLANTED));
    if in_the_way.is_empty() {
        // In a moment they are gone, or it is known whether they may stay.
        let why = match unjudged {
            Some(pod) => format!("it is not known yet whether pod {pod} has a right to its Node"),
            None => "pods wait that have no right to its Node, and are being deleted".to_owned(),
        };
        return Way::Blocked { why };
    }
    let notice = Notice::PlantedPods { planted: &in_the_way, held };
    let why = notice.to_string();
    if let Some(condition) = held.condition().filter(|condition| !claim.is(condition)) {
        draft.set(Change::unknown(condition, "ForeignPodsWait", why.as_str()));
    }
    draft.report(&notice);
    Way::Blocked { why }
}

/// Has the pod deleted, if the API server has not been asked lately; what it said, if that was a refusal.
fn delete<'m>(draft: &mut Draft<'m>, pod: &PlantedPod) -> Option<&'m str> {
    let last = draft.view.memory.evictions.get(&pod.pod.uid);
    match last {
        Some(last) if draft.now < last.ask_again => draft.look_again_at(last.ask_again),
        _ => draft.push(Effect::DeletePlanted(pod.clone())),
    }
    match &last?.value {
        EvictionAnswer::Blocked { message } | EvictionAnswer::Failed { message } => Some(message),
        EvictionAnswer::Accepted | EvictionAnswer::Gone => {
            // It goes at once, and no change of it wakes the claim.
            draft.look_again_at(later(draft.now, SEE_PLANTED_GO));
            None
        }
    }
}
