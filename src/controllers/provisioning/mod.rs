//! Launches nodes for pods that wait: reads the caches, has a plan made, creates its claims, and tells people.
//!
//! One plan at a time. A pod that comes alone is planned for at once, a burst as one ([`batch`]). Between plans three things are
//! remembered: which pods were promised a place ([`nominations`]), which claims were created and are not in the cache yet, and which pools
//! have been short ([`fallback`]). All of it may be lost: the next plan counts the claims that exist as nodes on their way.
//!
//! What becomes of a claim is not decided here, nor which pod runs where: the scheduler binds pods.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;

pub mod batch;
mod catalogs;
pub mod checked;
pub mod claims;
pub mod fallback;
pub mod machines;
pub mod nominations;
pub mod notice;
mod pending;
pub mod pools;
#[cfg(test)]
mod tests;
pub mod waiting;
pub mod world;

use batch::Batch;
use catalogs::Catalogs;
use checked::{Checked, checked};
use fallback::Shortages;
use machines::{Machine, is_closed, is_leaving};
use nominations::{Nominations, Progress, SharedNominations};
use pending::Pending;
use world::{Snapshot, World};

use super::Context;
use crate::api::nodeclaim::{INITIALIZED, NodeClaim};
use crate::api::nodepool::NodePool;
use crate::cluster::FIELD_MANAGER;
use crate::cluster::caches::{KnownClaim, known_claim};
use crate::model::pod::PodKey;
use crate::model::workload_type::WorkloadType;
use crate::ports::cloud::CloudProvider;
use crate::scheduling::{self, PlannedClaim, Unschedulable};

/// While pods are gathered, they are counted so often.
const COUNT_EVERY: Duration = Duration::from_millis(10);
/// Pods that got no node are planned for again after so long, if nothing changes: capacity comes back.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// They are planned for again at most so often, however much changes.
const LOOK_AGAIN_SOON: Duration = Duration::from_secs(1);
/// A claim that was created is remembered for so long, if the cache does not show it.
const UNSEEN_FOR: SignedDuration = SignedDuration::from_secs(30);
/// A creation that takes longer has failed. If it took effect all the same, the cache shows the claim.
const CREATE_WITHIN: Duration = Duration::from_secs(10);

/// Launches nodes for pods that wait.
pub struct ProvisioningController(Provisioner);

impl ProvisioningController {
    /// The controller of these caches, which must not be filled yet. Its promises are kept in `nominations`.
    #[must_use]
    pub fn new(context: Context, cloud: Arc<dyn CloudProvider>, nominations: SharedNominations) -> Self {
        Self(Provisioner::new(context, cloud, nominations))
    }

    /// Launches nodes while `leads` says so and all caches are complete, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        let Self(mut provisioner) = self;
        loop {
            if leads.wait_for(|leads| *leads).await.is_err() {
                return;
            }
            tokio::select! {
                // Creations that are dropped may have taken effect: the claims are seen by whoever leads next.
                () = provisioner.lead() => {}
                _ = leads.wait_for(|leads| !*leads) => {}
            }
            provisioner.forget();
        }
    }
}

/// The controller at work.
struct Provisioner {
    context: Context,
    nominations: SharedNominations,
    catalogs: Catalogs,
    pending: Pending,
    /// Pods that wait.
    pod_changes: watch::Receiver<u64>,
    /// Everything else that a plan is made from.
    other_changes: Vec<watch::Receiver<u64>>,
    batch: Batch,
    epoch: Instant,
    /// Pods that wait for the first plan since they came.
    fresh: BTreeMap<PodKey, String>,
    /// Pods that the last plan found no place for.
    left_out: BTreeMap<PodKey, String>,
    /// When the last plan was made.
    planned: Instant,
    /// Whether anything but pods has changed since.
    has_changed: bool,
    /// Claims that were created, until the cache shows them.
    unseen: BTreeMap<String, (Arc<KnownClaim>, Timestamp)>,
    shortages: Shortages,
}

