//! What is the same of a pool and its instance types for every pod.

use std::{cell::OnceCell, collections::BTreeMap};

use super::demands::{behind, takes_one_of, tolerates_all};
use crate::{
    api::labels,
    model::{
        InstanceType, Pod, Quantity, Requirement, Requirements, ResourceList, instance_type::Offering,
        requirements::Undefined, resources::NODES,
    },
    scheduling::{Plan, Pool, Problem},
};

/// A pool, and what is known of its instance types once they have been asked for.
pub(super) struct PoolFacts<'a> {
    problem: &'a Problem,
    pub(super) pool: &'a Pool,
    /// What the labels of its nodes can be.
    pub(super) labels: Requirements,
    /// The same, once they are ready.
    ready: Requirements,
    /// What its nodes have once the plan is carried out, each claim as the largest that it can become.
    pub(super) held: ResourceList,
    /// How much of that is new.
    pub(super) added: ResourceList,
    /// The daemons that its nodes may run, each with what it asks of their labels.
    daemons: OnceCell<Vec<(&'a Pod, Vec<&'a Requirements>)>>,
    types: Vec<OnceCell<TypeFacts<'a>>>,
    /// Where the type of a name is.
    positions: OnceCell<BTreeMap<&'a str, usize>>,
}

/// An instance type as a node of a pool.
pub(super) struct TypeFacts<'a> {
    pub(super) instance_type: &'a InstanceType,
    /// The daemons that may run there.
    pub(super) daemons: Vec<&'a Pod>,
    /// What they request together.
    pub(super) taken: ResourceList,
    /// What is left for pods; nothing, if daemons do not leave any.
    room: Option<ResourceList>,
    /// Whether one more is within the pool's limits and on offer.
    pub(super) is_to_be_had: bool,
}

/// One alternative of a pod, and what it means for a pool's nodes.
pub(super) struct Asked<'p> {
    alternative: &'p Requirements,
    /// The same as far as the nodes have such labels, and what they can be.
    both: Requirements,
}

impl<'a> PoolFacts<'a> {
    pub(super) fn new(problem: &'a Problem, plan: &Plan, pool: &'a Pool) -> Self {
        let labels = labels_of(problem, pool);
        let mut ready = labels.clone();
        ready.add(Requirement::one_of(labels::REGISTERED, ["true"]));
        ready.add(Requirement::one_of(labels::INITIALIZED, ["true"]));
        let added = added(plan, pool);
        Self {
            problem,
            pool,
            labels,
            ready,
            held: [&pool.held, &added].into_iter().sum(),
            added,
            daemons: OnceCell::new(),
            types: pool.catalog.types().iter().map(|_| OnceCell::new()).collect(),
            positions: OnceCell::new(),
        }
    }

