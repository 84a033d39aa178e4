//! Launches nodes for pods that wait: reads the caches, has a plan made, creates its claims, and tells people.
//!
//! One plan at a time. A pod that comes alone is planned for at once, a burst as one ([`batch`]). Between plans three things are
//! remembered: which pods were promised a place ([`nominations`]), which claims were created and are not in the cache yet, and which pools
//! have been short ([`fallback`]). All of it may be lost: the next plan counts the claims that exist as nodes on their way.
//!
//! What becomes of a claim is not decided here, nor which pod runs where: the scheduler binds pods.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;

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
mod review;
#[cfg(test)]
mod tests;
mod unseen;
pub mod waiting;
pub mod world;

use batch::Batch;
use fallback::Shortages;
use nominations::{Nominations, SharedNominations};
use pending::Pending;
use unseen::Unseen;

use super::catalogs::Catalogs;
use super::told::Told;
use super::{Context, live, one_term};
use crate::cluster::caches;
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
/// The API server is asked again for what there is after so long, if it does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// The same is not told to a pod again for so long. Karpenter's value.
const TOLD_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(5);
/// So many pods are told at once; the others come next time.
const MOST_TOLD_AT_ONCE: usize = 500;

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

/// Whom a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scope {
    /// Every pod that waits.
    All,
    /// The pods that came since the last plan. What others wait for is not to be had just now.
    Fresh,
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
    /// When the last plan for all was made, and how long that took.
    planned: (Instant, Duration),
    /// Whether anything but pods has changed since.
    has_changed: bool,
    /// Claims that exist, or may, and that the cache does not show.
    unseen: Unseen,
    /// When the first of those that the last plan left out only for a while may be planned for again.
    resumes: Option<Timestamp>,
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
            has_changed: false,
            unseen: Unseen::default(),
            resumes: None,
            shortages: Shortages::default(),
            told: nobody_told(),
            context,
        }
    }

    async fn lead(&mut self) {
        self.context.caches.synced().await;
        // What the one before has launched may not be in the cache yet.
        while !self.ask().await {
            tokio::time::sleep(RETRY).await;
        }
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
        self.unseen = Unseen::default();
        self.resumes = None;
        self.shortages = Shortages::default();
        self.told = nobody_told();
    }

    /// Looks at what waits, makes a plan if it is time, or waits for what makes it time.
    async fn turn(&mut self) {
        self.pod_changes.mark_unchanged();
        for changes in &mut self.other_changes {
            self.has_changed |= changes.has_changed().unwrap_or_default();
            changes.mark_unchanged();
        }
        if self.unseen.due().is_some_and(|due| due <= self.context.clock.now()) {
            self.ask().await;
        }
        self.review();
        let gathered = self.batch.remaining(self.epoch.elapsed());
        let again = self.look_again_in();
        // A batch has its own end, which is never far. Whoever was left out before is planned for with it if it is time for that, too, and
        // else does not keep the new ones waiting.
        let is_time_for_all = again.is_some_and(|again| again.is_zero());
        if gathered.map_or(is_time_for_all, |rest| rest.is_zero()) {
            let is_for_all = is_time_for_all || self.left_out.is_empty();
            self.plan(if is_for_all { Scope::All } else { Scope::Fresh }).await;
            return;
        }
        if let Some(rest) = gathered {
            tokio::time::sleep(rest.min(COUNT_EVERY)).await;
            return;
        }
        let ends = [self.next_end_of_promise(), self.unseen.due()].into_iter().flatten();
        let end = ends.min().map(|end| self.context.until(end));
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

    /// In how long those that got no node are planned for again.
    fn look_again_in(&self) -> Option<Duration> {
        let (planned, took) = self.planned;
        let soon = LOOK_AGAIN_SOON.max(took.saturating_mul(PAUSE));
        let pause = if self.has_changed { soon.min(LOOK_AGAIN) } else { LOOK_AGAIN };
        let pause = pause.saturating_sub(planned.elapsed());
        let resumes = self.resumes.map(|resumes| self.context.until(resumes));
        (!self.left_out.is_empty()).then(|| resumes.map_or(pause, |resumes| resumes.min(pause)))
    }

    /// Asks the API server which claims there are. Says whether it has answered.
    async fn ask(&mut self) -> bool {
        // What is created from now on may or may not be listed.
        let now = self.context.clock.now();
        let claims = &self.context.caches.node_claims;
        match live::node_claims(&self.context.client).await {
            Ok(listed) => {
                let listed = listed.into_iter().filter_map(|claim| caches::claim(claim).ok());
                self.unseen.answered(listed, |name| claims.get("", name).is_some(), now);
                true
            }
            Err(error) => {
                tracing::warn!(%error, "the NodeClaims cannot be listed; it is tried again");
                self.unseen.not_answered(now);
                false
            }
        }
    }
}

const fn nobody_told() -> Told {
    Told::new(TOLD_AGAIN_AFTER, MOST_TOLD_AT_ONCE)
}
