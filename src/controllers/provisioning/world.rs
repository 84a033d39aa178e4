//! What is known of the cluster when a plan is made, as values. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::fallback::Shortages;
use super::machines::{Machine, machines};
use super::nominations::Nominations;
use super::pools::pools;
use super::waiting::{LeftOut, Waiting, waiting};
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::nodepool;
use crate::cluster::caches::{KnownClaim, KnownNode};
use crate::controllers::catalogs::ClassTypes;
use crate::controllers::daemons::daemons;
use crate::model::label::LabelKeys;
use crate::model::pod::PodKey;
use crate::model::workload_type::WorkloadType;
use crate::model::{KnownPod, Namespace, Pod};
use crate::scheduling::{self, PoolPreference, Problem};

/// What is known of the cluster.
#[derive(Debug, Default)]
pub struct World {
    /// Pods of all namespaces.
    pub pods: Vec<Arc<KnownPod>>,
    /// Nodes.
    pub nodes: Vec<Arc<KnownNode>>,
    /// Claims, those included that were created a moment ago.
    pub claims: Vec<Arc<KnownClaim>>,
    /// Pools of all classes.
    pub node_pools: Vec<Arc<nodepool::NodePool>>,
    /// The classes, by name.
    pub node_classes: BTreeMap<String, Arc<Ec2NodeClass>>,
    /// The instance types of the classes, by the class's name.
    pub types: BTreeMap<String, ClassTypes>,
    /// The workload types, by name.
    pub workload_types: BTreeMap<String, WorkloadType>,
    /// The labels of the namespaces in which pods wait or daemons run, by name.
    pub namespaces: BTreeMap<String, Arc<BTreeMap<String, String>>>,
    /// One pod of each DaemonSet.
    pub daemons: Vec<Arc<Pod>>,
    /// The namespaces that admission does not judge.
    pub exempt_namespaces: Arc<BTreeSet<String>>,
    /// Which pods were promised a place.
    pub nominations: Nominations,
    /// Which pools have been short, and since when.
    pub shortages: Shortages,
    /// Pods that are not to be planned for now, with their UIDs.
    pub put_off: BTreeMap<PodKey, String>,
}

/// What is to be solved, and what was seen on the way there.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What is to be solved.
    pub problem: Problem,
    /// The machines behind the problem's nodes, by the names that these have.
    pub machines: BTreeMap<String, Machine>,
    /// Pods that wait and that nothing may be launched for, each with the reason.
    pub left_out: Vec<LeftOut>,
    /// The UIDs of the pods that wait, by their keys.
    pub uids: BTreeMap<PodKey, String>,
}

impl World {
    /// What a namespace is, as far as is known.
    pub(super) fn namespace(&self, name: &str) -> Namespace {
        let labels = self.namespaces.get(name).map(|labels| &**labels);
        Namespace::of(name, &self.exempt_namespaces, labels)
    }

    /// The problem that a plan is made for.
    ///
    /// Unlike Karpenter's, it has only pods that no earlier plan has found a place for: those are counted on the nodes that they were
    /// promised. And a pod on a node that is being drained is not planned for before it is evicted: its successor waits like any other.
    #[must_use]
    pub fn snapshot(&self, now: Timestamp) -> Snapshot {
        let Waiting { pods, left_out, uids } = waiting(self, now);
        let machines = machines(self, now);
        let preference = |workload_type: &WorkloadType, pool: &String| PoolPreference {
            pool: pool.clone(),
            may_fall_back: self.shortages.may_fall_back(&workload_type.name, pool, now),
        };
        let workload_types = self.workload_types.values().map(|workload_type| scheduling::WorkloadType {
            name: workload_type.name.clone(),
            pools: workload_type.pools.iter().map(|pool| preference(workload_type, pool)).collect(),
        });
        let problem = Problem {
            pods,
            nodes: machines.iter().map(|machine| machine.node.clone()).collect(),
            pools: pools(self),
            workload_types: workload_types.collect(),
            daemons: daemons(
                self.daemons.iter().map(|daemon| &**daemon),
                self.workload_types.values(),
                |namespace| self.namespace(namespace),
            ),
            well_known: well_known(),
        };
        let machines = machines.into_iter().map(|machine| (machine.node.name.clone(), machine)).collect();
        Snapshot { problem, machines, left_out, uids }
    }
}

/// The labels whose values come with the instance, its class or its pool.
#[must_use]
pub fn well_known() -> LabelKeys {
    crate::api::labels::well_known().collect()
}
