//! What admission knows: the types with what their pods get, who owns which taint, and the choices made for the whole cluster.
//!
//! An immutable snapshot. The server builds the next one whenever an object changes and swaps it in whole; a decision never sees half of a
//! change. Where the objects come from is not known here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::owned::OwnedTaints;
use super::reference::Reference;
use crate::api::{conditions, ec2nodeclass, labels, nodepool, workload_type as api};
use crate::model::envelope::{Envelope, Generations};
use crate::model::node_pool::NodePool;
use crate::model::requirement::Requirement;
use crate::model::requirements::Requirements;
use crate::model::workload_type::{self, Fleet, Policy, Pool, Published, WorkloadType};

/// For how long pods that were made by the policy before the current one are admitted: replicas learn of a change at different moments, and
/// a pod may be changed by one and judged by another.
pub const PREVIOUS_POLICY_HONOURED: SignedDuration = SignedDuration::from_secs(60);

/// Choices for the whole cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Namespaces whose pods are nobody's business here: they keep the cluster running.
    pub exempt_namespaces: BTreeSet<String>,
    /// The most tolerations that a pod may have.
    pub max_tolerations: usize,
    /// Names of instance types that exist, as far as is known here; none if nothing is. Others may exist, too.
    pub instance_types: Arc<BTreeSet<String>>,
}

impl Default for Settings {
    fn default() -> Self {
        let exempt = ["kube-node-lease", "kube-public", "kube-system", "treenail-system"];
        Self {
            exempt_namespaces: exempt.map(str::to_owned).into(),
            max_tolerations: 64,
            instance_types: Arc::default(),
        }
    }
}

/// Every object that policies are made from, read once.
#[derive(Debug, Clone, Default)]
pub struct Inventory {
    types: BTreeMap<String, TypeObject>,
    pools: BTreeMap<String, Pool>,
    /// What the labels of each pool's nodes can be, by what the pool says; absent for one that cannot be used.
    node_labels: BTreeMap<String, Requirements>,
    /// The generation of each pool, and the name of its class.
    pool_objects: BTreeMap<String, (i64, String)>,
    /// Each class with its generation.
    node_classes: BTreeMap<String, i64>,
}

#[derive(Debug, Clone)]
struct TypeObject {
    spec: WorkloadType,
    is_deleted: bool,
    published: Published,
    envelope: Option<api::Envelope>,
    /// Why the controller says that the spec cannot be carried out.
    refused: Option<String>,
}

impl Inventory {
    /// Adds a WorkloadType.
    pub fn add_workload_type(&mut self, object: &api::WorkloadType) {
        let status = object.status.clone().unwrap_or_default();
        let refused = conditions::find(&status.conditions, api::VALIDATION_SUCCEEDED)
            .filter(|condition| condition.status == conditions::ConditionStatus::False)
            .map(|condition| condition.message.clone());
        let spec = WorkloadType::read(object);
        let published = Published::read(&status);
        let envelope = status.envelope;
        let is_deleted = object.metadata.deletion_timestamp.is_some();
        let read = TypeObject { spec, is_deleted, published, envelope, refused };
        self.types.insert(read.spec.name.clone(), read);
    }

    /// Adds a NodePool.
    pub fn add_node_pool(&mut self, object: &nodepool::NodePool) {
        let name = object.metadata.name.clone().unwrap_or_default();
        let class = object.spec.template.spec.node_class_ref.name.clone();
        let generation = object.metadata.generation.unwrap_or_default();
        self.pool_objects.insert(name.clone(), (generation, class));
        if let Ok(pool) = NodePool::from_api(object) {
            self.node_labels.insert(name.clone(), pool.requirements);
        }
        self.pools.insert(name, Pool::read(object));
    }

    /// Adds an EC2NodeClass.
    pub fn add_node_class(&mut self, object: &ec2nodeclass::Ec2NodeClass) {
        let name = object.metadata.name.clone().unwrap_or_default();
        self.node_classes.insert(name, object.metadata.generation.unwrap_or_default());
    }

    /// What pods of the type can ask for at most, if that was published for everything as it is now.
    fn envelope(&self, object: &TypeObject) -> Option<Envelope> {
        let published = object.envelope.as_ref()?;
        let mut current = Generations::default();
        current.note_workload_type(&object.spec.name, object.spec.generation);
        for name in &object.spec.pools {
            let (generation, class) = self.pool_objects.get(name)?;
            current.note_node_pool(name, *generation);
            current.note_node_class(class, *self.node_classes.get(class)?);
        }
        current.are_those_of(published).then(|| Envelope::from_api(published).ok()).flatten()
    }
}

/// Why no pod of a type is admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Closed {
    /// The spec cannot be carried out.
    Invalid(String),
    /// The controller has not said yet what its pods get.
    Unpublished,
}

/// A type, as far as admission depends on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TypePolicy {
    pub(super) name: String,
    /// The generation of the spec that the current policy was derived from.
    pub(super) generation: i64,
    pub(super) current: Policy,
    /// The policy before, and until when it is honoured.
    previous: Option<(Policy, Timestamp)>,
    pub(super) closed: Option<Closed>,
    /// Whether somebody has deleted it: it goes when nothing of it is left.
    pub(super) is_deleted: bool,
    /// What its pods can ask for at most, as far as that is known.
    pub(super) envelope: Option<Envelope>,
}

impl TypePolicy {
    /// The policies that a pod may follow, the current one first.
    pub(super) fn honoured(&self, now: Timestamp) -> impl Iterator<Item = &Policy> {
        let previous = self.previous.iter().filter(move |(_, until)| now < *until).map(|(policy, _)| policy);
        std::iter::once(&self.current).chain(previous)
    }
}

