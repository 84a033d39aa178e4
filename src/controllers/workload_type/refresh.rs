//! When envelopes are computed anew: beside everything else, since it takes its time, and not all the time while things keep changing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::controllers::catalogs::ClassTypes;
use crate::lifecycle::type_status::EnvelopeState;
use crate::model::workload_type::WorkloadType;
use crate::scheduling::Daemon;

/// They are not computed more often than this.
const EVERY: Duration = Duration::from_millis(500);

type ByType = BTreeMap<String, EnvelopeState>;

/// What envelopes depend on: what it is, or how often it has changed.
#[derive(PartialEq)]
pub(super) struct MadeFrom {
    pub(super) types: BTreeMap<String, WorkloadType>,
    pub(super) catalogs: BTreeMap<String, ClassTypes>,
    pub(super) pools: u64,
    pub(super) daemons: Vec<Daemon>,
    pub(super) nodes: u64,
}

/// The envelopes as far as they are computed. Those that are old name what they were computed from, and count for nothing else.
#[derive(Default)]
pub(super) struct Envelopes {
    by_type: ByType,
    /// What they are made from, once the computing that has begun is done.
    made_from: Option<Arc<MadeFrom>>,
    computing: Option<JoinHandle<ByType>>,
    /// When they may be computed next.
    next: Option<Instant>,
    /// Whether something has changed since, and it was not yet time.
    is_awaited: bool,
}

impl Envelopes {
    /// The envelope of a type.
    pub(super) fn of(&self, workload_type: &str) -> &EnvelopeState {
        self.by_type.get(workload_type).unwrap_or(&EnvelopeState::Awaited)
    }

    /// Begins to compute them, if they are made from something else and it is time.
    pub(super) fn refresh(
        &mut self,
        made_from: MadeFrom,
        compute: impl FnOnce(&MadeFrom) -> ByType + Send + 'static,
    ) {
        let now = Instant::now();
        let has_changed = self.made_from.as_deref() != Some(&made_from);
        self.is_awaited =
            has_changed && (self.computing.is_some() || self.next.is_some_and(|next| now < next));
        if !has_changed || self.is_awaited {
            return;
        }
        let made_from = Arc::new(made_from);
        self.made_from = Some(Arc::clone(&made_from));
        self.next = Some(now + EVERY);
        self.computing = Some(tokio::task::spawn_blocking(move || compute(&made_from)));
    }

    /// Lets off what has not begun: nobody asks for it any more.
    pub(super) fn rest(&mut self) {
        self.is_awaited = false;
    }

    /// Waits until there are new ones, or until it is time to begin. Nothing is lost if it is dropped before.
    pub(super) async fn due(&mut self) {
        match (&mut self.computing, self.next) {
            (Some(computing), _) => {
                let computed = computing.await;
                self.computing = None;
                match computed {
                    Ok(by_type) => self.by_type = by_type,
                    Err(error) => {
                        tracing::error!(%error, "the envelopes could not be computed; those from before stand");
                    }
                }
            }
            (None, Some(next)) if self.is_awaited => tokio::time::sleep_until(next).await,
            (None, _) => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc;

    use super::*;

    fn made_from(nodes: u64) -> MadeFrom {
        MadeFrom { types: BTreeMap::new(), catalogs: BTreeMap::new(), pools: 0, daemons: Vec::new(), nodes }
    }

    fn unknown() -> ByType {
        [("t".to_owned(), EnvelopeState::Unknown)].into()
    }

    #[tokio::test(start_paused = true)]
    async fn while_things_keep_changing_envelopes_are_computed_twice_a_second() {
        let (computed, last) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let mut envelopes = Envelopes::default();
        let started = Instant::now();
        let mut nodes = 0;
        while started.elapsed() < Duration::from_secs(5) {
            nodes += 1;
            let (computed, last) = (Arc::clone(&computed), Arc::clone(&last));
            envelopes.refresh(made_from(nodes), move |made_from| {
                computed.fetch_add(1, Ordering::Relaxed);
                last.store(made_from.nodes, Ordering::Relaxed);
                unknown()
            });
            let _ = tokio::time::timeout(Duration::from_millis(50), envelopes.due()).await;
        }
        let times = computed.load(Ordering::Relaxed);
        assert!((9..=11).contains(&times), "{times}");

        // The last change is not forgotten, and then nothing is due any more.
        let mut due = 0;
        while tokio::time::timeout(Duration::from_hours(1), envelopes.due()).await.is_ok() {
            due += 1;
            assert!(due < 5, "nothing has changed since");
            let last = Arc::clone(&last);
            envelopes.refresh(made_from(nodes), move |made_from| {
                last.store(made_from.nodes, Ordering::Relaxed);
                unknown()
            });
        }
        assert_eq!(last.load(Ordering::Relaxed), nodes);
    }

    #[tokio::test]
    async fn nobody_waits_for_envelopes_and_those_from_before_stand_until_they_are_there() {
        let mut envelopes = Envelopes::default();
        let (go, gone) = mpsc::channel::<()>();
        envelopes.refresh(made_from(1), move |_| {
            gone.recv().unwrap();
            unknown()
        });
        assert_eq!(envelopes.of("t"), &EnvelopeState::Awaited);
        go.send(()).unwrap();
        envelopes.due().await;
        assert_eq!(envelopes.of("t"), &EnvelopeState::Unknown);
        envelopes.next = None;
        envelopes.refresh(made_from(2), |_| panic!("a defect"));
        envelopes.due().await;
        assert_eq!(envelopes.of("t"), &EnvelopeState::Unknown);
    }
}
