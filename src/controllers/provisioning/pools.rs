//! The pools as the scheduler sees them: what they hold, and why nothing may be launched from one. Pure.

use std::sync::Arc;

use super::world::World;
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::{labels, nodepool};
use crate::cluster::caches::KnownClaim;
use crate::controllers::catalogs::{ClassTypes, no_image};
use crate::lifecycle::fence::{self, Gate};
use crate::lifecycle::pool_status::class_readiness;
use crate::model::resources::NODES;
use crate::model::{InstanceType, NodePool, Quantity, Requirement, ResourceList};
use crate::scheduling::{Catalog, Pool};

/// The pools of the world.
///
/// Those of other node classes are not ours to launch from. They are left out, save where a workload type names one: its pods then wait for
/// a reason that people should be told.
pub(super) fn pools(world: &World) -> Vec<Pool> {
    let is_named = |pool: &nodepool::NodePool| {
        let name = pool.metadata.name.as_deref().unwrap_or_default();
        world.workload_types.values().any(|owner| owner.names(name))
    };
    let wanted = world.node_pools.iter();
    let wanted = wanted.filter(|pool| pool.spec.template.spec.node_class_ref.is_ec2() || is_named(pool));
    wanted.map(|pool| read(pool, world)).collect()
}

/// The pools that could be launched from, did they leave any instance type that can be bought now. Those that leave none whatever can be
/// bought say so in their status.
#[must_use]
pub fn barren(pools: &[Pool]) -> Vec<&str> {
    let is_barren = |pool: &&Pool| {
        let wanted = &pool.node_pool.requirements;
        let can_be_bought = |candidate: &InstanceType| candidate.offerings_for(wanted).next().is_some();
        // Nearly always there is one that can be bought, and nothing else has to be asked.
        !pool.catalog.has_type(wanted, can_be_bought) && pool.catalog.has_type(wanted, |_| true)
    };
    let ready = pools.iter().filter(|pool| pool.obstacle().is_none());
    ready.filter(is_barren).map(|pool| pool.node_pool.name.as_str()).collect()
}

fn read(object: &nodepool::NodePool, world: &World) -> Pool {
    let name = object.metadata.name.clone().unwrap_or_default();
    let class = &object.spec.template.spec.node_class_ref.name;
    let known = world.types.get(class);
    let no_types = || Arc::new(Catalog::new(Vec::new()));
    let catalog = match known {
        Some(ClassTypes::Known(types)) => Arc::clone(&types.catalog),
        Some(ClassTypes::Unknown) | None => no_types(),
    };
    let class = world.node_classes.get(class).map(|class| &**class);
    let (node_pool, not_ready) = match NodePool::from_api(object) {
        Ok(pool) => {
            let obstacle = obstacle(object, &pool, class, known, world);
            (pool, obstacle)
        }
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            let pool = NodePool { name: name.clone(), ..NodePool::default() };
            let foreign = foreign_class(object);
            (pool, Some(foreign.unwrap_or_else(|| problems.join("; "))))
        }
    };
    let node_class = object.spec.template.spec.node_class_ref.name.clone();
    Pool { held: held(&name, &world.claims, &catalog), node_pool, node_class, catalog, not_ready }
}

/// Why no node of a pool may be launched that is right as it is written: the first thing that is in the way.
fn obstacle(
    object: &nodepool::NodePool,
    pool: &NodePool,
    class: Option<&Ec2NodeClass>,
    types: Option<&ClassTypes>,
    world: &World,
) -> Option<String> {
    if let Some(foreign) = foreign_class(object) {
        return Some(foreign);
    }
    if object.metadata.deletion_timestamp.is_some() {
        return Some("it is being deleted".to_owned());
    }
    let readiness = class_readiness(object, class);
    if !readiness.is_true() {
        return Some(readiness.message().to_owned());
    }
    if class.is_some_and(|class| class.current_readiness().is_none()) {
        let name = &object.spec.template.spec.node_class_ref.name;
        return Some(format!("EC2NodeClass {name} was changed and is not resolved yet"));
    }
    if let Gate::Closed { message, .. } =
        fence::gate_of_pool(&pool.name, &pool.taints, world.workload_types.values())
    {
        return Some(message);
    }
    match types {
        Some(ClassTypes::Known(known)) => class.and_then(|class| no_image(pool, class, &known.catalog)),
        Some(ClassTypes::Unknown) | None => Some(
            "the cloud has not told its instance types yet; see the controller's log if that lasts"
                .to_owned(),
        ),
    }
}

fn foreign_class(object: &nodepool::NodePool) -> Option<String> {
    let class = &object.spec.template.spec.node_class_ref;
    (!class.is_ec2()).then(|| {
        format!(
            "its node class is of {}/{}, which Treenail does not launch from; use a class of {}",
            class.group,
            class.kind,
            labels::KARPENTER_AWS_GROUP
        )
    })
}

/// What a pool's limits count. A claim that is being removed does not count, as in Karpenter: a drain may have to wait until the pods run
/// elsewhere, and would wait for ever at the limit. A claim without an instance counts as the largest that it can become.
fn held(pool: &str, claims: &[Arc<KnownClaim>], catalog: &Catalog) -> ResourceList {
    let mut held = ResourceList::new();
    let own = claims.iter().filter(|claim| claim.model.pool() == Some(pool));
    let own = own.filter(|claim| claim.model.deleted.is_none());
    let mut nodes = 0;
    for claim in own {
        nodes += 1;
        held += &capacity(claim, catalog);
    }
    held.set(NODES, Quantity::from_units(nodes));
    held
}

fn capacity(claim: &KnownClaim, catalog: &Catalog) -> ResourceList {
    let status = claim.object.status.as_ref().filter(|_| claim.model.provider_id.is_some());
    let launched = status.and_then(|status| ResourceList::from_api(&status.capacity).ok());
    if let Some(launched) = launched.filter(|capacity| !capacity.is_empty()) {
        return launched;
    }
    let mut largest = claim.model.requests.clone();
    for entry in claim.object.spec.requirements.iter().filter(|entry| entry.key == labels::INSTANCE_TYPE) {
        let options = Requirement::parse(&entry.key, entry.operator.as_str(), &entry.values).ok();
        let names = options.iter().filter_map(Requirement::values).flatten();
        for instance_type in names.filter_map(|name| catalog.instance_type(name)) {
            largest.raise_to(instance_type.resources.capacity());
        }
    }
    largest
}
