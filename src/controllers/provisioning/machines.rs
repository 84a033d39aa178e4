//! The nodes that are there or on their way, as the scheduler sees them. Pure.
//!
//! What counts is Karpenter's: every Node that pods could be scheduled to, whoever made it, and every claim whose Node is still to come.
//! Until a Node is registered its claim says what its labels and taints will be; until it is initialized, what starts with it and goes
//! again (startup taints, the readiness taints of Kubernetes) does not count, and what it does not offer yet is taken from its claim.
//! Left out are Nodes and claims that are being removed or disrupted, Nodes that people have closed, and those that should have become ready
//! long ago. Where several claims say that they have one instance, it counts as the one's whose it is (`model/ownership.rs`).
//!
//! Differences to Karpenter:
//! - A claim that has no instance yet is one that holds exactly what it was planned for, and Karpenter plans nothing while there is one.
//!   So a launch that takes long delays nobody, and nothing is put on a machine whose size is still open.
//! - A claim carries the labels of its pool's workload types from the start: its Node will, before pods can use it.
//! - A Node of a pool that has no claim counts like any other Node, since pods can be scheduled to it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::world::World;
use crate::api::{labels, nodeclaim};
use crate::cluster::caches::{KnownClaim, KnownNode};
use crate::disruption::emptiness::initialization_deadline;
use crate::lifecycle::fence;
use crate::model::bound_pod::Runner;
use crate::model::node::disrupted_taint;
use crate::model::ownership::owner;
use crate::model::{BoundPod, Node, NodeClaim, ProviderId, Requirement, ResourceList, Taint};
use crate::scheduling::ExistingNode;

/// A node, and the objects that it is known by.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Machine {
    /// As the scheduler sees it.
    pub node: ExistingNode,
    /// The name of its claim, if it has one.
    pub claim: Option<String>,
    /// The name of its Node, once there is one.
    pub node_name: Option<String>,
}

impl Machine {
    /// The name by which promises are kept: the claim's if there is one, since it stays the same for the machine's whole life.
    #[must_use]
    pub fn key(&self) -> &str {
        self.claim.as_deref().unwrap_or(&self.node.name)
    }
}

/// The machines of the world.
pub(super) fn machines(world: &World, now: Timestamp) -> Vec<Machine> {
    let promised = Promised::new(world);
    let mut bound: BTreeMap<&str, Vec<&BoundPod>> = BTreeMap::new();
    for pod in world.pods.iter().filter_map(|pod| pod.bound()).filter(|pod| !pod.phase.is_terminal()) {
        bound.entry(&pod.node_name).or_default().push(pod);
    }
    let mut claims: BTreeMap<&ProviderId, Vec<&KnownClaim>> = BTreeMap::new();
    for claim in &world.claims {
        if let Some(id) = &claim.model.provider_id {
            claims.entry(id).or_default().push(claim);
        }
    }
    let owner_of = |id: &ProviderId, told: &[String]| {
        let claims = claims.get(id)?;
        let owner = owner(claims.iter().map(|claim| &claim.model), told)?;
        claims.iter().copied().find(|claim| claim.model.object.uid == owner.object.uid)
    };
    let nodes: BTreeSet<&ProviderId> =
        world.nodes.iter().filter_map(|node| node.model.provider_id.as_ref()).collect();

    let of_nodes = world.nodes.iter().filter_map(|node| {
        let id = node.model.provider_id.as_ref();
        let claim = id.and_then(|id| owner_of(id, &node.model.owner_uids));
        of_node(node, claim, (world, now)).map(|machine| {
            let pods = bound.get(node.model.object.name.as_str()).map(Vec::as_slice).unwrap_or_default();
            with_pods(machine, pods)
        })
    });
    let is_on_its_way = |claim: &NodeClaim| match &claim.provider_id {
        Some(id) if nodes.contains(id) => false,
        Some(id) => owner_of(id, &[]).is_some_and(|owner| owner.model.object.uid == claim.object.uid),
        None => true,
    };
    let on_their_way = world.claims.iter().filter(|claim| is_on_its_way(&claim.model));
    let of_claims = on_their_way.filter_map(|claim| of_claim(claim, (world, now)));
    of_nodes.chain(of_claims).map(|machine| promised.add_to(machine)).collect()
}

/// Whether nothing may count on a claim's node: it is being removed, or nobody waits any more for it to be ready.
#[must_use]
pub fn is_lost(claim: &NodeClaim, now: Timestamp) -> bool {
    claim.deleted.is_some()
        || claim.is(nodeclaim::DISRUPTION_REASON)
        || initialization_deadline(claim).is_some_and(|deadline| deadline <= now)
}

/// Whether a Node is being removed, so that nothing may count on it.
#[must_use]
pub fn is_closed(node: &KnownNode) -> bool {
    let is_unschedulable = node.object.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true));
    node.model.is_deleting || is_unschedulable || node.model.has_taint_like(&disrupted_taint())
}

