use serde_json::{Value, json};

use super::*;
use crate::api::nodepool::NodePool;
use crate::model::testing::nodes::{at, fresh_node, labels_of, registered_node, taint};
use crate::model::workload_type::Pool;

fn workload_type(name: &str, spec: Value, status: Value) -> api::WorkloadType {
    serde_json::from_value(json!({
        "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType",
        "metadata": { "name": name, "generation": 2, "creationTimestamp": at(0).to_string() },
        "spec": spec, "status": status,
    }))
    .unwrap()
}

fn pool(taints: &[&str]) -> Pool {
    let taints: Vec<_> = taints
        .iter()
        .map(|text| {
            let taint = taint(text);
            json!({ "key": taint.key, "value": taint.value, "effect": taint.effect.name() })
        })
        .collect();
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
    let spec =
        json!({ "template": { "spec": { "nodeClassRef": class, "requirements": [], "taints": taints } } });
    let object: NodePool = serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "p" }, "spec": spec,
    }))
    .unwrap();
    Pool::read(&object)
}

/// The status of `object` among these pools and nodes, with two namespaces that name it.
fn status_of(
    object: &api::WorkloadType,
    pools: &[(&str, Pool)],
    nodes: &[LaunchedNode],
    remains: Option<&Remains>,
) -> WorkloadTypeStatus {
    let types = [("a".to_owned(), WorkloadType::read(object))].into();
    let pools = pools.iter().map(|(name, pool)| ((*name).to_owned(), pool.clone())).collect();
    let mut counts = Counts::default();
    counts.namespaces.insert("a".to_owned(), ["shop".to_owned(), "web".to_owned()].into());
    for node in nodes {
        *counts.nodes.entry(node.pool.clone()).or_default() += 1;
    }
    status(object, &Fleet { types: &types, pools: &pools, nodes }, &counts, remains, at(60))
}

/// Condition, status, reason; those that are well for no particular reason are left out.
fn shown(status: &WorkloadTypeStatus) -> Vec<String> {
    let conditions = status.conditions.iter().filter(|condition| {
        condition.reason != condition.type_
            || [api::TAINT_SHARED, api::DELETION_BLOCKED].contains(&condition.type_.as_str())
    });
    conditions
        .map(|condition| format!("{} {} {}", condition.type_, condition.status.as_str(), condition.reason))
        .collect()
}

fn taints_of(status: &WorkloadTypeStatus) -> Vec<String> {
    status.taints.iter().map(|taint| format!("{}={}:{}", taint.key, taint.value, taint.effect)).collect()
}

#[test]
fn conditions_say_what_is_wrong_and_how_much_depends_on_it() {
    let of = |spec: Value| workload_type("a", spec, json!(null));
    let fine = || ("p", pool(&["t=a:NoSchedule"]));
    let cases = [
        (json!({ "pools": [{ "name": "p" }] }), vec![fine()], &["TaintShared False NotShared"][..]),
        (
            json!({ "pools": [{ "name": "p" }, { "name": "gone" }] }),
            vec![fine()],
            &[
                "PoolsReady False NodePoolNotFound",
                "Ready False UnhealthyDependents",
                "TaintShared False NotShared",
            ],
        ),
        (
            json!({ "pools": [{ "name": "p" }] }),
            vec![("p", pool(&[]))],
            &["Isolated False NodePoolOpen", "TaintShared False NotShared"],
        ),
        (
            json!({ "pools": [{ "name": "p" }] }),
            vec![fine(), ("q", pool(&["t=a:NoSchedule"]))],
            &["TaintShared True TaintShared"],
        ),
        (
            json!({ "pools": [{ "name": "p" }], "enforcement": "Audit" }),
            vec![fine()],
            &[
                "Ready False UnhealthyDependents",
                "TaintShared False NotShared",
                "ValidationSucceeded False Invalid",
            ],
        ),
    ];
    for (spec, pools, expected) in cases {
        let mut found = shown(&status_of(&of(spec.clone()), &pools, &[], None));
        found.sort();
        assert_eq!(found, expected, "{spec}");
    }
}

