//! What a step of a claim's life is decided from.

use std::collections::BTreeMap;

use super::fence::Gate;
use super::memory::ClaimMemory;
use super::planted::PlantedPod;
use crate::model::bound_pod::BoundPod;
use crate::model::pod::PodKey;
use crate::model::{Node, NodeClaim};

/// A volume that is attached to a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttachedVolume {
    /// The name of the persistent volume.
    pub name: String,
    /// The claim that it is bound to, by namespace and name.
    pub claim: Option<PodKey>,
}

/// All that a step is decided from.
#[derive(Debug, Clone, Copy)]
pub struct ClaimView<'a> {
    /// The claim.
    pub claim: &'a NodeClaim,
    /// The other claims with the claim's provider ID.
    pub rivals: &'a [NodeClaim],
    /// Every Node with the claim's provider ID.
    pub nodes: &'a [Node],
    /// Every pod on these Nodes.
    pub pods: &'a [BoundPod],
    /// Every persistent volume that is attached to these Nodes.
    pub volumes: &'a [AttachedVolume],
    /// The labels by which workload types select the Nodes of the claim's pool.
    pub type_labels: &'a BTreeMap<String, String>,
    /// Whether an instance may be launched.
    pub gate: &'a Gate,
    /// Pods that wait for the claim's Node without a right to it. Nothing if they were not looked for, which is needed only if the launch
    /// [is next](super::launch::is_next), or [it is](super::registration::is_next) that the Node is opened or given to a type: then none of this is done.
    pub planted: Option<&'a [PlantedPod]>,
    /// What was answered before.
    pub memory: &'a ClaimMemory,
}
