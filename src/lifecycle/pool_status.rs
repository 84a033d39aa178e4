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
use crate::model::workload_type::Readiness;

/// Resources that are always told, as zero where there is nothing.
const ALWAYS_TOLD: [&str; 5] = ["cpu", "ephemeral-storage", "memory", "nodes", "pods"];

/// What a pool's status is made from, beside the pool itself.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The class that it names.
    pub class: Option<&'a Ec2NodeClass>,
    /// Why no instance type of the class meets its requirements, be there capacity or not, and what to do; nothing where one does, or that is
    /// not known.
    pub no_type: Option<&'a str>,
    /// Its claims.
    pub claims: &'a [&'a NodeClaim],
}

/// The status that the pool should have.
#[must_use]
pub fn status(pool: &NodePool, surroundings: &Surroundings<'_>, now: Timestamp) -> NodePoolStatus {
    let Surroundings { class, no_type, claims } = *surroundings;
    let before = pool.status.clone().unwrap_or_default();
    let subject = Subject {
        conditions: &before.conditions,
        generation: pool.metadata.generation.unwrap_or_default(),
        created: pool.metadata.creation_timestamp.as_ref().map_or(now, |time| time.0),
    };
    let changes = [validation(pool, no_type), class_readiness(pool, class)];
    NodePoolStatus {
        conditions: api::CONDITIONS.merge(subject, &changes, now),
        resources: resources(claims),
        nodes: i64::try_from(claims.len()).unwrap_or(i64::MAX),
        node_class_observed_generation: class.and_then(|class| class.metadata.generation),
    }
}

/// Whether nodes can be launched from a pool that is right in itself, for the types that name it.
#[must_use]
pub fn readiness(pool: &NodePool, class: Option<&Ec2NodeClass>, no_type: Option<&str>) -> Readiness {
    if !pool.spec.template.spec.node_class_ref.is_ec2() {
        // A class of another group is a problem of the pool itself.
        return Readiness::Ready;
    }
    if pool.metadata.deletion_timestamp.is_some() {
        return Readiness::NotReady("is being deleted; name another in spec.pools".to_owned());
    }
    let of_class = class_readiness(pool, class);
    match of_class.status() {
        ConditionStatus::True => no_type.map_or(Readiness::Ready, |why| Readiness::NotReady(unmet(why))),
        ConditionStatus::False => Readiness::NotReady(of_class.message().to_owned()),
        ConditionStatus::Unknown | ConditionStatus::Other(_) => {
            Readiness::Unknown(of_class.message().to_owned())
        }
    }
}

fn unmet(why: &str) -> String {
    format!("spec.template.spec.requirements: {why}")
}

fn validation(pool: &NodePool, no_type: Option<&str>) -> Change {
    match (node_pool::NodePool::from_api(pool), no_type) {
        (Ok(_), Some(why)) => {
            Change::fails(api::VALIDATION_SUCCEEDED, "NoCompatibleInstanceTypes", unmet(why))
        }
        (Ok(_), None) => {
            let weaker =
                unsupported::node_pool(pool).into_iter().filter(|field| field.severity == Severity::Weakens);
            let weaker: Vec<_> = weaker.map(|field| field.to_string()).collect();
            Change::holds(api::VALIDATION_SUCCEEDED).with_message(weaker.join("; "))
        }
        (Err(problems), _) => {
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
