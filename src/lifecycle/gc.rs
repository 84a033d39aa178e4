//! What belongs to nothing any more, on both sides: claims without an instance, instances without a claim, Nodes without either.
//!
//! The list of instances may be behind the truth and may even be wrong, so that nothing is concluded from one fact alone: a Node that is
//! ready vetoes that its instance is gone, and everything that is younger than the list can show is left alone.

use jiff::{SignedDuration, Timestamp};

use super::terminate::LAUNCH_SHOWS_WITHIN;
use crate::api::labels;
use crate::api::nodeclaim::LAUNCHED;
use crate::model::{Node, NodeClaim, ObjectRef, ProviderId};

/// An instance without a claim is left alone for so long after its launch.
pub const LEAST_AGE: SignedDuration = LAUNCH_SHOWS_WITHIN;

/// An instance, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// The instance.
    pub provider_id: ProviderId,
    /// When it was launched.
    pub launched: Timestamp,
    /// The UID of the claim that it was launched for, as its tag says.
    pub claim_uid: Option<String>,
    /// Whether it is being terminated.
    pub is_ending: bool,
}

/// All that there is.
#[derive(Debug, Clone, Copy)]
pub struct Inventory<'a> {
    /// When the instances were asked for.
    pub listed_at: Timestamp,
    /// Every instance of our classes that has not been terminated.
    pub instances: &'a [Instance],
    /// Every claim, of any class, as it was after the instances were listed.
    pub claims: &'a [NodeClaim],
    /// Every Node, likewise.
    pub nodes: &'a [Node],
}

/// Something to be removed. One pass at a time: what is left over is found by the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Garbage {
    /// A claim whose instance is gone is to be deleted.
    Claim(ObjectRef),
    /// An instance that no claim has is to be terminated.
    Instance(ProviderId),
    /// A Node that has neither instance nor claim is to be deleted.
    Node(ObjectRef),
    /// A Node like that, deleted already, is to be let go: our finalizer is to be taken off.
    DeletedNode(ObjectRef),
}

/// What is to be removed now.
#[must_use]
pub fn collect(inventory: &Inventory<'_>) -> Vec<Garbage> {
    let claims = inventory.claims.iter().filter(|claim| inventory.has_lost_its_instance(claim));
    let instances = inventory.instances.iter().filter(|instance| inventory.is_nobodys(instance));
    let nodes = inventory.nodes.iter().filter_map(|node| inventory.left_over(node));
    { claims.map(|claim| Garbage::Claim(claim.object.clone())) }
        .chain(instances.map(|instance| Garbage::Instance(instance.provider_id.clone())))
        .chain(nodes)
        .collect()
}

impl Inventory<'_> {
    fn exists(&self, provider_id: &ProviderId) -> bool {
        self.instances.iter().any(|instance| instance.provider_id == *provider_id)
    }

    /// Whether something of that moment is old enough for the list to show all that belongs to it.
    fn is_settled(&self, since: Timestamp) -> bool {
        self.listed_at.duration_since(since) >= LEAST_AGE
    }

    /// Whether registered or not: an instance that ended before its node came would hold its pods until the registration timeout. Of
    /// deleted claims their finalization takes care.
    fn has_lost_its_instance(&self, claim: &NodeClaim) -> bool {
        let Some(provider_id) = &claim.provider_id else { return false };
        let is_vouched_for = || {
            let nodes = self.nodes.iter().filter(|node| node.provider_id.as_ref() == Some(provider_id));
            { nodes }.any(|node| node.is_ready)
        };
        claim.deleted.is_none()
            && claim.true_since(LAUNCHED).is_some_and(|launched| self.is_settled(launched))
            && !self.exists(provider_id)
            && !is_vouched_for()
    }

    /// A claim that was launched and does not know its instance yet will find it by its UID.
    fn is_nobodys(&self, instance: &Instance) -> bool {
        let is_its = |claim: &NodeClaim| match &claim.provider_id {
            Some(provider_id) => *provider_id == instance.provider_id,
            None => instance.claim_uid.as_ref() == Some(&claim.object.uid),
        };
        !instance.is_ending && self.is_settled(instance.launched) && !self.claims.iter().any(is_its)
    }

    fn left_over(&self, node: &Node) -> Option<Garbage> {
        let provider_id = node.provider_id.as_ref()?;
        let is_ours = node.labels.contains_key(labels::EC2NODECLASS);
        let has_claim = self.claims.iter().any(|claim| claim.provider_id.as_ref() == Some(provider_id));
        let is_settled = node.created.is_some_and(|created| self.is_settled(created));
        if !is_ours || has_claim || node.is_ready || !is_settled || self.exists(provider_id) {
            return None;
        }
        match (node.is_deleting, node.has_finalizer) {
            (false, _) => Some(Garbage::Node(node.object.clone())),
            (true, true) => Some(Garbage::DeletedNode(node.object.clone())),
            (true, false) => None,
        }
    }
}

#[cfg(test)]
mod tests;
