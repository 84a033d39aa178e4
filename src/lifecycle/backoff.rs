//! How long to wait before something is tried again.

use jiff::{SignedDuration, Timestamp};

/// After so many failures in a row: 1 s, 2 s, 4 s, … up to a minute.
#[must_use]
pub fn after(failures: u32) -> SignedDuration {
    doubled(SignedDuration::from_secs(1), failures, SignedDuration::from_mins(1))
}

/// After a pod could not be evicted so many times in a row: 100 ms, 200 ms, … up to 10 s.
#[must_use]
pub fn of_evictions(failures: u32) -> SignedDuration {
    doubled(SignedDuration::from_millis(100), failures, SignedDuration::from_secs(10))
}

/// `wait` after `moment`, or the end of time.
#[must_use]
pub fn later(moment: Timestamp, wait: SignedDuration) -> Timestamp {
    moment.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// After so many failures in a row: `first`, twice as long after each further one, and never longer than `most`.
#[must_use]
pub fn doubled(first: SignedDuration, failures: u32, most: SignedDuration) -> SignedDuration {
    first.saturating_mul(i32::try_from(factor(failures)).unwrap_or(i32::MAX)).min(most)
}

/// How many times as long as at first: twice as long with each failure in a row after the first.
#[must_use]
pub fn factor(failures: u32) -> u32 {
    2_u32.saturating_pow(failures.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_its_most() {
        let seconds = |failures| after(failures).as_secs();
        assert_eq!([0, 1, 2, 3, 6, 7, 8, 1000, u32::MAX].map(seconds), [1, 1, 2, 4, 32, 60, 60, 60, 60]);
        let millis = |failures| of_evictions(failures).as_millis();
        assert_eq!([1, 2, 7, 8, u32::MAX].map(millis), [100, 200, 6400, 10_000, 10_000]);
    }

    #[test]
    fn nothing_is_later_than_the_end_of_time() {
        assert_eq!(later(Timestamp::MAX, SignedDuration::from_secs(1)), Timestamp::MAX);
    }
}
