use super::*;
use crate::api::conditions::{Condition, ConditionStatus};
use crate::lifecycle::effect::DeletionReason;
use crate::lifecycle::memory::{Answer, EvictionAnswer, LaunchFailure, LaunchProblem};
use crate::lifecycle::testing::{Scene, launched_instance};
use crate::model::pod::PodKey;
use crate::model::testing::nodes::{at, claim, fresh_node, instance_id, pod, registered_node, taint};
use crate::model::{NodeClaim, Toleration};

/// Effects in short; a status as the conditions that change, `Ready` left out.
fn short(scene: &Scene, now: i64) -> Vec<String> {
    let describe = |condition: &Condition| format!("{}={}", condition.type_, condition.status);
    let words = |effect: &Effect| match effect {
        Effect::PatchClaim(patch) => {
            patch.annotations.values().map(|value| format!("note {value}")).collect()
        }
        Effect::SetStatus(status) => {
            let conditions = status.conditions.clone().unwrap_or_default();
            let is_new = |condition: &&Condition| {
                condition.type_ != "Ready" && scene.claim.condition(&condition.type_) != Some(condition)
            };
            conditions.iter().filter(is_new).map(describe).collect()
        }
        Effect::PatchNode(patch) => patch.taints.iter().map(|taint| format!("taint {taint}")).collect(),
        Effect::DeleteNode(_) => vec!["delete node".to_owned()],
        Effect::RemoveNodeFinalizer(_) => vec!["release node".to_owned()],
        Effect::RemoveClaimFinalizer => vec!["release claim".to_owned()],
        Effect::FindInstance => vec!["find".to_owned()],
        Effect::GetInstance { .. } => vec!["get".to_owned()],
        Effect::Terminate { .. } => vec!["terminate".to_owned()],
        Effect::ListPods { nodes } => vec![format!("list {}", nodes.join(","))],
        Effect::Evict(pod) => vec![format!("evict {}", pod.key.name)],
        Effect::DeletePod { pod, grace } => vec![format!("kill {} {}", pod.key.name, grace.as_secs())],
        Effect::Report(event) => vec![event.reason.to_owned()],
        Effect::DeleteClaim(_)
        | Effect::Launch { .. }
        | Effect::FindOwner { .. }
        | Effect::DeletePlanted(_) => vec!["unexpected".to_owned()],
    };
    scene.step(at(now)).effects.iter().flat_map(words).collect::<Vec<String>>()
}

/// A registered claim that was deleted at 100 s, whose Node is closed and being deleted.
fn closing() -> Scene {
    let mut node = registered_node();
    node.is_deleting = true;
    node.taints.push(disrupted_taint());
    node.labels.insert(labels::EXCLUDE_BALANCERS.into(), labels::EXCLUDE_BALANCERS_VALUE.into());
    let claim = claim().registered().deleted(100).with(&[], at(100));
    Scene::new(claim).with_node(node)
}

fn drained(scene: Scene) -> Scene {
    let changes = [Change::holds(DRAINED), Change::holds(VOLUMES_DETACHED)];
    Scene { claim: scene.claim.clone().with(&changes, at(110)), ..scene }
}

#[test]
fn a_claim_without_our_finalizer_is_nothing_to_us() {
    let mut scene = closing();
    scene.claim.has_finalizer = false;
    assert_eq!(scene.step(at(101)).effects, []);
}

#[test]
fn the_node_is_closed_before_it_is_deleted_and_both_before_anything_else() {
    let mut scene = closing();
    scene.pods = vec![pod("web")];
    scene.nodes[0] = registered_node();
    scene.nodes[0].taints.push(taint("karpenter.sh/disrupted=old:NoExecute"));
    let step = scene.step(at(100));
    let [Effect::PatchNode(patch)] = step.effects.as_slice() else { panic!("{step:?}") };
    assert_eq!(patch.taints, [disrupted_taint()]);
    assert_eq!(patch.remove_taints, [taint("karpenter.sh/disrupted=old:NoExecute")]);
    assert_eq!(patch.labels.len(), 1);
    scene.nodes[0] = Node { is_deleting: false, ..closing().nodes.remove(0) };
    assert_eq!(short(&scene, 100), ["delete node"]);
    scene.nodes[0].is_deleting = true;
    assert_eq!(short(&scene, 100), ["evict web", "Drained=Unknown"]);
}

