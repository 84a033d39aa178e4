//! Keeps the status of every WorkloadType (what its pods get, its fence, its findings, and how large a pod it can run), tells people about
//! the findings, and keeps its rules in force until nothing of it is left.
//!
//! The fence waits for nobody: what depends on the cloud is put in as far as it is known.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::select_all;
use kube::ResourceExt;
use tokio::sync::watch;
use tokio::time::Instant;

use self::envelopes::{Ingredients, costs, envelopes, is_alike};
use self::refresh::{Envelopes, MadeFrom};
use super::Context;
use super::catalogs::Catalogs;
use super::retries::Retries;
use super::unhealthy::{self, Bad};
use crate::api::conditions::ConditionStatus;
use crate::api::nodepool::NodePool;
use crate::api::workload_type::{
    ISOLATED, POOLS_READY, TAINT_SHARED, VALIDATION_SUCCEEDED, WorkloadType as ApiWorkloadType,
    WorkloadTypeStatus,
};
use crate::cluster::lease::Leadership;
use crate::cluster::write::{apply_status, set_finalizers};
use crate::lifecycle::pool_status::readiness;
use crate::lifecycle::type_deletion::{self, Remains, Step};
use crate::lifecycle::type_status::{Counts, Surroundings, launched, status, stray};
use crate::model::Namespace;
use crate::model::event::Regarding;
use crate::model::ownership::owners;
use crate::model::workload_type::{Fleet, LaunchedNode, Pool, WorkloadType};
use crate::model::{Node, NodeClaim};
use crate::scheduling::Daemon;

mod envelopes;
mod refresh;

/// Changes that come together are answered together.
const GATHER: Duration = Duration::from_millis(50);

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
    /// Who holds Karpenter's lease.
    karpenters_lease: watch::Receiver<Leadership>,
}

impl WorkloadTypeController {
    /// To be made before the caches are filled: it is told about Nodes from now on.
    #[must_use]
    pub fn new(context: Context, catalogs: Catalogs, karpenters_lease: watch::Receiver<Leadership>) -> Self {
        let nodes = watch::Sender::new(0);
        let changed = nodes.clone();
        context.caches.nodes.observe(move |before, now| {
            if !before.zip(now).is_some_and(|(before, now)| is_alike(&before.model, &now.model)) {
                changed.send_modify(|revision| *revision += 1);
            }
        });
        Self { context, catalogs, nodes, karpenters_lease }
    }

