use expect_test::expect;
use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::cluster::caches::known_claim;
use crate::cluster::testing::{Calls, api_server, refusal};
use crate::controllers::testing::{FakeCloud, context, instance as launched, registered_claim};
use crate::model::testing::nodes::{at, object};

#[test]
fn a_claim_of_another_providers_class_is_left_to_that() {
    for (group, expected) in [("karpenter.k8s.aws", true), ("karpenter.azure.com", false)] {
        let class = json!({ "group": group, "kind": "EC2NodeClass", "name": "default" });
        let claim = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": { "name": "c", "uid": "u", "resourceVersion": "1" },
            "spec": { "nodeClassRef": class, "requirements": [] },
        });
        let claim = Arc::new(known_claim(serde_json::from_value(claim).unwrap()));
        let garbage = Garbage::Claim(claim.model.object.clone());
        assert_eq!(is_ours(&garbage, &[claim]), expected, "{group}");
    }
}

#[test]
fn an_instance_is_a_claims_by_its_id_or_by_the_claims_uid_until_that_knows_its_own() {
    let claims = [
        json!({ "metadata": { "name": "a", "uid": "1" }, "status": { "providerID": "aws:///a/i-1" } }),
        json!({ "metadata": { "name": "b", "uid": "2" }, "spec": { "taints": "of no type that is known" } }),
        json!({ "metadata": { "name": "c", "uid": "3" }, "status": { "providerID": "" } }),
    ];
    let owners = Owners::read(claims.map(|claim| serde_json::from_value(claim).unwrap()).into());
    let cases = [
        ("i-1", None, true),
        ("i-1", Some("9"), true),
        ("i-2", Some("2"), true),
        ("i-3", Some("3"), true),
        // The claim has another: this one was launched twice.
        ("i-4", Some("1"), false),
        ("i-5", Some("9"), false),
        ("i-6", None, false),
    ];
    for (id, uid, expected) in cases {
        let id = ProviderId::new(format!("aws:///a/{id}"));
        let instance = gc::Instance {
            provider_id: id.clone(),
            launched: Timestamp::UNIX_EPOCH,
            claim_uid: uid.map(str::to_owned),
            is_ending: false,
        };
        assert_eq!(owners.has(&[instance], &id), expected, "{id} {uid:?}");
    }
}

const ID: &str = "aws:///us-east-1a/i-1";

/// A collector at an hour, over an API server that holds these claims.
fn collector(cloud: FakeCloud, stored: Vec<serde_json::Value>) -> (GarbageController, Arc<FakeCloud>, Calls) {
    let (client, calls) = api_server(move |call| match call.line.as_str() {
        "GET /apis/karpenter.sh/v1/nodeclaims" => {
            let list = json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaimList", "metadata": {}, "items": stored.clone() });
            (200, list)
        }
        _ => refusal(404, "there is none"),
    });
    let cloud = Arc::new(cloud);
    let collector = GarbageController {
        context: context(client, at(3600)),
        cloud: cloud.clone(),
        cluster_name: "test".to_owned(),
        every: Duration::from_mins(2),
    };
    (collector, cloud, calls)
}

#[tokio::test]
async fn a_claim_goes_only_when_its_instance_itself_is_not_found() {
    let delete = "DELETE /apis/karpenter.sh/v1/nodeclaims/a";
    let lost_its_tags = FakeCloud { unlisted: vec![launched(ID, "a-uid")], ..FakeCloud::default() };
    let does_not_answer = FakeCloud { is_out: true, ..FakeCloud::default() };
    for (cloud, expected) in
        [(FakeCloud::default(), vec![delete]), (lost_its_tags, vec![]), (does_not_answer, vec![])]
    {
        let (collector, cloud, calls) = collector(cloud, vec![]);
        collector.context.caches.node_claims.fill([registered_claim("a", ID, json!({}))]);
        collector.pass().await.unwrap();
        assert_eq!(calls.lines(), expected, "{cloud:?}");
        assert_eq!(cloud.take_calls(), [format!("get {ID}")]);
    }
}

#[tokio::test]
async fn an_instance_is_terminated_only_when_the_api_server_itself_knows_no_claim_of_it() {
    let claim = |status| json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "a", "uid": "a-uid" }, "status": status });
    let cases = [
        (vec![], vec![format!("terminate {ID}")]),
        (vec![claim(json!({ "providerID": ID }))], vec![]),
        (vec![claim(json!({}))], vec![]),
        (vec![claim(json!({ "providerID": "aws:///us-east-1a/i-2" }))], vec![format!("terminate {ID}")]),
    ];
    for (stored, expected) in cases {
        let listed = FakeCloud { listed: vec![launched(ID, "a-uid")], ..FakeCloud::default() };
        let (collector, cloud, _) = collector(listed, stored.clone());
        collector.pass().await.unwrap();
        assert_eq!(cloud.take_calls(), expected, "{stored:?}");
    }
}

#[test]
fn people_are_told_that_an_instance_is_gone_or_lost_its_tags_and_what_to_do() {
    let claim = object("application-x7k2q");
    let told = [instance_gone(&claim), instance_not_listed(&claim, &ProviderId::new(ID))].map(|event| {
        let Regarding::NodeClaim { name, uid } = &event.regarding else { panic!("{event:?}") };
        format!("{} {} {name} {uid}: {}\n", event.severity.name(), event.reason, event.message)
    });
    expect![[r#"
        Warning InstanceGone application-x7k2q application-x7k2q-uid: its instance does not exist any more, so the claim is deleted and its pods are placed anew; see EC2 or CloudTrail for who terminated it
        Warning InstanceNotListed application-x7k2q application-x7k2q-uid: its instance aws:///us-east-1a/i-1 exists and is not listed as one of the cluster's, so it could not be terminated; give it back its tags karpenter.sh/nodepool, karpenter.k8s.aws/ec2nodeclass, eks:eks-cluster-name
    "#]].assert_eq(&told.concat());
}
