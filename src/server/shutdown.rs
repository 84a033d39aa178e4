//! How the webhook leaves: it says so, keeps answering while API servers take notice, then finishes what it has begun.

use std::time::Duration;

use tokio::sync::watch;

/// Where the webhook is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Answers calls.
    Serving,
    /// Not ready any more, but still accepts connections and answers: callers have not all taken notice.
    Leaving,
    /// Accepts nothing new and finishes the calls that it has accepted.
    Draining,
}

/// The phase, for all who must know it.
#[derive(Clone, Debug)]
pub struct Shutdown {
    phase: watch::Sender<Phase>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { phase: watch::Sender::new(Phase::Serving) }
    }
}

impl Shutdown {
    /// The current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Waits until this phase is reached.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so the channel cannot close.
        let _ = self.phase.subscribe().wait_for(|current| *current >= phase).await;
    }

    /// Leaves: not ready at once, no new connections after `delay`.
    pub async fn leave(&self, delay: Duration) {
        self.phase.send_replace(Phase::Leaving);
        tokio::time::sleep(delay).await;
        self.phase.send_replace(Phase::Draining);
    }
}
