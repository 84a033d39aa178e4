//! Stands in for a Service: passes connections on to whichever backends are ready, by turns.
//!
//! Readiness is asked as a kubelet does, and taken up with a delay, as endpoints are: a backend that has just become unready
//! still gets connections for a moment.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const PROBE_EVERY: Duration = Duration::from_millis(100);

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
    backends: Vec<(Backend, bool)>,
    turn: usize,
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
        lock(&self.state).backends.push((backend, false));
    }

    /// Waits until the backend gets connections: it said that it is ready, and that was taken up here.
    pub async fn serves(&self, backend: Backend) {
        while !lock(&self.state).backends.contains(&(backend, true)) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Takes a backend away; its connections stay.
    pub fn remove(&self, backend: Backend) {
        lock(&self.state).backends.retain(|(known, _)| *known != backend);
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
        state.backends.iter().filter(|(_, ready)| *ready).map(|(backend, _)| backend.serves).collect();
    ready.get(state.turn.checked_rem(ready.len())?).copied()
}

async fn probe(state: Arc<Mutex<State>>) {
    loop {
        let backends: Vec<_> = lock(&state).backends.iter().map(|(backend, _)| *backend).collect();
        for backend in backends {
            let answered = tokio::time::timeout(Duration::from_secs(1), is_ready(backend.probed)).await;
            let ready = answered.is_ok_and(|answer| answer.is_ok_and(|ready| ready));
            if let Some((_, known)) = lock(&state).backends.iter_mut().find(|(known, _)| *known == backend) {
                *known = ready;
            }
        }
        tokio::time::sleep(PROBE_EVERY).await;
    }
}

/// Whether `/readyz` answers 200.
pub async fn is_ready(probed: SocketAddr) -> std::io::Result<bool> {
    Ok(readiness(probed).await?.starts_with("HTTP/1.1 200"))
}

/// The whole answer of `/readyz`.
pub async fn readiness(probed: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(probed).await?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
