//! From a planned claim to the NodeClaim that is created. Pure.
//!
//! What Karpenter puts on a claim is put on ours, save `karpenter.sh/nodepool-hash` and its version: drift is not decided yet, and a hash
//! that is not Karpenter's own would look like drift to it.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Resource;
use kube::api::ObjectMeta;

use crate::api::nodeclaim::{NodeClaim, NodeClaimSpec, ResourceRequirements};
use crate::api::nodepool::NodePool;
use crate::api::requirement::{NodeSelectorRequirement, Operator};
use crate::api::{labels, taint};
use crate::model::requirement::RequirementEntry;
use crate::model::{Requirement, Taint};
use crate::scheduling::PlannedClaim;

/// The NodeClaim to create; the API server gives it its name. `pool` is the claim's.
#[must_use]
pub fn node_claim(planned: &PlannedClaim, pool: &NodePool) -> NodeClaim {
    let template = &pool.spec.template;
    let given = template.metadata.clone().unwrap_or_default();
    let mut requirements = planned.requirements.clone();
    // Only on-demand capacity is bought for now. Said here, it is seen by whoever looks at the claim.
    if requirements.allows(labels::CAPACITY_TYPE, labels::CAPACITY_ON_DEMAND) {
        requirements.add(Requirement::one_of(labels::CAPACITY_TYPE, [labels::CAPACITY_ON_DEMAND]));
    }
    let mut own_labels = given.labels;
    own_labels.extend(planned.labels.clone());
    own_labels.insert(labels::NODEPOOL.to_owned(), planned.pool.clone());
    own_labels.insert(labels::EC2NODECLASS.to_owned(), template.spec.node_class_ref.name.clone());
    let mut annotations = given.annotations;
    annotations.insert(labels::MIN_VALUES_RELAXED.to_owned(), "false".to_owned());
    let spec = NodeClaimSpec {
        taints: planned.taints.iter().map(api_taint).collect(),
        startup_taints: planned.startup_taints.iter().map(api_taint).collect(),
        requirements: requirements.to_entries().into_iter().map(api_requirement).collect(),
        node_class_ref: template.spec.node_class_ref.clone(),
        termination_grace_period: template.spec.termination_grace_period.clone(),
        expire_after: template.spec.expire_after.clone(),
        resources: Some(ResourceRequirements { requests: planned.requests.to_api() }),
    };
    let metadata = ObjectMeta {
        generate_name: Some(format!("{}-", planned.pool)),
        labels: Some(own_labels),
        annotations: Some(annotations),
        owner_references: Some(vec![owner(pool)]),
        ..ObjectMeta::default()
    };
    NodeClaim { metadata, spec, status: None }
}

/// Deleting the pool deletes its claims, and waits until they are gone.
fn owner(pool: &NodePool) -> OwnerReference {
    OwnerReference {
        api_version: NodePool::api_version(&()).into_owned(),
        kind: NodePool::kind(&()).into_owned(),
        name: pool.metadata.name.clone().unwrap_or_default(),
        uid: pool.metadata.uid.clone().unwrap_or_default(),
        block_owner_deletion: Some(true),
        controller: None,
    }
}

fn api_taint(taint: &Taint) -> taint::Taint {
    taint::Taint {
        key: taint.key.clone(),
        value: taint.value.clone(),
        effect: taint::TaintEffect::from(taint.effect.name()),
        time_added: None,
    }
}

fn api_requirement(entry: RequirementEntry) -> NodeSelectorRequirement {
    NodeSelectorRequirement {
        key: entry.key,
        operator: Operator::from(entry.operator.name()),
        values: entry.values,
        min_values: entry.min_values.and_then(|count| i32::try_from(count).ok()),
    }
}