#[test]
fn a_node_without_our_finalizer_is_drained_before_it_is_deleted() {
    let mut scene = closing();
    scene.nodes[0].has_finalizer = false;
    scene.nodes[0].is_deleting = false;
    scene.pods = vec![pod("web")];
    assert_eq!(short(&scene, 100), ["evict web", "Drained=Unknown"]);
}

#[test]
fn a_node_that_was_never_registered_is_closed_and_not_drained() {
    let mut scene = Scene::new(claim().launched().deleted(30).with(&[], at(30))).with_node(fresh_node());
    scene.pods = vec![pod("web")];
    assert_eq!(short(&scene, 30), ["taint karpenter.sh/disrupted:NoSchedule"]);
    scene.nodes[0].taints.push(disrupted_taint());
    scene.nodes[0].labels.insert(labels::EXCLUDE_BALANCERS.into(), labels::EXCLUDE_BALANCERS_VALUE.into());
    assert_eq!(short(&scene, 30), ["terminate"]);
}

#[test]
fn an_empty_node_is_drained_once_it_has_been_closed_for_five_seconds() {
    let mut scene = closing();
    assert_eq!(short(&scene, 100), ["Drained=Unknown"]);
    assert_eq!(scene.step(at(100)).requeue_at, Some(at(105)));
    let draining =
        Change::unknown(DRAINED, "Draining", "no pod is left; one that was bound just now would be seen");
    scene.claim = scene.claim.with(&[draining], at(100));
    assert_eq!(short(&scene, 104), Vec::<String>::new());
    assert_eq!(short(&scene, 105), ["list n1"]);
    scene.memory.record(Answer::Pods(Ok(vec![])), at(105));
    assert_eq!(short(&scene, 105), ["terminate", "Drained=True", "VolumesDetached=True"]);
    // A pod that comes late is drained even so.
    scene.claim = drained(scene.clone()).claim;
    assert_eq!(short(&scene, 200), ["terminate"]);
    scene.pods = vec![pod("late")];
    assert_eq!(short(&scene, 200), ["evict late", "Drained=Unknown"]);
    // The time that it was closed as a disrupted node counts.
    let mut scene = closing();
    scene.claim = scene.claim.with(&[Change::holds(DISRUPTION_REASON)], at(95));
    scene.memory.record(Answer::Pods(Ok(vec![])), at(100));
    assert_eq!(short(&scene, 100), ["terminate", "Drained=True", "VolumesDetached=True"]);
}

/// A claim whose Node has been closed for long, with no pod that a watch has shown.
fn seemingly_empty() -> Scene {
    let mut scene = closing();
    scene.claim = scene.claim.with(&[Change::holds(DISRUPTION_REASON)], at(50));
    scene
}

#[test]
fn pods_that_only_the_api_server_knows_of_are_drained_like_the_others() {
    let mut scene = seemingly_empty();
    assert_eq!(short(&scene, 100), ["list n1"]);
    scene.memory.record(Answer::Pods(Ok(vec![pod("web")])), at(100));
    assert_eq!(short(&scene, 100), ["evict web", "Drained=Unknown"]);
    assert_eq!(scene.step(at(100)).requeue_at, Some(at(105)), "no watch tells that it is gone");
    let answer = EvictionAnswer::Blocked { message: "budget".into() };
    scene.memory.record(Answer::Eviction { uid: "web-uid".into(), answer }, at(100));
    scene.memory.see(&[], &[]);
    assert_eq!(short(&scene, 100), ["FailedDraining", "Drained=Unknown"]);
    // The watch has caught up: it is one pod, not two.
    scene.pods = vec![pod("web")];
    assert_eq!(short(&scene, 104), ["FailedDraining", "evict web", "Drained=Unknown"]);
    scene.pods.clear();
    assert_eq!(short(&scene, 105), ["list n1"], "what was said is old");
    scene.memory.record(Answer::Pods(Ok(vec![])), at(105));
    assert_eq!(short(&scene, 105), ["terminate", "Drained=True", "VolumesDetached=True"]);
    // Pods that are not waited for, wherever they are known from.
    let staying =
        BoundPod { tolerations: vec![Toleration::of(&disrupted_taint()).into_owned()], ..pod("agent") };
    scene.memory.record(Answer::Pods(Ok(vec![staying])), at(106));
    assert_eq!(short(&scene, 106), ["terminate", "Drained=True", "VolumesDetached=True"]);
}

