//! Steps of one claim, one after the other, until nothing is left to do at this moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::effects::Hands;
use super::facts::Facts;
use crate::controllers::writes::Failure;
use crate::lifecycle::claim::{Step, step};
use crate::lifecycle::effect::Effect;
use crate::lifecycle::memory::ClaimMemory;

/// More steps than any claim takes at once: whoever takes more goes round in circles.
const MOST_STEPS: usize = 50;
/// After a conflict: what is there now comes by the watch, which wakes the claim earlier.
const AFTER_CONFLICT: Duration = Duration::from_secs(1);
/// After a write failed.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// How a round ended.
#[derive(Debug)]
pub(super) struct Ended {
    /// The claim's UID; nothing if there is no such claim any more.
    pub(super) uid: Option<String>,
    /// What is remembered of it.
    pub(super) memory: ClaimMemory,
    /// When to look again, if nothing changes before.
    pub(super) look_again: Option<Timestamp>,
}

/// Takes steps of the claim of this name. `memory` is of the claim with the UID `of`.
pub(super) async fn go(hands: Hands<'_>, name: &str, of: Option<String>, memory: ClaimMemory) -> Ended {
    let mut ended = Ended { uid: of, memory, look_again: None };
    for _ in 0..MOST_STEPS {
        let context = hands.context;
        let Some(facts) = Facts::gather(hands.index, &context.exempt_namespaces, name) else {
            return Ended { uid: None, memory: ClaimMemory::default(), look_again: None };
        };
        let uid = &facts.claim.model.object.uid;
        if ended.uid.as_ref() != Some(uid) {
            ended = Ended { uid: Some(uid.clone()), memory: ClaimMemory::default(), look_again: None };
        }
        ended.memory.see(facts.pods(), facts.planted());
        let step = step(&facts.view(&ended.memory), hands.context.clock.now());
        ended.look_again = step.requeue_at;
        let pause = match carry_out(hands, &facts, &step, &mut ended.memory).await {
            Ok(()) if step.effects.iter().any(Effect::changes_anything) => continue,
            Ok(()) => return ended,
            Err(pause) => pause,
        };
        return again_within(hands, ended, pause);
    }
    tracing::error!(node_claim = name, "the claim does not come to rest");
    again_within(hands, ended, AFTER_FAILURE)
}

fn again_within(hands: Hands<'_>, mut ended: Ended, pause: Duration) -> Ended {
    let due = hands.context.clock.now().saturating_add(pause).unwrap_or(Timestamp::MAX);
    ended.look_again = Some(ended.look_again.map_or(due, |other| other.min(due)));
    ended
}

/// Carries the effects out in order. What fails ends the round, and says how long to wait.
async fn carry_out(
    hands: Hands<'_>,
    facts: &Facts,
    step: &Step,
    memory: &mut ClaimMemory,
) -> Result<(), Duration> {
    let claim = Arc::clone(&facts.claim);
    for effect in &step.effects {
        memory.begin(effect);
        match hands.carry_out(&claim, effect).await {
            Ok(Some(answer)) => memory.record(answer, hands.context.clock.now()),
            Ok(None) => {}
            Err(Failure::Changed) => return Err(AFTER_CONFLICT),
            Err(error) => {
                let name = &claim.model.object.name;
                tracing::warn!(node_claim = name, %error, effect = effect.name(), "it could not be done; it is tried again");
                if !effect.may_fail_alone() {
                    return Err(AFTER_FAILURE);
                }
            }
        }
    }
    Ok(())
}
