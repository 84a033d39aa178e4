//! What an object names that is not among the policies: whoever can ask the API server should, since a watch is behind what one
//! `kubectl apply` makes in a row.
//!
//! Only objects that people write now and then are looked at: no pod, and no template.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::json::null_as_default;
use super::object::Metadata;
use super::parse;
use super::policies::Policies;
use super::reference::Reference;
use super::review::{Kind, Review};
use crate::api::labels::{KARPENTER_AWS_GROUP, WORKLOAD_TYPE, type_of_node_label};
use crate::api::{nodepool, workload_type};

#[derive(Deserialize)]
struct Namespace<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    metadata: Metadata<'a>,
}

/// What the object of the review names and the policies do not know.
#[must_use]
pub fn missing(policies: &Policies, review: &Review<'_>) -> Vec<Reference> {
    match review.kind {
        Kind::Namespace => workload_type(policies, review).into_iter().collect(),
        Kind::WorkloadType => node_pools(policies, review).unwrap_or_default(),
        Kind::NodePool => of_node_pool(policies, review).unwrap_or_default(),
        Kind::Pod | Kind::Template(_) | Kind::Ec2NodeClass | Kind::Other => Vec::new(),
    }
}

/// The type that a namespace would newly be of.
fn workload_type(policies: &Policies, review: &Review<'_>) -> Option<Reference> {
    let new = parse::object::<Namespace<'_>>(review).ok()?.metadata;
    let stored = parse::old_object::<Namespace<'_>>(review).ok()?.map(|stored| stored.metadata);
    let name = new.label(WORKLOAD_TYPE).filter(|name| policies.find(name).is_none())?;
    let is_unchanged = stored.is_some_and(|stored| stored.label(WORKLOAD_TYPE) == Some(name));
    (!is_unchanged).then(|| Reference::WorkloadType(name.to_owned()))
}

fn node_pools(policies: &Policies, review: &Review<'_>) -> Option<Vec<Reference>> {
    let object: workload_type::WorkloadType =
        serde_json::from_str(parse::raw_object(review).ok()?.get()).ok()?;
    let names = object.spec.pools.into_iter().map(|pool| pool.name);
    let unknown = names.filter(|name| !policies.pools().contains_key(name));
    Some(unknown.map(Reference::NodePool).collect())
}

/// Its class, and the types whose labels its template gives.
fn of_node_pool(policies: &Policies, review: &Review<'_>) -> Option<Vec<Reference>> {
    let object: nodepool::NodePool = serde_json::from_str(parse::raw_object(review).ok()?.get()).ok()?;
    let template = object.spec.template;
    let class = template.spec.node_class_ref;
    let is_unknown = class.group == KARPENTER_AWS_GROUP && !policies.has_node_class(&class.name);
    let class = is_unknown.then_some(Reference::NodeClass(class.name));
    let given = template.metadata.iter().flat_map(|metadata| metadata.labels.keys());
    let required = template.spec.requirements.iter().map(|entry| &entry.key);
    let types = given.chain(required).filter_map(|key| type_of_node_label(key));
    let unknown: BTreeSet<_> = types.filter(|name| policies.find(name).is_none()).collect();
    let types = unknown.into_iter().map(|name| Reference::WorkloadType(name.to_owned()));
    Some(class.into_iter().chain(types).collect())
}
