//! The accept loops: TLS for the webhook, plain HTTP for health.
//!
//! They are our own because a listener that closes at the first sign of shutdown refuses calls from API servers that have
//! not taken notice yet, and because handshakes, headers and connections need limits. HTTP/1.1 only: API servers speak
//! nothing else to a Service.
//!
//! Anybody in the pod network can reach the port where no network policy is enforced, and API servers have no address that could be told
//! from a pod's. So no limit here trusts an address: one address can have half of the connections, and none can make a
//! connection cost more than its buffers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;

use super::peers::Peers;
use super::shutdown::{Phase, Shutdown};

/// A caller that has not finished its handshake by then is dropped.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(5);
/// A connection on which no request's head arrives for so long is closed. Longer than API servers keep idle connections (90 s): a
/// request that meets a closing connection is a failed call, since it is not sent again.
const IDLE_AT_MOST: Duration = Duration::from_mins(2);
/// More connections wait to be accepted. An API server keeps at most 25 idle ones to a host, and has by default at most 600 requests in
/// flight, of which a webhook sees few at a time.
const CONNECTIONS: usize = 1024;
/// More connections of one address are closed at once. API servers may share an address (konnectivity, a node's own), so this is far
/// above what one of them needs.
const CONNECTIONS_OF_ONE: usize = CONNECTIONS / 2;
/// A request's head that is larger is refused (431); hyper's own bound is some 400 KiB for each connection. API servers send less than 1 KiB.
const HEAD_AT_MOST: usize = 16 * 1024;
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
    let speaker = Speaker { acceptor: tls.map(TlsAcceptor::from), router, shutdown: shutdown.clone() };
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    let peers = Peers::new(CONNECTIONS_OF_ONE);
    let mut connections = JoinSet::new();
    loop {
        let slot = Arc::clone(&free).acquire_owned();
        let accepted = async {
            let slot = slot.await;
            (listener.accept().await, slot)
        };
        let (accepted, slot) = tokio::select! {
            // A slot that was waited for is given back when another arm comes first; a connection is either accepted
            // and returned, or still in the listener's queue.
            accepted = accepted => accepted,
            Some(_) = connections.join_next() => continue,
            () = shutdown.reached(Phase::Draining) => break,
        };
        match accepted {
            Ok((stream, caller)) => speaker.take(&mut connections, &peers, (stream, caller), slot.ok()),
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(RECOVERY).await;
            }
        }
    }
    for stream in queued(listener) {
        let Ok(slot) = Arc::clone(&free).try_acquire_owned() else { break };
        speaker.take(&mut connections, &peers, stream, Some(slot));
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
    /// Serves the connection beside the others, if its address has not too many.
    fn take(
        &self,
        connections: &mut JoinSet<()>,
        peers: &Peers,
        (stream, caller): (TcpStream, SocketAddr),
        slot: Option<OwnedSemaphorePermit>,
    ) {
        let Some(place) = peers.admit(caller.ip()) else {
            tracing::debug!(%caller, "the connection is closed: its address has {CONNECTIONS_OF_ONE} others");
            return;
        };
        let speaker = self.clone();
        connections.spawn(async move {
            let _held = (slot, place);
            speaker.connection(stream, caller).await;
        });
    }

    async fn connection(self, stream: TcpStream, caller: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let Some(acceptor) = self.acceptor.clone() else { return self.speak(stream).await };
        match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => tracing::debug!(%caller, %error, "the TLS handshake failed"),
            Err(_) => tracing::debug!(%caller, "the TLS handshake took too long"),
        }
    }

    async fn speak<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self { router, shutdown, .. } = self;
        let asked = watch::Sender::new(false);
        let mut has_asked = asked.subscribe();
        let router = TowerToHyperService::new(router);
        let service = service_fn(move |request| {
            asked.send_replace(true);
            router.call(request)
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
            () = leave => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = connection.await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::ClientConfig;
    use tokio_rustls::rustls::RootCertStore;
    use tokio_rustls::rustls::crypto::aws_lc_rs;

    use super::*;
    use crate::ports::clock::{Clock, WallClock};
    use crate::tls::authority::Authority;
    use crate::tls::serving::Serving;
    use crate::tls::trust::certificates;

    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";

    fn router() -> Router {
        Router::new().route("/", axum::routing::get(async || "ok"))
    }

    /// A connection that is served in memory.
    fn connection() -> DuplexStream {
        let (caller, served) = tokio::io::duplex(1024 * 1024);
        let speaker = Speaker { acceptor: None, router: router(), shutdown: Shutdown::default() };
        tokio::spawn(speaker.speak(served));
        caller
    }

    async fn answer(caller: &mut (impl AsyncRead + Unpin)) -> String {
        let mut answer = vec![0; 4096];
        let length = caller.read(&mut answer).await.unwrap();
        answer.truncate(length);
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_idles_as_long_as_api_servers_keep_it_still_answers() {
        let mut caller = connection();
        for _ in 0..2 {
            caller.write_all(REQUEST).await.unwrap();
            assert!(answer(&mut caller).await.starts_with("HTTP/1.1 200"));
            tokio::time::sleep(Duration::from_secs(90)).await;
        }
    }

    #[tokio::test]
    async fn a_head_without_end_is_refused() {
        let filler = "a".repeat(HEAD_AT_MOST);
        let many = vec!["h: x"; HEADERS_AT_MOST + 1].join("\r\n");
        for head in [format!("x: {filler}"), many] {
            let mut caller = connection();
            caller
                .write_all(format!("GET / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n").as_bytes())
                .await
                .unwrap();
            let answer = answer(&mut caller).await;
            assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_caller_that_has_connected_before_the_drain_is_still_answered() {
        let now = WallClock.now();
        let authority = Authority::generate(now).unwrap();
        let serving = Arc::new(Serving::default());
        serving.serve(authority.issue(&["127.0.0.1".to_owned()], now).unwrap()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, tls) = (Shutdown::default(), Arc::new(serving.tls_settings().unwrap()));
        let served =
            tokio::spawn(serve(listener, Some(tls), router(), shutdown.clone(), Duration::from_secs(20)));

        let early = TcpStream::connect(address).await.unwrap();
        shutdown.leave(Duration::ZERO).await;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(certificates(&authority.bundle));
        let provider = Arc::new(aws_lc_rs::default_provider());
        let settings = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let settings = settings.unwrap().with_root_certificates(roots).with_no_client_auth();
        let name = "127.0.0.1".try_into().unwrap();
        let mut caller = TlsConnector::from(Arc::new(settings)).connect(name, early).await.unwrap();
        caller.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut caller).await.starts_with("HTTP/1.1 200"));
        served.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
