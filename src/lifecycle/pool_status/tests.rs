use serde_json::{Value, json};

use super::*;
use crate::model::testing::nodes::at;

fn pool(requirements: &Value) -> NodePool {
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
    let template = json!({ "nodeClassRef": class, "requirements": requirements, "expireAfter": "Never" });
    serde_json::from_value(json!({
        "metadata": { "name": "application", "generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "template": { "spec": template }, "disruption": { "consolidationPolicy": "WhenEmpty" } },
    }))
    .unwrap()
}

/// A class whose condition `Ready` is this; `deleted` says that it is being deleted.
fn class(ready: &str, deleted: bool) -> Ec2NodeClass {
    let deleted = deleted.then_some("2026-01-01T00:00:00Z");
    let condition = json!({
        "type": "Ready", "status": ready, "reason": "SubnetsNotFound", "message": "no subnet",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    });
    serde_json::from_value(json!({
        "metadata": { "name": "default", "generation": 7, "deletionTimestamp": deleted },
        "spec": { "amiSelectorTerms": [], "subnetSelectorTerms": [], "securityGroupSelectorTerms": [] },
        "status": { "conditions": [condition] },
    }))
    .unwrap()
}

fn claim(capacity: &Value) -> NodeClaim {
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
    serde_json::from_value(json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "c" },
        "spec": { "nodeClassRef": class, "requirements": [] }, "status": { "capacity": capacity },
    }))
    .unwrap()
}

#[test]
fn a_pool_is_ready_as_its_class_is() {
    let cases = [
        (Some(class("True", false)), "Ready=True"),
        (Some(class("False", false)), "SubnetsNotFound: EC2NodeClass default: no subnet"),
        (
            Some(class("Unknown", false)),
            "NodeClassReadinessUnknown: EC2NodeClass default is not resolved yet",
        ),
        (Some(class("True", true)), "NodeClassTerminating: EC2NodeClass default is being deleted"),
        (
            None,
            "NodeClassNotFound: EC2NodeClass default does not exist; create it, or name another in spec.template.spec.nodeClassRef",
        ),
    ];
    for (class, expected) in cases {
        let found = status(&pool(&json!([])), class.as_ref(), &[], at(60));
        assert_eq!(found.node_class_observed_generation, class.map(|_| 7));
        let of_class = conditions::find(&found.conditions, api::NODE_CLASS_READY).unwrap();
        let shown = if conditions::is_true(&found.conditions, conditions::READY) {
            "Ready=True".to_owned()
        } else {
            format!("{}: {}", of_class.reason, of_class.message)
        };
        assert_eq!(shown, expected);
    }
}

#[test]
fn a_pool_that_cannot_be_used_says_why() {
    let impossible = json!([{ "key": "kubernetes.io/arch", "operator": "Gt", "values": ["many"] }]);
    let found = status(&pool(&impossible), Some(&class("True", false)), &[], at(60));
    let validation = conditions::find(&found.conditions, api::VALIDATION_SUCCEEDED).unwrap();
    assert_eq!(validation.reason, "NodePoolValidationFailed");
    assert!(validation.message.contains("spec.template.spec.requirements[0]"), "{}", validation.message);
    assert!(!conditions::is_true(&found.conditions, conditions::READY));
}

#[test]
fn what_its_claims_hold_is_added_up_and_zeros_are_told() {
    let told = |claims: &[&NodeClaim]| {
        let found = status(&pool(&json!([])), None, claims, at(60));
        let resources = found.resources.iter().map(|(name, amount)| format!("{name}={}", amount.0));
        (found.nodes, resources.collect::<Vec<_>>().join(" "))
    };
    assert_eq!(told(&[]), (0, "cpu=0 ephemeral-storage=0 memory=0 nodes=0 pods=0".to_owned()));
    let small = claim(&json!({ "cpu": "4", "memory": "8Gi", "pods": "58" }));
    let on_its_way = claim(&json!({}));
    let large = claim(&json!({ "cpu": "8", "memory": "16Gi", "pods": "58", "nvidia.com/gpu": "1" }));
    assert_eq!(
        told(&[&small, &on_its_way, &large]),
        (3, "cpu=12 ephemeral-storage=0 memory=24Gi nodes=3 nvidia.com/gpu=1 pods=116".to_owned())
    );
}
