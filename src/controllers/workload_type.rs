//! Keeps the status of every WorkloadType: what its pods get, its fence, its findings, and how large a pod it can run; and tells people
//! about the findings.
//!
//! The fence waits for nobody: what depends on the cloud is put in as far as it is known.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::future::select_all;
use kube::ResourceExt;
use tokio::sync::watch;

use self::envelopes::{Ingredients, costs, envelopes, is_alike};
use super::Context;
use super::catalogs::{Catalogs, ClassTypes};
use super::unhealthy::{self, Bad};
use crate::api::conditions::ConditionStatus;
use crate::api::labels;
use crate::api::workload_type::{
    ISOLATED, POOLS_READY, TAINT_SHARED, VALIDATION_SUCCEEDED, WorkloadType as ApiWorkloadType,
    WorkloadTypeStatus,
};
use crate::cluster::write::apply_status;
use crate::lifecycle::type_status::{Counts, EnvelopeState, launched, status};
use crate::model::event::Regarding;
use crate::model::workload_type::{Fleet, LaunchedNode, Pool, WorkloadType};

mod envelopes;

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
    context: Context,
    catalogs: Catalogs,
    /// Raised when a Node changes in something that envelopes depend on. Nodes report all the time.
    nodes: watch::Sender<u64>,
}

/// The envelopes, and what they were computed from.
#[derive(Default)]
struct Envelopes {
    made_from: Option<MadeFrom>,
    by_type: BTreeMap<String, EnvelopeState>,
}

/// What envelopes depend on: what it is, or how often it has changed.
#[derive(PartialEq)]
struct MadeFrom {
    types: BTreeMap<String, WorkloadType>,
    catalogs: BTreeMap<String, ClassTypes>,
    pools: u64,
    daemons: u64,
    nodes: u64,
}

impl WorkloadTypeController {
    /// To be made before the caches are filled: it is told about Nodes from now on.
    #[must_use]
    pub fn new(context: Context, catalogs: Catalogs) -> Self {
        let nodes = watch::Sender::new(0);
        let changed = nodes.clone();
        context.caches.nodes.observe(move |before, now| {
            if !before.zip(now).is_some_and(|(before, now)| is_alike(&before.model, &now.model)) {
                changed.send_modify(|revision| *revision += 1);
            }
        });
        Self { context, catalogs, nodes }
    }

    /// Keeps the statuses while `leads` says so, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        let caches = &self.context.caches;
        let mut changes = [
            caches.workload_types.changes(),
            caches.node_pools.changes(),
            caches.node_claims.changes(),
            caches.namespaces.changes(),
            caches.daemons.changes(),
            self.nodes.subscribe(),
        ];
        let mut catalogs = self.catalogs.changes();
        let mut envelopes = Envelopes::default();
        loop {
            let is_synced = caches.workload_types.is_synced()
                && caches.node_pools.is_synced()
                && caches.node_claims.is_synced()
                && caches.namespaces.is_synced();
            for change in &mut changes {
                change.mark_unchanged();
            }
            catalogs.mark_unchanged();
            let is_done = if is_synced && *leads.borrow_and_update() {
                self.write_all(&mut envelopes).await
            } else {
                true
            };
            tokio::select! {
                // All arms only wait; whatever changed, everything is looked at again.
                _ = select_all(changes.iter_mut().map(|change| Box::pin(change.changed()))) => {}
                _ = catalogs.changed() => {}
                _ = leads.changed() => {}
                () = tokio::time::sleep(RETRY), if !is_done => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Writes every status that is not as it should be. One that cannot be written does not keep the others back.
    async fn write_all(&self, envelopes: &mut Envelopes) -> bool {
        let caches = &self.context.caches;
        let objects = caches.workload_types.all();
        let types: BTreeMap<_, _> =
            objects.iter().map(|object| (object.name_any(), WorkloadType::read(object))).collect();
        let pools: BTreeMap<_, _> =
            caches.node_pools.all().iter().map(|object| (object.name_any(), Pool::read(object))).collect();
        let claims = caches.node_claims.all();
        let nodes: Vec<_> = claims.iter().filter_map(|claim| launched(&claim.model)).collect();
        self.refresh(envelopes, &types);
        let fleet = Fleet { types: &types, pools: &pools, nodes: &nodes };
        let costs = costs(claims.iter().map(|claim| &claim.model), &self.catalogs.all());
        let counts = Counts { costs, ..self.counts(&nodes) };
        let now = self.context.clock.now();
        let mut is_done = true;
        for object in objects {
            let name = object.name_any();
            let envelope = envelopes.by_type.get(&name).unwrap_or(&EnvelopeState::Awaited);
            let wanted = status(&object, &fleet, &counts, envelope, now);
            if object.status.as_ref() == Some(&wanted) {
                continue;
            }
            if let Err(error) = apply_status::<ApiWorkloadType>(&self.context.client, &name, &wanted).await {
                tracing::warn!(workload_type = name, %error, "the status could not be written; it is tried again");
                is_done = false;
                continue;
            }
            self.tell(&object, &wanted);
        }
        is_done
    }

    fn tell(&self, object: &ApiWorkloadType, status: &WorkloadTypeStatus) {
        let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
        let before = object.status.as_ref().map(|before| before.conditions.as_slice()).unwrap_or_default();
        let regarding = Regarding::WorkloadType { name, uid };
        for event in unhealthy::events(&regarding, BAD, before, &status.conditions) {
            self.context.events.send(event);
        }
    }

    /// Computes the envelopes anew, if anything has changed that they depend on.
    fn refresh(&self, envelopes: &mut Envelopes, types: &BTreeMap<String, WorkloadType>) {
        let caches = &self.context.caches;
        if !caches.nodes.is_synced() || !caches.daemons.is_synced() {
            return;
        }
        // Read before what they count, so that nothing that comes in between is missed.
        let made_from = MadeFrom {
            types: types.clone(),
            catalogs: self.catalogs.all(),
            pools: *caches.node_pools.changes().borrow(),
            daemons: *caches.daemons.changes().borrow(),
            nodes: *self.nodes.borrow(),
        };
        if envelopes.made_from.as_ref() == Some(&made_from) {
            return;
        }
        let (nodes, daemons) = (caches.nodes.all(), caches.daemons.all());
        envelopes.by_type = self::envelopes(&Ingredients {
            types,
            pools: &caches.node_pools.all(),
            catalogs: &made_from.catalogs,
            nodes: &nodes.iter().map(|node| &node.model).collect::<Vec<_>>(),
            daemons: &daemons.iter().map(|daemon| &**daemon).collect::<Vec<_>>(),
        });
        envelopes.made_from = Some(made_from);
    }

    fn counts(&self, nodes: &[LaunchedNode]) -> Counts {
        let mut counts = Counts::default();
        for labels in self.context.caches.namespaces.all() {
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
