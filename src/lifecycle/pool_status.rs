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

/// Whether nodes can be launched from the class that the pool names; `class` is that class.
#[must_use]
pub fn class_readiness(pool: &NodePool, class: Option<&Ec2NodeClass>) -> Change {
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
mod tests;
