//! From a registered Node to one that is ready for the pods that it was launched for.
//!
//! The first thing that is missing is named in the condition. There is no timeout: a Node that is registered and never gets ready is
//! left to people, as in Karpenter.

use super::claim::Draft;
use super::effect::NodePatch;
use crate::api::conditions::Change;
use crate::api::labels;
use crate::api::nodeclaim::INITIALIZED;
use crate::model::{Node, NodeClaim};

/// Gets the registered Node initialized.
pub(super) fn initialize(draft: &mut Draft<'_>, node: &Node) {
    if draft.view.claim.is(INITIALIZED) {
        draft.set(Change::holds(INITIALIZED));
        return;
    }
    if let Err((reason, message)) = check(node, draft.view.claim) {
        draft.set(Change::unknown(INITIALIZED, reason, message));
        return;
    }
    if node.is_labelled(labels::INITIALIZED) {
        draft.set(Change::holds(INITIALIZED));
    } else if !draft.is_busy() {
        // A Node is written once in a step.
        let labels = [(labels::INITIALIZED.to_owned(), "true".to_owned())].into();
        draft.patch_node(NodePatch { labels, ..NodePatch::of(&node.object) });
    }
}

fn check(node: &Node, claim: &NodeClaim) -> Result<(), (&'static str, String)> {
    let name = &node.object.name;
    if !node.is_ready {
        return Err(("NodeNotReady", format!("Node {name} is not ready; see its conditions")));
    }
    if let Some(taint) = claim.startup_taints.iter().find(|taint| node.has_taint_like(taint)) {
        let message = format!("startup taint {taint} is still on Node {name}; whatever should remove it has not");
        return Err(("StartupTaintsExist", message));
    }
    if let Some(taint) = node.taints.iter().find(|taint| taint.is_ephemeral()) {
        let message = format!("taint {taint} is still on Node {name}; it goes when the node has started");
        return Err(("KnownEphemeralTaintsExist", message));
    }
    let lacks = |resource: &str| node.allocatable.amount(resource).is_zero();
    let absent = claim.requests.iter().find(|(resource, amount)| !amount.is_zero() && lacks(resource));
    if let Some((resource, _)) = absent {
        let message = format!("Node {name} does not offer {resource} yet; is its device plugin running?");
        return Err(("ResourceNotRegistered", message));
    }
    Ok(())
}
