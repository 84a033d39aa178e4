//! What a step is decided from, gathered from the caches.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use crate::api::labels;
use crate::cluster::caches::KnownClaim;
use crate::controllers::Context;
use crate::lifecycle::fence::{self, Gate};
use crate::lifecycle::memory::ClaimMemory;
use crate::lifecycle::planted::{self, PlantedPod};
use crate::lifecycle::view::{AttachedVolume, ClaimView};
use crate::lifecycle::{launch, registration};
use crate::model::workload_type::WorkloadType;
use crate::model::{BoundPod, Node, NodeClaim};

/// What is known of a claim and of what belongs to it, at one moment.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) claim: Arc<KnownClaim>,
    rivals: Vec<NodeClaim>,
    nodes: Vec<Node>,
    pods: Vec<BoundPod>,
    volumes: Vec<AttachedVolume>,
    type_labels: BTreeMap<String, String>,
    gate: Gate,
    types: Vec<WorkloadType>,
    planted: Option<Vec<PlantedPod>>,
}

impl Facts {
    /// Gathers them; nothing if there is no such claim.
    pub(super) fn gather(context: &Context, name: &str) -> Option<Self> {
        let (caches, index) = (&context.caches, &context.index);
        let known = caches.node_claims.get("", name)?;
        let claim = &known.model;
        let nodes = claim.provider_id.as_ref().map_or_else(Vec::new, |id| index.nodes_of(id));
        let nodes: Vec<_> = nodes.iter().map(|node| node.model.clone()).collect();
        let same = claim.provider_id.as_ref().map_or_else(Vec::new, |id| index.claims_of(id));
        let rivals =
            same.iter().map(|other| &other.model).filter(|other| other.object.uid != claim.object.uid);
        let rivals = rivals.cloned().collect();
        let names: BTreeSet<_> = nodes.iter().map(|node| node.object.name.as_str()).collect();
        let (mut pods, mut volumes) = (Vec::new(), Vec::new());
        if !names.is_empty() {
            let known = names.iter().flat_map(|name| index.pods_on(name));
            pods = known.filter_map(|pod| pod.bound().cloned()).collect();
            let attachments = caches.attachments.all();
            let attached = attachments.iter().filter(|one| names.contains(one.node_name.as_str()));
            volumes = attached
                .map(|attachment| AttachedVolume {
                    claim: caches.volumes.get("", &attachment.volume).and_then(|claim| Option::clone(&claim)),
                    name: attachment.volume.clone(),
                })
                .collect();
        }
        let types: Vec<_> =
            caches.workload_types.all().iter().map(|object| WorkloadType::read(object)).collect();
        Some(Self {
            type_labels: claim.pool().map(|pool| fence::type_labels(pool, &types)).unwrap_or_default(),
            gate: fence::gate(claim, &types),
            types,
            planted: None,
            claim: known,
            rivals,
            nodes,
            pods,
            volumes,
        })
    }

    /// Every pod on the claim's Nodes.
    pub(super) fn pods(&self) -> &[BoundPod] {
        &self.pods
    }

    /// Looks for the pods that wait for the claim's Node without a right to it, if the claim is to be launched, or its Node to be opened or given to a
    /// type now: there may be very many pods.
    pub(super) fn look_for_planted(&mut self, context: &Context, memory: &ClaimMemory, now: Timestamp) {
        let claim = &self.claim.model;
        let is_opened = registration::is_next(claim, &self.nodes, &self.type_labels);
        if !is_opened && !launch::is_next(claim, memory, now) {
            return;
        }
        if !planted::is_fenced(claim, &self.types) {
            self.planted = Some(Vec::new());
            return;
        }
        let unbound = context.index.unbound();
        let unbound = unbound.iter().filter_map(|pod| pod.unbound());
        // A pod that asks for the claim's own Node gets onto it, as if there were none yet.
        let is_own = |name: &str| self.nodes.iter().any(|node| node.object.name == name);
        let is_other = |name: &str| context.caches.nodes.get("", name).is_some() && !is_own(name);
        let namespace = |name: &str| context.namespace(name);
        let keys = self.nodes.iter().flat_map(|node| node.labels.keys());
        let labelled = keys.filter_map(|key| labels::type_of_node_label(key)).collect();
        self.planted = Some(planted::planted(claim, &self.types, unbound, namespace, &labelled, is_other));
    }

    /// The pods that wait for the claim's Node without a right to it, as far as they were looked for.
    pub(super) fn planted(&self) -> &[PlantedPod] {
        self.planted.as_deref().unwrap_or_default()
    }

    /// The facts as a step takes them.
    pub(super) fn view<'a>(&'a self, memory: &'a ClaimMemory) -> ClaimView<'a> {
        ClaimView {
            claim: &self.claim.model,
            rivals: &self.rivals,
            nodes: &self.nodes,
            pods: &self.pods,
            volumes: &self.volumes,
            type_labels: &self.type_labels,
            gate: &self.gate,
            planted: self.planted.as_deref(),
            memory,
        }
    }
}

#[cfg(test)]
mod tests;
