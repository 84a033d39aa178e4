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
use tokio::sync::watch;

pub mod batch;
pub mod checked;
pub mod claims;
pub mod fallback;
pub mod machines;
pub mod nominations;
pub mod notice;
mod pending;
mod plan;
pub mod pools;
#[cfg(test)]
mod tests;
mod told;
pub mod waiting;
pub mod world;

use batch::{Batch, Crowd};
use fallback::Shortages;
use machines::{is_closed, is_leaving};
use nominations::{Nominations, Progress, SharedNominations};
use pending::Pending;
use told::Told;

use super::catalogs::Catalogs;
use super::{Context, one_term};
use crate::api::nodeclaim::INITIALIZED;
use crate::cluster::caches::KnownClaim;
use crate::model::ResourceList;
use crate::model::pod::PodKey;
use crate::ports::cloud::CloudProvider;

/// While pods are gathered, they are counted so often.
const COUNT_EVERY: Duration = Duration::from_millis(10);
/// Pods that got no node are planned for again after so long, if nothing changes: capacity comes back.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// When something changes they are planned for again after so long …
const LOOK_AGAIN_SOON: Duration = Duration::from_millis(100);
/// … or after so many times what the last plan took, so that very many of them do not keep the machine busy.
const PAUSE: u32 = 10;
/// After a claim could not be created, or after twice as long each time that it happens again.
const RETRY: Duration = Duration::from_secs(1);
/// A claim that was created is remembered for so long, if the cache does not show it.
const UNSEEN_FOR: SignedDuration = SignedDuration::from_secs(30);

/// Launches nodes for pods that wait.
pub struct ProvisioningController(Provisioner);

impl ProvisioningController {
    /// The controller of these caches, which must not be filled yet. Its promises are kept in `nominations`; what the cloud tells of its
    /// instance types, in `catalogs`.
    #[must_use]
    pub fn new(
        context: Context,
        cloud: Arc<dyn CloudProvider>,
        catalogs: Catalogs,
        nominations: SharedNominations,
    ) -> Self {
        Self(Provisioner::new(context, cloud, catalogs, nominations))
    }

    /// Launches nodes while `leads` says so and all caches are complete, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        let Self(mut provisioner) = self;
        while one_term(&mut leads, provisioner.lead()).await {
            provisioner.forget();
        }
    }
}

/// The controller at work.
struct Provisioner {
    context: Context,
    nominations: SharedNominations,
    cloud: Arc<dyn CloudProvider>,
    catalogs: Catalogs,
    pending: Pending,
    /// Pods that wait.
    pod_changes: watch::Receiver<u64>,
    /// Everything that a plan is made from beside the pods that wait.
    other_changes: Vec<watch::Receiver<u64>>,
    batch: Batch,
    epoch: Instant,
    /// Pods that wait for the first plan since they came.
    fresh: BTreeMap<PodKey, String>,
    /// Pods that the last plan found no place for.
    left_out: BTreeMap<PodKey, String>,
    /// When the last plan was made, and how long that took.
    planned: (Instant, Duration),
    /// How many plans in a row had a claim that could not be created.
    failures: u32,
    /// Whether anything but pods has changed since.
    has_changed: bool,
    /// Claims that were created, until the cache shows them.
    unseen: BTreeMap<String, (Arc<KnownClaim>, Timestamp)>,
    /// Claims that may have been created although that was not answered, by a name for the place on each, and until when they may appear.
    in_doubt: BTreeMap<String, Timestamp>,
    shortages: Shortages,
    told: Told,
}

