//! From a deleted claim to nothing: pods drained, volumes detached, instance gone, then the Nodes' finalizers, then the claim's.
//!
//! A claim whose launch may have taken effect without anybody having noted it is not let go before the cloud has been asked for such an
//! instance, late enough to know. A Node that was never registered is closed, not drained: nothing of ours runs there.

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

use super::backoff::later;
use super::draft::{Draft, missing};
use super::drain::{Drain, deadline, drain, is_drained};
use super::effect::{ClaimPatch, Effect, NodePatch};
use super::launch::{attempt, note_instance};
use super::memory::{Existence, Known, LaunchResult};
use super::notice::Notice;
use super::registration::is_adopted;
use super::view::AttachedVolume;
use crate::api::conditions::{Change, find};
use crate::api::labels;
use crate::api::nodeclaim::{DISRUPTION_REASON, DRAINED, INSTANCE_TERMINATING, LAUNCHED, VOLUMES_DETACHED};
use crate::model::node::disrupted_taint;
use crate::model::text::Quote;
use crate::model::{BoundPod, Node, ProviderId};

/// So long after a launch, or after the last moment at which one can have been made, the cloud shows the instance to whoever asks.
pub(super) const LAUNCH_SHOWS_WITHIN: SignedDuration = SignedDuration::from_secs(30);
/// So long no pod may show up before a node is drained: one may have been bound as the taint was put on.
pub(super) const LEAST_DRAIN: SignedDuration = SignedDuration::from_secs(5);
/// How often volumes are looked at, and pods in case a change was missed.
const POLL: SignedDuration = SignedDuration::from_secs(1);
const POLL_PODS: SignedDuration = SignedDuration::from_secs(10);

pub(super) fn step(draft: &mut Draft<'_>) {
    let claim = draft.view.claim;
    if note_deadline(draft) {
        return;
    }
    match &claim.provider_id {
        Some(provider_id) => end(draft, provider_id),
        None => find_instance(draft),
    }
}

/// The deadline of the drain is noted once, so that whoever brings it forward is not overruled.
fn note_deadline(draft: &mut Draft<'_>) -> bool {
    let claim = draft.view.claim;
    let noted = claim.annotations.get(labels::TERMINATION_TIMESTAMP);
    let is_readable = noted.is_some_and(|text| text.parse::<Timestamp>().is_ok());
    let Some(deadline) = deadline(claim).filter(|_| !is_readable) else { return false };
    let annotations = [(labels::TERMINATION_TIMESTAMP.to_owned(), deadline.to_string())].into();
    draft.report(&Notice::TerminationGracePeriodExpiring { deadline });
    draft.push(Effect::PatchClaim(ClaimPatch { annotations, ..ClaimPatch::default() }));
    true
}

/// The claim knows no instance. There may be one all the same.
fn find_instance(draft: &mut Draft<'_>) {
    let (claim, memory) = (draft.view.claim, draft.view.memory);
    if let Some(LaunchResult::Launched(instance)) = memory.launch.as_ref().map(|known| &known.value) {
        draft.set(Change::holds(LAUNCHED));
        note_instance(draft, instance);
        return;
    }
    if memory.has_refused(attempt(claim)) {
        draft.push(Effect::RemoveClaimFinalizer);
        return;
    }
    // A launch may have been under way when the claim was deleted, here or in a process that has crashed since: before the first look it
    // had ended.
    let last_launch = memory.looks_since.max(Some(claim.deleted.unwrap_or(claim.created)));
    let certain_from = later(last_launch.unwrap_or(draft.now), LAUNCH_SHOWS_WITHIN);
    match memory.found.as_ref() {
        None => draft.push(Effect::FindInstance),
        Some(known) => match &known.value {
            Ok(Some(provider_id)) => {
                draft.set(Change::holds(LAUNCHED));
                draft.status.provider_id = Some(provider_id.clone());
            }
            Ok(None) if known.at >= certain_from => draft.push(Effect::RemoveClaimFinalizer),
            Ok(None) if draft.now >= certain_from => draft.push(Effect::FindInstance),
            Ok(None) => draft.look_again_at(certain_from),
            Err(_) if draft.now >= known.ask_again => draft.push(Effect::FindInstance),
            Err(_) => draft.look_again_at(known.ask_again),
        },
    }
}

fn end(draft: &mut Draft<'_>, provider_id: &ProviderId) {
    let view = draft.view;
    if is_gone(draft) {
        let_go(draft);
        return;
    }
    view.nodes.iter().for_each(|node| close(draft, node));
    if draft.is_busy() {
        return;
    }
    // From here on there is no way back: an instance that is told to end is not drained any more.
    let is_to_be_drained =
        !view.claim.is(INSTANCE_TERMINATING) && view.nodes.iter().any(|node| is_adopted(node, view.claim));
    let is_drained = !is_to_be_drained
        || (!ask_for_silent_nodes(draft, provider_id) && drain_pods(draft) && detach_volumes(draft));
    if is_drained {
        terminate(draft, provider_id);
    }
}

