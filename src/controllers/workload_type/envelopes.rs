//! What envelopes and costs are computed from, and the computing. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::ResourceExt;

use crate::api::labels;
use crate::api::nodepool::NodePool as ApiNodePool;
use crate::controllers::catalogs::ClassTypes;
use crate::lifecycle::type_status::{Cost, Costs, EnvelopeState};
use crate::model::envelope::Generations;
use crate::model::workload_type::WorkloadType;
use crate::model::{Node, NodeClaim, NodePool, Price, ResourceList};
use crate::scheduling::{self, Catalog, Daemon, ExistingNode, Pool, PoolPreference, Problem};

/// Everything that the envelopes depend on.
pub(super) struct Ingredients<'a> {
    pub(super) types: &'a BTreeMap<String, WorkloadType>,
    pub(super) pools: &'a [Arc<ApiNodePool>],
    /// By the name of the class; absent while the cloud has not answered.
    pub(super) catalogs: &'a BTreeMap<String, ClassTypes>,
    pub(super) nodes: &'a [&'a Node],
    /// One for each DaemonSet.
    pub(super) daemons: &'a [Daemon],
}

/// Whether two states of a Node make no difference to any envelope.
pub(super) fn is_alike(a: &Node, b: &Node) -> bool {
    let lasting =
        |node: &Node| node.taints.iter().filter(|taint| !taint.is_ephemeral()).cloned().collect::<Vec<_>>();
    a.labels == b.labels
        && a.allocatable == b.allocatable
        && is_leaving(a) == is_leaving(b)
        && lasting(a) == lasting(b)
}

fn is_leaving(node: &Node) -> bool {
    node.is_deleting || node.has_taint_like(&crate::model::node::disrupted_taint())
}

/// The envelope of every type.
pub(super) fn envelopes(ingredients: &Ingredients<'_>) -> BTreeMap<String, EnvelopeState> {
    let problem = problem(ingredients);
    let of = |workload_type: &WorkloadType| {
        let mut generations = Generations::default();
        generations.note_workload_type(&workload_type.name, workload_type.generation);
        for name in &workload_type.pools {
            let Some(pool) = ingredients.pools.iter().find(|pool| pool.name_any() == *name) else {
                return EnvelopeState::Unknown;
            };
            let class = &pool.spec.template.spec.node_class_ref;
            generations.note_node_pool(name, pool.metadata.generation.unwrap_or_default());
            match ingredients.catalogs.get(&class.name) {
                _ if !class.is_ec2() => return EnvelopeState::Unknown,
                None => return EnvelopeState::Awaited,
                Some(ClassTypes::Unknown) => return EnvelopeState::Unknown,
                Some(ClassTypes::Known(known)) => generations.note_node_class(&class.name, known.generation),
            }
        }
        match scheduling::envelope(&problem, &workload_type.name) {
            Some(envelope) => EnvelopeState::Known(envelope.to_api(&generations)),
            None => EnvelopeState::Unknown,
        }
    };
    ingredients.types.iter().map(|(name, workload_type)| (name.clone(), of(workload_type))).collect()
}

/// The part of a scheduling problem that envelopes depend on: what waits, runs or is held does not matter.
fn problem(ingredients: &Ingredients<'_>) -> Problem {
    let workload_type = |workload_type: &WorkloadType| scheduling::WorkloadType {
        name: workload_type.name.clone(),
        pools: { workload_type.pools.iter() }
            .map(|pool| PoolPreference { pool: pool.clone(), may_fall_back: false })
            .collect(),
    };
    Problem {
        pods: Vec::new(),
        nodes: { ingredients.nodes.iter() }
            .filter(|node| !is_leaving(node))
            .map(|node| existing(node))
            .collect(),
        pools: { ingredients.pools.iter() }.filter_map(|object| pool(object, ingredients.catalogs)).collect(),
        workload_types: ingredients.types.values().map(workload_type).collect(),
        daemons: ingredients.daemons.to_vec(),
        well_known: labels::well_known().collect(),
    }
}

fn pool(object: &ApiNodePool, catalogs: &BTreeMap<String, ClassTypes>) -> Option<Pool> {
    let class = &object.spec.template.spec.node_class_ref;
    let Some(ClassTypes::Known(known)) = catalogs.get(&class.name).filter(|_| class.is_ec2()) else {
        return None;
    };
    Some(Pool {
        node_pool: NodePool::from_api(object).ok()?,
        node_class: class.name.clone(),
        catalog: Arc::clone(&known.catalog),
        held: ResourceList::new(),
        not_ready: None,
    })
}

fn existing(node: &Node) -> ExistingNode {
    ExistingNode {
        name: node.object.name.clone(),
        labels: node.labels.clone(),
        // Those that come and go say nothing about which daemons will run there.
        taints: node.taints.iter().filter(|taint| !taint.is_ephemeral()).cloned().collect(),
        allocatable: node.allocatable.clone(),
        ..ExistingNode::default()
    }
}

/// What the instances of claims cost, by pool.
pub(super) fn costs<'c>(
    claims: impl IntoIterator<Item = &'c NodeClaim>,
    catalogs: &BTreeMap<String, ClassTypes>,
) -> Costs {
    let mut costs = Costs::default();
    for claim in claims {
        let Some(pool) = claim.pool().filter(|_| claim.provider_id.is_some()) else { continue };
        let cost = match catalogs.get(&claim.node_class) {
            None => Cost::Awaited,
            Some(ClassTypes::Unknown) => Cost::Unknown,
            Some(ClassTypes::Known(known)) => price(claim, &known.catalog).map_or(Cost::Unknown, Cost::Known),
        };
        costs.add(pool, cost);
    }
    costs
}

/// What the claim's instance costs, by what its labels say that it is.
fn price(claim: &NodeClaim, catalog: &Catalog) -> Option<Price> {
    let label = |key: &str| claim.labels.get(key).map(String::as_str);
    let instance_type = catalog.instance_type(label(labels::INSTANCE_TYPE)?)?;
    let (zone, bought) = (label(labels::ZONE)?, label(labels::CAPACITY_TYPE)?);
    let mut offerings = instance_type.offerings.iter();
    let is_its = |offering: &&crate::model::instance_type::Offering| {
        offering.zone == zone && offering.capacity_type.name() == bought
    };
    offerings.find(is_its).map(|offering| offering.price)
}

#[cfg(test)]
mod tests;