#[test]
fn nothing_is_terminated_while_the_api_server_cannot_be_asked_for_pods_not_even_at_the_deadline() {
    let mut scene = seemingly_empty();
    scene.claim.annotations.insert(labels::TERMINATION_TIMESTAMP.into(), at(60).to_string());
    scene.memory.record(Answer::Pods(Err("pods is forbidden".into())), at(100));
    let step = scene.step(at(100));
    let [Effect::SetStatus(status)] = step.effects.as_slice() else { panic!("{step:?}") };
    let drained = find(status.conditions.as_ref().unwrap(), DRAINED).unwrap();
    assert_eq!(
        drained.message,
        "the API server could not be asked which pods are left, so the instance stays: pods is forbidden"
    );
    assert_eq!((step.requeue_at, short(&scene, 101)), (Some(at(101)), vec!["list n1".to_owned()]));
}

#[test]
fn trouble_with_pods_is_told_and_their_deadline_kept() {
    let mut scene = closing();
    scene.claim.annotations.insert(labels::TERMINATION_TIMESTAMP.into(), at(200).to_string());
    scene.claim = scene
        .claim
        .with(&[Change::unknown(DRAINED, "Draining", "pods are left; see the events of the Node")], at(100));
    scene.pods = vec![pod("web")];
    let answer = EvictionAnswer::Blocked { message: "budget".into() };
    scene.memory.record(Answer::Eviction { uid: "web-uid".into(), answer }, at(160));
    assert_eq!(short(&scene, 160), ["FailedDraining"]);
    assert_eq!(short(&scene, 161), ["FailedDraining", "evict web"]);
    assert_eq!(short(&scene, 170), ["kill web 30"]);
    assert!(scene.step(at(161)).requeue_at.is_some_and(|due| due <= at(170)));
}

#[test]
fn a_deadline_is_noted_once_and_an_earlier_one_stays() {
    let mut scene = closing();
    scene.claim.termination_grace_period = Some(SignedDuration::from_secs(60));
    assert_eq!(short(&scene, 100), ["TerminationGracePeriodExpiring", "note 2026-01-01T00:02:40Z"]);
    scene.claim.annotations.insert(labels::TERMINATION_TIMESTAMP.into(), "soon".into());
    assert_eq!(short(&scene, 100), ["TerminationGracePeriodExpiring", "note 2026-01-01T00:02:40Z"]);
    scene.claim.annotations.insert(labels::TERMINATION_TIMESTAMP.into(), at(1).to_string());
    assert_eq!(short(&scene, 100), ["Drained=Unknown"]);
}

#[test]
fn volumes_are_waited_for_until_the_deadline_save_those_of_pods_that_stay() {
    let volume = |name: &str, claim: Option<&str>| AttachedVolume {
        name: name.into(),
        claim: claim.map(|name| PodKey { namespace: "shop".into(), name: name.into() }),
    };
    let staying = BoundPod {
        tolerations: vec![Toleration::of(&disrupted_taint()).into_owned()],
        volume_claims: vec!["logs".into()],
        ..pod("agent")
    };
    let mut scene = drained(closing());
    scene.pods = vec![staying];
    scene.volumes = vec![volume("pv-logs", Some("logs"))];
    assert_eq!(short(&scene, 120), ["terminate"]);
    scene.volumes.push(volume("pv-orders", Some("orders")));
    scene.volumes.push(volume("pv-odd", None));
    let step = scene.step(at(120));
    let Some(Effect::Report(event)) = step.effects.first() else { panic!("{step:?}") };
    assert!(
        event.message.contains("pv-orders, pv-odd") && !event.message.contains("pv-logs"),
        "{}",
        event.message
    );
    assert_eq!(short(&scene, 120), ["AwaitingVolumeDetachment", "VolumesDetached=Unknown"]);
    assert_eq!(step.requeue_at, Some(at(121)));
    scene.claim.annotations.insert(labels::TERMINATION_TIMESTAMP.into(), at(200).to_string());
    assert_eq!(short(&scene, 199), ["AwaitingVolumeDetachment", "VolumesDetached=Unknown"]);
    assert_eq!(short(&scene, 200), ["terminate", "VolumesDetached=False"]);
}

