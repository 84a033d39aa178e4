use serde_json::{Map, Value, json};

use crate::admission::review::TemplateKind;
use crate::admission::testing::{Call, World, owner};
use crate::admission::verdict::Verdict;

fn terms(count: usize) -> Value {
    let terms = vec![json!({ "matchExpressions": [{ "key": "team", "operator": "Exists" }] }); count];
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } })
}

/// 3000 labels and 3000 terms, each of which would carry all of them.
fn bomb() -> Value {
    let selector: Map<_, _> = (0..3000).map(|number| (format!("n{number}"), "".into())).collect();
    json!({ "nodeSelector": selector, "affinity": terms(3000) })
}

fn with_terms(count: usize) -> Value {
    json!({ "affinity": terms(count), "containers": [] })
}

#[track_caller]
fn assert_refused_alone(verdict: &Verdict, path: &str) {
    assert_eq!(verdict.codes(), ["PodTooLarge"], "{}", verdict.message());
    let message = verdict.message();
    assert!(message.contains(&format!(": {path}spec.affinity.")) && message.len() < 400, "{message}");
}

#[test]
fn a_pod_that_is_too_large_to_plan_for_is_refused_where_its_namespace_has_a_type() {
    let world = World::new();
    assert_eq!(world.outcome(&Call::pod("shop", with_terms(100))), "admitted");
    assert_eq!(world.outcome(&Call::pod("shop", with_terms(101))), "PodTooLarge");
    assert_eq!(world.outcome(&Call::pod("plain", with_terms(101))), "admitted");
    let mut bomb = bomb();
    bomb["containers"] = json!([]);
    assert_refused_alone(&world.send(&Call::pod("shop", bomb)).1, "");
}

#[test]
fn so_is_one_that_a_controller_makes_and_one_of_a_daemon_set() {
    let world = World::new();
    let made = Call::pod("shop", with_terms(101))
        .with("/metadata/ownerReferences", json!([owner("apps/v1", "ReplicaSet", "web")]));
    assert_eq!(world.outcome(&made), "PodTooLarge");
    let ports: Vec<_> = (1..=257).map(|port| json!({ "containerPort": port, "hostPort": port })).collect();
    let daemon = Call::daemon_pod("shop", json!({ "containers": [{ "name": "a", "ports": ports }] }));
    assert_eq!(world.outcome(&daemon), "PodTooLarge");
}

#[test]
fn so_is_a_template_with_its_path() {
    let mut bomb = bomb();
    bomb["containers"] = json!([]);
    for kind in TemplateKind::ALL {
        let name = format!("{}/{}", kind.group(), kind.name());
        let call = Call::template(name.trim_start_matches('/'), "shop", bomb.clone());
        assert_refused_alone(&World::new().validate(&call), &format!("{}.", kind.template_path().join(".")));
    }
}

#[test]
fn an_object_that_was_too_large_before_is_not_wedged_but_gets_its_gates_off_only_when_it_is_not() {
    let world = World::new();
    let update = Call::deployment("shop", with_terms(101)).update("/metadata/labels", json!({ "a": "b" }));
    assert_eq!(world.validate(&update).codes(), [""; 0]);
    let grown = Call::deployment("shop", with_terms(100)).update("/spec/template/spec/affinity", terms(101));
    assert_eq!(world.validate(&grown).codes(), ["PodTooLarge"]);
    let mut gated = with_terms(101);
    gated["schedulingGates"] = json!([{ "name": "later" }]);
    let released = Call::pod("shop", gated).update("/spec/schedulingGates", json!([]));
    assert!(world.outcome(&released).contains("PodTooLarge"));
}

/// The API server takes it as it comes, and no type here can hold it.
#[test]
fn metadata_that_cannot_be_read_hides_nothing() {
    let world = World::new();
    let never = "9999-12-31T23:59:59Z";
    let poison = json!([{ "manager": "m", "operation": "Update", "time": never, "fieldsV1": {} }]);
    let pod = Call::pod("shop", with_terms(101)).with("/metadata/managedFields", poison.clone());
    assert_eq!(world.outcome(&pod), "PodTooLarge");
    let template = json!({ "creationTimestamp": never, "managedFields": poison });
    let deployment =
        Call::deployment("shop", with_terms(101)).with("/spec/template/metadata", template.clone());
    assert_eq!(world.validate(&deployment).codes(), ["PodTooLarge"]);
    let small = Call::deployment("shop", with_terms(100)).with("/spec/template/metadata", template);
    assert_eq!(world.validate(&small).codes(), [""; 0]);
}

#[test]
fn many_tolerations_are_one_problem_and_not_two() {
    let tolerations = vec![json!({ "key": "a", "operator": "Exists" }); 10_000];
    let pod = json!({ "containers": [], "tolerations": tolerations });
    assert_eq!(World::new().outcome(&Call::pod("shop", pod)), "TooManyTolerations");
}