fn of_node(
    node: &KnownNode,
    claim: Option<&KnownClaim>,
    (world, now): (&World, Timestamp),
) -> Option<Machine> {
    if is_closed(node) || claim.is_some_and(|claim| is_lost(&claim.model, now)) {
        return None;
    }
    let name = node.model.object.name.clone();
    let Some(claim) = claim else {
        let node = ExistingNode {
            name: name.clone(),
            is_initialized: true,
            labels: node.model.labels.clone(),
            taints: node.model.taints.clone(),
            allocatable: node.model.allocatable.clone(),
            ..ExistingNode::default()
        };
        return Some(Machine { node, claim: None, node_name: Some(name) });
    };
    let is_registered = node.model.is_labelled(labels::REGISTERED);
    let is_initialized = is_registered && node.model.is_labelled(labels::INITIALIZED);
    let mut labels = if is_registered { node.model.labels.clone() } else { labels_of(claim, world) };
    labels.extend(once_ready());
    let taints = match (is_registered, is_initialized) {
        (false, _) => claim.model.taints.clone(),
        (true, false) => lasting_taints(&node.model, &claim.model),
        (true, true) => node.model.taints.clone(),
    };
    let mut allocatable = node.model.allocatable.clone();
    if !is_initialized {
        for (resource, amount) in allocatable_of(claim).iter() {
            if allocatable.amount(resource).is_zero() {
                allocatable.set(resource, amount);
            }
        }
    }
    let seen = ExistingNode {
        name: name.clone(),
        is_initialized,
        labels,
        taints,
        allocatable,
        ..ExistingNode::default()
    };
    Some(Machine { node: seen, claim: Some(claim.model.object.name.clone()), node_name: Some(name) })
}

/// A claim of a class that is not ours is left out: whether a node will come of it is not known here.
fn of_claim(claim: &KnownClaim, (world, now): (&World, Timestamp)) -> Option<Machine> {
    if is_lost(&claim.model, now) || !claim.object.spec.node_class_ref.is_ec2() {
        return None;
    }
    let name = claim.model.object.name.clone();
    let node = ExistingNode {
        name: name.clone(),
        is_initialized: false,
        labels: labels_of(claim, world).into_iter().chain(once_ready()).collect(),
        taints: claim.model.taints.clone(),
        allocatable: allocatable_of(claim),
        ..ExistingNode::default()
    };
    Some(Machine { node, claim: Some(name), node_name: None })
}

/// What a node gets before pods can use it.
fn once_ready() -> impl Iterator<Item = (String, String)> {
    labels::OF_READY_NODES.into_iter().map(|label| (label.to_owned(), "true".to_owned()))
}

/// What a claim's node will have for certain: its labels, what its requirements leave no choice about, and the labels of its pool's types and no
/// other type.
fn labels_of(claim: &KnownClaim, world: &World) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for entry in claim.object.spec.requirements.iter().filter(|entry| !labels::is_node_type_label(&entry.key))
    {
        let requirement = Requirement::parse(&entry.key, entry.operator.as_str(), &entry.values).ok();
        if let Some((requirement, value)) =
            requirement.as_ref().and_then(|requirement| Some((requirement, requirement.single_value()?)))
        {
            known.insert(requirement.key().to_owned(), value.to_owned());
        }
    }
    known.extend(claim.model.labels.clone());
    if let Some(pool) = claim.model.pool() {
        known.extend(fence::type_labels(pool, world.workload_types.values()));
    }
    known
}

/// What the claim's machine is expected to give to pods; while there is none, what it was planned for.
fn allocatable_of(claim: &KnownClaim) -> ResourceList {
    let status = claim.object.status.as_ref().filter(|_| claim.model.provider_id.is_some());
    // A cloud writes quantities there; anything else is as if it had written nothing.
    let expected = status.and_then(|status| ResourceList::from_api(&status.allocatable).ok());
    expected.filter(|expected| !expected.is_empty()).unwrap_or_else(|| claim.model.requests.clone())
}

fn lasting_taints(node: &Node, claim: &NodeClaim) -> Vec<Taint> {
    let starts = |taint: &&Taint| claim.startup_taints.iter().any(|startup| startup.is_same(taint));
    node.taints.iter().filter(|taint| !taint.is_ephemeral() && !starts(taint)).cloned().collect()
}

fn with_pods(mut machine: Machine, pods: &[&BoundPod]) -> Machine {
    let of_daemons = pods.iter().filter(|pod| pod.runner == Runner::DaemonSet);
    machine.node.requests = pods.iter().map(|pod| &pod.requests).sum();
    machine.node.daemon_requests = of_daemons.map(|pod| &pod.requests).sum();
    machine.node.host_ports = pods.iter().flat_map(|pod| pod.host_ports.iter().cloned()).collect();
    machine
}

/// What was promised on each machine, by its key, and not taken yet.
struct Promised<'w>(BTreeMap<&'w str, Vec<&'w crate::model::Pod>>);

impl<'w> Promised<'w> {
    fn new(world: &'w World) -> Self {
        let mut by_machine: BTreeMap<&str, Vec<&crate::model::Pod>> = BTreeMap::new();
        for pod in world.pods.iter().filter_map(|pod| pod.unbound()) {
            if let Some(machine) = world.nominations.of(&pod.key, &pod.uid) {
                by_machine.entry(machine).or_default().push(pod);
            }
        }
        Self(by_machine)
    }

    fn add_to(&self, mut machine: Machine) -> Machine {
        for pod in self.0.get(machine.key()).into_iter().flatten() {
            machine.node.requests += &pod.requests;
            machine.node.host_ports.extend(pod.host_ports.iter().cloned());
        }
        machine
    }
}