#[test]
fn the_instance_is_terminated_until_it_is_gone_and_then_everything_is_let_go_in_order() {
    let mut scene = drained(closing());
    assert_eq!(short(&scene, 120), ["terminate"]);
    scene.memory.record(Answer::Termination(Ok(Existence::Exists)), at(120));
    assert_eq!(short(&scene, 120), ["InstanceTerminating=True"]);
    scene.claim = scene.claim.with(&[Change::holds(INSTANCE_TERMINATING)], at(120));
    assert_eq!((short(&scene, 124), scene.step(at(124)).requeue_at), (vec![], Some(at(125))));
    assert_eq!(short(&scene, 125), ["terminate"]);
    // No way back, whatever shows up now.
    scene.pods = vec![pod("late")];
    assert_eq!(short(&scene, 125), ["terminate"]);
    scene.memory.record(Answer::Termination(Ok(Existence::Gone)), at(125));
    assert_eq!(short(&scene, 125), ["release node"]);
    scene.nodes[0].has_finalizer = false;
    assert_eq!(short(&scene, 125), ["release claim"], "somebody else's finalizer is not waited for");
    scene.nodes[0].is_deleting = false;
    assert_eq!(short(&scene, 125), ["delete node"]);
    scene.nodes.clear();
    assert_eq!(short(&scene, 125), ["release claim"]);
}

#[test]
fn a_termination_that_fails_is_told_and_tried_again() {
    let mut scene = drained(closing());
    scene.memory.record(Answer::Termination(Err("not authorised".into())), at(120));
    assert_eq!(short(&scene, 120), ["FailedTermination", "InstanceTerminating=Unknown"]);
    assert_eq!(scene.step(at(120)).requeue_at, Some(at(121)));
    assert_eq!(short(&scene, 121), ["FailedTermination", "terminate", "InstanceTerminating=Unknown"]);
    // What is known to be ending stays so.
    scene.claim = scene.claim.with(&[Change::holds(INSTANCE_TERMINATING)], at(120));
    assert_eq!(short(&scene, 120), ["FailedTermination"]);
}

#[test]
fn a_silent_node_is_drained_only_if_its_instance_exists() {
    let mut scene = closing();
    scene.nodes[0].is_ready = false;
    scene.pods = vec![pod("web")];
    assert_eq!(short(&scene, 100), ["get"]);
    scene.memory.record(Answer::Instance(Ok(Existence::Exists)), at(100));
    assert_eq!(short(&scene, 100), ["evict web", "Drained=Unknown"]);
    assert_eq!(short(&scene, 105), ["get"]);
    scene.memory.record(Answer::Instance(Err("odd".into())), at(105));
    assert_eq!(short(&scene, 105), ["evict web", "Drained=Unknown"]);
    scene.memory.record(Answer::Instance(Ok(Existence::Gone)), at(106));
    assert_eq!(short(&scene, 106), ["release node"]);
    // The word of a kubelet that is ready is worth more than that of the cloud.
    scene.nodes[0].is_ready = true;
    assert_eq!(short(&scene, 107), ["evict web", "Drained=Unknown"]);
}

#[test]
fn an_instance_that_the_cloud_does_not_show_yet_is_not_taken_for_gone() {
    let gone = |claim: NodeClaim, second| {
        let mut scene = Scene::new(claim);
        scene.memory.record(Answer::Termination(Ok(Existence::Gone)), at(second));
        scene
    };
    let launched = || claim().launched().deleted(6).with(&[], at(6));
    // It was launched at 5 s.
    let scene = gone(launched(), 10);
    assert_eq!((short(&scene, 10), scene.step(at(10)).requeue_at), (vec![], Some(at(15))));
    assert_eq!(short(&scene, 15), ["terminate"]);
    assert_eq!(short(&gone(launched(), 34), 36), Vec::<String>::new());
    assert_eq!(short(&gone(launched(), 35), 36), ["release claim"]);
    // It has been seen.
    let seen = launched().with(&[Change::holds(INSTANCE_TERMINATING)], at(7));
    assert_eq!(short(&gone(seen, 10), 10), ["release claim"]);
}

