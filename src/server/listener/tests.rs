use futures::future::BoxFuture;
use hyper::body::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::crypto::aws_lc_rs;

use super::*;
use crate::ports::clock::{Clock, WallClock};
use crate::server::review::Answer;
use crate::server::webhook::{self, Judge, JudgeError, Judgement, Route};
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
    let place = Connections::new(Limits { in_all: 1, of_one: 1 }).admit([127, 0, 0, 1].into()).unwrap();
    tokio::spawn(speaker.speak(served, place));
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

/// Serves up to so many connections on a port of its own, plainly.
async fn server(in_all: usize, router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let limits = Limits { in_all, of_one: in_all };
    tokio::spawn(serve_within(limits, listener, None, router, Shutdown::default(), Duration::ZERO));
    address
}

#[tokio::test]
async fn connections_that_only_idle_keep_nobody_out_and_those_in_use_are_kept() {
    let address = server(64, router()).await;
    let mut used = TcpStream::connect(address).await.unwrap();
    let mut idle = Vec::new();
    for _ in 0..5 {
        for _ in 0..63 {
            idle.push(TcpStream::connect(address).await.unwrap());
        }
        used.write_all(REQUEST).await.unwrap();
        assert!(answer(&mut used).await.starts_with("HTTP/1.1 200"));
    }
    let mut late = TcpStream::connect(address).await.unwrap();
    late.write_all(REQUEST).await.unwrap();
    assert!(answer(&mut late).await.starts_with("HTTP/1.1 200"));
    let mut byte = [0];
    for stream in idle.iter_mut().take(4 * 63) {
        assert_eq!(stream.read(&mut byte).await.unwrap_or_default(), 0, "the longest idle are closed");
    }
    let kept = idle.last_mut().unwrap();
    kept.write_all(REQUEST).await.unwrap();
    assert!(answer(kept).await.starts_with("HTTP/1.1 200"), "the latest are not");
}

#[tokio::test]
async fn a_call_in_progress_keeps_its_connection_and_others_wait_for_it() {
    let (gate, begun) = (watch::Sender::new(false), Arc::new(tokio::sync::Notify::new()));
    let (opened, begins) = (gate.subscribe(), Arc::clone(&begun));
    let slow = axum::routing::get(move || {
        let mut opened = opened.clone();
        begins.notify_one();
        async move {
            let _ = opened.wait_for(|opened| *opened).await;
            "ok"
        }
    });
    let address = server(1, Router::new().route("/", slow)).await;
    let mut busy = TcpStream::connect(address).await.unwrap();
    busy.write_all(REQUEST).await.unwrap();
    begun.notified().await;
    let mut next = TcpStream::connect(address).await.unwrap();
    next.write_all(REQUEST).await.unwrap();
    let mut byte = [0];
    let early = tokio::time::timeout(Duration::from_millis(50), busy.read(&mut byte)).await;
    assert!(early.is_err(), "it is neither answered nor closed");
    gate.send_replace(true);
    assert!(answer(&mut busy).await.starts_with("HTTP/1.1 200"));
    assert!(answer(&mut next).await.starts_with("HTTP/1.1 200"));
}

/// Answers every review at once.
struct Willing;

impl Judge for Willing {
    fn judge(self: Arc<Self>, _: Route, _: Bytes) -> BoxFuture<'static, Result<Judgement, JudgeError>> {
        Box::pin(async { Ok(Judgement { uid: "u".to_owned(), answer: Answer::default() }) })
    }
}

#[tokio::test]
async fn a_call_from_another_address_is_answered_in_time_while_bodies_are_never_sent() {
    let address = server(1024, webhook::router(Arc::new(Willing), Shutdown::default())).await;
    let connect = async |from: &str| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(from.parse().unwrap()).unwrap();
        socket.connect(address).await.unwrap()
    };
    let head = |timeout: u8, length: usize| {
        format!("POST /validate?timeout={timeout}s HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n")
    };
    let mut attackers = Vec::new();
    for _ in 0..512 {
        let mut stream = connect("127.0.0.1:0").await;
        stream.write_all(head(10, 256 * 1024).as_bytes()).await.unwrap();
        attackers.push(stream);
    }
    let mut innocent = connect("127.0.0.2:0").await;
    innocent.write_all(format!("{}review", head(3, "review".len())).as_bytes()).await.unwrap();
    let answered = answer(&mut innocent).await;
    assert!(answered.starts_with("HTTP/1.1 200"), "{answered}");
    // All that the attackers get is that they were refused.
    assert!(answer(&mut attackers[511]).await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn a_head_without_end_is_refused() {
    let filler = "a".repeat(HEAD_AT_MOST);
    let many = vec!["h: x"; HEADERS_AT_MOST + 1].join("\r\n");
    for head in [format!("x: {filler}"), many] {
        let mut caller = connection();
        caller.write_all(format!("GET / HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n").as_bytes()).await.unwrap();
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
