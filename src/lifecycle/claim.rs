//! One step of a claim's life: what is known in, what is to be done out.
//!
//! A step does not remember the one before. It derives from the claim, its Nodes, their pods and what the cloud last answered how far the
//! claim has come, and asks for what is missing. So whatever a crash, a conflict or a failed call leaves undone is asked for again, and
//! what was done is seen and not done twice.
//!
//! Whoever drives it, for each claim and never for one claim twice at the same time:
//!
//! 1. builds a [`ClaimView`] of objects that are at least as new as its own last writes, calls [`ClaimMemory::see`](super::memory::ClaimMemory::see), and takes a step;
//! 2. carries the effects out in order. A failure ends the round, unless [`Effect::may_fail_alone`], and so does a conflict, which is no
//!    failure: the next round looks again. [`begin`](super::memory::ClaimMemory::begin) goes before each effect, [`record`](super::memory::ClaimMemory::record) behind each answer;
//! 3. takes the next step at once if one of the effects [changes anything](Effect::changes_anything), else when an object changes or at
//!    [`Step::requeue_at`], whichever comes first.
//!
//! It must act only while it leads and its caches are complete; a cache that lags only delays, since writes are conditional, and the API server
//! itself is asked for the pods of a Node before its instance is terminated.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::draft::{Draft, Step, missing};
use super::effect::{ClaimPatch, Effect};
use super::memory::newest_event;
use super::view::ClaimView;
use super::{backoff, initialization, launch, liveness, ownership, registration, terminate};
use crate::api::labels;

/// `lastPodEventTime` is written at most so often, for the sake of the API server.
const POD_EVENTS_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// What is to be done for the claim now. See the [module](self) for how to drive it.
///
/// Only claims of node classes that are ours to act on may be given.
#[must_use]
pub fn step(view: &ClaimView<'_>, now: Timestamp) -> Step {
    let mut draft = Draft::new(view, now);
    if !ownership::may_act(&mut draft) {
        return draft.finish();
    }
    if view.claim.deleted.is_some() {
        if view.claim.has_finalizer {
            terminate::step(&mut draft);
        }
    } else {
        live(&mut draft);
    }
    draft.finish()
}

fn live(draft: &mut Draft<'_>) {
    let claim = draft.view.claim;
    // Nothing is launched before the claim is sure to stay until its instance is gone.
    let patch = ClaimPatch {
        add_finalizer: !claim.has_finalizer,
        labels: missing(&claim.labels, [(labels::EC2NODECLASS, claim.node_class.as_str())]),
        annotations: BTreeMap::new(),
    };
    if !patch.is_empty() {
        draft.push(Effect::PatchClaim(patch));
        return;
    }
    if !launch::launch(draft) {
        return;
    }
    match registration::register(draft) {
        Ok(node) => {
            initialization::initialize(draft, node);
            note_pod_events(draft);
        }
        Err(in_the_way) => liveness::register_in_time(draft, in_the_way.as_deref()),
    }
}

/// When pods last came and went is told by the pods. It is written with a delay, never lost while this process lives.
fn note_pod_events(draft: &mut Draft<'_>) {
    let (claim, memory) = (draft.view.claim, draft.view.memory);
    let Some(newest) = newest_event(draft.view.pods).max(memory.last_pod_event) else { return };
    let due = claim.last_pod_event.map_or(Timestamp::MIN, |noted| backoff::later(noted, POD_EVENTS_EVERY));
    if claim.last_pod_event.is_some_and(|noted| newest <= noted) {
        return;
    }
    if draft.now >= due {
        draft.status.last_pod_event = Some(newest);
    } else {
        draft.look_again_at(due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::memory::ClaimMemory;
    use crate::lifecycle::testing::Scene;
    use crate::model::bound_pod::{BoundPod, Runner};
    use crate::model::testing::nodes::{at, claim, pod, registered_node};

    /// What the step notes as the last event, and when it looks again.
    fn noted(scene: &Scene, now: i64) -> (Option<Timestamp>, Option<Timestamp>) {
        let step = scene.step(at(now));
        let status = step.effects.iter().find_map(|effect| match effect {
            Effect::SetStatus(status) => status.last_pod_event,
            _ => None,
        });
        (status, step.requeue_at)
    }

    #[test]
    fn pods_that_come_and_go_are_noted_at_most_every_ten_seconds_and_none_is_lost() {
        let with_event = |name: &str, second| BoundPod { last_event: Some(at(second)), ..pod(name) };
        let mut scene = Scene::new(claim().registered()).with_node(registered_node());
        assert_eq!(noted(&scene, 60), (None, None));
        scene.pods = vec![BoundPod { runner: Runner::DaemonSet, ..with_event("daemon", 55) }];
        assert_eq!(noted(&scene, 60), (None, None));
        scene.pods = vec![with_event("a", 60)];
        assert_eq!(noted(&scene, 60), (Some(at(60)), None));
        scene.claim.last_pod_event = Some(at(60));
        assert_eq!(noted(&scene, 61), (None, None));
        scene.pods.push(with_event("b", 65));
        assert_eq!(noted(&scene, 65), (None, Some(at(70))));
        // It is gone when the time has come, and is remembered.
        scene.memory.see(&scene.pods, &[]);
        scene.pods.clear();
        assert_eq!(noted(&scene, 70), (Some(at(65)), None));
        // A restart forgets it, and sees nothing new where there is nothing new.
        scene.memory = ClaimMemory::default();
        scene.pods = vec![with_event("a", 60)];
        assert_eq!(noted(&scene, 500), (None, None));
    }

    #[test]
    fn a_step_that_has_nothing_to_do_says_so() {
        let mut scene = Scene::new(claim().registered()).with_node(registered_node());
        let mut rounds = 0;
        loop {
            let step = scene.step(at(50));
            assert_eq!(step.requeue_at, None);
            if !step.effects.iter().any(Effect::changes_anything) {
                break;
            }
            for effect in step.effects {
                match effect {
                    Effect::SetStatus(status) => scene.claim.conditions = status.conditions.unwrap(),
                    Effect::PatchNode(patch) => scene.nodes[0].labels.extend(patch.labels),
                    other => panic!("{other:?}"),
                }
            }
            rounds += 1;
        }
        assert_eq!(rounds, 2);
    }
}
