//! One step of a claim's life: what is known in, what is to be done out.
//!
//! A step does not remember the one before. It derives from the claim, its Nodes, their pods and what the cloud last answered how far the
//! claim has come, and asks for what is missing. So whatever a crash, a conflict or a failed call leaves undone is asked for again, and
//! what was done is seen and not done twice.
//!
//! Whoever drives it, for each claim and never for one claim twice at the same time:
//!
//! 1. builds a [`ClaimView`] of objects that are at least as new as its own last writes, calls [`ClaimMemory::see`], and takes a step;
//! 2. carries the effects out in order. A failure ends the round, unless [`Effect::may_fail_alone`], and so does a conflict, which is no
//!    failure: the next round looks again. [`ClaimMemory::begin`] goes before each effect, [`ClaimMemory::record`] behind each answer;
//! 3. takes the next step at once if one of the effects [changes anything](Effect::changes_anything), else when an object changes or at
//!    [`Step::requeue_at`], whichever comes first.
//!
//! It must act only while it leads and its caches are complete; a cache that lags only delays, since writes are conditional, and the API server
//! itself is asked for the pods of a Node before its instance is terminated.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::effect::{ClaimPatch, DeletionReason, Effect, NodePatch, StatusPatch};
use super::fence::Gate;
use super::memory::{ClaimMemory, newest_event};
use super::notice::Notice;
use super::planted::PlantedPod;
use super::{backoff, initialization, launch, liveness, ownership, registration, terminate};
use crate::api::conditions::Change;
use crate::api::{labels, nodeclaim};
use crate::model::bound_pod::BoundPod;
use crate::model::pod::PodKey;
use crate::model::{Node, NodeClaim};

/// `lastPodEventTime` is written at most so often, for the sake of the API server.
const POD_EVENTS_EVERY: jiff::SignedDuration = jiff::SignedDuration::from_secs(10);

/// A volume that is attached to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedVolume {
    /// The name of the persistent volume.
    pub name: String,
    /// The claim that it is bound to, by namespace and name.
    pub claim: Option<PodKey>,
}

/// All that a step is decided from.
#[derive(Debug, Clone, Copy)]
pub struct ClaimView<'a> {
    /// The claim.
    pub claim: &'a NodeClaim,
    /// The other claims with the claim's provider ID.
    pub rivals: &'a [NodeClaim],
    /// Every Node with the claim's provider ID.
    pub nodes: &'a [Node],
    /// Every pod on these Nodes.
    pub pods: &'a [BoundPod],
    /// Every persistent volume that is attached to these Nodes.
    pub volumes: &'a [AttachedVolume],
    /// The labels by which workload types select the Nodes of the claim's pool.
    pub type_labels: &'a BTreeMap<String, String>,
    /// Whether an instance may be launched.
    pub gate: &'a Gate,
    /// Pods that wait for the claim's Node without a right to it. Nothing if they were not looked for, which is needed only if the launch
    /// [is next](launch::is_next), or [it is](registration::is_next) that the Node is opened or given to a type: then none of this is done.
    pub planted: Option<&'a [PlantedPod]>,
    /// What was answered before.
    pub memory: &'a ClaimMemory,
}

/// What is to be done now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// What to do, in this order.
    pub effects: Vec<Effect>,
    /// When to look again, if nothing changes before.
    pub requeue_at: Option<Timestamp>,
}

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

/// Those of `wanted` that `present` does not have with this value.
pub(super) fn missing<'w>(
    present: &BTreeMap<String, String>,
    wanted: impl IntoIterator<Item = (&'w str, &'w str)>,
) -> BTreeMap<String, String> {
    { wanted.into_iter() }
        .filter(|(key, value)| present.get(*key).is_none_or(|own| own != value))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

/// A step that is being made up.
pub(super) struct Draft<'a> {
    pub(super) view: &'a ClaimView<'a>,
    pub(super) now: Timestamp,
    pub(super) status: StatusPatch,
    changes: Vec<Change>,
    effects: Vec<Effect>,
    requeue_at: Option<Timestamp>,
}

impl<'a> Draft<'a> {
    fn new(view: &'a ClaimView<'a>, now: Timestamp) -> Self {
        let status = StatusPatch::default();
        Self { view, now, status, changes: Vec::new(), effects: Vec::new(), requeue_at: None }
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    pub(super) fn set(&mut self, change: Change) {
        self.changes.push(change);
    }

    pub(super) fn report(&mut self, notice: &Notice<'_>) {
        self.effects.push(Effect::Report(notice.about(self.view.claim)));
    }

    pub(super) fn give_up(&mut self, reason: DeletionReason, notice: &Notice<'_>) {
        self.report(notice);
        self.effects.push(Effect::DeleteClaim(reason));
    }

    /// Asks for the patch unless it changes nothing; says whether it does.
    pub(super) fn patch_node(&mut self, patch: NodePatch) -> bool {
        let changes = !patch.is_empty();
        if changes {
            self.effects.push(Effect::PatchNode(patch));
        }
        changes
    }

    /// Whether something is to be done already, other than to tell people.
    pub(super) fn is_busy(&self) -> bool {
        self.effects.iter().any(Effect::changes_anything)
    }

    pub(super) fn look_again_at(&mut self, moment: impl Into<Option<Timestamp>>) {
        self.requeue_at = self.requeue_at.into_iter().chain(moment.into()).min();
    }

    /// Adds the status, if that is to be another one.
    ///
    /// Not beside another write of the claim, which would make one of the two conflict, nor before a launch, which is in more of a hurry
    /// and changes it anyway. A deletion comes after it, in the next step, so that the claim still says why.
    fn finish(mut self) -> Step {
        let claim = self.view.claim;
        let conditions = nodeclaim::CONDITIONS.merge(claim.subject(), &self.changes, self.now);
        if conditions != claim.conditions {
            self.status.conditions = Some(conditions);
        }
        let waits = |effect: &Effect| matches!(effect, Effect::PatchClaim(_) | Effect::Launch { .. });
        let is_over = self.view.claim.deleted.is_some()
            && (!claim.has_finalizer || self.effects.contains(&Effect::RemoveClaimFinalizer));
        if self.status != StatusPatch::default() && !is_over && !self.effects.iter().any(waits) {
            self.effects.retain(|effect| !matches!(effect, Effect::DeleteClaim(_)));
            self.effects.push(Effect::SetStatus(self.status));
        }
        Step { effects: self.effects, requeue_at: self.requeue_at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lifecycle::testing::Scene;
    use crate::model::bound_pod::Runner;
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
