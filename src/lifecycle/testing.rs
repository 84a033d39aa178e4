//! Values that the tests of this module start from.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::claim::{ClaimView, Step, step};
use super::fence::Gate;
use super::memory::{ClaimMemory, LaunchedInstance};
use crate::api::conditions::{Change, Condition};
use crate::api::labels;
use crate::api::nodeclaim::{CONDITIONS, LAUNCHED, REGISTERED};
use crate::model::bound_pod::BoundPod;
use crate::model::pod::{Phase, PodKey};
use crate::model::testing::resource_list;
use crate::model::workload_type::WorkloadType;
use crate::model::{Node, NodeClaim, ObjectRef, ProviderId, ResourceList, Taint};

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

pub(crate) fn launched_instance() -> LaunchedInstance {
    LaunchedInstance {
        provider_id: instance_id(),
        image_id: "ami-1".into(),
        labels: labels_of(&[(labels::INSTANCE_TYPE, "c7i.xlarge"), (labels::ZONE, "us-east-1a")]),
        annotations: BTreeMap::new(),
        capacity: resource_list("cpu=4"),
        allocatable: resource_list("cpu=3920m"),
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

/// A type whose status says that it owns the taints on all of its pools.
pub(crate) fn workload_type(name: &str, pools: &[&str], owned: &[&str]) -> WorkloadType {
    let pools: Vec<_> = pools.iter().map(|pool| (*pool).to_owned()).collect();
    let recorded = owned.iter().map(|text| (taint(text), pools.iter().cloned().collect())).collect();
    WorkloadType { name: name.into(), pools, recorded, ..WorkloadType::default() }
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

/// What is looked at, owned.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) claim: NodeClaim,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pods: Vec<BoundPod>,
    pub(crate) volumes: Vec<super::claim::AttachedVolume>,
    pub(crate) gate: Gate,
    pub(crate) memory: ClaimMemory,
}

impl Scene {
    pub(crate) fn new(claim: NodeClaim) -> Self {
        Self {
            claim,
            nodes: Vec::new(),
            pods: Vec::new(),
            volumes: Vec::new(),
            gate: Gate::Open,
            memory: ClaimMemory::default(),
        }
    }

    pub(crate) fn with_node(mut self, node: Node) -> Self {
        self.nodes.push(node);
        self
    }

    pub(crate) fn step(&self, now: Timestamp) -> Step {
        let view = ClaimView {
            claim: &self.claim,
            nodes: &self.nodes,
            pods: &self.pods,
            volumes: &self.volumes,
            type_labels: &type_labels(),
            gate: &self.gate,
            memory: &self.memory,
        };
        step(&view, now)
    }
}
