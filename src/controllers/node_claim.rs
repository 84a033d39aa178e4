//! Drives the life of every claim: takes steps of `lifecycle::claim` and carries out what they ask for.
//!
//! Claims live side by side, each in rounds of its own, never two of one claim at once. What a round remembers is lost when leadership is,
//! and only costs time. A claim whose round panics is looked at again later; the others go on.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;

use self::effects::Hands;
use self::permits::Permits;
use self::round::Ended;
use self::wake::{Touched, Wake};
use super::retries::Retries;
use super::{Context, one_term};
use crate::cluster::caches::KnownClaim;
use crate::lifecycle::memory::ClaimMemory;
use crate::ports::cloud::{CloudProvider, ClusterFacts};

mod effects;
mod facts;
mod instance;
mod permits;
mod planted;
mod round;
mod wake;

/// Reads the caches, takes steps, and carries their effects out.
pub struct NodeClaimController {
    context: Context,
    cloud: Arc<dyn CloudProvider>,
    cluster: Arc<ClusterFacts>,
    wake: Wake,
}

/// What is known of one claim between its rounds.
#[derive(Debug, Default)]
struct Life {
    uid: Option<String>,
    memory: ClaimMemory,
    /// When to look again.
    due: Option<Timestamp>,
    /// When it may be looked at again, if its last round failed: whatever keeps it from succeeding may last, and things change all the while.
    not_before: Option<Timestamp>,
    is_in_round: bool,
    /// Whether something has changed since its round began.
    is_touched: bool,
}

impl NodeClaimController {
    /// To be made before the caches are filled: it is told about changes from now on.
    #[must_use]
    pub fn new(context: Context, cloud: Arc<dyn CloudProvider>, cluster: Arc<ClusterFacts>) -> Self {
        let wake = Wake::on(&context.caches);
        Self { context, cloud, cluster, wake }
    }

    /// Drives claims while `leads` says so and all caches are complete, for as long as it is awaited.
    pub async fn run(self, mut leads: watch::Receiver<bool>) {
        while one_term(&mut leads, self.lead()).await {}
    }

    async fn lead(&self) {
        self.context.caches.synced().await;
        let mut rounds = Rounds::default();
        self.wake.note(Some(Touched::Everything));
        loop {
            for touched in self.wake.take() {
                self.touch(&mut rounds, &touched);
            }
            self.start_due(&mut rounds);
            let due = rounds.next_due(self.context.clock.now()).map(|due| self.context.until(due));
            tokio::select! {
                // All arms only wait: what has changed is kept until it is taken, and a round that has ended stays in the set.
                () = self.wake.wait() => {}
                () = tokio::time::sleep(due.unwrap_or_default()), if due.is_some() => {}
                Some(ended) = rounds.running.join_next_with_id() => self.end(&mut rounds, ended),
            }
        }
    }

    /// Notes which claims are to be looked at.
    fn touch(&self, rounds: &mut Rounds, touched: &Touched) {
        match touched {
            Touched::Claim(name) => rounds.touch(name),
            Touched::Instance(id) => {
                for claim in self.context.index.claims_of(id) {
                    rounds.touch(&claim.model.object.name);
                }
            }
            Touched::Node(name) => {
                let node = self.context.caches.nodes.get("", name);
                if let Some(id) = node.and_then(|node| node.model.provider_id.clone()) {
                    self.touch(rounds, &Touched::Instance(id));
                }
            }
            Touched::Everything => {
                for claim in self.context.caches.node_claims.all() {
                    rounds.touch(&claim.model.object.name);
                }
            }
        }
    }

    fn start_due(&self, rounds: &mut Rounds) {
        let now = self.context.clock.now();
        let due = { rounds.lives.iter() }.filter(|(_, life)| !life.is_in_round && life.is_due(now));
        let due: Vec<_> = due.map(|(name, _)| name.clone()).collect();
        for name in due {
            let is_ours = self.context.caches.node_claims.get("", &name).is_some_and(|claim| is_ours(&claim));
            if is_ours {
                self.start(rounds, name);
            } else {
                rounds.forget(&name);
            }
        }
    }

    fn start(&self, rounds: &mut Rounds, name: String) {
        let life = rounds.lives.entry(name.clone()).or_default();
        (life.is_in_round, life.is_touched, life.due) = (true, false, None);
        let (uid, memory) = (life.uid.take(), std::mem::take(&mut life.memory));
        let (context, cloud, cluster) =
            (self.context.clone(), Arc::clone(&self.cloud), Arc::clone(&self.cluster));
        let (permits, of) = (Arc::clone(&rounds.permits), name.clone());
        let task = rounds.running.spawn(async move {
            let hands = Hands { context: &context, cloud: &*cloud, cluster: &cluster, permits: &permits };
            round::go(hands, &name, uid, memory).await
        });
        rounds.names.insert(task.id(), of);
    }

    fn end(&self, rounds: &mut Rounds, ended: Result<(Id, Ended), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, _)| *id);
        let Some(name) = rounds.names.remove(&id) else { return };
        let Some(life) = rounds.lives.get_mut(&name) else { return };
        life.is_in_round = false;
        let has_failed = match ended {
            Ok((_, Ended { uid, memory, look_again, has_failed })) => {
                (life.uid, life.memory, life.due) = (uid, memory, look_again);
                has_failed
            }
            Err(error) => {
                tracing::error!(node_claim = name, %error, "a round of the claim failed; it is tried again");
                true
            }
        };
        let wait = rounds.retries.note(&name, !has_failed, Instant::now());
        life.not_before = None;
        if has_failed {
            let again = self.context.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX);
            (life.due, life.not_before) = (Some(again), Some(again));
        }
        if life.uid.is_none() && !life.is_touched && life.due.is_none() {
            rounds.forget(&name);
        }
    }
}

/// Whether the claim is of a node class that is acted on.
fn is_ours(claim: &KnownClaim) -> bool {
    claim.object.spec.node_class_ref.is_ec2()
}

impl Life {
    fn is_due(&self, now: Timestamp) -> bool {
        self.next_look(now).is_some_and(|look| look <= now)
    }

    /// When it is to be looked at, if that is known.
    fn next_look(&self, now: Timestamp) -> Option<Timestamp> {
        let wanted = if self.is_touched { Some(now) } else { self.due };
        wanted.map(|wanted| self.not_before.map_or(wanted, |not_before| not_before.max(wanted)))
    }
}

/// Claims, and the rounds that they are in.
#[derive(Debug, Default)]
struct Rounds {
    lives: BTreeMap<String, Life>,
    running: JoinSet<Ended>,
    names: BTreeMap<Id, String>,
    permits: Arc<Permits>,
    retries: Retries,
}

impl Rounds {
    fn touch(&mut self, name: &str) {
        self.lives.entry(name.to_owned()).or_default().is_touched = true;
    }

    fn forget(&mut self, name: &str) {
        self.lives.remove(name);
        self.retries.retain(|other| other != name);
    }

    /// The earliest moment at which a claim that is in no round is to be looked at.
    fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.lives.values().filter(|life| !life.is_in_round).filter_map(|life| life.next_look(now)).min()
    }
}

#[cfg(test)]
mod tests;
