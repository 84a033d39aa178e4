//! Which pods are the DaemonSet controller's, one for one node (M4), and which mirror a node's own static pod (V3).
//!
//! Both are excused from rules, so both are recognised by who sends them. What a pod says about itself proves nothing.

use serde::Deserialize;

use super::json::{Text, null_as_default};
use super::object::{OwnerReference, Pod};
use super::review::User;
use crate::model::pod::DAEMON_SET_CONTROLLER;

/// The annotation by which a kubelet marks the mirror of a static pod.
pub(super) const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

const NODE_USER_PREFIX: &str = "system:node:";
const NODE_GROUP: &str = "system:nodes";

/// Whether the DaemonSet controller makes this pod for one node: it is the user, a DaemonSet is the pod's controller, and its required
/// affinity is one term with one field, the node's name.
pub(super) fn is_daemon_pod(user: &User<'_>, pod: &Pod<'_>) -> bool {
    user.name == DAEMON_SET_CONTROLLER
        && pod.metadata.controller().is_some_and(|owner| is(owner, "apps/v1", "DaemonSet"))
        && is_pinned_to_one_node(pod)
}

/// Whether a kubelet makes this pod to mirror a static pod that it runs: it is the user, in the nodes' group, the pod is on its own node and
/// belongs to that Node.
pub(super) fn is_genuine_mirror_pod(user: &User<'_>, pod: &Pod<'_>) -> bool {
    let Some(node) = user.name.strip_prefix(NODE_USER_PREFIX).filter(|node| !node.is_empty()) else {
        return false;
    };
    let is_own_node = |owner: &OwnerReference<'_>| is(owner, "v1", "Node") && &*owner.name == node;
    pod.metadata.has_annotation(MIRROR_ANNOTATION)
        && user.groups.iter().any(|group| group == NODE_GROUP)
        && &*pod.spec.node_name == node
        && pod.metadata.controller().is_some_and(is_own_node)
}

fn is(owner: &OwnerReference<'_>, api_version: &str, kind: &str) -> bool {
    &*owner.api_version == api_version && &*owner.kind == kind
}

fn is_pinned_to_one_node(pod: &Pod<'_>) -> bool {
    let Some(affinity) = pod.spec.affinity else { return false };
    let Ok(affinity) = serde_json::from_str::<Affinity<'_>>(affinity.get()) else { return false };
    match affinity.node_affinity.required.terms.as_slice() {
        [term] => match term.match_fields.as_slice() {
            [field] => &*field.key == "metadata.name" && &*field.operator == "In" && field.values.len() == 1,
            _ => false,
        },
        _ => false,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Affinity<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    node_affinity: NodeAffinity<'a>,
}

#[derive(Deserialize, Default)]
struct NodeAffinity<'a> {
    #[serde(
        borrow,
        rename = "requiredDuringSchedulingIgnoredDuringExecution",
        default,
        deserialize_with = "null_as_default"
    )]
    required: NodeSelector<'a>,
}

#[derive(Deserialize, Default)]
struct NodeSelector<'a> {
    #[serde(borrow, rename = "nodeSelectorTerms", default, deserialize_with = "null_as_default")]
    terms: Vec<Term<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Term<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    match_fields: Vec<Field<'a>>,
}

#[derive(Deserialize)]
struct Field<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    key: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    operator: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    values: Vec<Text<'a>>,
}

#[cfg(test)]
mod tests;
