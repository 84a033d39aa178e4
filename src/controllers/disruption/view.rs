//! What is decided from, gathered from the caches at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use crate::cluster::caches::{Caches, KnownClaim, KnownNode};
use crate::disruption::candidates::{Machine, Pool};
use crate::disruption::decide::{Decision, Fleet, decide};
use crate::model::ownership::owner;
use crate::model::{BoundPod, KnownPod, NodeClaim, ProviderId};

/// The claims that are ours, and everything that belongs to them.
pub(super) struct View {
    pools: BTreeMap<String, Pool>,
    claims: BTreeMap<String, Arc<KnownClaim>>,
    nodes: BTreeMap<String, Arc<KnownNode>>,
    pods: Vec<Arc<KnownPod>>,
    knows_pods: bool,
}

impl View {
    pub(super) fn gather(caches: &Caches) -> Self {
        let named = |claim: Arc<KnownClaim>| (claim.model.object.name.clone(), claim);
        let claims = caches.node_claims.all().into_iter();
        let claims = claims.filter(|claim| claim.object.spec.node_class_ref.is_ec2()).map(named);
        let nodes = caches.nodes.all().into_iter();
        let nodes = nodes.filter(|node| node.model.provider_id.is_some());
        let pools = caches.node_pools.all();
        Self {
            pools: pools.iter().map(|pool| (pool.name_any(), Pool::read(pool))).collect(),
            claims: claims.collect(),
            nodes: nodes.map(|node| (node.model.object.name.clone(), node)).collect(),
            pods: caches.pods.all(),
            knows_pods: caches.pods.broken_for().is_zero(),
        }
    }

    pub(super) fn claim(&self, name: &str) -> Option<&KnownClaim> {
        self.claims.get(name).map(|claim| &**claim)
    }

    pub(super) fn node(&self, name: &str) -> Option<&KnownNode> {
        self.nodes.get(name).map(|node| &**node)
    }

    /// What is to be done. `nominated_until` tells until when pods are expected on the node or claim of a name.
    pub(super) fn decide(
        &self,
        begun: &BTreeSet<String>,
        nominated_until: impl Fn(&str) -> Option<Timestamp>,
        now: Timestamp,
    ) -> Decision {
        let mut by_instance: BTreeMap<&ProviderId, Vec<&KnownNode>> = BTreeMap::new();
        for node in self.nodes.values() {
            if let Some(id) = &node.model.provider_id {
                by_instance.entry(id).or_default().push(node);
            }
        }
        let mut claims_of: BTreeMap<&ProviderId, Vec<&NodeClaim>> = BTreeMap::new();
        for claim in self.claims.values() {
            if let Some(id) = &claim.model.provider_id {
                claims_of.entry(id).or_default().push(&claim.model);
            }
        }
        let node_of = |claim: &NodeClaim| {
            let id = claim.provider_id.as_ref()?;
            let [only] = by_instance.get(id)?.as_slice() else { return None };
            let claims = claims_of.get(id).into_iter().flatten().copied();
            let owner = owner(claims, &only.model.owner_uids)?;
            (owner.object.uid == claim.object.uid).then_some(*only)
        };
        let owned: Vec<_> = self.claims.values().map(|claim| (&claim.model, node_of(&claim.model))).collect();
        let mut pods_on: BTreeMap<&str, Vec<&BoundPod>> = { owned.iter() }
            .filter_map(|(_, node)| Some((node.as_ref()?.model.object.name.as_str(), Vec::new())))
            .collect();
        for pod in self.pods.iter().filter_map(|pod| pod.bound()) {
            if let Some(pods) = pods_on.get_mut(pod.node_name.as_str()) {
                pods.push(pod);
            }
        }
        let machines: Vec<_> = { owned.iter() }
            .map(|(claim, node)| {
                let name = node.map(|node| node.model.object.name.as_str());
                let pods = name.and_then(|name| pods_on.get(name)).map(Vec::as_slice).unwrap_or_default();
                let of_node = name.and_then(&nominated_until);
                let nominated_until = nominated_until(&claim.object.name).max(of_node);
                Machine { claim, node: node.map(|node| &node.model), pods, nominated_until }
            })
            .collect();
        let fleet = Fleet { pools: &self.pools, machines: &machines, knows_pods: self.knows_pods, begun };
        decide(&fleet, now)
    }
}

#[cfg(test)]
mod tests;
