//! How the writes that effects ask for look to the API server: JSON merge patches on the condition of a resource version.
//!
//! A merge patch replaces lists as wholes, so each is built from the object that was looked at, with everything in it that is not ours, and
//! the resource version makes the API server refuse it if the object has changed since.

use k8s_openapi::api::core::v1::{Node as ApiNode, Taint as ApiTaint};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use serde_json::{Map, Value, json};

use super::effect::{ClaimPatch, NodePatch, StatusPatch};
use crate::api::labels;
use crate::api::nodeclaim::NodeClaim;
use crate::model::{ObjectRef, Taint};

/// The patch of the claim's metadata.
#[must_use]
pub fn of_claim(object: &NodeClaim, patch: &ClaimPatch) -> Value {
    let mut metadata = locked(&object.metadata);
    if patch.add_finalizer {
        metadata.insert("finalizers".to_owned(), json!(finalizers_with_ours(&object.metadata)));
    }
    insert_unless_empty(&mut metadata, "labels", json!(patch.labels));
    insert_unless_empty(&mut metadata, "annotations", json!(patch.annotations));
    json!({ "metadata": metadata })
}

/// The patch of the claim's status, for the subresource.
#[must_use]
pub fn of_status(object: &NodeClaim, patch: &StatusPatch) -> Value {
    let mut status = Map::new();
    let fields = [
        ("providerID", patch.provider_id.as_ref().map(|id| json!(id.as_str()))),
        ("nodeName", patch.node_name.as_ref().map(|name| json!(name))),
        ("imageID", patch.image_id.as_ref().map(|id| json!(id))),
        ("capacity", patch.capacity.as_ref().map(|list| json!(list.to_api()))),
        ("allocatable", patch.allocatable.as_ref().map(|list| json!(list.to_api()))),
        ("conditions", patch.conditions.as_ref().map(|conditions| json!(conditions))),
        ("lastPodEventTime", patch.last_pod_event.map(|time| json!(Time(time)))),
    ];
    status.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    json!({ "metadata": locked(&object.metadata), "status": status })
}

/// The patch of the Node.
#[must_use]
pub fn of_node(object: &ApiNode, patch: &NodePatch) -> Value {
    let mut metadata = locked(&object.metadata);
    if patch.add_finalizer {
        metadata.insert("finalizers".to_owned(), json!(finalizers_with_ours(&object.metadata)));
    }
    if let Some(owner) = &patch.owner {
        let others = object.metadata.owner_references.iter().flatten().filter(|other| other.uid != owner.uid);
        let owners: Vec<_> = others.cloned().chain([reference(owner)]).collect();
        metadata.insert("ownerReferences".to_owned(), json!(owners));
    }
    let removed = patch.remove_labels.iter().map(|key| (key.clone(), Value::Null));
    let labels: Map<_, _> =
        patch.labels.iter().map(|(key, value)| (key.clone(), json!(value))).chain(removed).collect();
    insert_unless_empty(&mut metadata, "labels", Value::Object(labels));
    insert_unless_empty(&mut metadata, "annotations", json!(patch.annotations));
    let mut body = json!({ "metadata": metadata });
    if let Some(fields) =
        body.as_object_mut().filter(|_| !patch.taints.is_empty() || !patch.remove_taints.is_empty())
    {
        fields.insert("spec".to_owned(), json!({ "taints": taints(object, patch) }));
    }
    body
}

/// The finalizers of an object with or without ours; those of others stay as they are.
#[must_use]
pub fn finalizers(metadata: &ObjectMeta, ours: &str, is_held: bool) -> Vec<String> {
    let present = metadata.finalizers.iter().flatten();
    if !is_held {
        return present.filter(|finalizer| *finalizer != ours).cloned().collect();
    }
    let mut finalizers: Vec<_> = present.cloned().collect();
    if !finalizers.iter().any(|finalizer| finalizer == ours) {
        finalizers.push(ours.to_owned());
    }
    finalizers
}

fn locked(metadata: &ObjectMeta) -> Map<String, Value> {
    let condition = [("resourceVersion", &metadata.resource_version), ("uid", &metadata.uid)];
    condition.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()
}

fn finalizers_with_ours(metadata: &ObjectMeta) -> Vec<String> {
    finalizers(metadata, labels::TERMINATION_FINALIZER, true)
}

/// The claim does not control its Node, as in Karpenter: nothing but the lifecycle deletes Nodes.
fn reference(claim: &ObjectRef) -> OwnerReference {
    OwnerReference {
        api_version: format!("{}/v1", labels::KARPENTER_GROUP),
        kind: "NodeClaim".to_owned(),
        name: claim.name.clone(),
        uid: claim.uid.clone(),
        block_owner_deletion: Some(true),
        controller: None,
    }
}

/// The Node's taints as they are, with the time at which each was added, less those that go and those that get another value.
fn taints(object: &ApiNode, patch: &NodePatch) -> Vec<ApiTaint> {
    let is_replaced = |present: &ApiTaint| {
        let is_same = |taint: &Taint| present.key == taint.key && present.effect == taint.effect.name();
        patch.taints.iter().chain(&patch.remove_taints).any(is_same)
    };
    let present = object.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    present
        .filter(|taint| !is_replaced(taint))
        .cloned()
        .chain(patch.taints.iter().map(ApiTaint::from))
        .collect()
}

fn insert_unless_empty(metadata: &mut Map<String, Value>, name: &str, value: Value) {
    if value.as_object().is_some_and(|fields| !fields.is_empty()) {
        metadata.insert(name.to_owned(), value);
    }
}

#[cfg(test)]
mod tests;
