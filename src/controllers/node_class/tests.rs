use serde_json::json;

use super::*;
use crate::api::conditions::{find, is_true};
use crate::api::ec2nodeclass::Subnet;
use crate::cluster::testing::{Calls, api_server, refusal};
use crate::controllers::testing::{FakeCloud, cluster, cluster_key, context};
use crate::ports::error::{CloudError, ErrorClass};

fn class(extra: serde_json::Value) -> Ec2NodeClass {
    let mut object = json!({
        "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass",
        "metadata": { "name": "default", "generation": 2, "creationTimestamp": "2026-11-01T00:00:00Z" },
        "spec": {
            "role": "node", "amiSelectorTerms": [{ "alias": "al2023@latest" }],
            "subnetSelectorTerms": [{ "id": "subnet-1" }], "securityGroupSelectorTerms": [{ "id": "sg-1" }],
        },
    });
    for (key, value) in extra.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn resolved() -> ResolvedClass {
    let subnet = Subnet { id: "subnet-1".to_owned(), zone: "us-east-1a".to_owned(), zone_id: None };
    ResolvedClass {
        obstacle: None,
        subnets: Resolution::Found(vec![subnet]),
        security_groups: Resolution::Found(vec![]),
        amis: Resolution::Found(vec![]),
        instance_profile: Resolution::Found("profile".to_owned()),
    }
}

fn now() -> Timestamp {
    "2026-11-02T00:00:00Z".parse().unwrap()
}

#[test]
fn a_class_whose_selectors_all_find_something_is_ready() {
    let status = status(&class(json!({})), resolved(), now());
    assert!(is_true(&status.conditions, "Ready"), "{:?}", status.conditions);
    assert_eq!((status.subnets.len(), status.instance_profile.as_deref()), (1, Some("profile")));
}

#[test]
fn what_finds_nothing_is_named_and_a_cloud_that_does_not_answer_changes_nothing() {
    let mut class = class(json!({}));
    class.status = Some(status(&class, resolved(), now()));
    let unusable = Resolution::Unusable { reason: "SubnetsNotFound", message: "no subnet".to_owned() };
    let found = status(&class, ResolvedClass { subnets: unusable, ..resolved() }, now());
    assert!(found.subnets.is_empty());
    assert_eq!(find(&found.conditions, api::SUBNETS_READY).unwrap().reason, "SubnetsNotFound");
    assert!(!is_true(&found.conditions, "Ready"));

    let failed =
        Resolution::Failed(CloudError::new(ErrorClass::Throttled, "RequestLimitExceeded", "ask", "slow"));
    let found = status(&class, ResolvedClass { subnets: failed, ..resolved() }, now());
    assert_eq!(Some(found), class.status);
}

#[test]
fn what_would_make_every_launch_fail_closes_the_class() {
    let obstacle = ClassObstacle { reason: "InvalidBlockDevices", message: "too large".to_owned() };
    let found = status(&class(json!({})), ResolvedClass { obstacle: Some(obstacle), ..resolved() }, now());
    let condition = find(&found.conditions, api::VALIDATION_SUCCEEDED).unwrap();
    assert_eq!((condition.reason.as_str(), condition.message.as_str()), ("InvalidBlockDevices", "too large"));
    assert!(!is_true(&found.conditions, "Ready"));
}

#[test]
fn a_class_that_is_being_deleted_is_not_ready_and_names_the_claims_that_hold_it() {
    let mut class = class(json!({}));
    class.status = Some(status(&class, resolved(), now()));
    class.metadata.generation = Some(3);
    class.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    class.metadata.finalizers = Some(vec![EC2NODECLASS_FINALIZER.to_owned()]);
    let ClassStep::Wait(event) = step(&class, &["a", "b"]) else { panic!("it goes before its claims") };
    let found = ending(&class, &event, now());
    assert_eq!(found.subnets.len(), 1, "claims that are left may need it");
    let ready = find(&found.conditions, "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Terminating"));
    assert_eq!(
        ready.message,
        "it is being deleted: it goes once no NodeClaim uses it: a, b; delete those, or their NodePools"
    );
    class.status = Some(found.clone());
    assert_eq!(ending(&class, &event, now()), found);
}

