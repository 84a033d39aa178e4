//! Stands in for a Service: passes connections on to whichever backends are ready, by turns.
//!
//! Readiness is asked as a kubelet does, and taken up with a delay, as endpoints are: a backend that has just become unready
//! still gets connections for a moment. Who answers that it is not ready is believed at once; who does not answer may only be slow.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::wait;

const PROBE_EVERY: Duration = Duration::from_millis(100);
/// So many probes in a row may go without an answer before a backend counts as unready: a kubelet's default.
const UNANSWERED_PROBES: u32 = 3;

/// A backend: where it serves, and where it says whether it is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Connections go here.
    pub serves: SocketAddr,
    /// `GET /readyz` is asked here.
    pub probed: SocketAddr,
}

#[derive(Debug, Default)]
struct State {
    backends: Vec<Known>,
    turn: usize,
}

/// What is known of a backend.
#[derive(Debug)]
struct Known {
    backend: Backend,
    is_ready: bool,
    /// Probes without an answer since the last that had one.
    unanswered: u32,
}

impl Known {
    /// Takes up how a probe went: what the backend answered, if it did.
    fn probed(&mut self, answer: Option<bool>) {
        if let Some(is_ready) = answer {
            (self.is_ready, self.unanswered) = (is_ready, 0);
        } else {
            self.unanswered = self.unanswered.saturating_add(1);
            self.is_ready &= self.unanswered < UNANSWERED_PROBES;
        }
    }
}

/// A running balancer.
#[derive(Debug)]
pub struct Balancer {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    // Ends the loops and all connections when the balancer goes.
    _running: JoinSet<()>,
}

impl Balancer {
    /// Listens on a free loopback port, with no backend yet.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for the balancer")?;
        let address = listener.local_addr().context("read the balancer's port")?;
        let state = Arc::<Mutex<State>>::default();
        let mut running = JoinSet::new();
        running.spawn(accept(listener, Arc::clone(&state)));
        running.spawn(probe(Arc::clone(&state)));
        Ok(Self { address, state, _running: running })
    }

    /// Where to connect to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Adds a backend; it gets connections once it is ready.
    pub fn add(&self, backend: Backend) {
        lock(&self.state).backends.push(Known { backend, is_ready: false, unanswered: 0 });
    }

    /// Waits until the backend gets connections: it said that it is ready, and that was taken up here.
    pub async fn serves(&self, backend: Backend) -> Result<()> {
        let wait = async {
            while !lock(&self.state).backends.iter().any(|known| known.backend == backend && known.is_ready) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        wait::patiently(&format!("the balancer takes up that {} is ready", backend.serves), wait).await
    }

    /// Takes a backend away; its connections stay.
    pub fn remove(&self, backend: Backend) {
        lock(&self.state).backends.retain(|known| known.backend != backend);
    }
}

fn lock(state: &Mutex<State>) -> std::sync::MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, state: Arc<Mutex<State>>) {
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            // Accepting is cancel-safe; so is joining what has ended.
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((mut caller, _)) = stream else { continue };
        // A connection that finds no backend is closed, as one to a Service without endpoints is.
        let Some(backend) = next(&state) else { continue };
        connections.spawn(async move {
            let Ok(mut backend) = TcpStream::connect(backend).await else { return };
            let _ = (caller.set_nodelay(true), backend.set_nodelay(true));
            let _ = tokio::io::copy_bidirectional(&mut caller, &mut backend).await;
        });
    }
}

fn next(state: &Mutex<State>) -> Option<SocketAddr> {
    let mut state = lock(state);
    state.turn = state.turn.wrapping_add(1);
    let ready: Vec<_> =
        state.backends.iter().filter(|known| known.is_ready).map(|known| known.backend.serves).collect();
    ready.get(state.turn.checked_rem(ready.len())?).copied()
}

async fn probe(state: Arc<Mutex<State>>) {
    loop {
        let backends: Vec<_> = lock(&state).backends.iter().map(|known| known.backend).collect();
        for backend in backends {
            let answered = tokio::time::timeout(Duration::from_secs(1), is_ready(backend.probed)).await;
            let answer = answered.ok().and_then(Result::ok);
            if let Some(known) = lock(&state).backends.iter_mut().find(|known| known.backend == backend) {
                known.probed(answer);
            }
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
}

/// Whether `/readyz` answers 200. A connection that is closed before there is a status is no answer.
async fn is_ready(probed: SocketAddr) -> std::io::Result<bool> {
    let answer = readiness(probed).await?;
    match answer.strip_prefix("HTTP/1.1 ") {
        Some(status) => Ok(status.starts_with("200")),
        None => Err(std::io::ErrorKind::UnexpectedEof.into()),
    }
}

/// The whole answer of `/readyz`.
pub async fn readiness(probed: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(probed).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_says_that_it_is_unready_is_believed_at_once_and_who_is_silent_the_third_time() {
        let backend = Backend { serves: ([127, 0, 0, 1], 1).into(), probed: ([127, 0, 0, 1], 2).into() };
        let mut known = Known { backend, is_ready: false, unanswered: 0 };
        let mut after = |answer| {
            known.probed(answer);
            known.is_ready
        };
        assert!(!after(None));
        assert!(after(Some(true)));
        assert!(after(None) && after(None) && after(Some(true)));
        assert!(after(None) && after(None) && !after(None) && !after(None));
        assert!(after(Some(true)) && !after(Some(false)));
    }
}
