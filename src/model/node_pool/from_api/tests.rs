use expect_test::{Expect, expect};
use serde_json::{Value, json};

use super::*;

fn pool(change: impl FnOnce(&mut Value)) -> api::NodePool {
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
    let mut object = json!({
        "metadata": { "name": "application" },
        "spec": {
            "weight": 10,
            "limits": { "cpu": "100", "nodes": 5 },
            "template": {
                "metadata": { "labels": { "team": "red" } },
                "spec": {
                    "nodeClassRef": class,
                    "requirements": [{ "key": "karpenter.k8s.aws/instance-cpu", "operator": "Gte", "values": ["4"] }],
                    "taints": [{ "key": "node-type", "value": "application", "effect": "NoSchedule" }],
                    "startupTaints": [{ "key": "agent", "effect": "NoExecute" }],
                },
            },
        },
    });
    change(&mut object);
    serde_json::from_value(object).unwrap()
}

#[test]
fn a_pool_is_read_with_the_labels_that_its_nodes_get() {
    let read = NodePool::from_api(&pool(|_| {})).unwrap();
    assert_eq!((read.name.as_str(), read.weight), ("application", 10));
    assert_eq!(read.taints, ["node-type=application:NoSchedule".parse().unwrap()]);
    assert_eq!(read.startup_taints, ["agent:NoExecute".parse().unwrap()]);
    assert_eq!(read.limits.0, crate::model::testing::resource_list("cpu=100 nodes=5"));
    expect!["karpenter.k8s.aws/ec2nodeclass In [default], karpenter.k8s.aws/instance-cpu Exists >=4, karpenter.sh/nodepool In [application], team In [red]"]
        .assert_eq(&read.requirements.to_string());
}

fn check(change: impl FnOnce(&mut Value), expected: &Expect) {
    let problems = NodePool::from_api(&pool(change)).expect_err("problems");
    let mut shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
    shown.push(String::new());
    expected.assert_eq(&shown.join("\n"));
}

#[test]
fn everything_that_is_wrong_is_found_at_once() {
    check(
        |pool| {
            pool["spec"]["weight"] = json!(-1);
            pool["spec"]["limits"] = json!({ "cpu": "many" });
            pool["spec"]["disruption"] =
                json!({ "consolidateAfter": "soon", "budgets": [{ "nodes": "101%" }] });
            let spec = &mut pool["spec"]["template"]["spec"];
            spec["requirements"] = json!([
                { "key": "a", "operator": "In", "values": [] },
                { "key": "b", "operator": "Like", "values": ["x"] },
                { "key": "team", "operator": "In", "values": ["blue"] },
            ]);
            spec["taints"] = json!([
                { "key": "x", "effect": "NoSchedule" },
                { "key": "x", "value": "y", "effect": "NoSchedule" },
                { "key": "z", "effect": "Never" },
            ]);
            spec["startupTaints"] =
                json!([{ "key": "x", "effect": "NoSchedule" }, { "key": "x", "effect": "NoExecute" }]);
            spec["terminationGracePeriod"] = json!("1 hour");
        },
        &expect![[r#"
            spec.template.spec.requirements[0]: key a: operator In needs at least one value
            spec.template.spec.requirements[1]: key b: unknown operator "Like"; use In, NotIn, Exists, DoesNotExist, Gt, Lt, Gte or Lte
            spec.template.spec.requirements: those on team contradict each other, so that no node can meet them; remove all but one
            spec.template.spec.taints[2].effect: is unknown; use NoSchedule, PreferNoSchedule or NoExecute
            spec.template.spec.taints[1]: has the key and effect of another taint, x:NoSchedule; a node can carry one of them
            spec.template.spec.startupTaints[0]: has the key and effect of another taint, x:NoSchedule; a node can carry one of them
            spec.limits: resource cpu: quantity "many" does not start with a number; write it like 500m, 1.5 or 2Gi
            spec.template.spec.terminationGracePeriod: "1 hour" is not a duration: unknown unit " hour", expected h, m, s, ms, us or ns
            spec.disruption.consolidateAfter: "soon" is not a duration: expected numbers with units, such as 1h30m
            spec.disruption.budgets[0].nodes: "101%" is not a number of nodes: expected a whole number or a percentage up to 100%
            spec.weight: is negative; use 1 to 100, or leave it out
        "#]],
    );
}

#[test]
fn what_is_not_built_yet_keeps_a_pool_from_being_used_and_is_not_invalid() {
    let object = pool(|pool| pool["spec"]["replicas"] = json!(3));
    assert_eq!(NodePool::invalid_fields(&object), []);
    let problems = NodePool::from_api(&object).unwrap_err();
    expect!["spec.replicas: is not supported yet (pools with a fixed number of nodes); remove it"]
        .assert_eq(&problems.iter().map(ToString::to_string).collect::<String>());
}

#[test]
fn the_labels_of_workload_types_are_not_the_pools_to_give() {
    let key = labels::node_type_label("application");
    let object = pool(|pool| {
        pool["spec"]["template"]["metadata"]["labels"] = json!({ "team": "red", key.clone(): "" });
        let requirements = &mut pool["spec"]["template"]["spec"]["requirements"];
        requirements.as_array_mut().unwrap().extend([
            json!({ "key": labels::node_type_label("monitoring"), "operator": "In", "values": [""] }),
            json!({ "key": key, "operator": "DoesNotExist" }),
        ]);
    });
    assert_eq!(NodePool::from_api(&object), NodePool::from_api(&pool(|_| {})));
}