impl Provisioner {
    fn new(context: Context, cloud: Arc<dyn CloudProvider>, nominations: SharedNominations) -> Self {
        let caches = &context.caches;
        let pending = Pending::of(&caches.pods);
        Self {
            nominations,
            catalogs: Catalogs::new(cloud),
            pod_changes: pending.changes(),
            pending,
            other_changes: vec![
                caches.nodes.changes(),
                caches.node_claims.changes(),
                caches.node_pools.changes(),
                caches.node_classes.changes(),
                caches.workload_types.changes(),
                caches.daemons.changes(),
                caches.namespaces.changes(),
            ],
            batch: Batch::default(),
            epoch: Instant::now(),
            fresh: BTreeMap::new(),
            left_out: BTreeMap::new(),
            planned: Instant::now(),
            has_changed: false,
            unseen: BTreeMap::new(),
            shortages: Shortages::default(),
            context,
        }
    }

    async fn lead(&mut self) {
        self.context.caches.synced().await;
        loop {
            self.turn().await;
        }
    }

    /// Another replica leads, and what it promises is not known here.
    fn forget(&mut self) {
        self.nominations.with(|nominations| *nominations = Nominations::default());
        self.batch.close();
        self.fresh.clear();
        self.left_out.clear();
        self.unseen.clear();
        self.shortages = Shortages::default();
    }

    /// Looks at what waits, makes a plan if it is time, or waits for what makes it time.
    async fn turn(&mut self) {
        self.pod_changes.mark_unchanged();
        for changes in &mut self.other_changes {
            self.has_changed |= changes.has_changed().unwrap_or_default();
            changes.mark_unchanged();
        }
        self.review();
        let now = self.epoch.elapsed();
        let gathered = self.batch.remaining(now);
        let again = self.look_again_in();
        let due = [gathered, again].into_iter().flatten().min();
        if due.is_some_and(|due| due.is_zero()) {
            self.plan().await;
            return;
        }
        if let Some(rest) = gathered {
            tokio::time::sleep(rest.min(COUNT_EVERY)).await;
            return;
        }
        let end = self.nominations.with(|nominations| nominations.next_end());
        let end = end.map(|end| self.context.clock.now().duration_until(end).max(SignedDuration::ZERO));
        let end = end.and_then(|end| Duration::try_from(end).ok());
        let wait = [again, end].into_iter().flatten().min();
        self.changed(wait).await;
    }

    /// Waits until something has changed, or for so long.
    async fn changed(&mut self, at_most: Option<Duration>) {
        let others = self.other_changes.iter_mut().map(|changes| changes.changed().boxed());
        tokio::select! {
            // All arms only wait; whatever changed, everything is looked at again.
            _ = self.pod_changes.changed() => {}
            _ = futures::future::select_all(others) => {}
            () = tokio::time::sleep(at_most.unwrap_or(Duration::MAX)), if at_most.is_some() => {}
        }
    }

    /// Brings everything that is remembered up to what the caches show.
    fn review(&mut self) {
        let caches = &self.context.caches;
        let now = self.context.clock.now();
        self.unseen.retain(|name, (_, created)| {
            caches.node_claims.get("", name).is_none() && now.duration_since(*created) < UNSEEN_FOR
        });
        let mut waiting = self.pending.waiting();
        self.nominations.with(|nominations| {
            let waits = |pod: &PodKey, uid: &str| waiting.get(pod).is_some_and(|own| own == uid);
            nominations.review(waits, |name| self.progress(name), now);
            waiting.retain(|pod, uid| nominations.of(pod, uid).is_none());
        });
        self.left_out.retain(|pod, uid| waiting.get(pod) == Some(uid));
        waiting.retain(|pod, _| !self.left_out.contains_key(pod));
        let any_new = waiting.iter().any(|(pod, uid)| self.fresh.get(pod) != Some(uid));
        self.batch.note(self.epoch.elapsed(), !waiting.is_empty(), any_new);
        self.fresh = waiting;
    }

