//! A workload type: what its pods get, which taints it owns, and what keeps it from doing its job; all of it derived from the type, its
//! pools and the nodes that were launched from these.
//!
//! Deriving is all that happens here. The controller writes the result to the type's status, admission reads it back from there (so that
//! every replica decides by the same published policy), and the provisioner launches the first node of a pool only once the status covers
//! the pool's taints.

use std::collections::{BTreeMap, BTreeSet};

use super::node_pool::NodePool;
use super::problem::Problem;
use super::taints::{Effect, Taint};
use crate::api::unsupported::{self, Severity};
use crate::api::{labels, nodepool, workload_type as api};

mod finding;
mod ownership;
mod status;

pub use finding::{Finding, FindingKind, shared_taints};
pub use ownership::Ownership;
pub use status::Published;

#[cfg(test)]
mod tests;

/// Prefixes of taint keys that are put on and taken off by Kubernetes, cloud providers and Karpenter as a node lives. A fence made of
/// them would come and go, and everybody's pods may tolerate them.
const LIFECYCLE_PREFIXES: [&str; 4] =
    ["node.kubernetes.io/", "node.cloudprovider.kubernetes.io/", "karpenter.sh/", "readiness.k8s.io/"];

/// Resources that some nodes have only, and whose names are customary as taint keys of these nodes. The API server's plugin
/// `ExtendedResourceToleration` lets every pod that requests such a resource tolerate its taint.
const EXTENDED_RESOURCES: [&str; 8] = [
    "amd.com/gpu",
    "aws.amazon.com/neuron",
    "aws.amazon.com/neuroncore",
    "aws.amazon.com/neurondevice",
    "habana.ai/gaudi",
    "nvidia.com/gpu",
    "vpc.amazonaws.com/efa",
    "vpc.amazonaws.com/pod-eni",
];

/// Whether the taint can keep everybody else's pods away for as long as a node lives, so that a type can own it.
#[must_use]
pub fn is_ownable(taint: &Taint) -> bool {
    taint.effect.is_hard()
        && !LIFECYCLE_PREFIXES.iter().any(|prefix| taint.key.starts_with(prefix))
        && !EXTENDED_RESOURCES.contains(&taint.key.as_str())
}

/// The taint of a node that registered itself and was not adopted yet: while it lasts, nothing but daemon pods belongs there.
#[must_use]
pub fn unregistered_taint() -> Taint {
    Taint { key: labels::UNREGISTERED_TAINT.to_owned(), value: String::new(), effect: Effect::NoExecute }
}

/// Taints, each with the pools whose nodes carry it.
pub type TaintsByPool = BTreeMap<Taint, BTreeSet<String>>;

/// A WorkloadType as it is written, with what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadType {
    /// Its name.
    pub name: String,
    /// The generation of its spec.
    pub generation: i64,
    /// The names of its NodePools, in order of preference.
    pub pools: Vec<String>,
    /// The taints that its status says it owns.
    pub recorded: TaintsByPool,
    /// What cannot be carried out as it is written. While there is anything, the type is closed: none of its pods is admitted, nothing is
    /// launched for it, and its fence stands.
    pub problems: Vec<Problem>,
}

impl WorkloadType {
    /// Reads an API object. Whatever cannot be used is among the problems; no problems means usable.
    #[must_use]
    pub fn read(object: &api::WorkloadType) -> Self {
        let pools: Vec<_> = object.spec.pools.iter().map(|pool| pool.name.clone()).collect();
        let published = object.status.as_ref().map(Published::read);
        Self {
            name: object.metadata.name.clone().unwrap_or_default(),
            generation: object.metadata.generation.unwrap_or_default(),
            recorded: published.map(|published| published.owned).unwrap_or_default(),
            problems: Self::invalid_fields(object).into_iter().chain(unsupported_problems(object)).collect(),
            pools,
        }
    }

    /// Whether the pool is one of its pools.
    #[must_use]
    pub fn names(&self, pool: &str) -> bool {
        self.pools.iter().any(|named| named == pool)
    }

    /// What is wrong about the object whatever is built and whatever else exists.
    #[must_use]
    pub fn invalid_fields(object: &api::WorkloadType) -> Vec<Problem> {
        if let Some(why) = object.unreadable() {
            let text = format!(
                "cannot be read by this version of Treenail ({why}); correct it, or upgrade Treenail"
            );
            return vec![Problem::new("spec", text)];
        }
        let pools: Vec<_> = object.spec.pools.iter().map(|pool| pool.name.as_str()).collect();
        if pools.is_empty() {
            return vec![Problem::new("spec.pools", "names no pool; name at least one NodePool")];
        }
        let named_before = |index: usize, name: &str| pools.iter().take(index).any(|before| *before == name);
        let problems = pools.iter().enumerate().filter_map(|(index, name)| {
            let text = if name.is_empty() {
                "is empty; name a NodePool"
            } else if named_before(index, name) {
                "names the same pool again; remove it"
            } else {
                return None;
            };
            Some(Problem::new(format!("spec.pools[{index}].name"), text))
        });
        problems.collect()
    }

    /// The pools that it names or, as far as its status remembers, has named.
    #[must_use]
    pub fn pools_ever(&self) -> BTreeSet<&str> {
        let recorded = self.recorded.values().flatten().map(String::as_str);
        self.pools.iter().map(String::as_str).chain(recorded).collect()
    }
}

fn unsupported_problems(object: &api::WorkloadType) -> impl Iterator<Item = Problem> {
    // A type that is used as if one of its fields were not there would be another type.
    let fields = unsupported::workload_type(object).into_iter();
    fields.filter(|field| field.severity == Severity::Blocks).map(|field| {
        let text = format!("is not supported yet ({}); remove it", field.text);
        Problem::new(field.path, text)
    })
}

