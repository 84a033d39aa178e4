//! The pools of a problem, ready to be asked which instance types would hold a pod.

use std::{cell::OnceCell, collections::BTreeMap};

use super::{
    amounts::{Amounts, Dimensions},
    daemons::{self, Overheads},
    problem::{Pool, Problem},
    queue::Class,
    table::RowSet,
};
use crate::{
    api::labels,
    model::{Pod, Requirement, Requirements, ResourceList, label::LabelKeys, requirements::Undefined},
};

/// A pool with what is the same for all pods.
#[derive(Debug, Clone)]
pub(super) struct PoolTable<'p> {
    pub(super) pool: &'p Pool,
    /// What the labels of its nodes can be, the labels of its name and its workload types included.
    pub(super) requirements: Requirements,
    /// The same with the labels that nodes get when they are ready. Pods and daemons may ask for them; a claim has them not.
    pub(super) once_ready: Requirements,
    /// The rows of its catalogue that meet these, whether they can be bought now or not.
    pub(super) rows: RowSet,
    pub(super) overheads: Overheads,
    /// What each type leaves for pods after daemons.
    room: Vec<Amounts>,
    /// The same in the words of people, once it is to be explained.
    left: OnceCell<Vec<ResourceList>>,
}

impl<'p> PoolTable<'p> {
    pub(super) fn new(problem: &'p Problem, pool: &'p Pool, dimensions: &Dimensions) -> Self {
        let catalog = &*pool.catalog;
        let requirements = node_requirements(problem, pool);
        let mut once_ready = requirements.clone();
        once_ready.extend(labels::OF_READY_NODES.map(|label| Requirement::one_of(label, ["true"])));
        let overheads = Overheads::of_pool(
            &problem.daemons,
            &once_ready,
            &pool.node_pool.taints,
            &problem.well_known,
            (catalog, dimensions),
        );
        let columns: Vec<_> = dimensions.names().map(|name| catalog.allocatable(name?)).collect();
        let room = (0..catalog.types().len()).map(|i| {
            let cell = |column: Option<&[i64]>| column.and_then(|column| column.get(i)).copied().unwrap_or(0);
            let mut room: Amounts = columns.iter().copied().map(cell).collect();
            if let Some(overhead) = overheads.on(i) {
                room.take(&overhead.amounts, 1);
            }
            room
        });
        Self {
            pool,
            rows: catalog.usable().and(&catalog.rows_meeting_all(&requirements)),
            room: room.collect(),
            left: OnceCell::new(),
            requirements,
            once_ready,
            overheads,
        }
    }

