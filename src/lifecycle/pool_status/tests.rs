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

fn status_of(
    requirements: &Value,
    class: Option<&Ec2NodeClass>,
    no_type: Option<&str>,
    claims: &[&NodeClaim],
) -> NodePoolStatus {
    status(&pool(requirements), &Surroundings { class, no_type, claims }, at(60))
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
        let found = status_of(&json!([]), class.as_ref(), None, &[]);
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
    let found = status_of(&impossible, Some(&class("True", false)), None, &[]);
    let validation = conditions::find(&found.conditions, api::VALIDATION_SUCCEEDED).unwrap();
    assert_eq!(validation.reason, "NodePoolValidationFailed");
    assert!(validation.message.contains("spec.template.spec.requirements[0]"), "{}", validation.message);
    assert!(!conditions::is_true(&found.conditions, conditions::READY));
}

#[test]
fn what_its_claims_hold_is_added_up_and_zeros_are_told() {
    let told = |claims: &[&NodeClaim]| {
        let found = status_of(&json!([]), None, None, claims);
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

#[test]
fn a_pool_whose_requirements_no_instance_type_meets_is_not_ready_and_neither_are_its_types() {
    const WHY: &str = "no instance type has node.kubernetes.io/instance-type In [m9z.huge]; correct the requirements, or allow more";
    let ready = class("True", false);
    let found = status_of(&json!([]), Some(&ready), Some(WHY), &[]);
    let validation = conditions::find(&found.conditions, api::VALIDATION_SUCCEEDED).unwrap();
    assert_eq!(validation.reason, "NoCompatibleInstanceTypes");
    let expected = format!("spec.template.spec.requirements: {WHY}");
    assert_eq!(validation.message, expected);
    assert!(!conditions::is_true(&found.conditions, conditions::READY));
    assert_eq!(readiness(&pool(&json!([])), Some(&ready), Some(WHY)), Readiness::NotReady(expected));
}

#[test]
fn types_are_told_what_the_pool_waits_for() {
    let told = |class: Option<&Ec2NodeClass>| readiness(&pool(&json!([])), class, None);
    assert_eq!(told(Some(&class("True", false))), Readiness::Ready);
    let not_ready = Readiness::NotReady("EC2NodeClass default: no subnet".to_owned());
    assert_eq!(told(Some(&class("False", false))), not_ready);
    assert!(matches!(told(Some(&class("Unknown", false))), Readiness::Unknown(_)));
    assert!(matches!(told(Some(&class("True", true))), Readiness::NotReady(_)));
    assert!(matches!(told(None), Readiness::NotReady(_)));
    let mut deleted = pool(&json!([]));
    deleted.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(at(1)));
    let told = readiness(&deleted, Some(&class("True", false)), None);
    assert_eq!(told, Readiness::NotReady("is being deleted; name another in spec.pools".to_owned()));
}
