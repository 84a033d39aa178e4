use serde_json::{Value, json};

use crate::admission::testing::{Call, World, after, inventory, node_pool, workload_type};

const SELECTOR: &str = "workload-type.node-restriction.kubernetes.io/application";

fn validated(world: &World, call: &Call) -> String {
    let verdict = world.validate(call);
    if verdict.is_allowed() { "admitted".to_owned() } else { verdict.codes().join(" ") }
}

fn check(call: &Call, expected: &str) {
    assert_eq!(validated(&World::new(), call), expected, "{}", call.object);
}

fn complete() -> Value {
    json!({
        "nodeSelector": { SELECTOR: "" },
        "tolerations": [{ "key": "node-type", "operator": "Equal", "value": "application", "effect": "NoSchedule" }],
    })
}

#[test]
fn a_pod_of_a_type_has_the_selector_and_the_tolerations() {
    check(&Call::pod("shop", complete()), "admitted");
    check(&Call::pod("shop", complete()).with("/spec/nodeSelector", Value::Null), "NotInjected");
    check(&Call::pod("shop", complete()).with("/spec/tolerations", json!([])), "NotInjected");
    let shorter = json!([{ "key": "node-type", "value": "application", "effect": "NoSchedule", "tolerationSeconds": 1 }]);
    check(&Call::pod("shop", complete()).with("/spec/tolerations", shorter), "admitted");
    check(
        &Call::pod("shop", json!({ "nodeSelector": { SELECTOR: "no" } })),
        "SelectorContradiction NotInjected",
    );
    check(&Call::pod("plain", json!({})), "admitted");
    check(&Call::daemon_pod("shop", json!({})), "admitted");
}

#[test]
fn what_a_later_step_may_repair_is_left_to_validation() {
    let contradiction = Call::pod("shop", json!({ "nodeSelector": { SELECTOR: "no" } }));
    let verdict = World::new().mutate(&contradiction);
    assert!(verdict.is_allowed());
    let touches_selector = verdict
        .patch
        .iter()
        .flat_map(|patch| patch.iter())
        .any(|op| op.path().as_str().starts_with("/spec/nodeSelector"));
    assert!(!touches_selector);
    assert_eq!(World::new().outcome(&contradiction), "SelectorContradiction");
}

#[test]
fn a_pod_may_follow_the_policy_before_the_current_one_for_a_minute() {
    let with = |taint: &str| inventory(&[node_pool("p", taint)], &[workload_type("application", "p")]);
    let first = World::of(with("node-type=application:NoSchedule"));
    let changed = |seconds| {
        let policies = first.policies.next(with("node-type=new:NoSchedule"), after(0));
        World { policies, now: after(seconds), ..first.clone() }
    };
    let by_old = Call::pod("shop", complete());
    let by_new = Call::pod("shop", complete()).with("/spec/tolerations/0/value", json!("new"));
    let by_neither = Call::pod("shop", complete()).with("/spec/tolerations", json!([]));
    for (seconds, old, new) in
        [(0, "admitted", "admitted"), (59, "admitted", "admitted"), (60, "NotInjected", "admitted")]
    {
        assert_eq!(validated(&changed(seconds), &by_old), old, "{seconds} s");
        assert_eq!(validated(&changed(seconds), &by_new), new, "{seconds} s");
        assert_eq!(validated(&changed(seconds), &by_neither), "NotInjected", "{seconds} s");
    }
}

#[test]
fn an_update_is_judged_by_what_it_takes_or_contradicts() {
    // From before its namespace was labelled: lacks everything, and is not wedged.
    let bare = Call::pod("shop", json!({ "schedulingGates": [{ "name": "g" }, { "name": "h" }] }));
    check(&bare.clone().update("/metadata/labels", json!({ "a": "b" })), "admitted");
    check(&bare.clone().update("/spec/nodeSelector", json!({ "zone": "a" })), "admitted");
    check(&bare.clone().update("/spec/nodeSelector", json!({ SELECTOR: "no" })), "SelectorContradiction");
    check(&bare.update("/spec/nodeSelector", json!({ SELECTOR: "" })), "admitted");

    let pod = Call::pod("shop", complete());
    check(&pod.clone().update("/spec/tolerations", json!([])), "NotInjected");
    check(&pod.clone().update("/spec/nodeSelector", Value::Null), "NotInjected");
    check(&pod.update("/spec/nodeSelector", json!({ SELECTOR: "", "zone": "a" })), "admitted");
}

#[test]
fn removing_the_last_gate_is_judged_like_a_creation() {
    let gates = json!([{ "name": "g" }, { "name": "h" }]);
    let bare = Call::pod("shop", json!({ "schedulingGates": gates }));
    check(&bare.clone().update("/spec/schedulingGates", json!([{ "name": "h" }])), "admitted");
    check(&bare.clone().update("/spec/schedulingGates", json!([])), "NotInjected");
    check(&bare.update("/spec/schedulingGates", Value::Null), "NotInjected");
    let injected = Call::pod("shop", complete()).with("/spec/schedulingGates", gates);
    check(&injected.update("/spec/schedulingGates", json!([])), "admitted");
    let foreign = json!({ "schedulingGates": [{ "name": "g" }], "tolerations": [{ "operator": "Exists" }] });
    check(&Call::pod("plain", foreign).update("/spec/schedulingGates", json!([])), "ForeignToleration");
}
