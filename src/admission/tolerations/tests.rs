use expect_test::expect;
use serde_json::{Value, json};

use crate::admission::testing::{Call, World, inventory, node_pool, workload_type};

fn list(count: usize) -> Value {
    Value::Array(
        (0..count).map(|number| json!({ "key": format!("k{number}"), "operator": "Exists" })).collect(),
    )
}

fn check(call: &Call, expected: &str) {
    assert_eq!(World::new().outcome(call), expected, "{}", call.object);
}

#[test]
fn the_most_tolerations_that_may_be_count_what_is_added() {
    let pod = |namespace: &str, count| Call::pod(namespace, json!({ "tolerations": list(count) }));
    check(&pod("plain", 64), "admitted");
    check(&pod("plain", 65), "TooManyTolerations");
    check(&pod("shop", 63), "admitted");
    check(&pod("shop", 64), "TooManyTolerations");
    check(&pod("kube-system", 1000), "admitted");
    check(&Call::deployment("shop", json!({ "tolerations": list(63) })), "admitted");
    check(&Call::deployment("shop", json!({ "tolerations": list(64) })), "TooManyTolerations");
    // Nothing is added to the pods of a DaemonSet.
    check(&Call::template("apps/DaemonSet", "shop", json!({ "tolerations": list(64) })), "admitted");
}

#[test]
fn a_list_that_was_too_long_before_wedges_nothing_unless_it_changes() {
    let pod = Call::pod("plain", json!({ "tolerations": list(70) }));
    check(&pod.clone().update("/metadata/finalizers", json!([])), "admitted");
    check(
        &pod.update("/spec/tolerations/70", json!({ "key": "one", "operator": "Exists" })),
        "TooManyTolerations",
    );
}

#[test]
fn a_long_list_is_refused_by_its_length_alone() {
    // One problem, however many of them are foreign.
    let foreign = json!({ "key": "node-type", "operator": "Exists" });
    let call = Call::pod("shop", json!({ "tolerations": vec![foreign; 10_000] }));
    for verdict in [World::new().mutate(&call), World::new().validate(&call)] {
        assert_eq!(verdict.codes()[0], "TooManyTolerations");
        assert!(verdict.denials.len() <= 2, "{}", verdict.message());
        assert!(verdict.message().len() < 1000);
    }
}

#[test]
fn only_tolerations_that_an_update_adds_or_alters_are_judged() {
    let foreign = |seconds: Option<i64>| {
        let mut toleration = json!({ "key": "node-type", "operator": "Exists" });
        if let Some(seconds) = seconds {
            toleration["effect"] = json!("NoExecute");
            toleration["tolerationSeconds"] = json!(seconds);
        }
        toleration
    };
    let harmless = json!({ "key": "nobody", "operator": "Exists" });
    let pod = |tolerations: Value| Call::pod("plain", json!({ "tolerations": tolerations }));
    let old = pod(json!([foreign(None)]));
    check(&old.clone().update("/spec/tolerations", json!([harmless, foreign(None)])), "admitted");
    check(&old.clone().update("/spec/tolerations", json!([])), "admitted");
    check(&old.update("/spec/tolerations/1", json!({ "operator": "Exists" })), "ForeignToleration");
    let evicting =
        World::of(inventory(&[node_pool("p", "node-type=x:NoExecute")], &[workload_type("type", "p")]));
    let raised = pod(json!([foreign(Some(5))])).update("/spec/tolerations", json!([foreign(Some(50))]));
    assert_eq!(evicting.outcome(&raised), "ForeignToleration");
}

#[test]
fn the_taint_of_unregistered_nodes_is_for_daemon_pods_only() {
    let by_key = json!([{ "key": "karpenter.sh/unregistered", "operator": "Exists" }]);
    let wildcard = json!([{ "operator": "Exists", "effect": "NoExecute" }]);
    let disrupted = json!([{ "key": "karpenter.sh/disrupted", "operator": "Exists" }]);
    for namespace in ["shop", "plain"] {
        check(&Call::pod(namespace, json!({ "tolerations": by_key })), "UnregisteredToleration");
        check(&Call::pod(namespace, json!({ "tolerations": wildcard })), "UnregisteredToleration");
        check(&Call::pod(namespace, json!({ "tolerations": disrupted })), "admitted");
        check(&Call::daemon_pod(namespace, json!({ "tolerations": by_key })), "admitted");
        check(&Call::daemon_pod(namespace, json!({ "tolerations": wildcard })), "admitted");
    }
    check(&Call::pod("kube-system", json!({ "tolerations": by_key })), "admitted");
    check(&Call::deployment("shop", json!({ "tolerations": by_key })), "UnregisteredToleration");
    check(&Call::template("apps/DaemonSet", "shop", json!({ "tolerations": by_key })), "admitted");
}

#[test]
fn daemon_pods_may_not_have_others_taints_either() {
    let of = |value: &str| json!({ "tolerations": [{ "key": "node-type", "value": value }] });
    check(&Call::daemon_pod("shop", of("application")), "admitted");
    check(&Call::daemon_pod("shop", of("monitoring")), "ForeignToleration");
    check(&Call::daemon_pod("plain", of("monitoring")), "ForeignToleration");
    check(&Call::daemon_pod("kube-system", json!({ "tolerations": [{ "operator": "Exists" }] })), "admitted");
    check(
        &Call::template("apps/DaemonSet", "shop", json!({ "tolerations": [{ "operator": "Exists" }] })),
        "ForeignToleration",
    );
}

#[test]
fn a_wildcard_names_whose_taints_it_tolerates_and_any_other_toleration_the_taint() {
    let pools = ["a", "b", "c"].map(|name| node_pool(name, &format!("node-type={name}:NoSchedule")));
    let types = ["a", "b", "c"].map(|name| workload_type(name, name));
    let world = World::of(inventory(&pools, &types));
    let told = |toleration: Value| {
        world.validate(&Call::pod("plain", json!({ "tolerations": [toleration] }))).message()
    };
    expect!["ForeignToleration: pod plain/web: spec.tolerations[0] (operator Exists) tolerates every taint, those of workload types a, b, c included; remove it, or name the keys that you mean"].assert_eq(&told(json!({ "operator": "Exists" })));
    // Without a key, Equal is about the value.
    expect!["ForeignToleration: pod plain/web: spec.tolerations[0] (operator Equal, value b) would match the taint node-type=b:NoSchedule of workload type b; remove it, or run the pod in a namespace of that workload type"].assert_eq(&told(json!({ "operator": "Equal", "value": "b" })));
}