/// A NodePool, as far as workload types depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pool {
    /// The taints of its nodes, without startup taints and without any that cannot be read.
    pub taints: Vec<Taint>,
    /// Why nothing can be launched from it.
    pub problems: Vec<Problem>,
    /// Whether what it depends on is ready, as far as whoever read it knows.
    pub readiness: Readiness,
    /// The types whose node label Karpenter gives to nodes of the pool: those in its template, with an empty value.
    pub labelled_for: BTreeSet<String>,
}

/// Whether nodes can be launched from a pool that is right in itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Readiness {
    /// As far as is known.
    #[default]
    Ready,
    /// No: what is wrong with what it depends on, and what to do.
    NotReady(String),
    /// That is not known yet, and why.
    Unknown(String),
}

impl Pool {
    /// Reads an API object.
    #[must_use]
    pub fn read(object: &nodepool::NodePool) -> Self {
        let taints = object.spec.template.spec.taints.iter().filter_map(|taint| {
            let effect = Effect::from_name(taint.effect.as_str())?;
            Some(Taint { key: taint.key.clone(), value: taint.value.clone(), effect })
        });
        let problems = NodePool::from_api(object).err().unwrap_or_default();
        let given = object.spec.template.metadata.iter().flat_map(|metadata| &metadata.labels);
        let empty = given.filter(|(_, value)| value.is_empty());
        let labelled_for = empty.filter_map(|(key, _)| labels::type_of_node_label(key)).map(str::to_owned);
        Self { taints: taints.collect(), problems, labelled_for: labelled_for.collect(), ..Self::default() }
    }

    /// The taints that types which name the pool own.
    fn ownable(&self) -> impl Iterator<Item = &Taint> {
        self.taints.iter().filter(|taint| is_ownable(taint))
    }
}

/// A NodeClaim that exists: its node is there, or on its way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LaunchedNode {
    /// The name of its NodeClaim, or of the Node where there is none.
    pub name: String,
    /// The pool that it was launched from.
    pub pool: String,
    /// The taints of the claim's spec. Not those of the Node: what people put there for a while is nobody's.
    pub taints: Vec<Taint>,
    /// That its Node is open without one of them.
    pub unfenced: Option<Unfenced>,
}

/// A Node from which somebody took a taint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfenced {
    /// The Node's name.
    pub node: String,
    /// The taint.
    pub taint: Taint,
}

/// Everything else that a type's policy depends on.
#[derive(Debug, Clone, Copy)]
pub struct Fleet<'a> {
    /// Every type by name.
    pub types: &'a BTreeMap<String, WorkloadType>,
    /// Every NodePool by name.
    pub pools: &'a BTreeMap<String, Pool>,
    /// Every NodeClaim.
    pub nodes: &'a [LaunchedNode],
}

impl<'a> Fleet<'a> {
    /// Every pool of the type that other types name, too, each once and with these.
    #[must_use]
    pub fn shared_pools<'t>(&self, of: &'t WorkloadType) -> Vec<(&'t str, Vec<&'a str>)> {
        let pools: BTreeSet<_> =
            of.pools.iter().map(String::as_str).filter(|pool| !pool.is_empty()).collect();
        let others = |pool: &str| {
            let naming = self.types.values().filter(|other| other.name != of.name && other.names(pool));
            naming.map(|other| other.name.as_str()).collect::<Vec<_>>()
        };
        let shared = pools.into_iter().map(|pool| (pool, others(pool)));
        shared.filter(|(_, others)| !others.is_empty()).collect()
    }
}

/// What a pod of a type gets, and must have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    /// The taints that it tolerates, each by key, `Equal`, value and effect.
    pub tolerations: Vec<Taint>,
    /// The labels that its node has.
    pub node_selector: BTreeMap<String, String>,
}

/// What follows from a type and its surroundings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Derivation {
    /// What pods of the type get.
    pub policy: Policy,
    /// The taints that only pods of the type, and of types that share the pool, may tolerate.
    pub owned: TaintsByPool,
    /// What is wrong, most serious first.
    pub findings: Vec<Finding>,
}

/// What the type gives and owns in these surroundings.
///
/// Tolerations are in the order of the type's pools, and of the taints in each, every one once. A taint that is in no template any more
/// stays owned while a node that was launched with it lives.
#[must_use]
pub fn derive(workload_type: &WorkloadType, fleet: &Fleet<'_>) -> Derivation {
    let pools = workload_type.pools.iter().filter_map(|name| Some((name, fleet.pools.get(name)?)));
    let mut tolerations: Vec<Taint> = Vec::new();
    let mut owned = TaintsByPool::new();
    for (name, pool) in pools {
        for taint in pool.ownable() {
            if !tolerations.contains(taint) {
                tolerations.push(taint.clone());
            }
            owned.entry(taint.clone()).or_default().insert(name.clone());
        }
    }
    let pools_ever = workload_type.pools_ever();
    for node in fleet.nodes.iter().filter(|node| pools_ever.contains(node.pool.as_str())) {
        for taint in node.taints.iter().filter(|taint| is_ownable(taint)) {
            owned.entry(taint.clone()).or_default().insert(node.pool.clone());
        }
    }
    let node_selector = BTreeMap::from([(labels::node_type_label(&workload_type.name), String::new())]);
    let findings = finding::find(workload_type, fleet);
    Derivation { policy: Policy { tolerations, node_selector }, owned, findings }
}
