//! From a Node that its kubelet created to one that pods may use.
//!
//! A kubelet registers with the taint `karpenter.sh/unregistered:NoExecute`. While it is on, the Node gets its finalizer, its owner, the
//! claim's labels, annotations and taints, and the labels of the workload types. Only when all of that is *seen* on the Node is the taint
//! taken off, by a write that fails if anything on the Node has changed since: no pod can use a node that lacks any of it. Nor is it taken off while
//! pods wait that would get onto the node without a right to.
//!
//! Stricter than Karpenter:
//! - a Node that shows up without the taint was open before it was fenced. It is never registered, and its claim is deleted;
//! - pool taints are put on, and given the claim's value, even where the Node asks for taints not to be synced: a kubelet can write that
//!   label. Only startup taints are left alone there, since whatever removes those may have done so already;
//! - labels of types that do not name the claim's pool are taken off, even if the pool's template gives them.
//!
//! Afterwards only type labels are kept up, and none is removed: pods of the type may run there. Where a type has come to the pool since, its label waits
//! for what a launch would wait for.

use std::collections::BTreeMap;

use crate::api::conditions::Change;
use crate::api::labels;
use crate::api::nodeclaim::REGISTERED;
use crate::model::workload_type::unregistered_taint;
use crate::model::{Node, NodeClaim};

use super::draft::{Draft, missing};
use super::effect::{DeletionReason, NodePatch};
use super::fence::Gate;
use super::launch::LAUNCH_ATTEMPT;
use super::notice::Notice;
use super::planted::removal::{Held, Way, remove_planted};

/// Annotations that are about the claim and not about its Node.
const OF_THE_CLAIM: [&str; 3] =
    [labels::TERMINATION_TIMESTAMP, LAUNCH_ATTEMPT, "kubectl.kubernetes.io/last-applied-configuration"];

/// How far a Node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It waits behind its taint.
    Fenced,
    /// It was registered for this claim.
    Ours,
    /// It is open, and nobody registered it.
    Stranger,
}

/// Gets the claim's Node registered. The Node, once it is; until then what is in the way, where it is not the Node that is waited for.
pub(super) fn register<'a>(draft: &mut Draft<'a>) -> Result<&'a Node, Option<String>> {
    let view = draft.view;
    let is_registered = view.claim.is(REGISTERED);
    if is_registered {
        draft.set(Change::holds(REGISTERED));
        if let Some(node) = view.nodes.iter().find(|node| node.is_deleting && node.has_finalizer) {
            draft.give_up(DeletionReason::NodeDeleted, &Notice::NodeDeleted { node });
            return Err(None);
        }
    }
    let mut nodes = view.nodes.iter().filter(|node| !node.is_deleting);
    let node = match (nodes.next(), nodes.next()) {
        (Some(node), None) => node,
        (None, _) => {
            if !is_registered {
                let message = "no Node has the instance's provider ID yet";
                draft.set(Change::unknown(REGISTERED, "NodeNotFound", message));
            }
            return Err(None);
        }
        (Some(_), Some(_)) => {
            let notice = Notice::MultipleNodesFound { nodes: view.nodes };
            if !is_registered {
                draft.set(Change::fails(REGISTERED, "MultipleNodesFound", notice.to_string()));
            }
            draft.report(&notice);
            return Err(None);
        }
    };
    match standing(node, view.claim) {
        Standing::Stranger => {
            let notice = Notice::UnregisteredTaintMissing { node };
            if !is_registered {
                draft.set(Change::fails(REGISTERED, "UnregisteredTaintMissing", notice.to_string()));
            }
            draft.give_up(DeletionReason::UnregisteredTaintMissing, &notice);
            Err(None)
        }
        Standing::Fenced => {
            let sync = missing_on(node, view.claim, view.type_labels);
            if draft.patch_node(sync) { Err(None) } else { Err(open(draft, node)) }
        }
        Standing::Ours => {
            draft.set(Change::holds(REGISTERED));
            if view.claim.node_name.as_ref() != Some(&node.object.name) {
                draft.status.node_name = Some(node.object.name.clone());
            }
            join(draft, node);
            Ok(node)
        }
    }
}

/// Whether the Node was registered for this claim: it carries the label, and belongs to the claim. A kubelet can write the label, and does
/// not know the claim's UID. Of a claim that is registered either will do, since people may have taken the other off.
pub(super) fn is_adopted(node: &Node, claim: &NodeClaim) -> bool {
    let is_owned = node.owner_uids.contains(&claim.object.uid);
    let is_labelled = node.is_labelled(labels::REGISTERED);
    if claim.is(REGISTERED) { is_owned || is_labelled } else { is_owned && is_labelled }
}