#[test]
fn namespaces_and_nodes_are_counted_and_each_pool_says_whether_it_can_be_used() {
    let object = workload_type("a", json!({ "pools": [{ "name": "p" }, { "name": "gone" }] }), json!(null));
    let node = |pool: &str| LaunchedNode { pool: pool.to_owned(), taints: vec![taint("t=a:NoSchedule")] };
    let nodes = [node("p"), node("p"), node("gone"), node("somebody's")];
    let status = status_of(&object, &[("p", pool(&["t=a:NoSchedule"]))], &nodes, None);
    assert_eq!((status.namespaces, status.nodes, status.observed_generation), (Some(2), Some(3), Some(2)));
    let pools: Vec<_> = status
        .pools
        .iter()
        .map(|pool| (pool.name.as_str(), pool.ready, pool.message.as_str(), pool.nodes))
        .collect();
    assert_eq!(pools, [("p", true, "", Some(2)), ("gone", false, "does not exist", Some(1))]);
}

#[test]
fn a_former_taint_stays_owned_while_a_node_carries_it_with_or_without_its_claim() {
    let recorded = json!({ "taints": [
        { "key": "t", "value": "former", "effect": "NoSchedule", "pools": ["p"] },
        { "key": "t", "value": "gone", "effect": "NoSchedule", "pools": ["p"] },
    ] });
    let object = workload_type("a", json!({ "pools": [{ "name": "p" }] }), recorded);
    let types = [("a".to_owned(), WorkloadType::read(&object))].into();
    let mut node = registered_node();
    node.labels = labels_of(&[(labels::NODEPOOL, "p")]);
    node.taints = vec![taint("t=former:NoSchedule"), taint("maintenance=now:NoSchedule")];
    let stray = stray(&node, &types).unwrap();
    let status = status_of(&object, &[("p", pool(&["t=a:NoSchedule"]))], &[stray], None);
    assert_eq!(taints_of(&status), ["t=a:NoSchedule", "t=former:NoSchedule"]);
    assert_eq!(status.nodes, Some(1));
    let mut nobodys = fresh_node();
    nobodys.labels.clear();
    assert_eq!(super::stray(&nobodys, &types), None);
}

#[test]
fn a_type_that_cannot_be_read_keeps_all_that_was_published() {
    let published = json!({
        "tolerations": [{ "key": "t", "value": "a", "effect": "NoSchedule" }],
        "nodeSelector": { "workload-type.node-restriction.kubernetes.io/a": "" },
        "taints": [{ "key": "t", "value": "a", "effect": "NoSchedule", "pools": ["p"] }],
    });
    let mut object = workload_type("a", json!({ "pools": [] }), published);
    object.mark_unreadable("invalid type");
    let before = object.status.clone().unwrap();
    let status = status_of(&object, &[("p", pool(&["t=b:NoSchedule"]))], &[], None);
    assert_eq!(
        (&status.taints, &status.tolerations, &status.node_selector),
        (&before.taints, &before.tolerations, &before.node_selector)
    );
    assert!(shown(&status).contains(&"ValidationSucceeded False Invalid".to_owned()), "{:?}", shown(&status));
}

#[test]
fn a_type_that_is_being_deleted_is_published_on_and_says_what_it_waits_for() {
    let object = workload_type("a", json!({ "pools": [{ "name": "p" }] }), json!(null));
    let remains = Remains { namespaces: ["shop".to_owned()].into(), ..Remains::default() };
    let status = status_of(&object, &[("p", pool(&["t=a:NoSchedule"]))], &[], Some(&remains));
    assert_eq!(taints_of(&status), ["t=a:NoSchedule"]);
    assert!(shown(&status).contains(&"DeletionBlocked True InUse".to_owned()), "{:?}", shown(&status));
    assert_eq!(
        status_of(&object, &[], &[], None)
            .conditions
            .iter()
            .find(|found| found.type_ == api::DELETION_BLOCKED),
        None
    );
}
