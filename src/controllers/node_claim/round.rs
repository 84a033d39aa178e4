//! Steps of one claim, one after the other, until nothing is left to do at this moment.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::effects::Hands;
use super::facts::Facts;
use crate::controllers::writes::Failure;
use crate::lifecycle::backoff::later;
use crate::lifecycle::claim::step;
use crate::lifecycle::draft::Step;
use crate::lifecycle::effect::Effect;
use crate::lifecycle::memory::ClaimMemory;

/// More steps than any claim takes at once: whoever takes more goes round in circles.
const MOST_STEPS: usize = 50;
/// After a conflict: what is there now comes by the watch, which wakes the claim earlier.
const AFTER_CONFLICT: SignedDuration = SignedDuration::from_secs(1);

/// How a round ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The claim's UID; nothing if there is no such claim any more.
    pub(super) uid: Option<String>,
    /// What is remembered of it.
    pub(super) memory: ClaimMemory,
    /// When to look again, if nothing changes before.
    pub(super) look_again: Option<Timestamp>,
    /// Whether something could not be done. It is not to be tried again at once, whatever changes.
    pub(super) has_failed: bool,
}

impl Ended {
    fn nothing() -> Self {
        Self { uid: None, memory: ClaimMemory::default(), look_again: None, has_failed: false }
    }
}

/// Why the effects behind one were not carried out.
enum Stopped {
    /// Something has changed since it was decided.
    Changed,
    /// Something could not be done.
    Failed,
}

/// Takes steps of the claim of this name. `memory` is of the claim with the UID `of`.
pub(super) async fn go(hands: Hands<'_>, name: &str, of: Option<String>, memory: ClaimMemory) -> Ended {
    let mut ended = Ended { uid: of, memory, ..Ended::nothing() };
    // The permit to ask the cloud, while it is asked.
    let mut held = None;
    for _ in 0..MOST_STEPS {
        let context = hands.context;
        let Some(mut facts) = Facts::gather(context, name) else {
            return Ended::nothing();
        };
        let uid = &facts.claim.model.object.uid;
        if ended.uid.as_ref() != Some(uid) {
            ended = Ended { uid: Some(uid.clone()), ..Ended::nothing() };
        }
        let now = context.clock.now();
        facts.look_for_planted(context, &ended.memory, now);
        ended.memory.see(facts.pods(), facts.planted());
        let step = step(&facts.view(&ended.memory), now);
        if held.is_none() && step.effects.iter().any(Effect::asks_the_cloud) {
            let cloud = &hands.permits.cloud;
            held = cloud.try_acquire().ok();
            if held.is_none() {
                // What was decided may not hold any more when it is this claim's turn: a launch may be forbidden by then.
                held = cloud.acquire().await.ok();
                continue;
            }
        }
        ended.look_again = step.requeue_at;
        let done = carry_out(hands, &facts, &step, &mut ended.memory).await;
        held = None;
        match done {
            Ok(()) if step.effects.iter().any(Effect::changes_anything) => {}
            Ok(()) => return ended,
            Err(Stopped::Changed) => {
                let due = later(hands.context.clock.now(), AFTER_CONFLICT);
                ended.look_again = Some(ended.look_again.map_or(due, |other| other.min(due)));
                return ended;
            }
            Err(Stopped::Failed) => return Ended { has_failed: true, ..ended },
        }
    }
    tracing::error!(node_claim = name, "the claim does not come to rest");
    Ended { has_failed: true, ..ended }
}

/// Carries the effects out in order. What fails ends the round.
async fn carry_out(
    hands: Hands<'_>,
    facts: &Facts,
    step: &Step,
    memory: &mut ClaimMemory,
) -> Result<(), Stopped> {
    let claim = Arc::clone(&facts.claim);
    for effect in &step.effects {
        let asks_the_api_server = !effect.asks_the_cloud() && effect.changes_anything();
        // The semaphores are never closed.
        let _permit = if asks_the_api_server { hands.permits.writes.acquire().await.ok() } else { None };
        memory.begin(effect);
        match hands.carry_out(&claim, effect).await {
            Ok(Some(answer)) => memory.record(answer, hands.context.clock.now()),
            Ok(None) => {}
            Err(Failure::Changed) => return Err(Stopped::Changed),
            Err(error) => {
                let name = &claim.model.object.name;
                tracing::warn!(node_claim = name, %error, effect = effect.name(), "it could not be done; it is tried again");
                if !effect.may_fail_alone() {
                    return Err(Stopped::Failed);
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