fn standing(node: &Node, claim: &NodeClaim) -> Standing {
    let is_fenced = node.has_taint_like(&unregistered_taint());
    // Put on a registered Node by hand, the taint is not ours to take off.
    let was_opened = claim.is(REGISTERED) && node.is_labelled(labels::REGISTERED);
    if is_fenced && !was_opened {
        Standing::Fenced
    } else if is_adopted(node, claim) {
        Standing::Ours
    } else {
        Standing::Stranger
    }
}

/// Gives an open Node to the types that its pool has come to since, once these guard its taints and no pod waits that has no right to it.
fn join(draft: &mut Draft<'_>, node: &Node) {
    let labels = missing_type_labels(node, draft.view.type_labels);
    if labels.is_empty() || *draft.view.gate != Gate::Open {
        return;
    }
    if let Way::Free = remove_planted(draft, Held::Joining) {
        draft.patch_node(NodePatch { labels, ..NodePatch::of(&node.object) });
    }
}

fn missing_type_labels(node: &Node, type_labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    missing(&node.labels, type_labels.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}

/// Whether a step opens the claim's Node now, or gives it to a type, if no pod is in the way: only then it must be known which are.
#[must_use]
pub fn is_next(claim: &NodeClaim, nodes: &[Node], type_labels: &BTreeMap<String, String>) -> bool {
    let mut nodes = nodes.iter().filter(|node| !node.is_deleting);
    let (Some(node), None) = (nodes.next(), nodes.next()) else { return false };
    claim.deleted.is_none()
        && match standing(node, claim) {
            Standing::Fenced => missing_on(node, claim, type_labels).is_empty(),
            Standing::Ours => !missing_type_labels(node, type_labels).is_empty(),
            Standing::Stranger => false,
        }
}

/// All that the Node lacks to be opened.
fn missing_on(node: &Node, claim: &NodeClaim, type_labels: &BTreeMap<String, String>) -> NodePatch {
    let mut taints: Vec<_> = claim.taints.iter().filter(|taint| !node.has_taint(taint)).cloned().collect();
    // Once only, together with the finalizer: whatever removes startup taints may be quicker than we are.
    if !node.has_finalizer && !node.is_labelled(labels::DO_NOT_SYNC_TAINTS) {
        let absent = claim.startup_taints.iter().filter(|taint| !node.has_taint_like(taint));
        taints.extend(absent.cloned());
    }
    let wanted = claim.labels.iter().chain(type_labels);
    let is_foreign = |key: &&String| {
        let is_of_a_type = labels::is_node_type_label(key) || *key == labels::NODE_TEAM;
        is_of_a_type && !type_labels.contains_key(*key) && !claim.labels.contains_key(*key)
    };
    let annotations = claim.annotations.iter().filter(|(key, _)| !OF_THE_CLAIM.contains(&key.as_str()));
    NodePatch {
        add_finalizer: !node.has_finalizer,
        owner: (!node.owner_uids.contains(&claim.object.uid)).then(|| claim.object.clone()),
        labels: missing(&node.labels, wanted.map(|(key, value)| (key.as_str(), value.as_str()))),
        remove_labels: node.labels.keys().filter(is_foreign).cloned().collect(),
        annotations: missing(
            &node.annotations,
            annotations.map(|(key, value)| (key.as_str(), value.as_str())),
        ),
        taints,
        ..NodePatch::of(&node.object)
    }
}

/// Opens the Node, unless a type has come to its pool since the launch and does not guard its taints yet, or pods wait that would get onto it without
/// a right to. What is told about that.
fn open(draft: &mut Draft<'_>, node: &Node) -> Option<String> {
    if let Gate::Closed { reason, message } = draft.view.gate {
        if !draft.view.claim.is(REGISTERED) {
            draft.set(Change::unknown(REGISTERED, *reason, message.as_str()));
        }
        return Some(message.clone());
    }
    match remove_planted(draft, Held::Opening) {
        Way::Free => {
            draft.patch_node(NodePatch {
                labels: [(labels::REGISTERED.to_owned(), "true".to_owned())].into(),
                remove_taints: vec![unregistered_taint()],
                ..NodePatch::of(&node.object)
            });
            None
        }
        Way::Unknown => None,
        Way::Blocked { why } => Some(why),
    }
}

#[cfg(test)]
mod tests;