/// Whether the instance is known to be gone, by the last that the cloud has said.
///
/// Right after a launch the cloud may not know of it yet, not even when its kubelet is heard already. It does once it has said that the
/// instance will end, or after a while.
fn is_gone(draft: &Draft<'_>) -> bool {
    let (claim, memory) = (draft.view.claim, draft.view.memory);
    // A Node that is ready has its kubelet's word for it that the instance runs.
    let is_silent = draft.view.nodes.iter().all(|node| !node.is_ready);
    let answers = memory.instance.iter().filter(|_| is_silent).chain(&memory.termination);
    let Some(last) = answers.max_by_key(|known| known.at) else { return false };
    let shows_from = later(claim.true_since(LAUNCHED).unwrap_or(claim.created), LAUNCH_SHOWS_WITHIN);
    last.value == Ok(Existence::Gone) && (claim.is(INSTANCE_TERMINATING) || last.at >= shows_from)
}

/// Keeps new pods off the Node, and marks it as going, one after the other.
fn close(draft: &mut Draft<'_>, node: &Node) {
    let taint = disrupted_taint();
    let others = node.taints.iter().filter(|other| other.key == taint.key && other.effect != taint.effect);
    let patch = NodePatch {
        remove_taints: others.cloned().collect(),
        taints: if node.has_taint(&taint) { Vec::new() } else { vec![taint.clone()] },
        labels: missing(&node.labels, [(labels::EXCLUDE_BALANCERS, labels::EXCLUDE_BALANCERS_VALUE)]),
        ..NodePatch::of(&node.object)
    };
    let is_closed = !draft.patch_node(patch);
    // Without our finalizer it would be gone at once, and its pods with it.
    if is_closed && !node.is_deleting && node.has_finalizer {
        draft.push(Effect::DeleteNode(node.object.clone()));
    }
}

/// A Node that is not ready may have no instance any more, and then there is nothing to drain. Whether the answer is awaited.
fn ask_for_silent_nodes(draft: &mut Draft<'_>, provider_id: &ProviderId) -> bool {
    let is_silent = draft.view.nodes.iter().any(|node| !node.is_ready);
    let known = draft.view.memory.instance.as_ref();
    let is_fresh = known.is_some_and(|known| draft.now < known.ask_again);
    if is_silent && !is_fresh {
        draft.push(Effect::GetInstance { provider_id: provider_id.clone() });
        return true;
    }
    if is_silent {
        draft.look_again_at(known.map(|known| known.ask_again));
    }
    false
}

/// Whether no pod is left.
fn drain_pods(draft: &mut Draft<'_>) -> bool {
    let view = draft.view;
    let pods = known_pods(draft);
    let Drain { evict, delete, waiting, look_again } =
        drain(&pods, view.memory, deadline(view.claim), draft.now);
    if waiting.is_empty() {
        return no_pod_is_coming(draft) && is_confirmed(draft);
    }
    let troubled = waiting.iter().any(|pod| pod.hold.is_trouble());
    if let Some(node) = view.nodes.first().filter(|_| troubled) {
        draft.report(&Notice::FailedDraining { node, waiting: &waiting });
    }
    draft.set(Change::unknown(DRAINED, "Draining", "pods are left; see the events of the Node"));
    for pod in evict {
        draft.push(Effect::Evict(pod.reference()));
    }
    for (pod, grace) in delete {
        draft.push(Effect::DeletePod { pod: pod.reference(), grace });
    }
    draft.look_again_at(look_again);
    draft.look_again_at(later(draft.now, POLL_PODS));
    if let Cow::Owned(_) = pods {
        // That they are gone will be told by no watch.
        draft.look_again_at(listed(draft).map(|known| known.ask_again));
    }
    false
}

/// What the API server said lately about the pods.
fn listed<'a>(draft: &Draft<'a>) -> Option<&'a Known<Result<Vec<BoundPod>, String>>> {
    draft.view.memory.pods.as_ref().filter(|known| draft.now < known.ask_again)
}

/// The pods that the watch shows, and those besides that the API server named lately.
fn known_pods<'a>(draft: &Draft<'a>) -> Cow<'a, [BoundPod]> {
    let shown = draft.view.pods;
    let listed = listed(draft).and_then(|known| known.value.as_ref().ok()).into_iter().flatten();
    let unseen: Vec<_> = listed.filter(|pod| shown.iter().all(|other| other.uid != pod.uid)).collect();
    if unseen.is_empty() {
        return Cow::Borrowed(shown);
    }
    shown.iter().chain(unseen).cloned().collect()
}

