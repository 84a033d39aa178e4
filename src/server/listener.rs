//! The accept loops: TLS for the webhook, plain HTTP for health.
//!
//! They are our own because a listener that closes at the first sign of shutdown refuses calls from API servers that have
//! not taken notice yet, and because handshakes, headers and connections need limits. HTTP/1.1 only: API servers speak
//! nothing else to a Service.
//!
//! Anybody in the pod network can reach the port where no network policy is enforced, and API servers have no address that could be told
//! from a pod's. So no limit here trusts an address: one address can have half of the connections, none can make a
//! connection cost more than its buffers, and none can keep others out by holding connections: whoever has the most loses them first.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::connections::{Connections, Limits, Place};
use super::shutdown::{Phase, Shutdown};

/// A caller that has not finished its handshake by then is dropped.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// A connection on which no request's head arrives for so long is closed. Longer than API servers keep idle connections (90 s): a
/// request that meets a closing connection is a failed call, since it is not sent again.
const IDLE_AT_MOST: Duration = Duration::from_mins(2);
/// For one more, an idle one of the address that has the most is closed; where none is idle, it waits to be accepted. An API server keeps at
/// most 25 idle ones to a host, and has by default at most 600 requests in flight, of which a webhook sees few at a time.
const CONNECTIONS: usize = 1024;
/// For one more of the same address, one of its own is closed, or it is itself if none is idle. API servers may share an address
/// (konnectivity, a node's own), so this is far above what one of them needs.
const CONNECTIONS_OF_ONE: usize = CONNECTIONS / 2;
/// A request's head that is larger is refused (431); hyper's own bound is some 400 KiB for each connection. API servers send less than 1 KiB.
const HEAD_AT_MOST: usize = 16 * 1024;
/// A connection that is to make room has so long to say goodbye.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);
/// As many headers at most; API servers send seven.
const HEADERS_AT_MOST: usize = 64;
/// After an accept failed (mostly: out of file descriptors).
const RECOVERY: Duration = Duration::from_millis(100);

/// From the start of the drain, a connection that has not asked anything yet may still do so for this long: it was accepted, so its
/// first call is owed an answer.
const FIRST_CALL_WITHIN: Duration = Duration::from_secs(2);

/// Serves `router` on `listener`, over TLS if settings are given, until the shutdown has drained or its time is up.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    shutdown: Shutdown,
    drain_within: Duration,
) {
    let limits = Limits { in_all: CONNECTIONS, of_one: CONNECTIONS_OF_ONE };
    serve_within(limits, listener, tls, router, shutdown, drain_within).await;
}

async fn serve_within(
    limits: Limits,
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    shutdown: Shutdown,
    drain_within: Duration,
) {
    let speaker = Speaker { acceptor: tls.map(TlsAcceptor::from), router, shutdown: shutdown.clone() };
    let open = Connections::new(limits);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            // A connection is either accepted and returned, or still in the listener's queue.
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = shutdown.reached(Phase::Draining) => break,
        };
        match accepted {
            Ok((stream, caller)) => {
                tokio::select! {
                    // Both only wait. While all others have calls in progress, this one waits here and the rest in the listener's queue.
                    () = open.room() => {}
                    () = shutdown.reached(Phase::Draining) => {}
                }
                speaker.take(&mut connections, &open, (stream, caller));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(RECOVERY).await;
            }
        }
    }
    for stream in queued(listener) {
        speaker.take(&mut connections, &open, stream);
    }
    // Idle connections end at once, busy ones with their answer.
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(drain_within, drained).await.is_err() {
        tracing::warn!(connections = connections.len(), "some calls were not finished in time");
    }
}

/// Closes the listener and gives the connections that wait in its queue: to their callers they are open already.
fn queued(listener: TcpListener) -> impl Iterator<Item = (TcpStream, SocketAddr)> {
    let listener = listener.into_std().ok();
    // The listener does not block, so an empty queue is an error, and the end.
    let accept = move || listener.as_ref()?.accept().ok();
    std::iter::from_fn(accept).filter_map(|(stream, caller)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, caller))
    })
}

/// What every connection is served with.
#[derive(Clone)]
struct Speaker {
    acceptor: Option<TlsAcceptor>,
    router: Router,
    shutdown: Shutdown,
}

impl Speaker {
    /// Serves the connection beside the others, if there is a place for it.
    fn take(
        &self,
        connections: &mut JoinSet<()>,
        open: &Connections,
        (stream, caller): (TcpStream, SocketAddr),
    ) {
        let Some(place) = open.admit(caller.ip()) else {
            tracing::debug!(%caller, "the connection is closed: there are too many with calls in progress");
            return;
        };
        let speaker = self.clone();
        connections.spawn(async move { speaker.connection(stream, caller, place).await });
    }

    async fn connection(self, stream: TcpStream, caller: SocketAddr, place: Place) {
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = self.acceptor.clone() else { return self.speak(stream, place).await };
        let accepted = tokio::select! {
            accepted = tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)) => accepted,
            // A caller whose handshake is broken off has asked nothing.
            () = place.is_shed() => return,
        };
        match accepted {
            Ok(Ok(stream)) => self.speak(stream, place).await,
            Ok(Err(error)) => tracing::debug!(%caller, %error, "the TLS handshake failed"),
            Err(_) => tracing::debug!(%caller, "the TLS handshake took too long"),
        }
    }

    async fn speak<S>(self, stream: S, place: Place)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { router, shutdown, .. } = self;
        let asked = watch::Sender::new(false);
        let mut has_asked = asked.subscribe();
        let router = TowerToHyperService::new(router);
        let service = service_fn(|mut request: Request<Incoming>| {
            request.extensions_mut().insert(place.caller());
            asked.send_replace(true);
            let (call, answered) = (place.call(), router.call(request));
            async move {
                let answered = answered.await;
                drop(call);
                answered
            }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE_AT_MOST);
        builder.max_buf_size(HEAD_AT_MOST).max_headers(HEADERS_AT_MOST);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        let leave = async {
            shutdown.reached(Phase::Draining).await;
            let _ = tokio::time::timeout(FIRST_CALL_WITHIN, has_asked.wait_for(|has_asked| *has_asked)).await;
        };
        tokio::select! {
            // A caller that breaks off is not our error.
            _ = connection.as_mut() => return,
            () = place.is_shed() => {
                // It was idle a moment ago; a call that has been read since is answered.
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(GOODBYE_WITHIN, connection).await;
                return;
            }
            () = leave => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

#[cfg(test)]
mod tests;
