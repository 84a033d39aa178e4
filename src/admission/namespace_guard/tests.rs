use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::admission::reference::Reference;
use crate::admission::testing::{Call, NOW, World, inventory, node_pool, show, workload_type};

fn namespace(name: &str, labels: Value) -> Call {
    Call::create("Namespace", name, json!({ "metadata": { "name": name, "labels": labels } }))
}

fn check(call: &Call, expected: &Expect) {
    expected.assert_eq(&show(&World::new().validate(call)));
}

#[test]
fn a_known_type_and_labels_of_others_are_nobodys_business_here() {
    let labels = json!({ "treenail.dev/workload-type": "application", "kubernetes.io/metadata.name": "new", "team": "red" });
    check(&namespace("new", labels), &expect!["admitted"]);
    check(&namespace("new", Value::Null), &expect!["admitted"]);
    check(&namespace("new", json!({ "x.treenail.dev/y": "z" })), &expect!["admitted"]);
}

#[test]
fn an_unknown_type_is_refused_with_the_nearest_one() {
    let labels = |name: &str| json!({ "treenail.dev/workload-type": name });
    check(
        &namespace("new", labels("aplication")),
        &expect![[
            r#"UnknownWorkloadType: namespace new: metadata.labels[treenail.dev/workload-type] is "aplication", and there is no such workload type; use one that exists (did you mean application? there are: application, monitoring)"#
        ]],
    );
    check(
        &namespace("new", labels("monitor")),
        &expect![[
            r#"UnknownWorkloadType: namespace new: metadata.labels[treenail.dev/workload-type] is "monitor", and there is no such workload type; use one that exists (did you mean monitoring? there are: application, monitoring)"#
        ]],
    );
    check(
        &namespace("new", labels("")),
        &expect![[
            r#"UnknownWorkloadType: namespace new: metadata.labels[treenail.dev/workload-type] is "", and there is no such workload type; use one that exists (there are: application, monitoring)"#
        ]],
    );
    check(
        &namespace("kube-system", labels("Application")),
        &expect![[
            r#"UnknownWorkloadType: namespace kube-system: metadata.labels[treenail.dev/workload-type] is "Application", and there is no such workload type; use one that exists (did you mean application? there are: application, monitoring)"#
        ]],
    );
}