    /// What became of a machine, by the name that promises go by.
    fn progress(&self, name: &str) -> Progress {
        let caches = &self.context.caches;
        let claim = caches.node_claims.get("", name);
        if let Some(claim) = claim.or_else(|| self.unseen.get(name).map(|(claim, _)| Arc::clone(claim))) {
            return match &claim.model {
                claim if is_leaving(claim) => Progress::Gone,
                claim if claim.is(INITIALIZED) => Progress::Ready,
                _ => Progress::OnItsWay,
            };
        }
        match caches.nodes.get("", name) {
            Some(node) if !is_closed(&node) => Progress::Ready,
            _ => Progress::Gone,
        }
    }

    /// In how long those that got no node are planned for again.
    fn look_again_in(&self) -> Option<Duration> {
        let pause = if self.has_changed { LOOK_AGAIN_SOON } else { LOOK_AGAIN };
        (!self.left_out.is_empty()).then(|| pause.saturating_sub(self.planned.elapsed()))
    }

    /// Makes a plan for all that waits, and carries it out.
    async fn plan(&mut self) {
        let started = Instant::now();
        self.batch.close();
        self.has_changed = false;
        let world = self.world().await;
        let now = self.context.clock.now();
        let Snapshot { problem, machines, left_out, uids } = world.snapshot(now);
        let waited = self.fresh.iter().chain(&self.left_out).chain(&uids).map(own).collect();
        for pod in &left_out {
            self.tell_left_out(pod, &uids);
        }
        if !problem.pods.is_empty() {
            let solve = || checked(problem, scheduling::solve, scheduling::verify);
            match tokio::task::spawn_blocking(solve).await {
                Ok(checked) => self.carry_out(&checked, (&world, &machines, &uids), started).await,
                Err(error) => tracing::error!(%error, "no plan could be made; it is tried again"),
            }
        }
        self.leave_out(waited);
    }

    async fn carry_out(
        &mut self,
        checked: &Checked,
        (world, machines, uids): (&World, &BTreeMap<String, Machine>, &BTreeMap<PodKey, String>),
        started: Instant,
    ) {
        let Checked { problem, plan, violations, refused } = checked;
        for violation in violations {
            tracing::error!(%violation, "a plan did not pass its own check, and is not carried out as it is");
        }
        let solved = started.elapsed();
        self.shortages.note(problem, plan, self.context.clock.now());
        for nomination in &plan.nominations {
            if let Some(machine) = machines.get(&nomination.node) {
                self.nominate(&nomination.pods, machine, uids);
            }
        }
        let created = self.create(&plan.claims, world).await;
        for (planned, claim) in plan.claims.iter().zip(&created) {
            if let Some(claim) = claim {
                let name = claim.model.object.name.clone();
                let machine = Machine { claim: Some(name.clone()), ..Machine::default() };
                self.nominate(&planned.pods, &machine, uids);
                self.unseen.insert(name, (Arc::clone(claim), self.context.clock.now()));
            }
        }
        for pod in &plan.unschedulable {
            self.tell_left_out(pod, uids);
        }
        for pod in refused {
            self.context.events.send(notice::refused(pod, uid_of(pod, uids)));
        }
        for pool in pools::barren(&problem.pools) {
            let object = world.node_pools.iter().find(|object| object.metadata.name.as_deref() == Some(pool));
            let uid = object.and_then(|object| object.metadata.uid.as_deref()).unwrap_or_default();
            self.context.events.send(notice::no_compatible_instance_types(pool, uid));
        }
        let failed = created.iter().filter(|claim| claim.is_none()).count();
        // Their pods are planned for again soon, and not at once: what failed may fail again.
        self.has_changed |= failed > 0;
        tracing::info!(
            pods = problem.pods.len() + refused.len(),
            claims = created.len() - failed,
            failed_claims = failed,
            pods_on_nodes = plan.nominations.iter().map(|nomination| nomination.pods.len()).sum::<usize>(),
            pods_left_out = plan.unschedulable.len() + refused.len(),
            price = %plan.price(),
            solved_after_ms = solved.as_millis(),
            done_after_ms = started.elapsed().as_millis(),
            "planned"
        );
    }

    fn tell_left_out(&self, left_out: &Unschedulable, uids: &BTreeMap<PodKey, String>) {
        let Unschedulable { pod, reasons } = left_out;
        self.context.events.send(notice::left_out(pod, uid_of(pod, uids), reasons));
    }