impl Provisioner {
    fn new(
        context: Context,
        cloud: Arc<dyn CloudProvider>,
        catalogs: Catalogs,
        nominations: SharedNominations,
    ) -> Self {
        let caches = &context.caches;
        let pending = Pending::of(&caches.pods);
        Self {
            nominations,
            cloud,
            catalogs,
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
            planned: (Instant::now(), Duration::ZERO),
            failures: 0,
            has_changed: false,
            unseen: BTreeMap::new(),
            in_doubt: BTreeMap::new(),
            shortages: Shortages::default(),
            told: Told::default(),
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
        self.in_doubt.clear();
        self.shortages = Shortages::default();
        self.told = Told::default();
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
        let end = end.into_iter().chain(self.in_doubt.values().copied()).min();
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
        self.in_doubt.retain(|_, until| *until > now);
        let mut waiting = self.pending.waiting();
        self.nominations.with(|nominations| {
            let waits = |pod: &PodKey, uid: &str| waiting.get(pod).is_some_and(|own| own == uid);
            nominations.review(waits, |name| self.progress(name), now);
            let requests = |pod: &PodKey| {
                let known = caches.pods.get(&pod.namespace, &pod.name)?;
                known.unbound().map(|pod| pod.requests.clone())
            };
            nominations.release_crowded_out(requests, &self.room(&nominations.nodes()), now);
            waiting.retain(|pod, uid| nominations.of(pod, uid).is_none());
        });
        self.left_out.retain(|pod, uid| waiting.get(pod) == Some(uid));
        waiting.retain(|pod, _| !self.left_out.contains_key(pod));
        let any_new = waiting.iter().any(|(pod, uid)| self.fresh.get(pod) != Some(uid));
        let maker = |pod: &PodKey| {
            let pod = caches.pods.get(&pod.namespace, &pod.name)?;
            pod.unbound()?.controller().map(|maker| maker.uid.clone())
        };
        let makers: BTreeSet<_> = waiting.keys().filter_map(maker).collect();
        let crowd = Crowd {
            waiting: waiting.len(),
            any_new,
            has_maker: !makers.is_empty(),
            are_more_coming: self.pending.are_more_coming(&makers),
        };
        self.batch.note(self.epoch.elapsed(), crowd);
        self.fresh = waiting;
    }

    /// What these machines have left beside the pods that are bound to them, as far as they have a Node.
    fn room(&self, machines: &BTreeSet<String>) -> BTreeMap<String, ResourceList> {
        let caches = &self.context.caches;
        let node_of = |machine: &String| match caches.node_claims.get("", machine) {
            // Before, devices may be missing that will be there.
            Some(claim) if !claim.model.is(INITIALIZED) => None,
            Some(claim) => caches.nodes.get("", claim.model.node_name.as_deref()?),
            None => caches.nodes.get("", machine),
        };
        let mut machine_of = BTreeMap::new();
        let mut room = BTreeMap::new();
        for machine in machines {
            if let Some(node) = node_of(machine) {
                machine_of.insert(node.model.object.name.clone(), machine);
                room.insert(machine.clone(), node.model.allocatable.clone());
            }
        }
        if room.is_empty() {
            return room;
        }
        for pod in
            caches.pods.all().iter().filter_map(|pod| pod.bound()).filter(|pod| !pod.phase.is_terminal())
        {
            if let Some(left) = machine_of.get(&pod.node_name).and_then(|machine| room.get_mut(*machine)) {
                *left = left.minus(&pod.requests);
            }
        }
        room
    }

    /// What became of a machine, by the name that promises go by.
    fn progress(&self, name: &str) -> Progress {
        let caches = &self.context.caches;
        if self.in_doubt.contains_key(name) {
            return Progress::OnItsWay;
        }
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
        let (planned, took) = self.planned;
        let soon = LOOK_AGAIN_SOON.max(took.saturating_mul(PAUSE));
        let pause = match self.failures.checked_sub(1) {
            Some(again) => RETRY.saturating_mul(2_u32.saturating_pow(again)),
            None if self.has_changed => soon,
            None => LOOK_AGAIN,
        };
        let pause = pause.min(LOOK_AGAIN);
        (!self.left_out.is_empty()).then(|| pause.saturating_sub(planned.elapsed()))
    }
}
