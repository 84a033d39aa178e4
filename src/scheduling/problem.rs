//! What is to be solved: pods that wait, nodes that are there, and the pools from which more can be launched.
//!
//! A problem is a plain value; whoever builds it has decided what counts. Which pods are provisionable, whether a pool is ready and what
//! it holds are the caller's input. A question "what if this node were gone" is the same problem without the node and with its pods among
//! those that wait.

use std::{collections::BTreeMap, sync::Arc};

use super::catalog::Catalog;
use crate::model::{NodePool, Pod, ResourceList, Taint, host_port::HostPort, label::LabelKeys};

/// Everything that a plan is made from. The order of the lists does not matter, save that of a type's pools.
#[derive(Debug, Clone, Default)]
pub struct Problem {
    /// The pods that wait for a node.
    pub pods: Vec<PendingPod>,
    /// The nodes that are there or on their way, by name. Nodes that are being removed are left out.
    pub nodes: Vec<ExistingNode>,
    /// The pools, by name, those included that no node may be launched from.
    pub pools: Vec<Pool>,
    /// Which pools a workload type uses.
    pub workload_types: Vec<WorkloadType>,
    /// One for each DaemonSet.
    pub daemons: Vec<Daemon>,
    /// The labels that every launched node gets from its provider, so that pods may ask for them although no pool defines them.
    pub well_known: LabelKeys,
}

/// A daemon.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Daemon {
    /// Its pod as the template makes it, without the node's name that its controller adds.
    pub pod: Pod,
    /// The taints of workload types that it has no right to. Its pods come to no node with one of these, whatever they tolerate: admission
    /// refuses them, so that nobody can take room on the nodes of others.
    pub barred: Vec<Taint>,
}

impl Daemon {
    /// Whether its pods may be on nodes with these taints, could they run there.
    #[must_use]
    pub fn may_be_behind(&self, taints: &[Taint]) -> bool {
        !taints.iter().any(|taint| self.barred.contains(taint))
    }
}

/// A pod that waits for a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PendingPod {
    /// The pod.
    pub pod: Pod,
    /// The workload type that admission put it into. Without one, it gets nodes only of pools that no type uses.
    pub workload_type: Option<String>,
}

/// The pools of a workload type.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkloadType {
    /// The type's name.
    pub name: String,
    /// Its pools, in order of preference.
    pub pools: Vec<PoolPreference>,
}

/// A pool that a workload type uses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolPreference {
    /// The pool's name.
    pub pool: String,
    /// Whether the type's next pool may be launched where this one would do but is at its limit or cannot be bought. The caller knows
    /// for how long that has been so. A pool that would never do is passed over in any case.
    pub may_fall_back: bool,
}

/// A pool from which nodes may be launched.
#[derive(Debug, Clone)]
pub struct Pool {
    /// What is the same for every node of the pool. The labels that the pool's name and its workload types put on nodes are understood.
    pub node_pool: NodePool,
    /// The name of its node class.
    pub node_class: String,
    /// The instance types of the pool's node class. Pools of one class share it.
    pub catalog: Arc<Catalog>,
    /// The capacity of the pool's nodes, those on their way included, and their number as `nodes`: what its limits count.
    pub held: ResourceList,
    /// Why no node of the pool may be launched, for the people who wait for one.
    pub not_ready: Option<String>,
}

impl Pool {
    /// Why no node of the pool may be launched: what the caller says, or that it asks for something that is not solved yet.
    #[must_use]
    pub fn obstacle(&self) -> Option<&str> {
        let wants_min_values =
            self.node_pool.requirements.iter().any(|requirement| requirement.min_values().is_some());
        let unsolved = wants_min_values.then_some("a requirement with minValues is not supported yet");
        self.not_ready.as_deref().or(unsolved)
    }
}

/// A node that is there, or a claim whose node is on its way.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ExistingNode {
    /// The node's name, or the claim's while there is no node.
    pub name: String,
    /// Whether pods can start there at once. Such nodes are filled first.
    pub is_initialized: bool,
    /// The labels that the node has for certain. A label that depends on how a claim will be bought is not one of them.
    pub labels: BTreeMap<String, String>,
    /// The taints that count for pods: not those that a node only has while it starts.
    pub taints: Vec<Taint>,
    /// What the node can give to pods altogether.
    pub allocatable: ResourceList,
    /// What the pods request that are bound to it, or that an earlier plan has nominated it for; daemons included.
    pub requests: ResourceList,
    /// What the daemons among these request.
    pub daemon_requests: ResourceList,
    /// The host ports that these pods have.
    pub host_ports: Vec<HostPort>,
}

impl ExistingNode {
    /// What the node has left for further pods, before the daemons that are still to come.
    #[must_use]
    pub fn available(&self) -> ResourceList {
        self.allocatable.minus(&self.requests)
    }
}
