use serde_json::{Value, json};

use super::*;
use crate::admission::testing::{Call, World, after, inventory, node_pool, show, workload_type};

fn missing_from(spec: &Value) -> (Vec<String>, Vec<(String, String)>) {
    let policy = Policy {
        tolerations: ["node-type=a:NoSchedule", "evict:NoExecute"].map(|taint| taint.parse().unwrap()).into(),
        node_selector: [("type".to_owned(), String::new())].into(),
    };
    let text = spec.to_string();
    let spec: PodSpec<'_> = serde_json::from_str(&text).unwrap();
    let missing = missing(&policy, &spec);
    let selector = missing.selector.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    (missing.tolerations.iter().map(ToString::to_string).collect(), selector.collect())
}

#[test]
fn a_toleration_is_not_missing_if_the_pod_tolerates_the_taint_for_as_long() {
    let both = ["node-type=a:NoSchedule", "evict:NoExecute"];
    let cases: [(Value, &[&str]); 11] = [
        (json!([]), &both),
        (
            json!([{ "key": "node-type", "operator": "Equal", "value": "a", "effect": "NoSchedule" }]),
            &both[1..],
        ),
        (json!([{ "key": "node-type", "value": "a" }]), &both[1..]),
        (json!([{ "key": "node-type", "operator": "Exists" }]), &both[1..]),
        (json!([{ "operator": "Exists" }]), &[]),
        (json!([{ "operator": "Exists", "effect": "NoSchedule" }]), &both[1..]),
        (json!([{ "key": "node-type", "value": "A" }]), &both),
        (json!([{ "key": "node-type", "operator": "exists" }]), &both),
        (
            json!([{ "key": "evict", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60 }]),
            &both,
        ),
        (json!([{ "key": "evict", "effect": "NoExecute" }]), &both[..1]),
        // Seconds mean nothing for a taint that does not evict.
        (json!([{ "key": "node-type", "operator": "Exists", "tolerationSeconds": 60 }]), &both[1..]),
    ];
    for (tolerations, expected) in cases {
        let (missing, _) = missing_from(&json!({ "tolerations": tolerations }));
        assert_eq!(missing, expected, "{tolerations}");
    }
}

#[test]
fn a_selector_key_with_another_value_is_a_contradiction_and_not_missing() {
    assert_eq!(missing_from(&json!({})).1.len(), 1);
    assert_eq!(missing_from(&json!({ "nodeSelector": { "type": "" } })).1.len(), 0);
    assert_eq!(missing_from(&json!({ "nodeSelector": { "type": "no" } })).1.len(), 0);
}

const SELECTOR: &str = "workload-type.node-restriction.kubernetes.io/application";

fn injected(operator: Option<&str>, seconds: Option<i64>) -> Call {
    let mut toleration = json!({ "key": "node-type", "value": "application", "effect": "NoSchedule" });
    if let Some(operator) = operator {
        toleration["operator"] = json!(operator);
    }
    if let Some(seconds) = seconds {
        toleration["tolerationSeconds"] = json!(seconds);
    }
    Call::pod("shop", json!({ "nodeSelector": { SELECTOR: "" }, "tolerations": [toleration] }))
}

#[test]
fn what_an_update_would_take_is_put_back_as_it_was_stored() {
    let list = |list: Value| ("/spec/tolerations", list);
    let cases = [
        (
            injected(Some("Equal"), None),
            list(Value::Null),
            "add /spec/tolerations [{\"effect\":\"NoSchedule\",\"key\":\"node-type\",\"operator\":\"Equal\",\"value\":\"application\"}]",
        ),
        (
            injected(None, None),
            list(json!([])),
            "add /spec/tolerations/- {\"effect\":\"NoSchedule\",\"key\":\"node-type\",\"value\":\"application\"}",
        ),
        (
            injected(None, Some(5)),
            list(json!([])),
            "add /spec/tolerations/- {\"effect\":\"NoSchedule\",\"key\":\"node-type\",\"tolerationSeconds\":5,\"value\":\"application\"}",
        ),
        (
            injected(None, None),
            ("/spec/nodeSelector", Value::Null),
            "add /spec/nodeSelector {\"workload-type.node-restriction.kubernetes.io/application\":\"\"}",
        ),
        (
            injected(None, None),
            ("/spec/nodeSelector", json!({ "a": "b" })),
            "add /spec/nodeSelector/workload-type.node-restriction.kubernetes.io~1application \"\"",
        ),
        // Another spelling is another toleration to the API server.
        (
            injected(None, None),
            ("/spec/tolerations/0/operator", json!("Equal")),
            "add /spec/tolerations/- {\"effect\":\"NoSchedule\",\"key\":\"node-type\",\"value\":\"application\"}",
        ),
        // Only the seconds change: the API server takes it for the same.
        (injected(None, None), ("/spec/tolerations/0/tolerationSeconds", json!(7)), ""),
        (injected(None, None), ("/metadata/labels", json!({ "a": "b" })), ""),
        // A contradiction is not overwritten.
        (injected(None, None), ("/spec/nodeSelector", json!({ SELECTOR: "no" })), ""),
    ];
    for (call, (pointer, value), expected) in cases {
        let call = call.update(pointer, value.clone());
        let verdict = World::new().mutate(&call);
        assert_eq!(show(&verdict).trim_end_matches("admitted").trim_end(), expected, "{pointer} {value}");
    }
}

#[test]
fn only_what_the_type_gave_is_put_back_also_by_the_policy_before() {
    let world = |taint: &str| inventory(&[node_pool("p", taint)], &[workload_type("application", "p")]);
    let mut changed = World::of(world("node-type=application:NoSchedule"));
    changed.policies = changed.policies.next(world("node-type=new:NoSchedule"), after(10));
    let call = injected(None, None).update("/spec/tolerations", json!([]));
    let put_back = |now| World { now, ..changed.clone() }.mutate(&call).patch.is_some();
    assert!(put_back(after(69)));
    assert!(!put_back(after(70)));

    let foreign = Call::pod("shop", json!({ "tolerations": [{ "key": "mine", "operator": "Exists" }] }));
    assert_eq!(World::new().mutate(&foreign.update("/spec/tolerations", json!([]))).patch, None);
}

#[test]
fn a_type_that_was_closed_since_does_not_wedge_its_pods() {
    let mut closed = workload_type("application", "p");
    closed.spec.enforcement = "Audit".into();
    let world = World::of(inventory(&[node_pool("p", "node-type=application:NoSchedule")], &[closed]));
    let call = injected(None, None).update("/spec/tolerations", json!([]));
    assert!(world.mutate(&call).patch.is_some());
}

#[test]
fn nothing_else_is_changed_on_an_update() {
    // A pod from before its namespace was labelled.
    let call = Call::pod("shop", json!({})).update("/metadata/labels", json!({ "a": "b" }));
    assert_eq!(World::new().mutate(&call).patch, None);
}