    pub(super) fn name(&self) -> &'p str {
        &self.pool.node_pool.name
    }

    /// What a type leaves for pods after daemons.
    pub(super) fn room(&self, instance_type: usize) -> Option<&Amounts> {
        self.room.get(instance_type)
    }

    /// The same, exactly and with every resource.
    pub(super) fn left(&self, instance_type: usize) -> Option<&ResourceList> {
        let left = self.left.get_or_init(|| {
            let types = self.pool.catalog.types().iter().enumerate();
            let left = types.map(|(i, instance_type)| {
                let allocatable = instance_type.resources.allocatable();
                match self.overheads.on(i) {
                    Some(overhead) => allocatable.minus(&overhead.requests),
                    None => allocatable.clone(),
                }
            });
            left.collect()
        });
        left.get(instance_type)
    }

    /// The types of these rows, by number, in ascending order.
    pub(super) fn types_of(&self, rows: &RowSet) -> Vec<usize> {
        let mut is_there = vec![false; self.pool.catalog.types().len()];
        for instance_type in rows.iter().filter_map(|row| self.type_of(row)) {
            if let Some(is_there) = is_there.get_mut(instance_type) {
                *is_there = true;
            }
        }
        is_there.iter().enumerate().filter(|(_, is_there)| **is_there).map(|(i, _)| i).collect()
    }

    /// What a row's machine has, which is what limits count.
    pub(super) fn capacity(&self, row: usize) -> Option<&'p ResourceList> {
        let instance_type = self.pool.catalog.types().get(self.type_of(row)?)?;
        Some(instance_type.resources.capacity())
    }

    /// The type of a row, by number.
    pub(super) fn type_of(&self, row: usize) -> Option<usize> {
        self.pool.catalog.row(row).map(|row| row.instance_type)
    }

    /// The ways in which nodes of this pool can meet what a pod asks of their labels, in the pod's order. Rows are not yet looked at
    /// for their size.
    pub(super) fn shapes(&self, pod: &Pod, well_known: &LabelKeys) -> Vec<Shape> {
        if daemons::first_untolerated(pod, &self.pool.node_pool.taints).is_some() {
            return Vec::new();
        }
        let wanted = pod.alternatives.iter().map(|alternative| &alternative.requirements);
        let compatible =
            wanted.filter(|wanted| self.once_ready.is_compatible(wanted, Undefined::Allowed(well_known)));
        compatible.map(|wanted| self.shape(wanted, well_known)).collect()
    }

    fn shape(&self, wanted: &Requirements, well_known: &LabelKeys) -> Shape {
        let catalog = &self.pool.catalog;
        let narrowed = |requirement: &Requirement| match self.requirements.get(requirement.key()) {
            Some(own) => own.intersection(requirement),
            None => requirement.clone(),
        };
        let rows = wanted.iter().fold(self.rows.clone(), |mut rows, requirement| {
            rows.retain(&catalog.rows_meeting(&narrowed(requirement)));
            rows
        });
        // A label that neither the pool nor the provider defines will be absent, which the pod allows, or it would not be compatible.
        // It must not become a requirement: whoever makes the node would invent a value for it.
        let defined = |key: &str| well_known.contains(key) || self.requirements.get(key).is_some();
        let requirements: Requirements =
            wanted.iter().filter(|requirement| defined(requirement.key())).cloned().collect();
        let is_settled = |key: &str| {
            catalog.settles(key) || self.requirements.get(key).is_some_and(|own| own.single_value().is_some())
        };
        let is_open = requirements.iter().any(|requirement| !is_settled(requirement.key()));
        Shape { requirements, rows, is_open }
    }
}

/// One way in which a pool's nodes can meet what a pod asks of their labels.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    /// What is asked of labels that the nodes have.
    pub(super) requirements: Requirements,
    /// The rows that meet it.
    pub(super) rows: RowSet,
    /// Whether it is about a label that neither the row nor the pool settles, so that pods which fit a row each may contradict each
    /// other.
    pub(super) is_open: bool,
}

/// What the labels of a pool's nodes can be: its own requirements, its name, and a label for each workload type that uses it.
pub(super) fn node_requirements(problem: &Problem, pool: &Pool) -> Requirements {
    let name = &pool.node_pool.name;
    let types = problem.workload_types.iter();
    let using = types.filter(|workload_type| workload_type.pools.iter().any(|used| used.pool == *name));
    let mut requirements = pool.node_pool.requirements.clone();
    requirements.add(Requirement::one_of(labels::NODEPOOL, [name.as_str()]));
    requirements.extend(
        using.map(|workload_type| Requirement::one_of(&labels::node_type_label(&workload_type.name), [""])),
    );
    requirements
}

/// Pools that a pod may use alike, and whether it may go on to the next where these would do but are not to be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tier {
    /// By number, as [`Pools`] has them.
    pub(super) pools: Vec<usize>,
    /// Pools that the pod may use but that are missing or not to be launched from, by name.
    pub(super) unusable: Vec<String>,
    pub(super) may_fall_back: bool,
}

/// All pools by number, in the order of their names.
#[derive(Debug, Clone)]
pub(super) struct Pools<'p> {
    pub(super) tables: Vec<PoolTable<'p>>,
    /// Pools that no node may be launched from, by name.
    not_ready: BTreeMap<&'p str, &'p str>,
    tiers_of_types: BTreeMap<&'p str, Vec<Tier>>,
    tiers_of_typeless: Vec<Tier>,
}

