use serde_json::{Value, json};

use super::*;
use crate::cluster::caches::{known_claim, known_node};
use crate::disruption::decide::Command;
use crate::model::testing::nodes::at;

fn claim(name: &str, group: &str, instance: Value) -> Arc<KnownClaim> {
    let condition = |type_: &str| json!({ "type": type_, "status": "True", "reason": type_, "lastTransitionTime": "2026-01-01T00:00:00Z" });
    let object = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
        "metadata": {
            "name": name, "uid": format!("{name}-uid"), "resourceVersion": "1",
            "labels": { "karpenter.sh/nodepool": "application" },
        },
        "spec": { "nodeClassRef": { "group": group, "kind": "EC2NodeClass", "name": "default" }, "requirements": [] },
        "status": { "providerID": instance, "conditions": [condition("Initialized"), condition("Registered")] },
    });
    Arc::new(known_claim(serde_json::from_value(object).unwrap()))
}

fn node(name: &str, instance: &str) -> Arc<KnownNode> {
    let object = json!({
        "metadata": { "name": name, "uid": format!("{name}-uid"), "resourceVersion": "1" },
        "spec": { "providerID": instance },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    Arc::new(known_node(serde_json::from_value(object).unwrap()))
}

fn pod(name: &str, node: &str) -> Arc<KnownPod> {
    let object = json!({ "metadata": { "name": name, "namespace": "shop" }, "spec": { "nodeName": node, "containers": [] } });
    Arc::new(KnownPod::read(&serde_json::from_value(object).unwrap()).unwrap())
}

fn view() -> View {
    let pool = json!({
        "metadata": { "name": "application" },
        "spec": {
            "template": { "spec": { "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
                "requirements": [], "expireAfter": "Never" } },
            "disruption": { "consolidationPolicy": "WhenEmpty", "consolidateAfter": "0s", "budgets": [{ "nodes": "100%" }] },
        },
    });
    let pool = Pool::read(&serde_json::from_value(pool).unwrap());
    let named = |claim: Arc<KnownClaim>| (claim.model.object.name.clone(), claim);
    let aws = "karpenter.k8s.aws";
    let claims = [
        claim("empty", aws, json!("aws:///a/i-1")),
        claim("used", aws, json!("aws:///a/i-2")),
        claim("twice", aws, json!("aws:///a/i-3")),
        claim("no-instance", aws, Value::Null),
    ];
    let nodes = [
        node("n1", "aws:///a/i-1"),
        node("n2", "aws:///a/i-2"),
        node("n3", "aws:///a/i-3"),
        node("n4", "aws:///a/i-3"),
    ];
    View {
        pools: [("application".to_owned(), pool)].into(),
        claims: claims.map(named).into(),
        nodes: nodes.map(|node| (node.model.object.name.clone(), node)).into(),
        pods: vec![pod("web", "n2"), pod("elsewhere", "n9")],
        knows_pods: true,
    }
}

fn decided(view: &View, nominated: Option<&str>) -> (Vec<Command>, Vec<String>) {
    let until = |name: &str| (Some(name) == nominated).then(|| at(900));
    let decision = view.decide(&BTreeSet::new(), until, at(600));
    let kept = decision.kept.iter().map(|(name, why)| format!("{name}: {why}"));
    (decision.commands, kept.collect())
}

#[test]
fn claims_are_looked_at_with_their_only_node_and_the_pods_on_it() {
    let (commands, kept) = decided(&view(), None);
    let [Command::Mark { claim, node, .. }] = commands.as_slice() else { panic!("{commands:?}") };
    assert_eq!((claim.name.as_str(), node.name.as_str()), ("empty", "n1"));
    assert_eq!(
        kept,
        [
            "no-instance: it has no Node of its own",
            "twice: it has no Node of its own",
            "used: pod shop/web runs on it",
        ]
    );
}

#[test]
fn pods_are_expected_on_a_node_by_its_name_or_its_claims() {
    for name in ["n1", "empty"] {
        let (commands, kept) = decided(&view(), Some(name));
        assert_eq!(commands, [], "{name}");
        assert_eq!(kept[0], "empty: pods are expected on it until 2026-01-01T00:15:00Z");
    }
}

#[test]
fn of_two_claims_with_one_instance_only_the_one_that_its_node_belongs_to_is_looked_at_with_it() {
    let mut view = view();
    let copy = claim("copy", "karpenter.k8s.aws", json!("aws:///a/i-1"));
    view.claims.insert("copy".to_owned(), copy);
    for owner in ["copy", "empty"] {
        let mut node = (*view.nodes["n1"]).clone();
        node.model.owner_uids = vec![format!("{owner}-uid")];
        view.nodes.insert("n1".to_owned(), Arc::new(node));
        let (commands, kept) = decided(&view, None);
        let [Command::Mark { claim, .. }] = commands.as_slice() else { panic!("{commands:?}") };
        assert_eq!(claim.name, owner);
        let other = if owner == "copy" { "empty" } else { "copy" };
        assert!(kept.contains(&format!("{other}: it has no Node of its own")), "{kept:?}");
    }
}

#[tokio::test]
async fn pods_are_taken_for_unknown_while_their_watch_is_broken() {
    let caches = Caches::default();
    assert!(View::gather(&caches).knows_pods);
    caches.pods.break_off();
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    assert!(!View::gather(&caches).knows_pods);
    let (commands, _) = decided(&View { knows_pods: false, ..view() }, None);
    assert_eq!(commands, []);
}
