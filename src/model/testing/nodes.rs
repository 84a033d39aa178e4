//! Claims, Nodes and pods that tests start from: pool `application`, one instance, one Node.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::resource_list;
use crate::api::conditions::{Change, Condition};
use crate::api::labels;
use crate::api::nodeclaim::{CONDITIONS, LAUNCHED, REGISTERED};
use crate::model::pod::{Phase, PodKey};
use crate::model::{BoundPod, Node, NodeClaim, ObjectRef, ProviderId, Requirements, ResourceList, Taint};

/// So many seconds after the claim was created.
pub(crate) fn at(seconds: i64) -> Timestamp {
    "2026-01-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_secs(seconds)
}

pub(crate) fn instance_id() -> ProviderId {
    ProviderId::new("aws:///us-east-1a/i-1")
}

pub(crate) fn object(name: &str) -> ObjectRef {
    ObjectRef { name: name.into(), uid: format!("{name}-uid"), resource_version: "1".into() }
}

pub(crate) fn taint(text: &str) -> Taint {
    text.parse().unwrap()
}

pub(crate) fn labels_of(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// A claim of pool `application` that has its finalizer and nothing else.
pub(crate) fn claim() -> NodeClaim {
    NodeClaim {
        object: object("application-x7k2q"),
        generation: 1,
        created: at(0),
        deleted: None,
        has_finalizer: true,
        labels: labels_of(&[(labels::NODEPOOL, "application"), (labels::EC2NODECLASS, "default")]),
        annotations: BTreeMap::new(),
        node_class: "default".into(),
        taints: vec![taint("node-type=application:NoSchedule")],
        startup_taints: Vec::new(),
        requirements: Requirements::new(),
        requests: ResourceList::new(),
        termination_grace_period: None,
        provider_id: None,
        node_name: None,
        conditions: Vec::new(),
        last_pod_event: None,
        problems: Vec::new(),
    }
}

impl NodeClaim {
    pub(crate) fn with(mut self, changes: &[Change], now: Timestamp) -> Self {
        self.conditions = CONDITIONS.merge(self.subject(), changes, now);
        self
    }

    /// Launched at 5 s.
    pub(crate) fn launched(self) -> Self {
        Self { provider_id: Some(instance_id()), ..self }.with(&[Change::holds(LAUNCHED)], at(5))
    }

    /// Registered at 40 s.
    pub(crate) fn registered(self) -> Self {
        let claim = Self { node_name: Some("n1".into()), ..self.launched() };
        claim.with(&[Change::holds(REGISTERED)], at(40))
    }

    pub(crate) fn deleted(self, seconds: i64) -> Self {
        Self { deleted: Some(at(seconds)), generation: self.generation + 1, ..self }
    }

    pub(crate) fn condition(&self, type_: &str) -> Option<&Condition> {
        self.conditions.iter().find(|condition| condition.type_ == type_)
    }
}

/// A Node as its kubelet registers it.
pub(crate) fn fresh_node() -> Node {
    Node {
        object: object("n1"),
        provider_id: Some(instance_id()),
        created: Some(at(30)),
        taints: vec![
            taint("node-type=application:NoSchedule"),
            taint("karpenter.sh/unregistered:NoExecute"),
            taint("node.kubernetes.io/not-ready:NoSchedule"),
        ],
        labels: labels_of(&[(labels::NODEPOOL, "application"), (labels::EC2NODECLASS, "default")]),
        ..Node::default()
    }
}

/// A Node that is registered and ready.
pub(crate) fn registered_node() -> Node {
    let mut node = fresh_node();
    node.has_finalizer = true;
    node.owner_uids = vec![claim().object.uid];
    node.taints.truncate(1);
    node.labels.insert(labels::REGISTERED.into(), "true".into());
    node.labels.extend(type_labels());
    node.is_ready = true;
    node.allocatable = resource_list("cpu=3920m");
    node
}

pub(crate) fn type_labels() -> BTreeMap<String, String> {
    labels_of(&[("workload-type.node-restriction.kubernetes.io/application", "")])
}

/// A running pod with a grace of 30 s.
pub(crate) fn pod(name: &str) -> BoundPod {
    BoundPod {
        key: PodKey { namespace: "shop".into(), name: name.into() },
        uid: format!("{name}-uid"),
        node_name: "n1".into(),
        phase: Phase::Running,
        grace: SignedDuration::from_secs(30),
        started: Some(at(60)),
        ..BoundPod::default()
    }
}
