//! What a NodePool's status says: whether nodes can be launched from it, and what it holds.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

use crate::api::conditions::{self, Change, ConditionStatus, Subject};
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::nodeclaim::NodeClaim;
use crate::api::nodepool::{self as api, NodePool, NodePoolStatus};
use crate::api::unsupported::{self, Severity};
use crate::model::ResourceList;
use crate::model::node_pool;
use crate::model::quantity::Quantity;

/// Resources that are always told, as zero where there is nothing.
const ALWAYS_TOLD: [&str; 5] = ["cpu", "ephemeral-storage", "memory", "nodes", "pods"];

/// The status that the pool should have. `class` is the one that it names, `claims` are its own.
#[must_use]
pub fn status(
    pool: &NodePool,
    class: Option<&Ec2NodeClass>,
    claims: &[&NodeClaim],
    now: Timestamp,
) -> NodePoolStatus {
    let before = pool.status.clone().unwrap_or_default();
    let subject = Subject {
        conditions: &before.conditions,
        generation: pool.metadata.generation.unwrap_or_default(),
        created: pool.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0),
    };
    let changes = [validation(pool), class_readiness(pool, class)];
    NodePoolStatus {
        conditions: api::CONDITIONS.merge(subject, &changes, now),
        resources: resources(claims),
        nodes: i64::try_from(claims.len()).unwrap_or(i64::MAX),
        node_class_observed_generation: class.and_then(|class| class.metadata.generation),
    }
}

fn validation(pool: &NodePool) -> Change {
    match node_pool::NodePool::from_api(pool) {
        Ok(_) => {
            let weaker =
                unsupported::node_pool(pool).into_iter().filter(|field| field.severity == Severity::Weakens);
            let weaker: Vec<_> = weaker.map(|field| field.to_string()).collect();
            Change::holds(api::VALIDATION_SUCCEEDED).with_message(weaker.join("; "))
        }
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Change::fails(api::VALIDATION_SUCCEEDED, "NodePoolValidationFailed", problems.join("; "))
        }
    }
}

fn class_readiness(pool: &NodePool, class: Option<&Ec2NodeClass>) -> Change {
    let name = &pool.spec.template.spec.node_class_ref.name;
    let Some(class) = class else {
        let message = format!(
            "EC2NodeClass {name} does not exist; create it, or name another in spec.template.spec.nodeClassRef"
        );
        return Change::fails(api::NODE_CLASS_READY, "NodeClassNotFound", message);
    };
    if class.metadata.deletion_timestamp.is_some() {
        return Change::fails(
            api::NODE_CLASS_READY,
            "NodeClassTerminating",
            format!("EC2NodeClass {name} is being deleted"),
        );
    }
    let conditions = class.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    match conditions::find(conditions, conditions::READY) {
        Some(ready) if ready.status == ConditionStatus::True => Change::holds(api::NODE_CLASS_READY),
        Some(ready) if ready.status == ConditionStatus::False => Change::fails(
            api::NODE_CLASS_READY,
            ready.reason.clone(),
            format!("EC2NodeClass {name}: {}", ready.message),
        ),
        _ => Change::unknown(
            api::NODE_CLASS_READY,
            "NodeClassReadinessUnknown",
            format!("EC2NodeClass {name} is not resolved yet"),
        ),
    }
}

fn resources(claims: &[&NodeClaim]) -> BTreeMap<String, ApiQuantity> {
    let mut total = ResourceList::new();
    for claim in claims {
        let capacity = claim.status.as_ref().map(|status| &status.capacity);
        // What a cloud wrote there is a quantity; anything else is not counted.
        total += &capacity.and_then(|capacity| ResourceList::from_api(capacity).ok()).unwrap_or_default();
    }
    total.set("nodes", Quantity::from_units(i64::try_from(claims.len()).unwrap_or(i64::MAX)));
    let mut told = total.to_api();
    for name in ALWAYS_TOLD {
        told.entry(name.to_owned()).or_insert_with(|| ApiQuantity("0".to_owned()));
    }
    told
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::conditions::find;

    fn now() -> Timestamp {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    fn pool(requirements: Value) -> NodePool {
        let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
        serde_json::from_value(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": "p", "generation": 3 },
            "spec": { "template": { "spec": { "nodeClassRef": class, "requirements": requirements } } },
        }))
        .unwrap()
    }

    fn class(ready: Value, is_deleted: bool) -> Ec2NodeClass {
        let deleted = is_deleted.then_some("2026-03-01T12:00:00Z");
        serde_json::from_value(json!({
            "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass",
            "metadata": { "name": "default", "generation": 5, "deletionTimestamp": deleted },
            "spec": { "amiSelectorTerms": [], "subnetSelectorTerms": [], "securityGroupSelectorTerms": [] },
            "status": { "conditions": ready },
        }))
        .unwrap()
    }

    fn ready(status: &str) -> Value {
        let at = "2026-03-01T11:00:00Z";
        json!([{ "type": "Ready", "status": status, "reason": "SubnetsNotFound", "message": "no subnet", "lastTransitionTime": at }])
    }

    #[test]
    fn a_pool_is_ready_when_it_can_be_read_and_its_class_is_ready() {
        let fine = || json!([{ "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] }]);
        let impossible = json!([{ "key": "kubernetes.io/arch", "operator": "Gt", "values": ["much"] }]);
        let cases = [
            (fine(), Some(class(ready("True"), false)), "True", "NodeClassReady"),
            (fine(), Some(class(ready("False"), false)), "False", "SubnetsNotFound"),
            (fine(), Some(class(json!([]), false)), "Unknown", "NodeClassReadinessUnknown"),
            (fine(), Some(class(ready("True"), true)), "False", "NodeClassTerminating"),
            (fine(), None, "False", "NodeClassNotFound"),
            (impossible, Some(class(ready("True"), false)), "True", "NodeClassReady"),
        ];
        for (requirements, class, expected, reason) in cases {
            let is_valid = requirements == fine();
            let status = status(&pool(requirements), class.as_ref(), &[], now());
            let of_class = find(&status.conditions, api::NODE_CLASS_READY).unwrap();
            assert_eq!((of_class.status.as_str(), of_class.reason.as_str()), (expected, reason));
            let ready = find(&status.conditions, conditions::READY).unwrap();
            assert_eq!(ready.status == ConditionStatus::True, is_valid && expected == "True", "{reason}");
            assert_eq!(status.node_class_observed_generation, class.map(|_| 5));
        }
    }

    #[test]
    fn resources_are_the_sum_of_what_claims_got_and_never_absent() {
        let claim = |cpu: &str| -> NodeClaim {
            let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
            serde_json::from_value(json!({
                "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "c" },
                "spec": { "nodeClassRef": class, "requirements": [] }, "status": { "capacity": { "cpu": cpu } },
            }))
            .unwrap()
        };
        let (one, other) = (claim("4"), claim("1500m"));
        let told = |claims: &[&NodeClaim]| {
            let status = status(&pool(json!([])), None, claims, now());
            let resources: Vec<_> =
                status.resources.iter().map(|(name, amount)| format!("{name}={}", amount.0)).collect();
            (status.nodes, resources.join(" "))
        };
        assert_eq!(told(&[]), (0, "cpu=0 ephemeral-storage=0 memory=0 nodes=0 pods=0".to_owned()));
        assert_eq!(
            told(&[&one, &other]),
            (2, "cpu=5500m ephemeral-storage=0 memory=0 nodes=2 pods=0".to_owned())
        );
    }
}