impl<'p> Pools<'p> {
    pub(super) fn new(problem: &'p Problem, dimensions: &Dimensions) -> Self {
        let mut pools: Vec<&Pool> = problem.pools.iter().collect();
        pools.sort_by_key(|pool| &pool.node_pool.name);
        pools.dedup_by_key(|pool| &pool.node_pool.name);
        let not_ready =
            pools.iter().filter_map(|pool| Some((pool.node_pool.name.as_str(), pool.obstacle()?)));
        let ready = pools.iter().filter(|pool| pool.obstacle().is_none());
        let tables: Vec<_> = ready.map(|pool| PoolTable::new(problem, pool, dimensions)).collect();
        let numbers: BTreeMap<&str, usize> =
            tables.iter().enumerate().map(|(i, table)| (table.name(), i)).collect();
        let tiers_of_types = problem.workload_types.iter().map(|workload_type| {
            let tiers = workload_type.pools.iter().map(|preference| {
                let number = numbers.get(preference.pool.as_str()).copied();
                Tier {
                    pools: number.into_iter().collect(),
                    unusable: number.is_none().then(|| preference.pool.clone()).into_iter().collect(),
                    may_fall_back: preference.may_fall_back,
                }
            });
            (workload_type.name.as_str(), tiers.collect())
        });
        Self {
            not_ready: not_ready.collect(),
            tiers_of_types: tiers_of_types.collect(),
            tiers_of_typeless: typeless_tiers(problem, &pools, &numbers),
            tables,
        }
    }

    pub(super) fn get(&self, number: usize) -> Option<&PoolTable<'p>> {
        self.tables.get(number)
    }

    /// The pools that a pod may use, in order.
    pub(super) fn tiers(&self, workload_type: Option<&str>) -> &[Tier] {
        match workload_type {
            Some(name) => self.tiers_of_types.get(name).map_or(&[], Vec::as_slice),
            None => &self.tiers_of_typeless,
        }
    }

    /// Whether a pod of the class would fit into a pool of the tier, were it ready and within its limits and could nodes be bought.
    pub(super) fn is_short(&self, class: &Class<'_>, tier: &Tier) -> bool {
        tier.unusable.iter().any(|name| self.not_ready(name).is_some())
            || tier.pools.iter().any(|number| !class.shapes_in(*number).is_empty())
    }

    /// Why no node of a pool may be launched; nothing for a pool that does not exist.
    pub(super) fn not_ready(&self, pool: &str) -> Option<&'p str> {
        self.not_ready.get(pool).copied()
    }
}

/// The pools that no type uses, the heavier ones first. Equals are alike: among them the price decides.
fn typeless_tiers(problem: &Problem, pools: &[&Pool], numbers: &BTreeMap<&str, usize>) -> Vec<Tier> {
    let is_used = |name: &str| {
        let mut used = problem.workload_types.iter().flat_map(|workload_type| &workload_type.pools);
        used.any(|preference| preference.pool == name)
    };
    let mut free: Vec<_> = pools.iter().filter(|pool| !is_used(&pool.node_pool.name)).collect();
    free.sort_by(|a, b| {
        (b.node_pool.weight, &a.node_pool.name).cmp(&(a.node_pool.weight, &b.node_pool.name))
    });
    free.chunk_by(|a, b| a.node_pool.weight == b.node_pool.weight)
        .map(|equals| {
            let name = |pool: &&&Pool| pool.node_pool.name.clone();
            let number = |pool: &&&Pool| numbers.get(pool.node_pool.name.as_str()).copied();
            Tier {
                pools: equals.iter().filter_map(number).collect(),
                unusable: equals.iter().filter(|pool| number(pool).is_none()).map(name).collect(),
                may_fall_back: true,
            }
        })
        .collect()
}