    /// Keeps the statuses while `leads` says so, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        let caches = &self.context.caches;
        let mut changes = [
            caches.workload_types.changes(),
            caches.node_pools.changes(),
            caches.node_classes.changes(),
            caches.node_claims.changes(),
            caches.namespaces.changes(),
            caches.daemons.changes(),
            self.nodes.subscribe(),
        ];
        let mut catalogs = self.catalogs.changes();
        let mut karpenters_lease = self.karpenters_lease.clone();
        let mut envelopes = Envelopes::default();
        let mut retries = Retries::default();
        loop {
            let is_synced = caches.workload_types.is_synced()
                && caches.node_pools.is_synced()
                && caches.node_classes.is_synced()
                && caches.node_claims.is_synced()
                && caches.nodes.is_synced()
                && caches.namespaces.is_synced();
            for change in &mut changes {
                change.mark_unchanged();
            }
            catalogs.mark_unchanged();
            karpenters_lease.mark_unchanged();
            if is_synced && *leads.borrow_and_update() {
                self.write_all(&mut envelopes, &mut retries).await;
            } else {
                // Nothing is written from here, and so nothing is due again.
                retries = Retries::default();
                envelopes.rest();
            }
            tokio::select! {
                // All arms only wait; whatever changed, everything is looked at again.
                _ = select_all(changes.iter_mut().map(|change| Box::pin(change.changed()))) => {}
                _ = catalogs.changed() => {}
                // The channel's sender is kept by the leases, which outlive this task.
                _ = karpenters_lease.changed() => {}
                _ = leads.changed() => {}
                () = retries.due() => {}
                () = envelopes.due() => {}
            }
            tokio::time::sleep(GATHER).await;
        }
    }

    /// Writes every status that is not as it should be. One that cannot be written does not keep the others back.
    async fn write_all(&self, envelopes: &mut Envelopes, retries: &mut Retries) {
        let caches = &self.context.caches;
        let objects = caches.workload_types.all();
        let types: BTreeMap<_, _> =
            objects.iter().map(|object| (object.name_any(), WorkloadType::read(object))).collect();
        let left_to = match &*self.karpenters_lease.borrow() {
            Leadership::Other(holder) => Some(holder.clone()),
            Leadership::Nobody | Leadership::Ours => None,
        };
        let pool = |object: &Arc<NodePool>| (object.name_any(), self.pool(object, left_to.is_some()));
        let pools: BTreeMap<_, _> = caches.node_pools.all().iter().map(pool).collect();
        let (claims, known_nodes) = (caches.node_claims.all(), caches.nodes.all());
        let known_nodes: Vec<_> = known_nodes.iter().map(|node| &node.model).collect();
        let claims: Vec<_> = claims.iter().map(|claim| &claim.model).collect();
        let owners = owners(claims.iter().copied(), known_nodes.iter().copied());
        let strays = strays(&claims, &known_nodes).into_iter().filter_map(|node| stray(node, &types));
        let by_instance: BTreeMap<_, _> =
            known_nodes.iter().filter_map(|node| Some((node.provider_id.as_ref()?, *node))).collect();
        let node_of = |claim: &NodeClaim| by_instance.get(claim.provider_id.as_ref()?).copied();
        let launched = owners.iter().filter_map(|claim| launched(claim, node_of(claim)));
        let nodes: Vec<_> = launched.chain(strays).collect();
        self.refresh(envelopes, &types);
        let fleet = Fleet { types: &types, pools: &pools, nodes: &nodes };
        let counts = Counts { costs: costs(owners, &self.catalogs.all()), ..self.counts(&nodes) };
        let now = self.context.clock.now();
        let staying: Vec<_> = { objects.iter().filter(|object| !type_deletion::is_deleted(object)) }
            .filter_map(|object| types.get(&object.name_any()))
            .collect();
        retries.retain(|name| types.contains_key(name));
        for object in &objects {
            let name = object.name_any();
            let is_due = |_: &&WorkloadType| retries.may_write(&name, Instant::now());
            let Some(workload_type) = types.get(&name).filter(is_due) else { continue };
            let others: Vec<_> = staying.iter().copied().filter(|other| other.name != name).collect();
            let remains = Remains::of(workload_type, &others, &counts.namespaces, &counts.nodes);
            let step = type_deletion::step(object, &remains);
            let remains = type_deletion::is_deleted(object).then_some(&remains);
            let envelope = envelopes.of(&name);
            let left_to = left_to.as_deref();
            let surroundings = Surroundings { fleet: &fleet, counts: &counts, envelope, remains, left_to };
            let wanted = status(object, &surroundings, now);
            let written = self.write(object, wanted, step).await;
            let wait = retries.note(&name, written.is_ok(), Instant::now()).as_secs();
            if let Err(error) = written {
                tracing::warn!(workload_type = name, %error, "status or finalizer could not be written; tried again in {wait} s");
            }
        }
    }

    async fn write(
        &self,
        object: &ApiWorkloadType,
        wanted: WorkloadTypeStatus,
        step: Step,
    ) -> Result<(), kube::Error> {
        // The status first: once the finalizer is off, there may be no object to write it to.
        if object.status.as_ref() != Some(&wanted) {
            apply_status::<ApiWorkloadType>(&self.context.client, &object.name_any(), &wanted).await?;
            self.tell(object, &wanted);
        }
        self.take(object, step).await
    }

    async fn take(&self, object: &ApiWorkloadType, step: Step) -> Result<(), kube::Error> {
        let Some(finalizers) = type_deletion::finalizers(object, step) else { return Ok(()) };
        let client = &self.context.client;
        let set = set_finalizers::<ApiWorkloadType>(client, &object.metadata, &finalizers).await?;
        // One that has changed or gone leads here again by that.
        if set.is_some() && step == Step::LetGo {
            tracing::info!(workload_type = object.name_any(), "nothing of the type is left; it may go");
        }
        Ok(())
    }

    fn pool(&self, object: &NodePool, is_left: bool) -> Pool {
        let class = &object.spec.template.spec.node_class_ref.name;
        let class = self.context.caches.node_classes.get("", class);
        // Whoever has the pools may know other instance types.
        let no_type = if is_left { None } else { self.catalogs.no_type(object, class.as_deref()) };
        let readiness = readiness(object, class.as_deref(), no_type.as_deref());
        Pool { readiness, ..Pool::read(object) }
    }

    fn tell(&self, object: &ApiWorkloadType, status: &WorkloadTypeStatus) {
        let (name, uid) = (object.name_any(), object.uid().unwrap_or_default());
        let before = object.status.as_ref().map(|before| before.conditions.as_slice()).unwrap_or_default();
        let regarding = Regarding::WorkloadType { name, uid };
        for event in unhealthy::events(&regarding, BAD, before, &status.conditions) {
            self.context.events.send(event);
        }
    }

    /// Has the envelopes computed anew, if anything has changed that they depend on.
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
            daemons: self.daemons(types),
            nodes: *self.nodes.borrow(),
        };
        let caches = caches.clone();
        envelopes.refresh(made_from, move |made_from| {
            let nodes = caches.nodes.all();
            self::envelopes(&Ingredients {
                types: &made_from.types,
                pools: &caches.node_pools.all(),
                catalogs: &made_from.catalogs,
                nodes: &nodes.iter().map(|node| &node.model).collect::<Vec<_>>(),
                daemons: &made_from.daemons,
            })
        });
    }

    fn daemons(&self, types: &BTreeMap<String, WorkloadType>) -> Vec<Daemon> {
        let daemons = self.context.caches.daemons.all();
        super::daemons::daemons(daemons.iter().map(|daemon| &**daemon), types.values(), |namespace| {
            self.context.namespace(namespace)
        })
    }

    fn counts(&self, nodes: &[LaunchedNode]) -> Counts {
        let mut counts = Counts::default();
        for (key, labels) in self.context.caches.namespaces.entries() {
            let exempt = &self.context.exempt_namespaces;
            if let Namespace::Typed(name) = Namespace::of(&key.name, exempt, Some(&labels)) {
                counts.namespaces.entry(name).or_default().insert(key.name);
            }
        }
        for node in nodes {
            *counts.nodes.entry(node.pool.clone()).or_default() += 1;
        }
        counts
    }
}

/// The Nodes that no claim has, by its own account or by the instance.
fn strays<'n>(claims: &[&NodeClaim], nodes: &[&'n Node]) -> Vec<&'n Node> {
    let claimed: BTreeSet<_> = claims.iter().filter_map(|claim| claim.node_name.as_deref()).collect();
    let instances: BTreeSet<_> = claims.iter().filter_map(|claim| claim.provider_id.as_ref()).collect();
    let is_stray = |node: &&&Node| {
        !claimed.contains(node.object.name.as_str())
            && !node.provider_id.as_ref().is_some_and(|id| instances.contains(id))
    };
    nodes.iter().filter(is_stray).copied().collect()
}

#[cfg(test)]
mod tests;