    /// The instance types, in the catalogue's order.
    pub(super) fn types(&self) -> impl Iterator<Item = &TypeFacts<'a>> {
        let types = self.types.iter().zip(self.pool.catalog.types());
        types.map(|(facts, instance_type)| facts.get_or_init(|| self.type_facts(instance_type)))
    }

    /// The instance type of this name.
    pub(super) fn of_type(&self, name: &str) -> Option<&TypeFacts<'a>> {
        let positions = self.positions.get_or_init(|| {
            let mut positions = BTreeMap::new();
            for (position, instance_type) in self.pool.catalog.types().iter().enumerate() {
                positions.entry(instance_type.name.as_str()).or_insert(position);
            }
            positions
        });
        let position = *positions.get(name)?;
        let instance_type = self.pool.catalog.types().get(position)?;
        Some(self.types.get(position)?.get_or_init(|| self.type_facts(instance_type)))
    }

    fn type_facts(&self, instance_type: &'a InstanceType) -> TypeFacts<'a> {
        let allocatable = instance_type.resources.allocatable();
        let may_run = |(daemon, wanted): &&(&'a Pod, Vec<&Requirements>)| {
            daemon.requests.fits_in(allocatable)
                && wanted.iter().any(|wanted| {
                    instance_type.is_compatible(wanted)
                        && instance_type.offerings.iter().any(|offering| offering.is_compatible(wanted))
                })
        };
        let daemons: Vec<&Pod> = self.daemons().iter().filter(may_run).map(|(daemon, _)| *daemon).collect();
        let taken: ResourceList = daemons.iter().map(|daemon| &daemon.requests).sum();
        let limits = &self.pool.node_pool.limits;
        TypeFacts {
            instance_type,
            room: taken.fits_in(allocatable).then(|| allocatable.minus(&taken)),
            daemons,
            taken,
            is_to_be_had: instance_type.offerings.iter().any(|offering| offering.is_available)
                && limits.check(&self.held, instance_type.resources.capacity()).is_ok(),
        }
    }

    fn daemons(&self) -> &[(&'a Pod, Vec<&'a Requirements>)] {
        self.daemons.get_or_init(|| {
            let taints = &self.pool.node_pool.taints;
            let known = Undefined::Allowed(&self.problem.well_known);
            let tolerating =
                behind(&self.problem.daemons, taints).filter(|daemon| tolerates_all(daemon, taints));
            let wanted = |daemon: &'a Pod| {
                let alternatives = daemon.alternatives.iter().map(|alternative| &alternative.requirements);
                let wanted = alternatives.filter(|wanted| self.ready.is_compatible(wanted, known));
                (daemon, wanted.collect::<Vec<_>>())
            };
            tolerating.map(wanted).filter(|(_, wanted)| !wanted.is_empty()).collect()
        })
    }

    /// The pod's alternatives that nodes of the pool can meet, as far as the pool decides that; none, if it does not tolerate their taints.
    pub(super) fn asked<'p>(&self, pod: &'p Pod) -> Vec<Asked<'p>> {
        if !tolerates_all(pod, &self.pool.node_pool.taints) {
            return Vec::new();
        }
        let well_known = &self.problem.well_known;
        let wanted = pod.alternatives.iter().map(|alternative| &alternative.requirements);
        let compatible =
            wanted.filter(|wanted| self.ready.is_compatible(wanted, Undefined::Allowed(well_known)));
        let asked = |alternative: &'p Requirements| {
            let defined = |key: &str| well_known.contains(key) || self.labels.get(key).is_some();
            let wanted = alternative.iter().filter(|requirement| defined(requirement.key())).cloned();
            Asked { alternative, both: self.labels.and(&wanted.collect()) }
        };
        compatible.map(asked).collect()
    }
}

impl TypeFacts<'_> {
    /// Whether an empty node of the type has room for the pod.
    pub(super) fn holds(&self, pod: &Pod) -> bool {
        let mut taken = self.daemons.iter().flat_map(|daemon| &daemon.host_ports);
        self.room.as_ref().is_some_and(|room| pod.requests.fits_in(room)) && !takes_one_of(pod, &mut taken)
    }

    /// The ways to buy the type, now or not, so that one of these alternatives and what the pool requires are met.
    pub(super) fn offerings(&self, asked: &[Asked<'_>]) -> impl Iterator<Item = &Offering> {
        let its = self.instance_type;
        let met = asked
            .iter()
            .filter(|asked| its.is_compatible(&asked.both) && its.is_compatible(asked.alternative));
        met.flat_map(|asked| its.offerings.iter().filter(|offering| offering.is_compatible(&asked.both)))
    }
}

/// What the labels of the pool's nodes can be.
fn labels_of(problem: &Problem, pool: &Pool) -> Requirements {
    let name = pool.node_pool.name.as_str();
    let mut requirements = pool.node_pool.requirements.clone();
    requirements.add(Requirement::one_of(labels::NODEPOOL, [name]));
    for workload_type in &problem.workload_types {
        if workload_type.pools.iter().any(|used| used.pool == name) {
            requirements.add(Requirement::one_of(&labels::node_type_label(&workload_type.name), [""]));
        }
    }
    requirements
}

/// What the plan adds to the pool's nodes, each claim as the largest that it can become.
fn added(plan: &Plan, pool: &Pool) -> ResourceList {
    let mut added = ResourceList::new();
    for claim in plan.claims.iter().filter(|claim| claim.pool == pool.node_pool.name) {
        let mut largest = ResourceList::new().with(NODES, Quantity::from_units(1));
        for option in &claim.instance_types {
            if let Some(instance_type) = pool.catalog.instance_type(&option.name) {
                largest.raise_to(instance_type.resources.capacity());
            }
        }
        added += &largest;
    }
    added
}
