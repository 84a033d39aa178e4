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

/// A caller that has not finished its handshake by then is dropped.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// A connection on which no request's head arrives for so long is closed. Longer than API servers keep idle connections (90 s): a
/// request that meets a closing connection is a failed call, since it is not sent again.
const IDLE_AT_MOST: Duration = Duration::from_mins(2);
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
    match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
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
    builder.timer(TokioTimer::new()).header_read_timeout(IDLE_AT_MOST);
    let connection = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    // A caller that breaks off is not our error.
    let _ = watcher.watch(connection).await;
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_idles_as_long_as_api_servers_keep_it_still_answers() {
        let (mut caller, served) = tokio::io::duplex(4096);
        let graceful = GracefulShutdown::new();
        let router = Router::new().route("/", axum::routing::get(async || "ok"));
        tokio::spawn(speak(served, router, graceful.watcher()));
        for _ in 0..2 {
            caller.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let mut answer = vec![0; 4096];
            let length = caller.read(&mut answer).await.unwrap();
            assert!(answer.get(..length).unwrap().starts_with(b"HTTP/1.1 200"));
            tokio::time::sleep(Duration::from_secs(90)).await;
        }
    }
}