#[test]
fn a_field_that_is_not_honoured_is_named_and_closes_the_class() {
    let found = status(&class(json!({ "userData": "#!/bin/sh" })), resolved(), now());
    let condition = find(&found.conditions, api::VALIDATION_SUCCEEDED).unwrap();
    assert_eq!(condition.reason, "NotSupportedYet");
    assert!(condition.message.contains("userData"), "{}", condition.message);
    assert!(!is_true(&found.conditions, "Ready"));
}

/// A controller that knows a class that is being deleted and no claims, over an API server that holds these.
fn controller(
    cloud: FakeCloud,
    claims: Vec<serde_json::Value>,
) -> (NodeClassController, Arc<FakeCloud>, Calls) {
    let mut deleted = class(json!({}));
    deleted.metadata.finalizers = Some(vec!["other".to_owned(), EC2NODECLASS_FINALIZER.to_owned()]);
    deleted.metadata.deletion_timestamp = deleted.metadata.creation_timestamp.clone();
    let answer = serde_json::to_value(&deleted).unwrap();
    let (client, calls) = api_server(move |call| match call.line.split_once(' ') {
        Some(("GET", "/apis/karpenter.sh/v1/nodeclaims")) => {
            let list = json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaimList", "metadata": {}, "items": claims.clone() });
            (200, list)
        }
        Some(("PATCH", _)) => (200, answer.clone()),
        _ => refusal(404, "there is none"),
    });
    let (context, cloud) = (context(client, now()), Arc::new(cloud));
    context.caches.node_classes.fill([(cluster_key("default"), deleted)]);
    let controller = NodeClassController {
        client: context.client,
        clock: context.clock,
        cloud: cloud.clone(),
        cluster: Arc::new(cluster()),
        node_classes: context.caches.node_classes,
        node_claims: context.caches.node_claims,
        events: context.events,
    };
    (controller, cloud, calls)
}

fn claim_of(class: &str) -> serde_json::Value {
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": class });
    json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "a" }, "spec": { "nodeClassRef": class, "taints": 7 } })
}

#[tokio::test]
async fn a_class_is_let_go_once_the_api_server_itself_knows_no_claim_of_it() {
    let list = "GET /apis/karpenter.sh/v1/nodeclaims";
    let patch = "PATCH /apis/karpenter.k8s.aws/v1/ec2nodeclasses/default";
    let (free, cloud, calls) = controller(FakeCloud::default(), vec![claim_of("another")]);
    free.hold_and_release(&mut Retries::default()).await;
    assert_eq!(cloud.take_calls(), ["release default"]);
    let calls = calls.take();
    assert_eq!(calls.iter().map(|call| call.line.as_str()).collect::<Vec<_>>(), [list, patch]);
    assert_eq!(calls[1].body["metadata"]["finalizers"], json!(["other"]));

    let (used, cloud, calls) = controller(FakeCloud::default(), vec![claim_of("default")]);
    used.hold_and_release(&mut Retries::default()).await;
    assert_eq!((cloud.take_calls(), calls.lines()), (vec![], vec![list.to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_class_that_cannot_be_released_is_tried_again_later_and_later() {
    let (controller, cloud, calls) = controller(FakeCloud { is_out: true, ..FakeCloud::default() }, vec![]);
    let mut retries = Retries::default();
    let mut tried = async |seconds| {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        controller.hold_and_release(&mut retries).await;
        cloud.take_calls().len()
    };
    assert_eq!(
        (tried(0).await, tried(1).await, tried(1).await, tried(3).await, tried(1).await),
        (1, 0, 1, 0, 1)
    );
    assert!(calls.lines().iter().all(|line| !line.starts_with("PATCH")), "it is not let go");
}
