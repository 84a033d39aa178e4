use super::*;
use crate::api::conditions::Change;
use crate::lifecycle::testing::launched_instance;
use crate::model::testing::nodes::{at, claim as model_claim, instance_id, labels_of, object, taint};

fn metadata() -> Value {
    json!({
        "name": "n1", "uid": "u1", "resourceVersion": "7", "finalizers": ["example.com/other"],
        "labels": {"keep": "me", "drop": "me"},
        "ownerReferences": [{"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "o1"}],
    })
}

fn claim() -> NodeClaim {
    serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": metadata(),
        "spec": {"requirements": [], "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"}},
    }))
    .unwrap()
}

fn node() -> ApiNode {
    let taints = json!([
        {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"},
        {"key": "node-type", "value": "monitoring", "effect": "NoSchedule"},
        {"key": "karpenter.sh/unregistered", "effect": "NoExecute"},
        {"key": "karpenter.sh/unregistered", "effect": "NoSchedule"},
    ]);
    serde_json::from_value(json!({"metadata": metadata(), "spec": {"taints": taints}})).unwrap()
}

#[test]
fn a_claim_keeps_what_is_not_ours() {
    let patch = ClaimPatch {
        add_finalizer: true,
        labels: labels_of(&[("a", "1")]),
        annotations: labels_of(&[("b", "2")]),
    };
    let expected = json!({"metadata": {
        "resourceVersion": "7", "uid": "u1",
        "finalizers": ["example.com/other", "karpenter.sh/termination"],
        "labels": {"a": "1"}, "annotations": {"b": "2"},
    }});
    assert_eq!(of_claim(&claim(), &patch), expected);
    let nothing = json!({"metadata": {"resourceVersion": "7", "uid": "u1"}});
    assert_eq!(of_claim(&claim(), &ClaimPatch::default()), nothing);
}

#[test]
fn a_status_holds_only_what_changes() {
    let instance = launched_instance();
    let patch = StatusPatch {
        provider_id: Some(instance_id()),
        capacity: Some(instance.capacity),
        conditions: Some(model_claim().with(&[Change::holds("Launched")], at(3)).conditions),
        last_pod_event: Some(at(9)),
        ..StatusPatch::default()
    };
    let body = of_status(&claim(), &patch);
    let fields: Vec<_> = body["status"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["capacity", "conditions", "lastPodEventTime", "providerID"]);
    assert_eq!(body["metadata"], json!({"resourceVersion": "7", "uid": "u1"}));
    assert_eq!(body["status"]["capacity"], json!({"cpu": "4"}));
    // It is read back as what it was.
    let mut object = serde_json::to_value(claim()).unwrap();
    json_patch::merge(&mut object, &body);
    let read = crate::model::NodeClaim::read(&serde_json::from_value(object).unwrap(), at(0));
    assert_eq!((read.provider_id, read.last_pod_event), (patch.provider_id, patch.last_pod_event));
    assert_eq!(Some(read.conditions), patch.conditions);
}

#[test]
fn a_node_gets_what_it_lacks_and_keeps_the_rest_with_its_times() {
    let patch = NodePatch {
        node: object("n1"),
        add_finalizer: true,
        owner: Some(object("claim")),
        labels: labels_of(&[("a", "1")]),
        remove_labels: ["drop".to_owned()].into(),
        annotations: labels_of(&[("b", "2")]),
        taints: vec![taint("node-type=application:NoSchedule")],
        remove_taints: vec![taint("karpenter.sh/unregistered:NoExecute")],
    };
    let expected = json!({
        "metadata": {
            "resourceVersion": "7", "uid": "u1",
            "finalizers": ["example.com/other", "karpenter.sh/termination"],
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Other", "name": "o", "uid": "o1"},
                {"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": "claim", "uid": "claim-uid", "blockOwnerDeletion": true},
            ],
            "labels": {"a": "1", "drop": null},
            "annotations": {"b": "2"},
        },
        "spec": {"taints": [
            {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute", "timeAdded": "2026-01-01T00:00:00Z"},
            {"key": "karpenter.sh/unregistered", "effect": "NoSchedule"},
            {"key": "node-type", "value": "application", "effect": "NoSchedule"},
        ]},
    });
    assert_eq!(of_node(&node(), &patch), expected);
}

#[test]
fn a_patch_without_taints_does_not_touch_them() {
    let patch = NodePatch { labels: labels_of(&[("a", "1")]), ..NodePatch::of(&object("n1")) };
    let expected = json!({"metadata": {"resourceVersion": "7", "uid": "u1", "labels": {"a": "1"}}});
    assert_eq!(of_node(&node(), &patch), expected);
}

#[test]
fn applied_twice_a_patch_is_the_same_as_once() {
    let patch = NodePatch {
        add_finalizer: true,
        owner: Some(object("claim")),
        taints: vec![taint("node-type=application:NoSchedule")],
        remove_taints: vec![taint("karpenter.sh/unregistered:NoExecute")],
        ..NodePatch::of(&object("n1"))
    };
    let apply = |node: &ApiNode| {
        let mut body = serde_json::to_value(node).unwrap();
        json_patch::merge(&mut body, &of_node(node, &patch));
        serde_json::from_value::<ApiNode>(body).unwrap()
    };
    let once = apply(&node());
    assert_ne!(once, node());
    assert_eq!(apply(&once), once);
}

#[test]
fn only_our_finalizer_is_put_on_or_taken_off() {
    const OURS: &str = "karpenter.sh/termination";
    let with = |finalizers: &[&str]| ObjectMeta {
        finalizers: Some(finalizers.iter().map(|name| (*name).to_owned()).collect()),
        ..ObjectMeta::default()
    };
    assert_eq!(finalizers(&with(&["example.com/other", OURS]), OURS, false), ["example.com/other"]);
    assert_eq!(finalizers(&with(&[OURS]), OURS, false), [""; 0]);
    assert_eq!(finalizers(&with(&["example.com/other"]), OURS, true), ["example.com/other", OURS]);
    assert_eq!(finalizers(&with(&[OURS, "example.com/other"]), OURS, true), [OURS, "example.com/other"]);
    assert_eq!(finalizers(&ObjectMeta::default(), OURS, true), [OURS]);
}
