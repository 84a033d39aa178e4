use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::admission::testing::{Call, World, owner, show};

fn check(call: &Call, expected: &str) {
    assert_eq!(World::new().outcome(call), expected, "{}", call.object);
}

fn check_text(call: &Call, expected: &Expect) {
    expected.assert_eq(&show(&World::new().send(call).1));
}

#[test]
fn a_bare_pod_of_a_type_is_given_what_it_needs_and_one_of_no_type_nothing() {
    for (namespace, keys) in [("shop", 1), ("watch", 1), ("plain", 0), ("kube-system", 0)] {
        let (object, verdict) = World::new().send(&Call::pod(namespace, json!({})));
        assert!(verdict.is_allowed(), "{namespace}");
        assert_eq!(
            object["spec"]["nodeSelector"].as_object().map_or(0, serde_json::Map::len),
            keys,
            "{namespace}"
        );
    }
}

#[test]
fn every_problem_is_told_at_once_each_with_its_code_first() {
    let labels = json!({ "treenail.dev/workload-type": "monitoring" });
    let call = Call::pod(
        "shop",
        json!({
            "nodeName": "node-1",
            "tolerations": [{ "key": "nobody", "operator": "Exists" }, { "operator": "Exists" }],
        }),
    );
    check_text(
        &call.with("/metadata/labels", labels),
        &expect![[r#"
            TypeNotAllowed: pod shop/web: metadata.labels[treenail.dev/workload-type] is "monitoring", and its namespace may use workload type application only; remove the label, or make it application
            NodeNameSet: pod shop/web: spec.nodeName is "node-1", which bypasses the scheduler, and so every taint; remove it and let the scheduler choose; to debug a node: kubectl debug node/NAME -n kube-system
            ForeignToleration: pod shop/web: spec.tolerations[1] (operator Exists) tolerates every taint, those of workload type monitoring included; remove it: what pods of workload type application need is added to them"#]],
    );
}

#[test]
fn a_pod_without_a_name_yet_is_named_by_what_it_starts_with() {
    let call = Call::create(
        "Pod",
        "shop",
        json!({ "metadata": { "generateName": "web-" }, "spec": { "nodeName": "n" } }),
    );
    assert!(
        World::new()
            .mutate(&call)
            .message()
            .starts_with("NodeNameSet: pod shop/web-*: spec.nodeName is \"n\"")
    );
}

#[test]
fn a_daemon_pod_is_neither_changed_nor_asked_for_a_selector() {
    let call = Call::daemon_pod("shop", json!({}));
    assert_eq!(World::new().mutate(&call).patch, None);
    check(&call, "admitted");
    // The same pod by anybody else is a pod like any other.
    let (object, _) = World::new().send(&call.by("alice", &[]));
    assert_eq!(object["spec"]["nodeSelector"].as_object().unwrap().len(), 1);
}

#[test]
fn a_node_name_is_refused_everywhere_but_in_exempt_namespaces() {
    for namespace in ["shop", "plain", "watch"] {
        check(&Call::pod(namespace, json!({ "nodeName": "node-1" })), "NodeNameSet");
    }
    check(&Call::pod("ghost", json!({ "nodeName": "node-1" })), "NamespaceClosed NodeNameSet");
    check(
        &Call::pod("kube-system", json!({ "nodeName": "node-1", "tolerations": [{ "operator": "Exists" }] })),
        "admitted",
    );
    check(&Call::pod("shop", json!({ "nodeName": "" })), "admitted");
    // A bound pod stays what it is.
    check(
        &Call::pod("plain", json!({ "nodeName": "node-1" })).update("/metadata/labels", json!({})),
        "admitted",
    );
}

fn mirror() -> Call {
    Call::pod(
        "shop",
        json!({ "nodeName": "n1", "tolerations": [{ "operator": "Exists", "effect": "NoExecute" }] }),
    )
    .with("/metadata/annotations", json!({ "kubernetes.io/config.mirror": "x" }))
    .with("/metadata/ownerReferences", json!([owner("v1", "Node", "n1")]))
}

#[test]
fn a_mirror_pod_is_admitted_from_its_own_node_only() {
    let genuine = mirror().by("system:node:n1", &["system:nodes"]);
    check(&genuine, "admitted");
    assert_eq!(World::new().mutate(&genuine).patch, None);
    check(
        &mirror().by("system:node:n2", &["system:nodes"]),
        "ForgedMirrorPod NodeNameSet UnregisteredToleration",
    );
    check(&mirror().with("/spec", json!({})), "ForgedMirrorPod");
}

#[test]
fn a_pods_own_type_is_one_that_its_namespace_may_use_and_never_changes() {
    let labelled = |namespace: &str, name: &str| {
        Call::pod(namespace, json!({}))
            .with("/metadata/labels", json!({ "treenail.dev/workload-type": name }))
    };
    check(&labelled("shop", "application"), "admitted");
    check(&labelled("shop", "monitoring"), "TypeNotAllowed");
    check(&labelled("shop", ""), "TypeNotAllowed");
    check(&labelled("plain", "application"), "TypeNotAllowed");
    check(&labelled("kube-system", "application"), "admitted");
    let pointer = "/metadata/labels/treenail.dev~1workload-type";
    check(&labelled("shop", "application").update(pointer, json!("monitoring")), "TypeLabelChanged");
    check(&labelled("shop", "application").update(pointer, Value::Null), "TypeLabelChanged");
    let unlabelled = Call::pod("shop", json!({})).with("/metadata/labels", json!({ "a": "b" }));
    check(&unlabelled.update(pointer, json!("application")), "TypeLabelChanged");
    // Labelled wrongly before anybody watched: other writes pass.
    check(&labelled("plain", "application").update("/metadata/labels/a", json!("b")), "admitted");
}

#[test]
fn a_namespace_of_an_unknown_type_is_closed_and_never_typeless() {
    for call in [
        Call::pod("ghost", json!({})),
        Call::daemon_pod("ghost", json!({})),
        Call::deployment("ghost", json!({})),
    ] {
        check(&call, "NamespaceClosed");
    }
    check_text(
        &Call::pod("ghost", json!({})),
        &expect![
            "NamespaceClosed: pod ghost/web: its namespace has the label treenail.dev/workload-type=aplication, and there is no such workload type; have its label corrected (did you mean application? there are: application, monitoring)"
        ],
    );
    check(&Call::pod("ghost", json!({})).update("/metadata/finalizers", json!([])), "admitted");
}

#[test]
fn a_namespace_that_nobody_knows_is_not_taken_for_one_without_type() {
    let call = Call::pod("new", json!({ "tolerations": [{ "key": "node-type", "value": "application" }] }));
    assert_eq!(show(&World::new().mutate(&call)), "admitted");
    check(&call, "NamespaceNotKnown");
    check(&Call::deployment("new", json!({})), "NamespaceNotKnown");
}

#[test]
fn metadata_and_finalizers_can_always_be_written() {
    // Everything about this pod would be refused today.
    let mut pod = Call::pod(
        "ghost",
        json!({ "nodeName": "n", "tolerations": [{ "operator": "Exists" }], "nodeSelector": { "workload-type.node-restriction.kubernetes.io/application": "no" } }),
    );
    for namespace in ["ghost", "shop", "plain"] {
        namespace.clone_into(&mut pod.namespace);
        for (pointer, value) in [
            ("/metadata/labels", json!({ "a": "b" })),
            ("/metadata/annotations", json!({ "a": "b" })),
            ("/metadata/finalizers", Value::Null),
            ("/metadata/deletionTimestamp", json!("2025-01-01T00:00:00Z")),
            ("/spec/containers", json!([{ "image": "new" }])),
        ] {
            let call = pod.clone().with("/metadata/finalizers", json!(["x"])).update(pointer, value);
            let mutated = World::new().mutate(&call);
            assert!(mutated.is_allowed() && mutated.patch.is_none(), "{namespace} {pointer}");
            check(&call, "admitted");
        }
    }
}

#[test]
fn deletions_and_connections_are_nobodys_business() {
    let mut call = Call::pod("ghost", json!({ "nodeName": "n" }));
    for operation in ["DELETE", "CONNECT"] {
        call.operation = operation;
        check(&call, "admitted");
    }
}

#[test]
fn a_subresource_that_carries_a_pod_is_judged_like_the_pod() {
    for subresource in ["status", "ephemeralcontainers", "resize", "future"] {
        let mut call =
            Call::pod("shop", json!({})).update("/spec/tolerations", json!([{ "operator": "Exists" }]));
        subresource.clone_into(&mut call.subresource);
        check(&call, "ForeignToleration");
    }
}

#[test]
fn fields_that_may_place_a_pod_and_are_not_known_here_are_told_once() {
    let call = Call::pod("shop", json!({ "nodeGroupSelector": {}, "colour": "red" }));
    check_text(
        &call,
        &expect![[r#"
        admitted
        Warning: pod shop/web: spec.nodeGroupSelector is unknown to this version of Treenail and not judged"#]],
    );
    check_text(&call.update("/spec/colour", json!("blue")), &expect!["admitted"]);
}

#[test]
fn what_is_recorded_for_audit_has_keys_without_a_slash() {
    let injected = World::new().mutate(&Call::pod("shop", json!({}))).audit;
    let refused = World::new().mutate(&Call::pod("shop", json!({ "nodeName": "n" }))).audit;
    assert_eq!(injected.keys().copied().collect::<Vec<_>>(), ["injected"]);
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), [("refused", "NodeNameSet".to_owned())]);
}
