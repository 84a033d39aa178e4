//! What the tests of this module look at.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::claim::step;
use super::draft::Step;
use super::fence::Gate;
use super::memory::{ClaimMemory, LaunchedInstance};
use super::planted::PlantedPod;
use super::view::{AttachedVolume, ClaimView};
use crate::api::labels;
use crate::model::testing::nodes::type_labels;
use crate::model::testing::{nodes, resource_list};
use crate::model::workload_type::WorkloadType;
use crate::model::{BoundPod, Node, NodeClaim, PodRef};

pub(crate) fn launched_instance() -> LaunchedInstance {
    LaunchedInstance {
        provider_id: nodes::instance_id(),
        image_id: "ami-1".into(),
        labels: nodes::labels_of(&[(labels::INSTANCE_TYPE, "c7i.xlarge"), (labels::ZONE, "us-east-1a")]),
        annotations: BTreeMap::new(),
        capacity: resource_list("cpu=4"),
        allocatable: resource_list("cpu=3920m"),
    }
}

/// A type whose status says that it owns the taints on all of its pools.
pub(crate) fn workload_type(name: &str, pools: &[&str], owned: &[&str]) -> WorkloadType {
    let pools: Vec<_> = pools.iter().map(|pool| (*pool).to_owned()).collect();
    let recorded = owned.iter().map(|text| (nodes::taint(text), pools.iter().cloned().collect())).collect();
    WorkloadType { name: name.into(), pools, recorded, ..WorkloadType::default() }
}

/// A pod that waits behind the fence of `application`.
pub(crate) fn planted_pod(name: &str, has_controller: bool) -> PlantedPod {
    let pod = nodes::pod(name);
    PlantedPod {
        pod: PodRef { key: pod.key, uid: pod.uid },
        has_controller,
        taint: nodes::taint("node-type=application:NoSchedule"),
        owner: "application".to_owned(),
        rightful: ["application".to_owned()].into(),
        is_judged: true,
    }
}

/// What is looked at, owned.
#[derive(Debug, Clone)]
pub(crate) struct Scene {
    pub(crate) claim: NodeClaim,
    pub(crate) rivals: Vec<NodeClaim>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) pods: Vec<BoundPod>,
    pub(crate) volumes: Vec<AttachedVolume>,
    pub(crate) gate: Gate,
    pub(crate) planted: Vec<PlantedPod>,
    pub(crate) memory: ClaimMemory,
}

impl Scene {
    pub(crate) fn new(claim: NodeClaim) -> Self {
        Self {
            claim,
            rivals: Vec::new(),
            nodes: Vec::new(),
            pods: Vec::new(),
            volumes: Vec::new(),
            gate: Gate::Open,
            planted: Vec::new(),
            memory: ClaimMemory::default(),
        }
    }

    pub(crate) fn with_node(mut self, node: Node) -> Self {
        self.nodes.push(node);
        self
    }

    pub(crate) fn step(&self, now: Timestamp) -> Step {
        self.step_that_knows(Some(&self.planted), now)
    }

    /// A step that knows of these planted pods, or does not know which there are.
    pub(crate) fn step_that_knows(&self, planted: Option<&[PlantedPod]>, now: Timestamp) -> Step {
        let view = ClaimView {
            claim: &self.claim,
            rivals: &self.rivals,
            nodes: &self.nodes,
            pods: &self.pods,
            volumes: &self.volumes,
            type_labels: &type_labels(),
            gate: &self.gate,
            planted,
            memory: &self.memory,
        };
        step(&view, now)
    }
}
