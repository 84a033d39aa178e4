//! How long to gather pods before a plan is made: a lone pod is not kept waiting, a burst is planned as one. Pure.

use std::time::Duration;

/// A pod that comes alone is planned for after so long; within a burst, pods follow each other faster than that.
pub const IDLE: Duration = Duration::from_millis(30);
/// A burst is planned for after so long, however long it lasts. Karpenter's `BATCH_MAX_DURATION` is ten seconds.
pub const LONGEST: Duration = Duration::from_secs(1);

/// Pods that are gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// Since when, and when the last pod came.
    window: Option<(Duration, Duration)>,
}

impl Batch {
    /// Notes at `now` (any clock that does not go back) whether pods wait, and whether any of them is new since the last note.
    pub fn note(&mut self, now: Duration, any_waits: bool, any_new: bool) {
        self.window = match self.window {
            _ if !any_waits => None,
            Some((since, last)) => Some((since, if any_new { now } else { last })),
            None => Some((now, now)),
        };
    }

    /// How long to go on gathering at `now`; nothing while no pod waits.
    #[must_use]
    pub fn remaining(&self, now: Duration) -> Option<Duration> {
        let (since, last) = self.window?;
        let due = (last + IDLE).min(since + LONGEST);
        Some(due.saturating_sub(now))
    }

    /// The batch is planned for; the next one begins with the next pod.
    pub fn close(&mut self) {
        self.window = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn a_lone_pod_is_planned_for_at_once_and_a_burst_as_one() {
        let mut batch = Batch::default();
        assert_eq!(batch.remaining(ms(0)), None);
        batch.note(ms(100), true, true);
        assert_eq!(batch.remaining(ms(110)), Some(ms(20)));
        batch.note(ms(120), true, false);
        assert_eq!(batch.remaining(ms(130)), Some(ms(0)));
        batch.note(ms(125), true, true);
        assert_eq!(batch.remaining(ms(130)), Some(ms(25)));
    }

    #[test]
    fn a_burst_that_does_not_end_is_planned_for_after_the_longest_time() {
        let mut batch = Batch::default();
        for now in (0..=1000).step_by(10) {
            batch.note(ms(now), true, true);
        }
        assert_eq!(batch.remaining(ms(1000)), Some(ms(0)));
        batch.close();
        assert_eq!(batch.remaining(ms(1000)), None);
    }

    #[test]
    fn pods_that_are_gone_again_are_not_waited_for() {
        let mut batch = Batch::default();
        batch.note(ms(0), true, true);
        batch.note(ms(10), false, false);
        assert_eq!(batch.remaining(ms(10)), None);
    }
}
