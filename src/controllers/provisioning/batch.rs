//! How long to gather pods before a plan is made: a lone pod is not kept waiting, a burst is planned as one. Pure.

use std::time::Duration;

/// A pod that comes alone is planned for after so long.
pub const LONE: Duration = Duration::from_millis(30);
/// Where more may come, the burst is over after a lull of so long.
pub const LULL: Duration = Duration::from_millis(80);
/// A burst is planned for after so long, however long it lasts. Karpenter's `BATCH_MAX_DURATION` is ten seconds.
pub const LONGEST: Duration = Duration::from_secs(1);

/// Pods that are gathered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch(Option<Window>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    since: Duration,
    /// When the last pod came.
    last: Duration,
    /// Whether one pod was followed by another, or is likely to be.
    is_burst: bool,
}

/// The pods that wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// How many there are.
    pub waiting: usize,
    /// Whether any of them is new since the last note.
    pub any_new: bool,
    /// Whether something made one of them that may be about to make others like it.
    pub has_maker: bool,
    /// Whether it has made others that the scheduler has not looked at yet.
    pub are_more_coming: bool,
}

impl Batch {
    /// Notes at `now` (any clock that does not go back) which pods wait.
    pub fn note(&mut self, now: Duration, crowd: Crowd) {
        let is_burst = crowd.waiting > 1 || crowd.has_maker;
        self.0 = match self.0 {
            _ if crowd.waiting == 0 => None,
            Some(window) => Some(Window {
                last: if crowd.any_new || crowd.are_more_coming { now } else { window.last },
                is_burst: window.is_burst || is_burst,
                ..window
            }),
            None => Some(Window { since: now, last: now, is_burst }),
        };
    }

    /// How long to go on gathering at `now`; nothing while no pod waits.
    #[must_use]
    pub fn remaining(&self, now: Duration) -> Option<Duration> {
        let Window { since, last, is_burst } = self.0?;
        let due = (last + if is_burst { LULL } else { LONE }).min(since + LONGEST);
        Some(due.saturating_sub(now))
    }

    /// The batch is planned for; the next one begins with the next pod.
    pub fn close(&mut self) {
        self.0 = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    const fn crowd(waiting: usize, any_new: bool) -> Crowd {
        Crowd { waiting, any_new, has_maker: false, are_more_coming: false }
    }

    #[test]
    fn a_lone_pod_is_planned_for_at_once() {
        let mut batch = Batch::default();
        assert_eq!(batch.remaining(ms(0)), None);
        batch.note(ms(100), crowd(1, true));
        assert_eq!(batch.remaining(ms(110)), Some(ms(20)));
        batch.note(ms(120), crowd(1, false));
        assert_eq!(batch.remaining(ms(130)), Some(ms(0)));
    }

    #[test]
    fn a_burst_is_planned_for_as_one_when_it_is_over() {
        let mut batch = Batch::default();
        batch.note(ms(100), crowd(1, true));
        batch.note(ms(120), crowd(2, true));
        assert_eq!(batch.remaining(ms(130)), Some(ms(70)));
        batch.note(ms(190), crowd(3, true));
        batch.note(ms(210), crowd(1, false));
        assert_eq!(batch.remaining(ms(210)), Some(ms(60)), "it was one, whatever became of its pods");
        let mut at_once = Batch::default();
        at_once.note(ms(0), crowd(2, true));
        assert_eq!(at_once.remaining(ms(0)), Some(LULL));
        let mut first = Batch::default();
        first.note(ms(0), Crowd { has_maker: true, ..crowd(1, true) });
        assert_eq!(first.remaining(ms(0)), Some(LULL), "the first of a Deployment is seldom the last");
    }

    #[test]
    fn a_burst_lasts_while_the_scheduler_has_not_looked_at_all_of_it() {
        let mut batch = Batch::default();
        let first = Crowd { has_maker: true, are_more_coming: true, ..crowd(1, true) };
        batch.note(ms(0), first);
        batch.note(ms(200), Crowd { any_new: false, ..first });
        assert_eq!(batch.remaining(ms(200)), Some(LULL));
        batch.note(ms(250), Crowd { any_new: false, are_more_coming: false, ..first });
        assert_eq!(batch.remaining(ms(250)), Some(ms(30)));
    }

    #[test]
    fn a_burst_that_does_not_end_is_planned_for_after_the_longest_time() {
        let mut batch = Batch::default();
        for now in (0..=1000).step_by(10) {
            batch.note(ms(now), crowd(2, true));
        }
        assert_eq!(batch.remaining(ms(1000)), Some(ms(0)));
        batch.close();
        assert_eq!(batch.remaining(ms(1000)), None);
    }

    #[test]
    fn pods_that_are_gone_again_are_not_waited_for() {
        let mut batch = Batch::default();
        batch.note(ms(0), crowd(1, true));
        batch.note(ms(10), crowd(0, false));
        assert_eq!(batch.remaining(ms(10)), None);
    }
}
