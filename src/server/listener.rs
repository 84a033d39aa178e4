//! The accept loops: TLS for the webhook, plain HTTP for health.
//!
//! They are our own because a listener that closes at the first sign of shutdown refuses calls from API servers that have
//! not taken notice yet, and because handshakes, headers and connections need limits. HTTP/1.1 only: API servers speak
//! nothing else to a Service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::shutdown::{Phase, Shutdown};

/// A caller that has not finished its handshake, or a request's head, by then is dropped.
const PATIENCE: Duration = Duration::from_secs(5);
/// More connections wait to be accepted. An API server keeps at most 25 idle ones to a host.
const CONNECTIONS: usize = 1024;
/// After an accept failed (mostly: out of file descriptors).
const RECOVERY: Duration = Duration::from_millis(100);

/// Serves `router` on `listener`, over TLS if settings are given, until the shutdown has drained or its time is up.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    shutdown: Shutdown,
    drain_within: Duration,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    loop {
        let slot = Arc::clone(&free).acquire_owned();
        let accepted = async {
            let slot = slot.await;
            (listener.accept().await, slot)
        };
        let (stream, slot) = tokio::select! {
            // A slot that was waited for is given back when another arm comes first; a connection is either accepted
            // and returned, or still in the listener's queue.
            accepted = accepted => accepted,
            Some(_) = connections.join_next() => continue,
            () = shutdown.reached(Phase::Draining) => break,
        };
        let (stream, caller) = match stream {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(RECOVERY).await;
                continue;
            }
        };
        let (acceptor, router, watcher) = (acceptor.clone(), router.clone(), graceful.watcher());
        connections.spawn(async move {
            let _slot = slot;
            connection(stream, caller, acceptor, router, watcher).await;
        });
    }
    drop(listener);
    // Idle connections end at once, busy ones with their answer.
    if tokio::time::timeout(drain_within, graceful.shutdown()).await.is_err() {
        tracing::warn!(connections = connections.len(), "some calls were not finished in time");
    }
}

async fn connection(
    stream: TcpStream,
    caller: SocketAddr,
    acceptor: Option<TlsAcceptor>,
    router: Router,
    watcher: Watcher,
) {
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = acceptor else { return speak(stream, router, watcher).await };
    match tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => speak(stream, router, watcher).await,
        Ok(Err(error)) => tracing::debug!(%caller, %error, "the TLS handshake failed"),
        Err(_) => tracing::debug!(%caller, "the TLS handshake took too long"),
    }
}

async fn speak<S>(stream: S, router: Router, watcher: Watcher)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A caller that breaks off is not our error.
    let _ = watcher.watch(connection).await;
}
