use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::*;
use crate::cluster::caches::known_node;
use crate::cluster::testing::{Call, api_server, refusal};
use crate::controllers::node_claim::permits::Permits;
use crate::controllers::testing::{
    FakeCloud, cluster, cluster_key, context, fill, instance, registered_claim,
};
use crate::model::testing::nodes::at;

#[tokio::test(start_paused = true)]
async fn a_cloud_that_does_not_answer_keeps_no_claim_waiting_that_does_not_need_it() {
    let bare = registered_claim("b", "", json!({ "metadata": { "finalizers": null }, "status": null }));
    let answer = serde_json::to_value(&bare.1.object).unwrap();
    let (client, calls) = api_server(move |_| (200, answer.clone()));
    let context = context(client, at(600));
    let deleted = json!({ "metadata": { "deletionTimestamp": at(500).to_string() } });
    let ending = |name: &str, id: &str| registered_claim(name, id, deleted.clone());
    fill(&context.caches, [ending("a", "aws:///a/i-1"), ending("c", "aws:///a/i-2"), bare]);
    let (cloud, cluster) = (FakeCloud { hangs: true, ..FakeCloud::default() }, cluster());
    let permits = Permits { cloud: Semaphore::new(1), writes: Semaphore::new(1) };
    let hands = Hands { context: &context, cloud: &cloud, cluster: &cluster, permits: &permits };
    let go = |name: &'static str, seconds| {
        let round = go(hands, name, None, ClaimMemory::default());
        tokio::time::timeout(Duration::from_secs(seconds), round)
    };
    let (first, second, third) = tokio::join!(go("a", 60), go("c", 50), go("b", 60));
    assert!(first.is_err() && second.is_err(), "they wait for the cloud");
    assert_eq!(cloud.take_calls(), ["terminate aws:///a/i-1"], "the other waits for its turn");
    third.unwrap();
    assert_eq!(calls.lines()[0], "PATCH /apis/karpenter.sh/v1/nodeclaims/b");
}

const ID: &str = "aws:///us-east-1a/i-1";

/// What is asked for a pod, and of the cloud, about a claim that is deleted, whose Node has long been closed and is empty by the
/// caches, while the API server answers so when it is asked for pods.
async fn asked_to_end(pods: impl Fn(&Call) -> (u16, Value) + Clone + Send + Sync + 'static) -> Vec<String> {
    let condition = |type_: &str| json!({ "type": type_, "status": "True", "reason": type_, "message": "", "lastTransitionTime": at(0).to_string() });
    let deleted = json!({
        "metadata": { "deletionTimestamp": at(500).to_string() },
        "status": { "conditions": [
            condition("Launched"), condition("Registered"), condition("Initialized"), condition("DisruptionReason"),
        ] },
    });
    let claim = registered_claim("a", ID, deleted);
    let stored = Arc::new(Mutex::new(serde_json::to_value(&claim.1.object).unwrap()));
    let (client, calls) = api_server(move |call| match call.line.as_str() {
        "GET /api/v1/pods" => pods(call),
        "POST /api/v1/namespaces/shop/pods/web/eviction" => refusal(429, "the budget needs it"),
        "PATCH /apis/karpenter.sh/v1/nodeclaims/a/status" => {
            let mut stored = stored.lock().unwrap();
            let version = stored["metadata"]["resourceVersion"].as_str().unwrap().parse::<u64>().unwrap();
            json_patch::merge(&mut stored, &call.body);
            stored["metadata"]["resourceVersion"] = json!((version + 1).to_string());
            (200, stored.clone())
        }
        line => panic!("{line}"),
    });
    let context = context(client, at(600));
    fill(&context.caches, [claim]);
    let node = json!({
        "metadata": {
            "name": "n1", "uid": "n1-uid", "resourceVersion": "1", "deletionTimestamp": at(501).to_string(),
            "labels": {
                "karpenter.sh/registered": "true", "node.kubernetes.io/exclude-from-external-load-balancers": "karpenter",
            },
            "finalizers": ["karpenter.sh/termination"],
            "ownerReferences": [{ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": "a", "uid": "a-uid" }],
        },
        "spec": { "providerID": ID, "taints": [{ "key": "karpenter.sh/disrupted", "effect": "NoSchedule" }] },
        "status": { "conditions": [{ "type": "Ready", "status": "True" }] },
    });
    context.caches.nodes.fill([(cluster_key("n1"), known_node(serde_json::from_value(node).unwrap()))]);
    let cloud = FakeCloud { listed: vec![instance(ID, "a-uid")], ..FakeCloud::default() };
    let (cluster, permits) = (cluster(), Permits::default());
    let hands = Hands { context: &context, cloud: &cloud, cluster: &cluster, permits: &permits };
    go(hands, "a", None, ClaimMemory::default()).await;
    let pods = calls.lines().into_iter().filter(|line| line.starts_with("POST"));
    pods.chain(cloud.take_calls()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_instance_is_terminated_only_when_the_api_server_itself_knows_no_pod_on_its_node() {
    let on_n1 = |call: &Call, items: Value| {
        assert!(call.query.contains("fieldSelector=spec.nodeName%3Dn1"), "{}", call.query);
        (200, json!({ "apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items }))
    };
    let empty = asked_to_end(move |call| on_n1(call, json!([]))).await;
    assert_eq!(empty, [format!("terminate {ID}")]);
    let web = json!([{ "metadata": { "name": "web", "namespace": "shop", "uid": "web-uid" }, "spec": { "nodeName": "n1", "containers": [] } }]);
    let used = asked_to_end(move |call| on_n1(call, web.clone())).await;
    assert_eq!(used, ["POST /api/v1/namespaces/shop/pods/web/eviction"]);
    assert_eq!(asked_to_end(|_| refusal(403, "not allowed")).await, Vec::<String>::new());
}
