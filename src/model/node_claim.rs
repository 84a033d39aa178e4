//! The part of a NodeClaim that its life is decided from, read once from the API object.
//!
//! Reading never fails: a claim that is partly unreadable must still be terminable. What cannot be read is among
//! [`NodeClaim::problems`], and nothing is launched while there are any.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::{
    object_ref::ObjectRef,
    problem::Problem,
    provider_id::ProviderId,
    requirement::Requirement,
    requirements::Requirements,
    resources::ResourceList,
    taints::{Effect, Taint},
    text::Excerpt,
};
use crate::api::conditions::{Condition, ConditionStatus, Subject, find};
use crate::api::nodeclaim::{self as api, NodeClaimStatus};
use crate::api::{labels, requirement, taint};

/// A NodeClaim, as far as we decide on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeClaim {
    /// Which claim, in which version.
    pub object: ObjectRef,
    /// The generation of the object: deleting it makes a new one.
    pub generation: i64,
    /// When it was created.
    pub created: Timestamp,
    /// When it was deleted, if it was.
    pub deleted: Option<Timestamp>,
    /// Whether it carries [`labels::TERMINATION_FINALIZER`].
    pub has_finalizer: bool,
    /// Its labels, which its Node gets; without those of workload types, which it gets from the types that name its pool.
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    pub annotations: BTreeMap<String, String>,
    /// The name of its node class.
    pub node_class: String,
    /// The taints of its Node.
    pub taints: Vec<Taint>,
    /// The taints that its Node starts with.
    pub startup_taints: Vec<Taint>,
    /// What the labels of its Node can be: its requirements and its labels, without those of workload types.
    pub requirements: Requirements,
    /// What its pods and daemons will request.
    pub requests: ResourceList,
    /// How long its drain may take.
    pub termination_grace_period: Option<SignedDuration>,
    /// The instance that was launched for it.
    pub provider_id: Option<ProviderId>,
    /// The name of its Node, once that is registered.
    pub node_name: Option<String>,
    /// Its conditions.
    pub conditions: Vec<Condition>,
    /// When a pod was last bound to its node, removed from it, or ended on it, as far as the status says.
    pub last_pod_event: Option<Timestamp>,
    /// What cannot be used as it is written.
    pub problems: Vec<Problem>,
}

impl NodeClaim {
    /// Reads an API object. `epoch` stands for the time of creation of an object that was never stored.
    #[must_use]
    pub fn read(object: &api::NodeClaim, epoch: Timestamp) -> Self {
        let (metadata, spec) = (&object.metadata, &object.spec);
        let status = object.status.clone().unwrap_or_default();
        let NodeClaimStatus { node_name, provider_id, conditions, last_pod_event_time, .. } = status;
        let mut problems = Vec::new();
        let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
        let taints = taints("spec.taints", &spec.taints, &mut problems);
        let startup_taints = self::taints("spec.startupTaints", &spec.startup_taints, &mut problems);
        let period = spec.termination_grace_period.as_ref().and_then(|period| match period.value() {
            Ok(period) => Some(period),
            Err(error) => {
                problems.push(Problem::new("spec.terminationGracePeriod", error.to_string()));
                None
            }
        });
        let mut labels = metadata.labels.clone().unwrap_or_default();
        labels.retain(|key, _| !labels::is_node_type_label(key));
        let requirements = requirements(&labels, &spec.requirements, &mut problems);
        let no_requests = BTreeMap::new();
        let requests = spec.resources.as_ref().map_or(&no_requests, |resources| &resources.requests);
        let requests = ResourceList::from_api(requests).unwrap_or_else(|invalid| {
            let path = "spec.resources.requests";
            problems.extend(invalid.iter().map(|amount| Problem::new(path, amount.to_string())));
            ResourceList::new()
        });
        Self {
            object: metadata.into(),
            generation: metadata.generation.unwrap_or_default(),
            created: metadata.creation_timestamp.as_ref().map_or(epoch, |time| time.0),
            deleted: metadata.deletion_timestamp.as_ref().map(|time| time.0),
            has_finalizer: finalizers.iter().any(|finalizer| finalizer == labels::TERMINATION_FINALIZER),
            labels,
            annotations: metadata.annotations.clone().unwrap_or_default(),
            node_class: spec.node_class_ref.name.clone(),
            taints,
            startup_taints,
            requirements,
            requests,
            termination_grace_period: period,
            provider_id: provider_id.filter(|id| !id.is_empty()).map(ProviderId::new),
            node_name: node_name.filter(|name| !name.is_empty()),
            conditions,
            last_pod_event: last_pod_event_time.map(|time| time.0),
            problems,
        }
    }

    /// The pool that it was made from, if any.
    #[must_use]
    pub fn pool(&self) -> Option<&str> {
        self.labels.get(labels::NODEPOOL).map(String::as_str)
    }

    /// Whether the condition is `True`, whatever generation it is about.
    #[must_use]
    pub fn is(&self, condition: &str) -> bool {
        self.true_since(condition).is_some()
    }

    /// Since when the condition is `True`.
    #[must_use]
    pub fn true_since(&self, condition: &str) -> Option<Timestamp> {
        let found = find(&self.conditions, condition)?;
        (found.status == ConditionStatus::True).then_some(found.last_transition_time.0)
    }

