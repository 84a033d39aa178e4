//! Leadership by a Lease: a pure step, and a thin task that carries it out.
//!
//! The protocol is client-go's: whoever's name stands in the Lease leads while it renews; another takes over once it has
//! *watched* the Lease stand still for its duration. Only that observation counts, so clocks need not agree. A leader that
//! cannot renew stops leading before anybody else may start.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::sync::watch;
use tokio::time::Instant;

/// A Lease that stood still for so long may be taken over. Karpenter's value, as the next two.
pub const DURATION: Duration = Duration::from_secs(15);
/// A leader that has not renewed for so long no longer leads.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(10);
/// Between two tries.
pub const RETRY: Duration = Duration::from_secs(2);

/// Who holds a Lease, as far as one candidate can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leadership {
    /// Not looked yet, or nobody.
    Nobody,
    /// This candidate.
    Ours,
    /// Somebody else, by its identity.
    Other(String),
}

/// What the candidate remembers of the Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// Holder and renewal time when the Lease last changed.
    record: Option<(String, Option<Timestamp>)>,
    /// How long it has stood still.
    since: Duration,
}

/// What to do with the Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write this candidate's name: the Lease is free, its own, or was left.
    Take {
        /// Whether the holder changes by it.
        transition: bool,
    },
    /// Somebody else leads.
    Follow(String),
}

impl Observation {
    /// Takes a look: `holder` and `renewed` as the Lease has them, `passed` since the last look.
    pub fn look(&mut self, holder: &str, renewed: Option<Timestamp>, passed: Duration) {
        let seen = Some((holder.to_owned(), renewed));
        self.since = if self.record == seen { self.since + passed } else { Duration::ZERO };
        self.record = seen;
    }

    /// What the candidate of this identity does next; `duration` is what the Lease itself grants its holder.
    #[must_use]
    pub fn step(&self, identity: &str, duration: Duration) -> Step {
        match &self.record {
            Some((holder, _)) if holder == identity => Step::Take { transition: false },
            Some((holder, _)) if !holder.is_empty() && self.since < duration => Step::Follow(holder.clone()),
            _ => Step::Take { transition: true },
        }
    }
}

/// One candidate for one Lease.
#[derive(Debug)]
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    leadership: watch::Sender<Leadership>,
}

