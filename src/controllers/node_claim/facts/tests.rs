use serde_json::{Value, json};

use super::*;
use crate::api::labels::node_type_label;
use crate::cluster::cache::Key;
use crate::cluster::caches::{Caches, KnownNode, known_claim, known_node};
use crate::cluster::testing::api_server;
use crate::controllers::testing::{cluster_key, context, registered_claim};
use crate::lifecycle::memory::{Answer, LaunchFailure, LaunchProblem};
use crate::model::KnownPod;
use crate::model::testing::nodes::at;

const CLAIM: &str = "application-x7k2q";

/// A claim of a pool that the type `application` fences, without an instance or with one.
fn fill_claim(caches: &Caches, provider_id: Option<&str>) {
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
    let taints = json!([{ "key": "node-type", "value": "application", "effect": "NoSchedule" }]);
    let claim = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
        "metadata": {
            "name": CLAIM, "uid": "claim-uid", "creationTimestamp": at(0).to_string(), "finalizers": ["karpenter.sh/termination"],
            "labels": { "karpenter.sh/nodepool": "application" },
        },
        "spec": { "nodeClassRef": class, "requirements": [], "taints": taints },
        "status": { "providerID": provider_id },
    });
    caches.node_claims.fill([(cluster_key(CLAIM), known_claim(serde_json::from_value(claim).unwrap()))]);
    let taints = json!([{ "key": "node-type", "value": "application", "effect": "NoSchedule", "pools": ["application"] }]);
    let application = json!({
        "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType", "metadata": { "name": "application" },
        "spec": { "pools": [{ "name": "application" }] }, "status": { "taints": taints },
    });
    caches.workload_types.fill([(cluster_key("application"), serde_json::from_value(application).unwrap())]);
}

/// A pod that tolerates everything.
fn pod(namespace: &str, name: &str, node: Option<&str>) -> (Key, KnownPod) {
    let pod: Value = json!({
        "metadata": { "name": name, "namespace": namespace, "uid": format!("{namespace}-{name}") },
        "spec": { "containers": [], "tolerations": [{ "operator": "Exists" }], "nodeName": node },
    });
    let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
    (key, KnownPod::read(&serde_json::from_value(pod).unwrap()).unwrap())
}

