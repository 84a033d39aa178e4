//! The part of a Node that its life is decided from, read once from the API object.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node as ApiNode;

use super::{
    object_ref::ObjectRef,
    provider_id::ProviderId,
    quantity::Quantity,
    resources::ResourceList,
    taints::{Effect, Taint},
};
use crate::api::labels;

/// The taint of a node that is being disrupted: no pod is scheduled there any more, and pods that do not tolerate it are drained.
#[must_use]
pub fn disrupted_taint() -> Taint {
    Taint { key: labels::DISRUPTED_TAINT.to_owned(), value: String::new(), effect: Effect::NoSchedule }
}

/// A Node, as far as we decide on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Node {
    /// Which node, in which version.
    pub object: ObjectRef,
    /// The instance that it is.
    pub provider_id: Option<ProviderId>,
    /// When it was created, if it was stored.
    pub created: Option<Timestamp>,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// Whether it carries [`labels::TERMINATION_FINALIZER`].
    pub has_finalizer: bool,
    /// The UIDs of the objects that it belongs to.
    pub owner_uids: Vec<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its taints, without any that cannot be read.
    pub taints: Vec<Taint>,
    /// Whether its kubelet says that it is ready.
    pub is_ready: bool,
    /// What it gives to pods altogether. What cannot be read counts as zero, as if the device were not there yet.
    pub allocatable: ResourceList,
}

impl Node {
    /// Reads an API object.
    #[must_use]
    pub fn read(object: &ApiNode) -> Self {
        let metadata = &object.metadata;
        let spec = object.spec.clone().unwrap_or_default();
        let status = object.status.as_ref();
        let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
        let allocatable = status.and_then(|status| status.allocatable.as_ref()).into_iter().flatten();
        let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        Self {
            object: metadata.into(),
            provider_id: spec.provider_id.filter(|id| !id.is_empty()).map(ProviderId::new),
            created: metadata.creation_timestamp.as_ref().map(|time| time.0),
            is_deleting: metadata.deletion_timestamp.is_some(),
            has_finalizer: finalizers.iter().any(|finalizer| finalizer == labels::TERMINATION_FINALIZER),
            owner_uids: metadata.owner_references.iter().flatten().map(|owner| owner.uid.clone()).collect(),
            labels: metadata.labels.clone().unwrap_or_default(),
            annotations: metadata.annotations.clone().unwrap_or_default(),
            taints: spec.taints.iter().flatten().filter_map(|taint| Taint::try_from(taint).ok()).collect(),
            is_ready: { conditions }
                .any(|condition| condition.type_ == "Ready" && condition.status == "True"),
            allocatable: allocatable
                .filter_map(|(name, amount)| Some((name.as_str(), Quantity::try_from(amount).ok()?)))
                .collect(),
        }
    }

    /// The value of a label.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(String::as_str)
    }

    /// Whether the label is `true`.
    #[must_use]
    pub fn is_labelled(&self, key: &str) -> bool {
        self.label(key) == Some("true")
    }

    /// Whether it carries exactly this taint, value included.
    #[must_use]
    pub fn has_taint(&self, taint: &Taint) -> bool {
        self.taints.contains(taint)
    }

    /// Whether it carries a taint of this key and effect, of any value.
    #[must_use]
    pub fn has_taint_like(&self, taint: &Taint) -> bool {
        self.taints.iter().any(|own| own.is_same(taint))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_decisions_need_is_read() {
        let node = Node::read(
            &serde_json::from_value(json!({
                "metadata": {
                    "name": "ip-10-0-0-1", "uid": "n1", "resourceVersion": "3", "finalizers": ["karpenter.sh/termination"],
                    "labels": {"karpenter.sh/registered": "true"},
                    "ownerReferences": [{"apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "name": "c", "uid": "u1"}],
                },
                "spec": {
                    "providerID": "aws:///us-east-1a/i-1",
                    "taints": [
                        {"key": "node-type", "value": "application", "effect": "NoSchedule"},
                        {"key": "odd", "effect": "Sometimes"},
                    ],
                },
                "status": {
                    "conditions": [{"type": "MemoryPressure", "status": "True"}, {"type": "Ready", "status": "True"}],
                    "allocatable": {"cpu": "3920m", "odd": "many"},
                },
            }))
            .unwrap(),
        );
        assert!(node.has_finalizer && node.is_ready && !node.is_deleting);
        assert!(node.is_labelled("karpenter.sh/registered"));
        assert_eq!(node.owner_uids, ["u1"]);
        assert_eq!(node.taints, ["node-type=application:NoSchedule".parse().unwrap()]);
        assert!(!node.has_taint(&"node-type=monitoring:NoSchedule".parse().unwrap()));
        assert!(node.has_taint_like(&"node-type=monitoring:NoSchedule".parse().unwrap()));
        assert_eq!(node.allocatable, crate::model::testing::resource_list("cpu=3920m"));
    }

    #[test]
    fn a_node_is_ready_only_if_it_says_so() {
        for (conditions, expected) in [
            (json!([]), false),
            (json!([{"type": "Ready", "status": "False"}]), false),
            (json!([{"type": "Ready", "status": "Unknown"}]), false),
            (json!([{"type": "Ready", "status": "True"}]), true),
        ] {
            let object = json!({"metadata": {}, "status": {"conditions": conditions}});
            assert_eq!(
                Node::read(&serde_json::from_value(object.clone()).unwrap()).is_ready,
                expected,
                "{object}"
            );
        }
    }
}