    /// What has no place after a plan is looked at again later.
    fn leave_out(&mut self, mut waited: BTreeMap<PodKey, String>) {
        self.nominations.with(|nominations| {
            waited.retain(|pod, uid| nominations.of(pod, uid).is_none());
        });
        self.left_out = waited;
        self.fresh.clear();
        self.planned = Instant::now();
    }

    async fn world(&mut self) -> World {
        let caches = self.context.caches.clone();
        let classes = caches.node_classes.all();
        let node_classes =
            classes.into_iter().filter_map(|class| Some((class.metadata.name.clone()?, class))).collect();
        let types = self.catalogs.of(&node_classes).await;
        // The pods are read last: what has been bound by now needs no node.
        let mut claims = caches.node_claims.all();
        let known: BTreeSet<&str> = claims.iter().map(|claim| claim.model.object.name.as_str()).collect();
        let unseen = self.unseen.iter().filter(|(name, _)| !known.contains(name.as_str()));
        let unseen: Vec<_> = unseen.map(|(_, (claim, _))| Arc::clone(claim)).collect();
        claims.extend(unseen);
        let workload_types = caches.workload_types.all();
        let workload_types = workload_types.iter().map(|object| WorkloadType::read(object));
        let waiting = self.pending.waiting();
        let namespaces: BTreeSet<&str> = waiting.keys().map(|pod| pod.namespace.as_str()).collect();
        let labels = |name: &&str| Some(((*name).to_owned(), caches.namespaces.get("", name)?));
        World {
            nodes: caches.nodes.all(),
            claims,
            node_pools: caches.node_pools.all(),
            node_classes,
            types,
            workload_types: workload_types.map(|read| (read.name.clone(), read)).collect(),
            namespaces: namespaces.iter().filter_map(labels).collect(),
            daemons: caches.daemons.all(),
            nominations: self.nominations.now(),
            shortages: self.shortages.clone(),
            pods: caches.pods.all(),
        }
    }

    fn nominate(&self, pods: &[PodKey], machine: &Machine, uids: &BTreeMap<PodKey, String>) {
        for pod in pods {
            let uid = uid_of(pod, uids);
            self.nominations.with(|nominations| nominations.nominate(pod.clone(), uid, machine.key()));
            self.context.events.send(notice::nominated(pod, uid, machine));
        }
    }

    /// Creates the claims of a plan, all at once. One that cannot be created does not keep the others back.
    async fn create(&self, planned: &[PlannedClaim], world: &World) -> Vec<Option<Arc<KnownClaim>>> {
        let pools = world.node_pools.iter();
        let pools: BTreeMap<_, _> =
            pools.filter_map(|pool| Some((pool.metadata.name.as_deref()?, &**pool))).collect();
        let create = async |planned: &PlannedClaim| {
            let pool = pools.get(planned.pool.as_str())?;
            match self.create_one(planned, pool).await {
                Ok(claim) => Some(Arc::new(known_claim(claim))),
                Err(error) => {
                    tracing::warn!(node_pool = planned.pool, error, "a claim could not be created");
                    let uid = pool.metadata.uid.as_deref().unwrap_or_default();
                    self.context.events.send(notice::claim_not_created(&planned.pool, uid, &error));
                    None
                }
            }
        };
        futures::future::join_all(planned.iter().map(create)).await
    }

    async fn create_one(&self, planned: &PlannedClaim, pool: &NodePool) -> Result<NodeClaim, String> {
        let claims: Api<NodeClaim> = Api::all(self.context.client.clone());
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let object = claims::node_claim(planned, pool);
        let created = tokio::time::timeout(CREATE_WITHIN, claims.create(&parameters, &object)).await;
        let created =
            created.map_err(|_| format!("the API server has not answered within {CREATE_WITHIN:?}"))?;
        created.map_err(|error| error.to_string())
    }
}

fn uid_of<'u>(pod: &PodKey, uids: &'u BTreeMap<PodKey, String>) -> &'u str {
    uids.get(pod).map(String::as_str).unwrap_or_default()
}

fn own((pod, uid): (&PodKey, &String)) -> (PodKey, String) {
    (pod.clone(), uid.clone())
}