/// Everything that decisions depend on beside the request.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    settings: Settings,
    by_type: BTreeMap<String, TypePolicy>,
    owned: OwnedTaints,
    types: BTreeMap<String, WorkloadType>,
    pools: BTreeMap<String, Pool>,
    /// What the labels of each pool's nodes can be by the time that pods can use them, those of its types included.
    node_labels: BTreeMap<String, Requirements>,
    node_classes: BTreeMap<String, i64>,
    /// What is not known here, and may exist all the same.
    doubtful: BTreeSet<Reference>,
}

impl Policies {
    /// Knows of nothing yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// What is known once these are the objects. A type whose policy differs from the one it had here keeps the old one beside it for
    /// [`PREVIOUS_POLICY_HONOURED`] from `now` on.
    #[must_use]
    pub fn next(&self, inventory: Inventory, now: Timestamp) -> Self {
        let mut owned = OwnedTaints::default();
        let mut by_type = BTreeMap::new();
        let mut types = BTreeMap::new();
        let specs =
            inventory.types.iter().map(|(name, object)| (name.clone(), object.spec.clone())).collect();
        let fleet = Fleet { types: &specs, pools: &inventory.pools, nodes: &[] };
        for (name, object) in &inventory.types {
            // What the pools say counts at once: a type that was made anew has no status until the controller has looked at it.
            for taint in
                object.published.owned.keys().chain(workload_type::derive(&object.spec, &fleet).owned.keys())
            {
                owned.insert(taint, name);
            }
            let envelope = inventory.envelope(object);
            by_type.insert(name.clone(), object.policy(self.by_type.get(name), envelope, now));
            types.insert(name.clone(), object.spec.clone());
        }
        let mut node_labels = inventory.node_labels;
        for of_nodes in node_labels.values_mut() {
            of_nodes.extend(labels::OF_READY_NODES.map(|label| Requirement::one_of(label, ["true"])));
        }
        for spec in types.values() {
            for pool in &spec.pools {
                if let Some(of_nodes) = node_labels.get_mut(pool) {
                    of_nodes.add(Requirement::one_of(&labels::node_type_label(&spec.name), [""]));
                }
            }
        }
        Self {
            settings: self.settings.clone(),
            by_type,
            owned,
            types,
            pools: inventory.pools,
            node_labels,
            node_classes: inventory.node_classes,
            doubtful: BTreeSet::new(),
        }
    }

    /// What would be known with these objects, too, of which no watch has told yet. Their taints do not count before one has.
    #[must_use]
    pub fn knowing(&self, more: Inventory, now: Timestamp) -> Self {
        let mut policies = self.clone();
        for (name, object) in more.types {
            policies.by_type.insert(name.clone(), object.policy(self.by_type.get(&name), None, now));
            policies.types.insert(name, object.spec);
        }
        policies.pools.extend(more.pools);
        policies.node_classes.extend(more.node_classes);
        policies
    }

    /// The same, where nobody could say whether these exist.
    #[must_use]
    pub fn doubting(&self, references: impl IntoIterator<Item = Reference>) -> Self {
        let mut policies = self.clone();
        policies.doubtful.extend(references);
        policies
    }

    /// The choices for the whole cluster.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The names of all types, closed ones too.
    pub fn type_names(&self) -> impl Iterator<Item = &str> + Clone {
        self.by_type.keys().map(String::as_str)
    }

    pub(super) fn is_exempt(&self, namespace: &str) -> bool {
        self.settings.exempt_namespaces.contains(namespace)
    }

    pub(super) fn find(&self, workload_type: &str) -> Option<&TypePolicy> {
        self.by_type.get(workload_type)
    }

    /// Whether there may be such an object although none is known.
    pub(super) fn may_exist(&self, reference: &Reference) -> bool {
        self.doubtful.contains(reference)
    }

    pub(super) fn owned(&self) -> &OwnedTaints {
        &self.owned
    }

    pub(super) fn types(&self) -> &BTreeMap<String, WorkloadType> {
        &self.types
    }

    pub(super) fn pools(&self) -> &BTreeMap<String, Pool> {
        &self.pools
    }

    /// What the labels of the pool's nodes can be by the time that pods can use them.
    pub(super) fn node_labels(&self, pool: &str) -> Option<&Requirements> {
        self.node_labels.get(pool)
    }

    pub(super) fn has_node_class(&self, name: &str) -> bool {
        self.node_classes.contains_key(name)
    }
}

impl TypeObject {
    fn policy(&self, before: Option<&TypePolicy>, envelope: Option<Envelope>, now: Timestamp) -> TypePolicy {
        let current = self.published.policy.clone().unwrap_or_default();
        let previous = before.and_then(|before| {
            // Before it was published there was no policy that a pod could have followed.
            if before.current == current || before.current == Policy::default() {
                before.previous.clone()
            } else {
                Some((before.current.clone(), now.saturating_add(PREVIOUS_POLICY_HONOURED).unwrap_or(now)))
            }
        });
        let first_problem = self.spec.problems.first().map(ToString::to_string);
        let closed = match first_problem.or_else(|| self.refused.clone()) {
            Some(problem) => Some(Closed::Invalid(problem)),
            None if self.published.policy.is_none() => Some(Closed::Unpublished),
            None => None,
        };
        TypePolicy {
            name: self.spec.name.clone(),
            generation: self.published.generation,
            current,
            previous,
            closed,
            is_deleted: self.is_deleted,
            envelope,
        }
    }
}

#[cfg(test)]
mod tests;