/// Whether the API server itself has said that no pod is left. Nothing but that keeps an instance from being terminated under pods that a watch
/// has not shown yet.
fn is_confirmed(draft: &mut Draft<'_>) -> bool {
    let view = draft.view;
    if view.claim.is(DRAINED) {
        return true;
    }
    let Some(known) = listed(draft) else {
        let nodes = view.nodes.iter().map(|node| node.object.name.clone()).collect();
        draft.push(Effect::ListPods { nodes });
        return false;
    };
    if let Err(message) = &known.value {
        let message = format!(
            "the API server could not be asked which pods are left, so the instance stays: {}",
            Quote(message)
        );
        draft.set(Change::unknown(DRAINED, "Draining", message));
        draft.look_again_at(known.ask_again);
        return false;
    }
    draft.set(Change::holds(DRAINED));
    true
}

/// Whether the node has been closed for so long that no pod can be on its way to it.
///
/// A disrupted claim's node has been closed for as long as the claim has its reason: the taint is put on first.
fn no_pod_is_coming(draft: &mut Draft<'_>) -> bool {
    let claim = draft.view.claim;
    let draining_since = find(&claim.conditions, DRAINED).map(|condition| condition.last_transition_time.0);
    let closed_since = draining_since.into_iter().chain(claim.true_since(DISRUPTION_REASON)).min();
    let certain_from = later(closed_since.unwrap_or(draft.now), LEAST_DRAIN);
    if claim.is(DRAINED) || draft.now >= certain_from {
        return true;
    }
    draft.set(Change::unknown(
        DRAINED,
        "Draining",
        "no pod is left; one that was bound just now would be seen",
    ));
    draft.look_again_at(certain_from);
    false
}

/// Whether no volume is left that would be torn off.
fn detach_volumes(draft: &mut Draft<'_>) -> bool {
    let view = draft.view;
    let uses = |pod: &BoundPod, volume: &AttachedVolume| {
        volume.claim.as_ref().is_some_and(|claim| {
            claim.namespace == pod.key.namespace && pod.volume_claims.contains(&claim.name)
        })
    };
    // What a pod uses that stays until the end is not waited for.
    let staying: Vec<_> =
        { view.pods.iter() }.filter(|pod| !pod.phase.is_terminal() && !is_drained(pod, draft.now)).collect();
    let stays = |volume: &AttachedVolume| staying.iter().any(|pod| uses(pod, volume));
    let left: Vec<_> = view.volumes.iter().filter(|volume| !stays(volume)).collect();
    if left.is_empty() {
        draft.set(Change::holds(VOLUMES_DETACHED));
        return true;
    }
    let names: Vec<_> = left.iter().map(|volume| volume.name.as_str()).collect();
    if deadline(view.claim).is_some_and(|deadline| draft.now >= deadline) {
        let message = format!("{} volumes were still attached at the deadline", left.len());
        draft.set(Change::fails(VOLUMES_DETACHED, "TerminationGracePeriodElapsed", message));
        return true;
    }
    if let Some(node) = view.nodes.first() {
        draft.report(&Notice::AwaitingVolumeDetachment { node, volumes: &names });
    }
    let message = format!("{} volumes are still attached", left.len());
    draft.set(Change::unknown(VOLUMES_DETACHED, "AwaitingVolumeDetachment", message));
    draft.look_again_at(later(draft.now, POLL));
    false
}

/// Asks until the answer is that the instance is gone.
fn terminate(draft: &mut Draft<'_>, provider_id: &ProviderId) {
    let Some(known) = draft.view.memory.termination.as_ref() else {
        draft.push(Effect::Terminate { provider_id: provider_id.clone() });
        return;
    };
    match &known.value {
        Ok(Existence::Exists) => draft.set(Change::holds(INSTANCE_TERMINATING)),
        // The cloud does not know the instance yet, and will.
        Ok(Existence::Gone) => {}
        Err(message) => {
            if !draft.view.claim.is(INSTANCE_TERMINATING) {
                let message = format!("instance {provider_id} could not be terminated: {message}");
                draft.set(Change::unknown(INSTANCE_TERMINATING, "TerminationFailed", message));
            }
            draft.report(&Notice::FailedTermination { provider_id, message });
        }
    }
    if draft.now >= known.ask_again {
        draft.push(Effect::Terminate { provider_id: provider_id.clone() });
    } else {
        draft.look_again_at(known.ask_again);
    }
}

/// The instance is gone: first the Nodes are let go, then the claim.
fn let_go(draft: &mut Draft<'_>) {
    for node in draft.view.nodes {
        if !node.is_deleting {
            draft.push(Effect::DeleteNode(node.object.clone()));
        } else if node.has_finalizer {
            draft.push(Effect::RemoveNodeFinalizer(node.object.clone()));
        }
    }
    // A Node that is kept by somebody else's finalizer is not waited for.
    if !draft.is_busy() {
        draft.push(Effect::RemoveClaimFinalizer);
    }
}

#[cfg(test)]
mod tests;
