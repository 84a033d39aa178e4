//! Keeps the status of every WorkloadType: what its pods get, its fence, its findings; and tells people about these.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use kube::{Client, ResourceExt};
use tokio::sync::watch;

use super::unhealthy::{self, Bad};
use crate::api::conditions::ConditionStatus;
use crate::api::labels;
use crate::api::nodepool::NodePool;
use crate::api::workload_type::{
    ISOLATED, POOLS_READY, TAINT_SHARED, VALIDATION_SUCCEEDED, WorkloadType, WorkloadTypeStatus,
};
use crate::cluster::cache::Cache;
use crate::cluster::caches::KnownClaim;
use crate::cluster::events::Events;
use crate::cluster::write::apply_status;
use crate::lifecycle::type_status::{Counts, launched, status};
use crate::model::event::Regarding;
use crate::model::workload_type::{self, Fleet, LaunchedNode, Pool};
use crate::ports::clock::Clock;

/// Changes that come together are answered together.
const GATHER: Duration = Duration::from_millis(50);
/// After a write failed.
const RETRY: Duration = Duration::from_secs(2);

const BAD: &[Bad] = &[
    Bad { condition: VALIDATION_SUCCEEDED, status: ConditionStatus::False, reason: "Invalid" },
    Bad { condition: POOLS_READY, status: ConditionStatus::False, reason: "PoolsNotReady" },
    Bad { condition: ISOLATED, status: ConditionStatus::False, reason: "NotIsolated" },
    Bad { condition: TAINT_SHARED, status: ConditionStatus::True, reason: "TaintShared" },
];

/// Reads the caches and writes the statuses.
pub struct WorkloadTypeController {
    /// The API server.
    pub client: Client,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// The types.
    pub workload_types: Cache<WorkloadType>,
    /// The pools.
    pub node_pools: Cache<NodePool>,
    /// The claims: their nodes are there, or on their way.
    pub node_claims: Cache<KnownClaim>,
    /// The labels of the namespaces.
    pub namespaces: Cache<BTreeMap<String, String>>,
    /// Tells people.
    pub events: Events,
}

impl WorkloadTypeController {
    /// Keeps the statuses while `leads` says so, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        let mut changes = [
            self.workload_types.changes(),
            self.node_pools.changes(),
            self.node_claims.changes(),
            self.namespaces.changes(),
        ];
        loop {
            let is_synced = self.workload_types.is_synced()
                && self.node_pools.is_synced()
                && self.node_claims.is_synced()
                && self.namespaces.is_synced();
            for change in &mut changes {
                change.mark_unchanged();
            }
            let is_done = if is_synced && *leads.borrow_and_update() { self.write_all().await } else { true };
            let [types, pools, claims, namespaces] = &mut changes;
            tokio::select! {
                // All arms only wait; whatever changed, everything is looked at again.
                _ = types.changed() => {}
                _ = pools.changed() => {}
                _ = claims.changed() => {}
                _ = namespaces.changed() => {}
                _ = leads.changed() => {}
                () = tokio::time::sleep(RETRY), if !is_done => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Writes every status that is not as it should be. One that cannot be written does not keep the others back.
    async fn write_all(&self) -> bool {
        let objects = self.workload_types.all();
        let types: BTreeMap<_, _> = objects
            .iter()
            .map(|object| (object.name_any(), workload_type::WorkloadType::read(object)))
            .collect();
        let pools: BTreeMap<_, _> =
            self.node_pools.all().iter().map(|object| (object.name_any(), Pool::read(object))).collect();
        let nodes: Vec<_> =
            self.node_claims.all().iter().filter_map(|claim| launched(&claim.model)).collect();
        let fleet = Fleet { types: &types, pools: &pools, nodes: &nodes };
        let counts = self.counts(&nodes);
        let now = self.clock.now();
        let mut is_done = true;
        for object in objects {
            let wanted = status(&object, &fleet, &counts, now);
            if object.status.as_ref() == Some(&wanted) {
                continue;
            }
            let name = object.name_any();
            if let Err(error) = apply_status::<WorkloadType>(&self.client, &name, &wanted).await {
                tracing::warn!(workload_type = name, %error, "the status could not be written; it is tried again");
                is_done = false;
                continue;
            }
            self.tell(&object, &wanted);
        }
        is_done
    }

    fn tell(&self, object: &WorkloadType, status: &WorkloadTypeStatus) {
        let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
        let before = object.status.as_ref().map(|before| before.conditions.as_slice()).unwrap_or_default();
        let regarding = Regarding::WorkloadType { name, uid };
        for event in unhealthy::events(&regarding, BAD, before, &status.conditions) {
            self.events.send(event);
        }
    }

    fn counts(&self, nodes: &[LaunchedNode]) -> Counts {
        let mut counts = Counts::default();
        for labels in self.namespaces.all() {
            if let Some(name) = labels.get(labels::WORKLOAD_TYPE) {
                *counts.namespaces.entry(name.clone()).or_default() += 1;
            }
        }
        for node in nodes {
            *counts.nodes.entry(node.pool.clone()).or_default() += 1;
        }
        counts
    }
}
