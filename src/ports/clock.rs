//! The one place that reads the wall clock.

use jiff::Timestamp;

/// What time it is. Everything below the drivers takes `now` as an argument.
pub trait Clock: Send + Sync {
    /// The current moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct WallClock;

impl Clock for WallClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