impl Candidate {
    /// A candidate of this identity, which must be unique among the replicas.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, identity: String) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), identity, leadership: watch::Sender::new(Leadership::Nobody) }
    }

    /// Who leads, re-read whenever it changes.
    #[must_use]
    pub fn leadership(&self) -> watch::Receiver<Leadership> {
        self.leadership.subscribe()
    }

    /// Stands for election for as long as it is awaited, while `may_lead`. Before, it only watches, so that it need not begin to watch
    /// when it may; a Lease that it holds when it no longer may is given up.
    pub async fn stand(&self, now: impl Fn() -> Timestamp, mut may_lead: watch::Receiver<bool>) {
        let mut observation = Observation::default();
        let (mut looked, mut renewed) = (Instant::now(), Instant::now());
        loop {
            let passed = looked.elapsed();
            looked = Instant::now();
            // A turn may not outlast the deadline, or a leader would go on past it.
            let within = match *self.leadership.borrow() {
                Leadership::Ours => RENEW_DEADLINE.saturating_sub(renewed.elapsed()),
                Leadership::Nobody | Leadership::Other(_) => RENEW_DEADLINE,
            };
            let turn = tokio::time::timeout(
                within,
                self.turn(&mut observation, passed, now(), *may_lead.borrow_and_update()),
            );
            let turn = turn.await;
            match turn.unwrap_or_else(|_| Err(timed_out())) {
                Ok(leadership) => {
                    if leadership == Leadership::Ours {
                        renewed = looked;
                    }
                    self.announce(leadership);
                }
                Err(error) => {
                    tracing::warn!(lease = self.name, %error, "the lease could not be read or renewed");
                }
            }
            if *self.leadership.borrow() == Leadership::Ours && renewed.elapsed() >= RENEW_DEADLINE {
                self.announce(Leadership::Nobody);
            }
            tokio::select! {
                // Both arms only wait. The channel's sender outlives this task, or what it said last stands.
                () = tokio::time::sleep(RETRY) => {}
                Ok(()) = may_lead.changed() => {}
            }
        }
    }

    /// Gives the Lease up, so that another need not wait. A failure only costs that wait.
    pub async fn resign(&self) {
        if *self.leadership.borrow() != Leadership::Ours {
            return;
        }
        self.announce(Leadership::Nobody);
        // An API server that does not answer must not hold up the end.
        let _ = tokio::time::timeout(RETRY, self.give_up()).await;
    }

    async fn give_up(&self) -> Result<(), kube::Error> {
        if let Some(mut lease) = self.api.get_opt(&self.name).await?
            && let Some(spec) =
                lease.spec.as_mut().filter(|spec| spec.holder_identity.as_ref() == Some(&self.identity))
        {
            spec.holder_identity = Some(String::new());
            self.api.replace(&self.name, &PostParams::default(), &lease).await?;
        }
        Ok(())
    }

    async fn turn(
        &self,
        observation: &mut Observation,
        passed: Duration,
        now: Timestamp,
        may_lead: bool,
    ) -> Result<Leadership, kube::Error> {
        let found = self.api.get_opt(&self.name).await?;
        let spec = found.as_ref().and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let holder = spec.holder_identity.clone().unwrap_or_default();
        observation.look(&holder, spec.renew_time.as_ref().map(|time| time.0), passed);
        let granted = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        match observation.step(&self.identity, granted.map_or(DURATION, Duration::from_secs)) {
            Step::Follow(holder) => Ok(Leadership::Other(holder)),
            Step::Take { transition } if may_lead => self.take(found, transition, now).await,
            Step::Take { transition: false } => {
                self.give_up().await?;
                Ok(Leadership::Nobody)
            }
            Step::Take { transition: true } => Ok(Leadership::Nobody),
        }
    }

    async fn take(
        &self,
        found: Option<Lease>,
        transition: bool,
        now: Timestamp,
    ) -> Result<Leadership, kube::Error> {
        let lease = self.taken(found.as_ref(), transition, now);
        // The resource version decides between candidates that take at once.
        let taken = match found {
            Some(_) => self.api.replace(&self.name, &PostParams::default(), &lease).await,
            None => self.api.create(&PostParams::default(), &lease).await,
        };
        match taken {
            Ok(_) => Ok(Leadership::Ours),
            // Another candidate was faster. On a renewal it is only somebody's edit, and the next turn renews.
            Err(kube::Error::Api(status)) if status.code == 409 && transition => Ok(Leadership::Nobody),
            Err(error) => Err(error),
        }
    }

    fn taken(&self, found: Option<&Lease>, transition: bool, now: Timestamp) -> Lease {
        let before = found.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let transitions = before.lease_transitions.unwrap_or(0);
        let kept = before.acquire_time.filter(|_| !transition);
        Lease {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                resource_version: found.and_then(ResourceExt::resource_version),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
                acquire_time: Some(kept.unwrap_or(MicroTime(now))),
                renew_time: Some(MicroTime(now)),
                lease_transitions: Some(transitions + i32::from(transition && found.is_some())),
                ..LeaseSpec::default()
            }),
        }
    }

    fn announce(&self, leadership: Leadership) {
        self.leadership.send_if_modified(|current| {
            let changed = *current != leadership;
            if changed {
                tracing::info!(lease = self.name, leadership = ?leadership, "leadership changed");
                *current = leadership;
            }
            changed
        });
    }
}

fn timed_out() -> kube::Error {
    kube::Error::Service("no answer before the renew deadline".into())
}

#[cfg(test)]
mod tests;