    /// What its conditions are about.
    #[must_use]
    pub fn subject(&self) -> Subject<'_> {
        Subject { conditions: &self.conditions, generation: self.generation, created: self.created }
    }
}

fn requirements(
    labels: &BTreeMap<String, String>,
    entries: &[requirement::NodeSelectorRequirement],
    problems: &mut Vec<Problem>,
) -> Requirements {
    const PATH: &str = "spec.requirements";
    let mut requirements =
        Requirements::from_labels(labels.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    for (index, entry) in entries.iter().enumerate() {
        let path = || format!("{PATH}[{index}]");
        if entry.min_values.is_some() {
            problems
                .push(Problem::new(format!("{}.minValues", path()), "is not supported yet; leave it out"));
        }
        match Requirement::parse(&entry.key, entry.operator.as_str(), &entry.values) {
            Ok(_) if labels::is_node_type_label(&entry.key) => {}
            Ok(requirement) => requirements.add(requirement),
            Err(error) => problems.push(Problem::new(path(), error.to_string())),
        }
    }
    if let Some(contradiction) = requirements.contradiction() {
        let key = Excerpt(contradiction.key());
        let text =
            format!("those on {key} contradict each other or the label, so that no node can meet them");
        problems.push(Problem::new(PATH, text));
    }
    requirements
}

fn taints(list: &str, taints: &[taint::Taint], problems: &mut Vec<Problem>) -> Vec<Taint> {
    let mut read = Vec::new();
    for (index, taint) in taints.iter().enumerate() {
        match Effect::from_name(taint.effect.as_str()) {
            Some(effect) => read.push(Taint { key: taint.key.clone(), value: taint.value.clone(), effect }),
            None => problems.push(Problem::new(
                format!("{list}[{index}].effect"),
                "is unknown; use NoSchedule, PreferNoSchedule or NoExecute",
            )),
        }
    }
    read
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(object: serde_json::Value) -> NodeClaim {
        NodeClaim::read(&serde_json::from_value(object).unwrap(), Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_decisions_need_is_read() {
        let claim = read(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": {
                "name": "application-x7k2q", "uid": "u1", "resourceVersion": "7", "generation": 2,
                "creationTimestamp": "2026-01-01T00:00:00Z", "deletionTimestamp": "2026-01-02T00:00:00Z",
                "finalizers": ["other", "karpenter.sh/termination"],
                "labels": {"karpenter.sh/nodepool": "application", labels::node_type_label("monitoring"): ""},
            },
            "spec": {
                "taints": [{"key": "node-type", "value": "application", "effect": "NoSchedule"}],
                "requirements": [{"key": labels::node_type_label("monitoring"), "operator": "In", "values": [""]}],
                "terminationGracePeriod": "90s",
                "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
                "resources": {"requests": {"cpu": "3500m"}},
            },
            "status": {
                "providerID": "aws:///us-east-1a/i-1",
                "conditions": [{
                    "type": "Launched", "status": "True", "lastTransitionTime": "2026-01-01T00:00:05Z",
                }],
            },
        }));
        assert_eq!(claim.pool(), Some("application"));
        // Labels of types are not the claim's to give.
        assert_eq!((claim.labels.len(), claim.requirements.iter().count()), (1, 1));
        assert!(claim.requirements.allows("karpenter.sh/nodepool", "application"));
        assert!(!claim.requirements.allows("karpenter.sh/nodepool", "monitoring"));
        assert!(claim.has_finalizer);
        assert_eq!(claim.taints, ["node-type=application:NoSchedule".parse().unwrap()]);
        assert_eq!(claim.termination_grace_period, Some(SignedDuration::from_secs(90)));
        assert_eq!(claim.provider_id, Some(ProviderId::new("aws:///us-east-1a/i-1")));
        assert_eq!(claim.true_since("Launched"), Some("2026-01-01T00:00:05Z".parse().unwrap()));
        assert!(!claim.is("Registered"));
        assert_eq!(claim.problems, []);
    }

    #[test]
    fn what_cannot_be_read_is_named_and_the_rest_is_there() {
        let claim = read(json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": {"name": "c"},
            "spec": {
                "startupTaints": [{"key": "k", "effect": "Sometimes"}],
                "requirements": [
                    {"key": "a", "operator": "In", "values": ["1"], "minValues": 1},
                    {"key": "a", "operator": "NotIn", "values": ["1"]},
                    {"key": "b", "operator": "Like", "values": ["1"]},
                ],
                "terminationGracePeriod": "1d",
                "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
                "resources": {"requests": {"cpu": "many"}},
            },
            "status": {"providerID": ""},
        }));
        let paths: Vec<_> = claim.problems.iter().map(|problem| problem.path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "spec.startupTaints[0].effect",
                "spec.terminationGracePeriod",
                "spec.requirements[0].minValues",
                "spec.requirements[2]",
                "spec.requirements",
                "spec.resources.requests",
            ]
        );
        assert_eq!((claim.provider_id, claim.node_class.as_str()), (None, "default"));
    }
}
