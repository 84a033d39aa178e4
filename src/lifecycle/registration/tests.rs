use super::*;
use crate::api::conditions::ConditionStatus;
use crate::lifecycle::draft::Step;
use crate::lifecycle::effect::Effect;
use crate::lifecycle::fence::Gate;
use crate::lifecycle::testing::{Scene, planted_pod};
use crate::model::testing::nodes::{at, claim, fresh_node, registered_node, taint, type_labels};

const REGISTERED_AT: i64 = 40;

/// What the step wants the claim's condition to be: status and reason.
fn registered(step: &Step) -> Option<(ConditionStatus, String)> {
    let status = step.effects.iter().find_map(|effect| match effect {
        Effect::SetStatus(status) => status.conditions.as_ref(),
        _ => None,
    });
    let condition = status?.iter().find(|condition| condition.type_ == REGISTERED)?;
    Some((condition.status.clone(), condition.reason.clone()))
}

fn patches(step: &Step) -> Vec<&NodePatch> {
    let mut found = Vec::new();
    for effect in &step.effects {
        if let Effect::PatchNode(patch) = effect {
            found.push(patch);
        }
    }
    found
}

#[test]
fn a_fenced_node_gets_everything_and_stays_fenced() {
    let mut scene = Scene::new(claim().launched());
    scene.claim.startup_taints = vec![taint("example.com/starting:NoSchedule")];
    scene.claim.annotations = [
        ("example.com/owner", "shop"),
        ("treenail.dev/launch-attempt", "1"),
        ("kubectl.kubernetes.io/last-applied-configuration", "{}"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into();
    let mut node = fresh_node();
    node.taints[0] = taint("node-type=monitoring:NoSchedule");
    node.labels.insert(labels::NODEPOOL.into(), "other".into());
    node.labels.insert("workload-type.node-restriction.kubernetes.io/monitoring".into(), String::new());
    node.labels.insert(labels::NODE_TEAM.into(), "red".into());
    let scene = scene.with_node(node.clone());
    let step = scene.step(at(31));
    let expected = NodePatch {
        node: node.object.clone(),
        add_finalizer: true,
        owner: Some(claim().object),
        labels: [(labels::NODEPOOL.to_owned(), "application".to_owned())]
            .into_iter()
            .chain(type_labels())
            .collect(),
        remove_labels: [labels::NODE_TEAM, "workload-type.node-restriction.kubernetes.io/monitoring"]
            .map(str::to_owned)
            .into(),
        annotations: [("example.com/owner".to_owned(), "shop".to_owned())].into(),
        taints: vec![taint("node-type=application:NoSchedule"), taint("example.com/starting:NoSchedule")],
        remove_taints: Vec::new(),
    };
    assert_eq!(patches(&step), [&expected]);
    assert_eq!(registered(&step), None, "the condition stays as it is");
}

#[test]
fn only_what_is_seen_to_be_complete_is_opened() {
    let complete = || complete().nodes.remove(0);
    let opening = NodePatch {
        labels: [(labels::REGISTERED.to_owned(), "true".to_owned())].into(),
        remove_taints: vec![unregistered_taint()],
        ..NodePatch::of(&complete().object)
    };
    let scene = Scene::new(claim().launched());
    assert_eq!(patches(&scene.clone().with_node(complete()).step(at(32))), [&opening]);
    let spoil: [fn(&mut Node); 6] = [
        |node| node.has_finalizer = false,
        |node| node.owner_uids.clear(),
        |node| node.taints.retain(|taint| taint.key != "node-type"),
        |node| node.taints[0].value = "monitoring".into(),
        |node| node.labels.retain(|key, _| labels::domain(key) != Some(labels::NODE_TYPE_DOMAIN)),
        |node| {
            node.labels.insert("workload-type.node-restriction.kubernetes.io/x".into(), String::new());
        },
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        let mut node = complete();
        spoil(&mut node);
        let step = scene.clone().with_node(node).step(at(32));
        let [patch] = patches(&step)[..] else { panic!("{number}: {step:?}") };
        assert!(patch.remove_taints.is_empty() && !patch.is_empty(), "{number}: {patch:?}");
    }
}

/// A claim whose Node has everything and is to be opened.
fn complete() -> Scene {
    let mut node = fresh_node();
    node.has_finalizer = true;
    node.owner_uids = vec![claim().object.uid];
    node.labels.extend(type_labels());
    Scene::new(claim().launched()).with_node(node)
}

#[test]
fn no_node_is_opened_while_pods_wait_that_have_no_right_to_it() {
    let mut scene = complete();
    scene.planted = vec![planted_pod("made", true), planted_pod("alone", false)];
    let step = scene.step(at(32));
    assert!(patches(&step).is_empty(), "{step:?}");
    let deleted = |effect: &Effect| match effect {
        Effect::DeletePlanted(planted) => Some(planted.pod.key.name.clone()),
        _ => None,
    };
    assert_eq!(step.effects.iter().filter_map(deleted).collect::<Vec<_>>(), ["made"]);
    assert_eq!(registered(&step), Some((ConditionStatus::Unknown, "ForeignPodsWait".into())));
    assert_eq!(step.requeue_at, Some(at(37)), "they are looked for again");
    scene.planted.remove(0);
    scene.claim = scene.claim.with(&[], at(32));
    let late = scene.step(at(900)).effects;
    let reason = late.iter().find_map(|effect| match effect {
        Effect::Report(event) if event.reason == "RegistrationTimeout" => Some(event.message.as_str()),
        _ => None,
    });
    let reason = reason.unwrap_or_else(|| panic!("{late:?}"));
    assert!(reason.contains("was not opened within 15m") && reason.contains("shop/alone"), "{reason}");
    scene.planted.clear();
    assert_eq!(patches(&scene.step(at(33))).len(), 1);
}

#[test]
fn a_node_is_opened_only_once_every_type_that_came_to_its_pool_since_the_launch_guards_its_taints() {
    let mut scene = complete();
    scene.gate = Gate::Closed { reason: "PolicyNotInForce", message: "not yet".to_owned() };
    let step = scene.step(at(32));
    assert!(patches(&step).is_empty());
    assert_eq!(registered(&step), Some((ConditionStatus::Unknown, "PolicyNotInForce".into())));
    scene.gate = Gate::Open;
    assert_eq!(patches(&scene.step(at(33))).len(), 1);
}

#[test]
fn no_node_is_opened_before_it_is_known_who_waits_and_that_is_asked_only_then() {
    let step = complete().step_that_knows(None, at(32));
    assert!(patches(&step).is_empty());
    assert_eq!(step.requeue_at, Some(at(37)));
    let is_asked = |scene: &Scene| is_next(&scene.claim, &scene.nodes, &type_labels());
    assert!(is_asked(&complete()));
    let spoil: [fn(&mut Scene); 6] = [
        |scene| scene.nodes.clear(),
        |scene| scene.nodes.push(scene.nodes[0].clone()),
        |scene| scene.nodes[0].is_deleting = true,
        |scene| scene.nodes[0].has_finalizer = false,
        |scene| scene.nodes[0] = registered_node(),
        |scene| scene.claim = scene.claim.clone().deleted(31),
    ];
    for (number, spoil) in spoil.into_iter().enumerate() {
        let mut scene = complete();
        spoil(&mut scene);
        assert!(!is_asked(&scene), "{number}");
    }
}

#[test]
fn startup_taints_are_put_on_once_and_only_where_they_are_to_be_synced() {
    let startup = taint("example.com/starting:NoSchedule");
    let cases = [
        (false, false, true),
        // It has the finalizer, so it had the taint: something has taken it off since.
        (true, false, false),
        (false, true, false),
    ];
    for (has_finalizer, is_not_to_be_synced, expected) in cases {
        let mut scene = Scene::new(claim().launched());
        scene.claim.startup_taints = vec![startup.clone()];
        let mut node = fresh_node();
        node.has_finalizer = has_finalizer;
        node.taints.remove(0);
        if is_not_to_be_synced {
            node.labels.insert(labels::DO_NOT_SYNC_TAINTS.into(), "true".into());
        }
        let step = scene.with_node(node).step(at(31));
        let [patch] = patches(&step)[..] else { panic!("{step:?}") };
        assert_eq!(patch.taints.contains(&startup), expected);
        assert!(
            patch.taints.contains(&taint("node-type=application:NoSchedule")),
            "the fence is always put on"
        );
    }
}

#[test]
fn a_node_that_was_open_is_never_registered() {
    let open = || {
        let mut node = fresh_node();
        node.taints.retain(|taint| taint.key != labels::UNREGISTERED_TAINT);
        node
    };
    let mut labelled = open();
    labelled.labels.insert(labels::REGISTERED.into(), "true".into());
    let mut of_other_effect = open();
    of_other_effect.taints.push(taint("karpenter.sh/unregistered:NoSchedule"));
    let mut of_other_claim = labelled.clone();
    of_other_claim.owner_uids = vec!["other".into()];
    for node in [open(), labelled, of_other_effect, of_other_claim] {
        let mut scene = Scene::new(claim().launched()).with_node(node);
        let step = scene.step(at(31));
        assert_eq!(registered(&step), Some((ConditionStatus::False, "UnregisteredTaintMissing".into())));
        assert!(patches(&step).is_empty());
        let status = step.effects.iter().find_map(|effect| match effect {
            Effect::SetStatus(status) => status.conditions.clone(),
            _ => None,
        });
        scene.claim.conditions = status.unwrap();
        let effects = scene.step(at(31)).effects;
        assert_eq!(effects.last(), Some(&Effect::DeleteClaim(DeletionReason::UnregisteredTaintMissing)));
    }
}

#[test]
fn an_opened_node_is_noted_even_if_the_note_was_lost() {
    let step = Scene::new(claim().launched()).with_node(registered_node()).step(at(41));
    assert_eq!(registered(&step), Some((ConditionStatus::True, "Registered".into())));
    let Some(Effect::SetStatus(status)) = step.effects.last() else { panic!("{step:?}") };
    assert_eq!(status.node_name.as_deref(), Some("n1"));
}

#[test]
fn no_node_and_several_nodes_are_waited_for_until_the_timeout() {
    let mut going = fresh_node();
    going.is_deleting = true;
    let cases = [
        (vec![], ConditionStatus::Unknown, "NodeNotFound"),
        (vec![going], ConditionStatus::Unknown, "NodeNotFound"),
        (vec![fresh_node(), fresh_node()], ConditionStatus::False, "MultipleNodesFound"),
    ];
    for (nodes, status, reason) in cases {
        let mut scene = Scene::new(claim().launched());
        scene.nodes = nodes;
        let step = scene.step(at(30));
        assert_eq!(registered(&step), Some((status, reason.to_owned())));
        assert_eq!(step.requeue_at, Some(at(900)));
        assert!(patches(&step).is_empty());
        let Some(Effect::SetStatus(status)) = step.effects.last() else { panic!("{step:?}") };
        scene.claim.conditions = status.conditions.clone().unwrap();
        assert!(!scene.step(at(899)).effects.iter().any(|effect| matches!(effect, Effect::DeleteClaim(_))));
        let late = scene.step(at(900)).effects;
        assert_eq!(late.last(), Some(&Effect::DeleteClaim(DeletionReason::RegistrationTimeout)), "{reason}");
    }
}

#[test]
fn a_node_that_shows_up_late_is_registered_all_the_same() {
    let step = Scene::new(claim().launched()).with_node(fresh_node()).step(at(5000));
    assert!(!patches(&step).is_empty());
    assert!(!step.effects.iter().any(|effect| matches!(effect, Effect::DeleteClaim(_))));
}

#[test]
fn a_registered_node_is_kept_labelled_and_left_alone_otherwise() {
    let scene = || Scene::new(claim().registered());
    let mut node = registered_node();
    node.labels.retain(|key, _| labels::domain(key) != Some(labels::NODE_TYPE_DOMAIN));
    let step = scene().with_node(node).step(at(50));
    assert_eq!(patches(&step).iter().map(|patch| patch.labels.clone()).collect::<Vec<_>>(), [type_labels()]);
    let change: [fn(&mut Node); 5] = [
        |node| node.taints.clear(),
        |node| node.has_finalizer = false,
        |node| node.owner_uids.clear(),
        |node| drop(node.labels.remove(labels::REGISTERED)),
        |node| node.taints.push(unregistered_taint()),
    ];
    for (number, change) in change.into_iter().enumerate() {
        let mut node = registered_node();
        node.labels.insert(labels::INITIALIZED.into(), "true".into());
        change(&mut node);
        let step = scene().with_node(node).step(at(50));
        let is_left_alone = |effect: &Effect| matches!(effect, Effect::SetStatus(_));
        assert!(step.effects.iter().all(is_left_alone), "{number}: {step:?}");
    }
}

/// A registered Node whose pool has come to a type since.
fn joining() -> Scene {
    let mut node = registered_node();
    node.labels.retain(|key, _| labels::domain(key) != Some(labels::NODE_TYPE_DOMAIN));
    node.labels.insert(labels::INITIALIZED.into(), "true".into());
    Scene::new(claim().registered()).with_node(node)
}

#[test]
fn an_open_node_is_given_to_a_type_once_that_guards_its_taints_and_nobody_waits_without_a_right_to_it() {
    let mut scene = joining();
    scene.gate = Gate::Closed { reason: "PolicyNotInForce", message: "not yet".to_owned() };
    assert!(patches(&scene.step(at(50))).is_empty());
    scene.gate = Gate::Open;
    assert_eq!(scene.step_that_knows(None, at(50)).requeue_at, Some(at(55)));
    scene.planted = vec![planted_pod("made", true), planted_pod("alone", false)];
    let step = scene.step(at(50));
    assert!(patches(&step).is_empty(), "{step:?}");
    assert!(step.effects.contains(&Effect::DeletePlanted(scene.planted[0].clone())));
    let told = |effect: &Effect| match effect {
        Effect::Report(event) => Some(event.message.clone()),
        _ => None,
    };
    let told: String = step.effects.iter().filter_map(told).collect();
    assert!(told.starts_with("its Node is not given") && told.contains("shop/alone"), "{told}");
    assert!(!told.contains("shop/made"), "{told}");
    assert!(registered(&step).is_none_or(|(status, _)| status == ConditionStatus::True), "it still is");
    scene.planted.clear();
    assert_eq!(patches(&scene.step(at(51))).len(), 1);

    let is_asked = |scene: &Scene| is_next(&scene.claim, &scene.nodes, &type_labels());
    assert!(is_asked(&scene));
    scene.nodes = vec![registered_node()];
    assert!(!is_asked(&scene), "it is the type's");
}

#[test]
fn a_node_object_that_was_replaced_is_fenced_again_or_given_up() {
    let mut open = fresh_node();
    open.taints.clear();
    let given_up = Scene::new(claim().registered()).with_node(open).step(at(50)).effects;
    assert_eq!(given_up.last(), Some(&Effect::DeleteClaim(DeletionReason::UnregisteredTaintMissing)));
    let step = Scene::new(claim().registered()).with_node(fresh_node()).step(at(50));
    assert!(matches!(patches(&step)[..], [patch] if patch.add_finalizer));
}

#[test]
fn deleting_the_node_deletes_the_claim() {
    let mut node = registered_node();
    node.is_deleting = true;
    let effects = Scene::new(claim().registered()).with_node(node.clone()).step(at(50)).effects;
    assert_eq!(effects.last(), Some(&Effect::DeleteClaim(DeletionReason::NodeDeleted)));
    // Without the finalizer it goes by itself, and another may come.
    node.has_finalizer = false;
    let effects = Scene::new(claim().registered()).with_node(node).step(at(50)).effects;
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::DeleteClaim(_))));
}

#[test]
fn a_registered_claim_without_a_node_is_left_to_garbage_collection() {
    let step = Scene::new(claim().registered()).step(at(REGISTERED_AT + 10_000));
    assert!(!step.effects.iter().any(|effect| matches!(effect, Effect::DeleteClaim(_))), "{step:?}");
}
