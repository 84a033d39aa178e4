//! From a registered Node to one that is ready for the pods that it was launched for.
//!
//! The first thing that is missing is named in the condition. Nothing ends here for want of time: a Node that never gets ready is given up by
//! `disruption`, as soon as [its time](crate::disruption::emptiness::INITIALIZATION_TIMEOUT) is over and nothing runs on it. Karpenter leaves it to
//! people.

use super::draft::Draft;
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
        let message =
            format!("startup taint {taint} is still on Node {name}; whatever should remove it has not");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::{ConditionStatus, find};
    use crate::lifecycle::effect::Effect;
    use crate::lifecycle::testing::Scene;
    use crate::model::testing::nodes::{at, claim, registered_node, taint};
    use crate::model::testing::resource_list;

    fn pending() -> NodeClaim {
        let claim = claim().registered();
        NodeClaim {
            startup_taints: vec![taint("example.com/starting=yes:NoSchedule")],
            requests: resource_list("cpu=3 nvidia.com/gpu=1 example.com/none=0"),
            ..claim
        }
    }

    fn ready() -> Node {
        Node { allocatable: resource_list("cpu=3920m nvidia.com/gpu=1"), ..registered_node() }
    }

    #[test]
    fn what_is_missing_is_named() {
        type Spoil = fn(&mut Node);
        let cases: [(Spoil, &str, &str); 6] = [
            (|node| node.is_ready = false, "NodeNotReady", "Node n1 is not ready; see its conditions"),
            (
                |node| node.taints.push(taint("example.com/starting=no:NoSchedule")),
                "StartupTaintsExist",
                "startup taint example.com/starting=yes:NoSchedule is still on Node n1; whatever should remove it has not",
            ),
            (
                |node| node.taints.push(taint("node.kubernetes.io/not-ready:NoExecute")),
                "KnownEphemeralTaintsExist",
                "taint node.kubernetes.io/not-ready:NoExecute is still on Node n1; it goes when the node has started",
            ),
            (
                |node| node.allocatable = resource_list("cpu=3920m"),
                "ResourceNotRegistered",
                "Node n1 does not offer nvidia.com/gpu yet; is its device plugin running?",
            ),
            (
                |node| node.allocatable = resource_list("cpu=0 nvidia.com/gpu=1"),
                "ResourceNotRegistered",
                "Node n1 does not offer cpu yet; is its device plugin running?",
            ),
            // The first counts.
            (
                |node| {
                    node.is_ready = false;
                    node.allocatable = resource_list("");
                },
                "NodeNotReady",
                "Node n1 is not ready; see its conditions",
            ),
        ];
        for (spoil, reason, message) in cases {
            let mut node = ready();
            spoil(&mut node);
            let step = Scene::new(pending()).with_node(node).step(at(50));
            let [Effect::SetStatus(status)] = step.effects.as_slice() else { panic!("{step:?}") };
            let condition = find(status.conditions.as_ref().unwrap(), INITIALIZED).unwrap();
            assert_eq!(condition.status, ConditionStatus::Unknown);
            assert_eq!((condition.reason.as_str(), condition.message.as_str()), (reason, message));
        }
    }

    #[test]
    fn a_complete_node_is_labelled_then_noted_then_left_alone() {
        let mut scene = Scene::new(pending()).with_node(ready());
        let step = scene.step(at(50));
        let [Effect::PatchNode(patch)] = step.effects.as_slice() else { panic!("{step:?}") };
        assert_eq!(patch.labels, [(labels::INITIALIZED.to_owned(), "true".to_owned())].into());
        scene.nodes[0].labels.extend(patch.labels.clone());
        let step = scene.step(at(50));
        let [Effect::SetStatus(status)] = step.effects.as_slice() else { panic!("{step:?}") };
        scene.claim.conditions = status.conditions.clone().unwrap();
        assert!(scene.claim.is(INITIALIZED) && scene.claim.is("Ready"));
        // It stays initialized whatever becomes of the node.
        scene.nodes[0].is_ready = false;
        assert_eq!(scene.step(at(51)).effects, []);
    }

    #[test]
    fn the_label_alone_which_a_kubelet_can_write_initializes_nothing() {
        let mut node = Node { is_ready: false, ..ready() };
        node.labels.insert(labels::INITIALIZED.into(), "true".into());
        let step = Scene::new(pending()).with_node(node).step(at(50));
        let [Effect::SetStatus(status)] = step.effects.as_slice() else { panic!("{step:?}") };
        let condition = find(status.conditions.as_ref().unwrap(), INITIALIZED).unwrap();
        assert_eq!(condition.status, ConditionStatus::Unknown);
    }
}
