//! Being asked to end: Ctrl-C or SIGTERM.

use anyhow::{Context, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The requests to end that reach this process from the moment this value exists.
#[derive(Debug)]
pub struct EndRequests {
    interrupt: Signal,
    terminate: Signal,
}

impl EndRequests {
    /// From now on Ctrl-C and SIGTERM are heard here instead of ending the process.
    pub fn listen() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt()).context("listen for Ctrl-C")?,
            terminate: signal(SignalKind::terminate()).context("listen for SIGTERM")?,
        })
    }

    /// Waits for the next request.
    pub async fn next(&mut self) {
        tokio::select! {
            // Both only wait for a signal, which stays pending when the other comes first.
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