#[test]
fn a_type_that_could_not_be_looked_up_is_refused_and_not_called_missing() {
    let mut world = World::new();
    world.policies = world
        .policies
        .doubting(["batch", "application"].map(|name| Reference::WorkloadType(name.to_owned())));
    let outcome =
        |name: &str| world.outcome(&namespace("new", json!({ "treenail.dev/workload-type": name })));
    assert_eq!(
        ["batch", "application", "aplication"].map(outcome),
        ["WorkloadTypeNotKnown", "admitted", "UnknownWorkloadType"]
    );
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    check(
        &namespace("new", json!({ "treenail.dev/workloadtype": "application", "treenail.dev/tenant": "a" })),
        &expect![[r#"
        UnknownLabelKey: namespace new: metadata.labels[treenail.dev/tenant] is a label that means nothing; use one that exists (did you mean treenail.dev/team? there are: treenail.dev/team, treenail.dev/workload-type)
        UnknownLabelKey: namespace new: metadata.labels[treenail.dev/workloadtype] is a label that means nothing; use one that exists (did you mean treenail.dev/workload-type? there are: treenail.dev/team, treenail.dev/workload-type)"#]],
    );
}

#[test]
fn only_labels_that_change_are_judged_through_whatever_subresource() {
    for subresource in ["", "status", "finalize"] {
        let mut call = namespace(
            "ghost",
            json!({ "treenail.dev/workload-type": "aplication", "treenail.dev/old": "x" }),
        );
        subresource.clone_into(&mut call.subresource);
        let refused = |call: &Call| World::new().outcome(call);
        assert_eq!(refused(&call.clone().update("/metadata/labels/a", json!("b"))), "admitted");
        assert_eq!(refused(&call.clone().update("/metadata/labels", Value::Null)), "admitted");
        assert_eq!(refused(&call.clone().update("/spec", json!({ "finalizers": [] }))), "admitted");
        let pointer = "/metadata/labels/treenail.dev~1workload-type";
        assert_eq!(refused(&call.clone().update(pointer, json!("other"))), "UnknownWorkloadType");
        assert_eq!(
            refused(&call.update("/metadata/labels/treenail.dev~1old", json!("y"))),
            "UnknownLabelKey"
        );
    }
}

#[test]
fn labels_without_effect_are_told() {
    check(
        &namespace("new", json!({ "treenail.dev/team": "red" })),
        &expect![[r#"
        admitted
        Warning: namespace new: label treenail.dev/team is not supported yet and has no effect"#]],
    );
    check(
        &namespace("kube-system", json!({ "treenail.dev/workload-type": "application" })),
        &expect![[r#"
        admitted
        Warning: namespace kube-system: the workload type has no effect: the namespace is exempt"#]],
    );
}

#[test]
fn a_type_that_is_closed_may_be_named_and_is_told() {
    let mut object = workload_type("application", "p");
    object.spec.enforcement = "Warn".into();
    let world = World::of(inventory(&[node_pool("p", "a=b:NoSchedule")], &[object]));
    let verdict = world.validate(&namespace("new", json!({ "treenail.dev/workload-type": "application" })));
    expect![[r#"
        admitted
        Warning: namespace new: workload type application is closed: pods will be refused until it is corrected"#]].assert_eq(&show(&verdict));
    assert_eq!(world.outcome(&Call::pod("shop", json!({}))), "TypeClosed");
}

#[test]
fn a_type_that_is_being_deleted_is_given_to_no_further_namespace() {
    let mut object = workload_type("application", "p");
    object.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(NOW));
    let world = World::of(inventory(&[node_pool("p", "a=b:NoSchedule")], &[object]));
    let call = namespace("new", json!({ "treenail.dev/workload-type": "application" }));
    expect![[r#"TypeBeingDeleted: namespace new: metadata.labels[treenail.dev/workload-type] is "application", and that workload type is being deleted; use another type, or wait until it is gone and create it again: kubectl get workloadtype application"#]].assert_eq(&show(&world.validate(&call)));
    // Those that are of it stay, and what else is theirs can be changed.
    assert_eq!(world.outcome(&call.update("/metadata/labels/a", json!("b"))), "admitted");
}

#[test]
fn whoever_changes_or_removes_the_type_is_told_what_becomes_of_pods_that_run() {
    let call = namespace("shop", json!({ "treenail.dev/workload-type": "application" }));
    let pointer = "/metadata/labels/treenail.dev~1workload-type";
    check(
        &call.clone().update(pointer, json!("monitoring")),
        &expect![[r#"
        admitted
        Warning: namespace shop: pods that run already keep tolerations and nodes of workload type application until they are recreated"#]],
    );
    check(
        &call.clone().update(pointer, Value::Null),
        &expect![[r#"
        admitted
        Warning: namespace shop: pods that run already keep tolerations and nodes of workload type application until they are recreated"#]],
    );
    let refused = World::new().validate(&call.update(pointer, json!("monitor")));
    assert_eq!((refused.codes(), refused.warnings), (vec!["UnknownWorkloadType"], Vec::new()));
    let unlabelled = namespace("plain", json!({}));
    check(
        &unlabelled.clone().update(pointer, json!("application")),
        &expect![[r#"
        admitted
        Warning: namespace plain: pods that are there already have nothing of workload type application; recreate them (kubectl rollout restart)"#]],
    );
    check(&unlabelled.update("/metadata/labels/a", json!("b")), &expect!["admitted"]);
    let exempt = namespace("kube-system", json!({ "treenail.dev/workload-type": "application" }));
    check(&exempt.update(pointer, Value::Null), &expect!["admitted"]);
}