#[test]
fn a_claim_that_knows_no_instance_goes_when_it_is_certain_that_there_is_none() {
    let fresh = || Scene::new(claim().deleted(10));
    let failed = |is_answered| LaunchFailure {
        problem: LaunchProblem::Other,
        reason: "Odd".into(),
        message: "odd".into(),
        is_answered,
        is_spent: false,
    };
    let mut scene = fresh();
    assert_eq!(short(&scene, 10), ["find", "Launched=Unknown", "Registered=Unknown", "Initialized=Unknown"]);
    scene.claim = scene.claim.with(&[], at(10));
    scene.memory.record(Answer::Found(Ok(None)), at(10));
    assert_eq!((short(&scene, 39), scene.step(at(39)).requeue_at), (vec![], Some(at(40))));
    assert_eq!(short(&scene, 40), ["find"]);
    scene.memory.record(Answer::Found(Err("odd".into())), at(40));
    assert_eq!((short(&scene, 40), scene.step(at(40)).requeue_at), (vec![], Some(at(41))));
    assert_eq!(short(&scene, 41), ["find"]);
    scene.memory.record(Answer::Found(Ok(None)), at(41));
    assert_eq!(short(&scene, 41), ["release claim"]);

    scene.memory.record(Answer::Found(Ok(Some(instance_id()))), at(41));
    let step = scene.step(at(41));
    let [Effect::SetStatus(status)] = step.effects.as_slice() else { panic!("{step:?}") };
    assert_eq!(status.provider_id, Some(instance_id()));

    // A refusal is certain at once, a failure is not.
    for (is_answered, expected) in [(true, "release claim"), (false, "find")] {
        let mut scene = fresh();
        scene.claim = scene.claim.with(&[], at(10));
        scene.memory.record(Answer::Launch { attempt: 0, result: Err(failed(is_answered)) }, at(9));
        assert_eq!(short(&scene, 10), [expected]);
    }
    let mut scene = fresh();
    scene.memory.record(Answer::Launch { attempt: 0, result: Ok(Box::new(launched_instance())) }, at(9));
    let step = scene.step(at(10));
    let [Effect::SetStatus(status)] = step.effects.as_slice() else { panic!("{step:?}") };
    assert_eq!(status.provider_id, Some(instance_id()));
    let launched = find(status.conditions.as_ref().unwrap(), LAUNCHED).unwrap();
    assert_eq!(launched.status, ConditionStatus::True);
}

/// The claim was deleted at 10 s. What is found, and when, until the claim is let go; nobody knows when a process that crashed last launched.
#[test]
fn a_launch_that_ends_after_the_deletion_is_looked_for_as_long_as_any_other() {
    let mut scene = Scene::new(claim().deleted(10).with(&[], at(10)));
    scene.memory.record(Answer::Found(Ok(None)), at(10));
    scene.memory.begin(&Effect::Launch { attempt: 0 });
    assert_eq!(short(&scene, 100), ["find"]);
    scene.memory.record(Answer::Found(Ok(None)), at(100));
    assert_eq!((short(&scene, 129), scene.step(at(129)).requeue_at), (vec![], Some(at(130))));
    assert_eq!(short(&scene, 130), ["find"]);
    scene.memory.record(Answer::Found(Ok(None)), at(130));
    assert_eq!(short(&scene, 130), ["release claim"]);
    scene.memory = crate::lifecycle::memory::ClaimMemory::default();
    scene.memory.record(Answer::Found(Ok(None)), at(131));
    assert_eq!(short(&scene, 131), Vec::<String>::new());
}

#[test]
fn every_reason_for_a_deletion_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> =
        DeletionReason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), DeletionReason::ALL.len());
}
