//! When a write that failed may be tried again.
//!
//! What keeps a write from succeeding (a permission, a rule of the API server) may last, and the caches change all the while: without a wait
//! of its own, each change would repeat it.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::lifecycle::backoff;

/// After the first failure; doubled with each further one.
const FIRST: Duration = Duration::from_secs(2);
/// The longest wait.
const MOST: Duration = Duration::from_mins(1);

/// The objects whose last write failed, by name.
#[derive(Debug, Default)]
pub struct Retries {
    failures: BTreeMap<String, Failure>,
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    count: u32,
    until: Instant,
}

impl Retries {
    /// Whether the object may be written.
    #[must_use]
    pub fn may_write(&self, name: &str, now: Instant) -> bool {
        self.failures.get(name).is_none_or(|failure| failure.until <= now)
    }

    /// Takes note of how a write went. Returns how long to wait after a failure.
    pub fn note(&mut self, name: &str, has_succeeded: bool, now: Instant) -> Duration {
        if has_succeeded {
            self.failures.remove(name);
            return Duration::ZERO;
        }
        let failure = self.failures.entry(name.to_owned()).or_insert(Failure { count: 0, until: now });
        let count = failure.count.saturating_add(1);
        let wait = FIRST.saturating_mul(backoff::factor(count)).min(MOST);
        *failure = Failure { count, until: now + wait };
        wait
    }

    /// Forgets the objects that are not there any more.
    pub fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.failures.retain(|name, _| is_there(name));
    }

    /// Waits until the next object may be written again; for ever if no write has failed.
    pub async fn due(&self) {
        match self.failures.values().map(|failure| failure.until).min() {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wait_of_an_object_doubles_up_to_a_minute_and_ends_with_its_success() {
        let mut retries = Retries::default();
        let mut waits = Vec::new();
        for _ in 0..7 {
            waits.push(retries.note("a", false, Instant::now()).as_secs());
            assert!(!retries.may_write("a", Instant::now()) && retries.may_write("b", Instant::now()));
            retries.due().await;
            assert!(retries.may_write("a", Instant::now()));
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
        retries.note("a", true, Instant::now());
        assert_eq!(retries.note("a", false, Instant::now()).as_secs(), 2);
        retries.retain(|name| name != "a");
        let due = tokio::time::timeout(Duration::from_hours(1), retries.due()).await;
        assert!(due.is_err(), "nothing has failed");
    }
}