/// The claim's Node, with all but these taints that it needs to be opened.
fn node(taints: &Value) -> (Key, KnownNode) {
    let labels = json!({ "karpenter.sh/nodepool": "application", "workload-type.node-restriction.kubernetes.io/application": "" });
    let owner =
        json!([{ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": CLAIM, "uid": "claim-uid" }]);
    let node = json!({
        "metadata": {
            "name": "n1", "uid": "n1-uid", "labels": labels, "finalizers": ["karpenter.sh/termination"], "ownerReferences": owner,
        },
        "spec": { "providerID": "aws:///a/i-1", "taints": taints },
    });
    (cluster_key("n1"), known_node(serde_json::from_value(node).unwrap()))
}

/// The planted pods that a step with this memory knows of.
fn looked(context: &Context, memory: &ClaimMemory) -> Option<Vec<PlantedPod>> {
    let mut facts = Facts::gather(context, CLAIM).unwrap();
    facts.look_for_planted(context, memory, at(10));
    facts.planted
}

/// A context of an API server that is not asked.
fn silent() -> Context {
    context(api_server(|call| panic!("{}", call.line)).0, at(600))
}

#[tokio::test]
async fn pods_of_exempt_namespaces_are_not_planted_whatever_the_namespace_of_treenail_is_called() {
    let mut context = silent();
    let caches = context.caches.clone();
    fill_claim(&caches, None);
    caches.pods.fill([pod("shop", "a", None), pod("kube-system", "b", None), pod("platform", "c", None)]);
    let mut planted = |names: &[&str]| {
        context.exempt_namespaces = Arc::new(names.iter().map(|name| (*name).to_owned()).collect());
        looked(&context, &ClaimMemory::default())
            .unwrap()
            .iter()
            .map(|planted| planted.pod.key.namespace.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(planted(&["kube-system", "platform"]), ["shop"]);
    assert_eq!(planted(&["kube-system"]), ["platform", "shop"]);
}

#[tokio::test]
async fn pods_are_looked_for_only_if_the_claim_is_to_be_launched_or_its_node_to_be_opened() {
    let context = silent();
    fill_claim(&context.caches, None);
    context.caches.pods.fill([pod("shop", "a", None)]);
    let found = |memory: &ClaimMemory| looked(&context, memory).map(|planted| planted.len());
    let new = ClaimMemory::default();
    assert_eq!(found(&new), Some(1));
    let mut waits = ClaimMemory::default();
    let failure = LaunchFailure {
        problem: LaunchProblem::Other,
        reason: "Throttled".to_owned(),
        message: String::new(),
        is_answered: false,
        is_spent: false,
    };
    waits.record(Answer::Launch { attempt: 0, result: Err(failure) }, at(10));
    assert_eq!(found(&waits), None);
    context.caches.workload_types.fill([]);
    assert_eq!(found(&new), Some(0), "nobody owns the taint");
    fill_claim(&context.caches, Some("aws:///a/i-1"));
    assert_eq!(found(&new), None);
    let fence = json!({ "key": "node-type", "value": "application", "effect": "NoSchedule" });
    let unregistered = json!({ "key": "karpenter.sh/unregistered", "effect": "NoExecute" });
    let not_fenced_yet = json!([unregistered]);
    let open = json!([fence]);
    for (taints, expected) in [(json!([fence, unregistered]), Some(1)), (not_fenced_yet, None), (open, None)]
    {
        context.caches.nodes.fill([node(&taints)]);
        assert_eq!(found(&new), expected, "{taints}");
    }
}

/// A pod that tolerates everything and asks for such nodes.
fn choosy(name: &str, node_selector: &Value, node_affinity: &Value) -> (Key, KnownPod) {
    let pod = json!({
        "metadata": { "name": name, "namespace": "shop", "uid": name },
        "spec": {
            "containers": [], "tolerations": [{ "operator": "Exists" }],
            "nodeSelector": node_selector, "affinity": { "nodeAffinity": node_affinity },
        },
    });
    let key = Key { namespace: "shop".to_owned(), name: name.to_owned() };
    (key, KnownPod::read(&serde_json::from_value(pod).unwrap()).unwrap())
}

/// It asks for a Node by its name, as pods of DaemonSets do.
fn pinned(name: &str, node: &str) -> (Key, KnownPod) {
    let term = json!({ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] });
    let required =
        json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [term] } });
    choosy(name, &Value::Null, &required)
}

#[tokio::test]
async fn a_pod_that_asks_for_the_node_that_is_to_be_opened_is_planted_and_one_that_asks_for_another_is_not() {
    let context = silent();
    let fenced = json!([{ "key": "node-type", "value": "application", "effect": "NoSchedule" }, { "key": "karpenter.sh/unregistered", "effect": "NoExecute" }]);
    let (_, other) = node(&fenced);
    context.caches.nodes.fill([
        node(&fenced),
        (cluster_key("n2"), KnownNode { model: Node { provider_id: None, ..other.model }, ..other }),
    ]);
    context.caches.pods.fill([pinned("own", "n1"), pinned("other", "n2"), pinned("new", "n3")]);
    let found = |provider_id| {
        fill_claim(&context.caches, provider_id);
        let found = looked(&context, &ClaimMemory::default()).unwrap();
        found.iter().map(|planted| planted.pod.key.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(found(Some("aws:///a/i-1")), ["new", "own"], "at the opening");
    assert_eq!(found(None), ["new"], "at the launch");
}

#[tokio::test]
async fn the_label_that_a_node_has_already_and_that_of_a_type_that_names_its_pool_let_pods_onto_it() {
    let context = silent();
    let selects = |name| choosy(name, &json!({ node_type_label(name): "" }), &Value::Null);
    context.caches.pods.fill(["application", "batch", "monitoring", "other"].map(selects));
    let found = |provider_id| {
        fill_claim(&context.caches, provider_id);
        let application = context.caches.workload_types.get("", "application").unwrap();
        let batch = json!({
            "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType", "metadata": { "name": "batch" },
            "spec": { "pools": [{ "name": "application" }] },
        });
        context.caches.workload_types.fill([
            (cluster_key("application"), Arc::unwrap_or_clone(application)),
            (cluster_key("batch"), serde_json::from_value(batch).unwrap()),
        ]);
        let found = looked(&context, &ClaimMemory::default()).unwrap();
        found.iter().map(|planted| planted.pod.key.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(found(None), ["application", "batch"], "at the launch");
    let fence = json!([{ "key": "node-type", "value": "application", "effect": "NoSchedule" }]);
    let (key, mut open) = node(&fence);
    open.model.labels.insert(labels::REGISTERED.to_owned(), "true".to_owned());
    open.model.labels.insert(node_type_label("monitoring"), String::new());
    context.caches.nodes.fill([(key, open)]);
    assert_eq!(found(Some("aws:///a/i-1")), ["application", "batch", "monitoring"], "as a type joins");
}

#[tokio::test]
async fn other_claims_with_the_same_instance_are_rivals() {
    let context = silent();
    let claim = |name, id| registered_claim(name, id, json!({}));
    context.caches.node_claims.fill([
        claim("a", "aws:///a/i-1"),
        claim("b", "aws:///a/i-1"),
        claim("c", "aws:///a/i-2"),
    ]);
    let rivals = |name: &str| {
        let facts = Facts::gather(&context, name).unwrap();
        facts.rivals.iter().map(|rival| rival.object.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!((rivals("a"), rivals("b"), rivals("c")), (vec!["b".to_owned()], vec!["a".to_owned()], vec![]));
}
