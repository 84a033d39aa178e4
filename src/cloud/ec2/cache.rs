//! What is remembered of EC2's answers, and for how long: every lifetime stands here with its reason.
//!
//! Nothing here outlives the process, and nothing that is remembered decides whether something is launched twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::OnceCell;

use crate::model::instance_type::CapacityType;

/// How often the instance types are to be read anew: types and zones appear a few times a month, and reading them all takes many
/// calls.
pub const INSTANCE_TYPES: Duration = Duration::from_hours(12);
/// An image that its publisher replaces is picked up within this time. Parameters are read at a few calls a second at most.
pub const PARAMETERS: Duration = Duration::from_mins(30);
/// A role that somebody exchanges by hand in an instance profile is noticed within this time.
pub const INSTANCE_PROFILES: Duration = Duration::from_mins(15);
/// Capacity that was missing is asked for again after this time, as in Karpenter.
pub const NO_CAPACITY: Duration = Duration::from_mins(3);

/// Answers by key, each good for the same time. Callers that want the same answer at once share one call; failures are not
/// remembered.
#[derive(Debug)]
pub struct Answers<K, V> {
    lifetime: Duration,
    entries: Mutex<BTreeMap<K, Entry<V>>>,
}

#[derive(Debug)]
struct Entry<V> {
    asked_at: Timestamp,
    answer: Arc<OnceCell<V>>,
}

impl<K: Ord + Clone, V: Clone> Answers<K, V> {
    /// Remembers answers for so long.
    #[must_use]
    pub fn lasting(lifetime: Duration) -> Self {
        Self { lifetime, entries: Mutex::default() }
    }

    /// The answer, from memory if it is young enough, else from `ask`.
    pub async fn get<E>(
        &self,
        key: &K,
        now: Timestamp,
        ask: impl Future<Output = Result<V, E>>,
    ) -> Result<V, E> {
        let answer = {
            let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
            entries.retain(|_, entry| is_young(entry.asked_at, now, self.lifetime));
            let fresh = || Entry { asked_at: now, answer: Arc::default() };
            Arc::clone(&entries.entry(key.clone()).or_insert_with(fresh).answer)
        };
        answer.get_or_try_init(|| ask).await.cloned()
    }

    /// Forgets the answers whose keys are such.
    pub fn forget(&self, is_stale: impl Fn(&K) -> bool) {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).retain(|key, _| !is_stale(key));
    }
}

/// A moment in the future is not young: the clock was set back, and nobody knows how old the answer is.
fn is_young(since: Timestamp, now: Timestamp, lifetime: Duration) -> bool {
    let age = now.duration_since(since);
    age >= SignedDuration::ZERO && age.unsigned_abs() < lifetime
}

/// What capacity was missing lately.
#[derive(Debug, Default)]
pub struct Unavailable {
    marks: Mutex<BTreeMap<Mark, Timestamp>>,
}

/// Something without capacity.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A way to buy a type.
    Offering {
        /// How it is bought.
        capacity_type: CapacityType,
        /// The type.
        instance_type: String,
        /// The zone.
        zone: String,
    },
    /// A subnet without free addresses.
    Subnet(String),
}

impl Unavailable {
    /// Marks something from now on; marked again, it stays so for longer.
    pub fn mark(&self, mark: Mark, now: Timestamp) {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner).insert(mark, now);
    }

    /// What is marked at this moment.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> BTreeSet<Mark> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|_, since| is_young(*since, now, NO_CAPACITY));
        marks.keys().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::ports::clock::{Clock, ManualClock};

    fn clock() -> ManualClock {
        ManualClock::at("2026-11-01T00:00:00Z".parse().unwrap())
    }

    #[tokio::test]
    async fn an_answer_is_asked_for_again_when_it_is_old_or_forgotten_and_after_a_failure() {
        let clock = clock();
        let answers = Answers::lasting(Duration::from_mins(1));
        let asked = Cell::new(0);
        let get = async || {
            let ask = async {
                asked.set(asked.get() + 1);
                if asked.get() == 1 { Err("no") } else { Ok(asked.get()) }
            };
            answers.get(&"key", clock.now(), ask).await
        };
        assert_eq!(get().await, Err("no"));
        assert_eq!(get().await, Ok(2));
        clock.advance(Duration::from_secs(59));
        assert_eq!(get().await, Ok(2));
        clock.advance(Duration::from_secs(1));
        assert_eq!(get().await, Ok(3));
        answers.forget(|key| *key == "other");
        assert_eq!(get().await, Ok(3));
        answers.forget(|key| *key == "key");
        assert_eq!(get().await, Ok(4));
    }

    #[tokio::test]
    async fn callers_that_ask_at_once_share_one_call() {
        let answers = Answers::lasting(Duration::from_mins(1));
        let asked = Cell::new(0);
        let get = || {
            answers.get(&"key", Timestamp::UNIX_EPOCH, async {
                tokio::task::yield_now().await;
                asked.set(asked.get() + 1);
                Ok::<_, ()>(asked.get())
            })
        };
        assert_eq!(tokio::join!(get(), get()), (Ok(1), Ok(1)));
    }

    #[tokio::test]
    async fn a_clock_that_was_set_back_makes_answers_old() {
        let answers = Answers::lasting(Duration::from_mins(1));
        let later = Timestamp::UNIX_EPOCH + Duration::from_secs(10);
        assert_eq!(answers.get(&(), later, async { Ok::<_, ()>(1) }).await, Ok(1));
        assert_eq!(answers.get(&(), Timestamp::UNIX_EPOCH, async { Ok::<_, ()>(2) }).await, Ok(2));
    }

    #[test]
    fn missing_capacity_is_forgotten_after_three_minutes_and_later_if_it_is_still_missing() {
        let clock = clock();
        let unavailable = Unavailable::default();
        let (a, b) = (Mark::Subnet("subnet-a".to_owned()), Mark::Subnet("subnet-b".to_owned()));
        unavailable.mark(a.clone(), clock.now());
        unavailable.mark(b.clone(), clock.now());
        clock.advance(Duration::from_mins(2));
        unavailable.mark(b.clone(), clock.now());
        assert_eq!(unavailable.at(clock.now()), BTreeSet::from([a, b.clone()]));
        clock.advance(Duration::from_mins(1));
        assert_eq!(unavailable.at(clock.now()), BTreeSet::from([b]));
        clock.advance(Duration::from_mins(2));
        assert_eq!(unavailable.at(clock.now()), BTreeSet::new());
    }
}
