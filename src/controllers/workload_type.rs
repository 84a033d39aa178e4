//! Keeps the status of every WorkloadType (what its pods get, its fence, its findings), and its rules in force until nothing of it is left.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

use super::retries::Retries;
use crate::api::labels;
use crate::api::nodepool::NodePool;
use crate::api::workload_type::{WorkloadType, WorkloadTypeStatus};
use crate::cluster::cache::Cache;
use crate::cluster::caches::{KnownClaim, KnownNode};
use crate::cluster::write::{apply_status, within};
use crate::lifecycle::type_deletion::{self, Remains, Step};
use crate::lifecycle::type_status::{Counts, launched, status, stray};
use crate::model::workload_type::{self, Fleet, LaunchedNode, Pool};
use crate::ports::clock::Clock;

/// Changes that come together are answered together.
const GATHER: Duration = Duration::from_millis(50);

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
    /// The Nodes: some may have lost their claims.
    pub nodes: Cache<KnownNode>,
    /// The labels of the namespaces.
    pub namespaces: Cache<BTreeMap<String, String>>,
}

impl WorkloadTypeController {
    /// Keeps the statuses while `leads` says so, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        let mut changes = [
            self.workload_types.changes(),
            self.node_pools.changes(),
            self.node_claims.changes(),
            self.nodes.changes(),
            self.namespaces.changes(),
        ];
        let mut retries = Retries::default();
        loop {
            let is_synced = self.workload_types.is_synced()
                && self.node_pools.is_synced()
                && self.node_claims.is_synced()
                && self.nodes.is_synced()
                && self.namespaces.is_synced();
            for change in &mut changes {
                change.mark_unchanged();
            }
            if is_synced && *leads.borrow_and_update() {
                self.write_all(&mut retries).await;
            }
            let [types, pools, claims, nodes, namespaces] = &mut changes;
            tokio::select! {
                // All arms only wait; whatever changed, everything is looked at again.
                _ = types.changed() => {}
                _ = pools.changed() => {}
                _ = claims.changed() => {}
                _ = nodes.changed() => {}
                _ = namespaces.changed() => {}
                _ = leads.changed() => {}
                () = retries.due() => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Writes every status that is not as it should be. One that cannot be written does not keep the others back.
    async fn write_all(&self, retries: &mut Retries) {
        let objects = self.workload_types.all();
        let types: BTreeMap<_, _> = objects
            .iter()
            .map(|object| (object.name_any(), workload_type::WorkloadType::read(object)))
            .collect();
        let pools: BTreeMap<_, _> =
            self.node_pools.all().iter().map(|object| (object.name_any(), Pool::read(object))).collect();
        let nodes = self.launched_nodes(&types);
        let fleet = Fleet { types: &types, pools: &pools, nodes: &nodes };
        let counts = self.counts(&nodes);
        let now = self.clock.now();
        let staying: Vec<_> = { objects.iter().filter(|object| !type_deletion::is_deleted(object)) }
            .filter_map(|object| types.get(&object.name_any()))
            .collect();
        retries.retain(|name| types.contains_key(name));
        for object in &objects {
            let name = object.name_any();
            let is_due = |_: &&workload_type::WorkloadType| retries.may_write(&name, Instant::now());
            let Some(workload_type) = types.get(&name).filter(is_due) else { continue };
            let others: Vec<_> = staying.iter().copied().filter(|other| other.name != name).collect();
            let remains = Remains::of(workload_type, &others, &counts.namespaces, &counts.nodes);
            let step = type_deletion::step(object, &remains);
            let remains = type_deletion::is_deleted(object).then_some(&remains);
            let wanted = status(object, &fleet, &counts, remains, now);
            let written = self.write(object, wanted, step).await;
            let wait = retries.note(&name, written.is_ok(), Instant::now()).as_secs();
            if let Err(error) = written {
                tracing::warn!(workload_type = name, %error, "status or finalizer could not be written; tried again in {wait} s");
            }
        }
    }

    async fn write(
        &self,
        object: &WorkloadType,
        wanted: WorkloadTypeStatus,
        step: Step,
    ) -> Result<(), kube::Error> {
        // The status first: once the finalizer is off, there may be no object to write it to.
        if object.status.as_ref() != Some(&wanted) {
            apply_status::<WorkloadType>(&self.client, &object.name_any(), &wanted).await?;
        }
        self.take(object, step).await
    }

    async fn take(&self, object: &WorkloadType, step: Step) -> Result<(), kube::Error> {
        let Some(patch) = type_deletion::patch(object, step) else { return Ok(()) };
        let types: Api<WorkloadType> = Api::all(self.client.clone());
        let (name, params) = (object.name_any(), PatchParams::default());
        match within(types.patch(&name, &params, &Patch::Merge(patch))).await {
            Ok(_) if step == Step::LetGo => {
                tracing::info!(workload_type = name, "nothing of the type is left; it may go");
                Ok(())
            }
            // It has changed or gone; the change itself leads here again.
            Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
            other => other.map(|_| ()),
        }
    }

    /// Every node that was launched, by its claim, or by its Node where that has none.
    fn launched_nodes(&self, types: &BTreeMap<String, workload_type::WorkloadType>) -> Vec<LaunchedNode> {
        let claims = self.node_claims.all();
        let claimed: BTreeSet<_> = claims.iter().filter_map(|claim| claim.model.node_name.clone()).collect();
        let instances: BTreeSet<_> =
            claims.iter().filter_map(|claim| claim.model.provider_id.as_ref()).collect();
        let nodes = self.nodes.all();
        let strays = nodes.iter().map(|node| &node.model).filter(|node| {
            !claimed.contains(&node.object.name)
                && !node.provider_id.as_ref().is_some_and(|id| instances.contains(id))
        });
        let strays = strays.filter_map(|node| stray(node, types));
        claims.iter().filter_map(|claim| launched(&claim.model)).chain(strays).collect()
    }

    fn counts(&self, nodes: &[LaunchedNode]) -> Counts {
        let mut counts = Counts::default();
        for (key, labels) in self.namespaces.entries() {
            if let Some(name) = labels.get(labels::WORKLOAD_TYPE) {
                counts.namespaces.entry(name.clone()).or_default().insert(key.name);
            }
        }
        for node in nodes {
            *counts.nodes.entry(node.pool.clone()).or_default() += 1;
        }
        counts
    }
}
