//! The front: a small proxy that every call to the EC2 endpoint passes.
//!
//! It records each call with its arrival, and it gives `ClientToken` the meaning that EC2 gives it and moto does not:
//! the same token and parameters get the answer of the first call that succeeded, other parameters are refused. Tests let
//! things go wrong here ([`super::faults`]).

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinSet;

use super::faults::{Faults, InForce};
use super::ledger::{self, Launched, Lifetime};

/// One call, as the front saw it.
#[derive(Clone, Debug)]
pub struct Call {
    /// When its head had arrived.
    pub arrived: Instant,
    /// The same on the wall clock.
    pub arrived_at: SystemTime,
    /// How long the endpoint took; nothing while it has not answered.
    pub took: Option<Duration>,
    /// `CreateFleet`, `GetParameter`, or method and path where the protocol has no action.
    pub action: String,
    /// The form's parameters (EC2's and IAM's protocol); empty for others.
    pub parameters: BTreeMap<String, String>,
    /// The caller's name of itself.
    pub user_agent: String,
    /// The answer's HTTP status; nothing while there is none.
    pub status: Option<u16>,
    /// The instances that a launch has made.
    pub launched: Vec<Launched>,
}

#[derive(Debug, Default)]
struct Record {
    calls: Mutex<Vec<Call>>,
}

/// An answer that can be given again.
type Answer = (http::response::Parts, Bytes);

/// What was first sent with a token, and its answer once there is one.
#[derive(Debug)]
struct Tokened {
    parameters: BTreeMap<String, String>,
    answer: Arc<OnceCell<Answer>>,
}

#[derive(Debug)]
struct Shared {
    upstream: String,
    client: Client<HttpConnector, Full<Bytes>>,
    record: Record,
    tokens: Mutex<BTreeMap<(String, String), Tokened>>,
    changed: watch::Sender<u64>,
    faults: Faults,
}

/// A running front.
#[derive(Debug)]
pub struct Front {
    shared: Arc<Shared>,
    address: String,
    // Ends the accept loop and all connections when the front goes.
    _accepting: JoinSet<()>,
}

impl Front {
    /// Listens on a free loopback port and forwards to `upstream` (`127.0.0.1:PORT`).
    pub async fn start(upstream: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("listen for EC2 calls")?;
        let address = listener.local_addr().context("read the front's port")?.to_string();
        let shared = Arc::new(Shared {
            upstream,
            client: Client::builder(TokioExecutor::new()).build_http(),
            record: Record::default(),
            tokens: Mutex::default(),
            changed: watch::Sender::new(0),
            faults: Faults::default(),
        });
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { shared, address, _accepting: accepting })
    }

    /// `127.0.0.1:PORT`
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The endpoint's URL, for `AWS_ENDPOINT_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every call so far, in order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.shared.record.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every instance that was launched through the front, with its lifetime, in order of launch.
    #[must_use]
    pub fn lifetimes(&self) -> Vec<Lifetime> {
        ledger::lifetimes(&self.calls())
    }

    /// Keeps the answers to this action back once their effect took place, until the returned value goes.
    #[must_use]
    pub fn hold_answers(&self, action: &str) -> InForce {
        self.shared.faults.hold_answers(action)
    }

    /// Answers calls of this action with an error of this code, without effect, until the returned value goes.
    #[must_use]
    pub fn refuse(&self, action: &str, code: &str) -> InForce {
        self.shared.faults.refuse(action, code)
    }

    /// Shows machines another user data than they were launched with, until the returned value goes.
    #[must_use]
    pub fn rewrite_user_data(&self, rewrite: impl Fn(&str) -> String + Send + Sync + 'static) -> InForce {
        self.shared.faults.rewrite_user_data(Arc::new(rewrite))
    }

    /// Changes its value after each call that may have changed which instances exist.
    #[must_use]
    pub fn instances_changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        // Accepting is cancel-safe; so is joining what has ended.
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
        };
        let Ok((stream, _)) = stream else { continue };
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| {
                // In a task of its own: a caller that dies must not take back a call that is under way.
                let handling = tokio::spawn(Arc::clone(&shared).handle(request));
                async move {
                    Ok::<_, Infallible>(handling.await.unwrap_or_else(|_| failure(500, "the front failed")))
                }
            });
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Shared {
    async fn handle(self: Arc<Self>, request: http::Request<Incoming>) -> http::Response<Full<Bytes>> {
        let (arrived, arrived_at) = (Instant::now(), wall_clock());
        let (parts, body) = request.into_parts();
        let Ok(body) = body.collect().await else { return failure(400, "the request's body broke off") };
        let body = body.to_bytes();
        let parameters = form(&parts.headers, &body);
        let action = action(&parts, &parameters);
        let user_agent = header(&parts.headers, "user-agent");
        let call = Call {
            arrived,
            arrived_at,
            took: None,
            action: action.clone(),
            parameters: parameters.clone(),
            user_agent,
            status: None,
            launched: Vec::new(),
        };
        let position = self.record.add(call);

        let answered = match (self.faults.refusal(&action), parameters.get("ClientToken")) {
            (Some(code), _) => Err(query_error(&code, "Refused on purpose.")),
            (None, Some(token)) => self.once(&action, token, &parameters, parts, body).await,
            (None, None) => self.forward(parts, body).await,
        };
        let mut launched = Vec::new();
        let (status, answer) = match answered {
            Ok((parts, body)) => {
                if matches!(action.as_str(), "RunInstances" | "CreateFleet") {
                    launched = ledger::launched(&String::from_utf8_lossy(&body));
                }
                (parts.status, http::Response::from_parts(parts, Full::from(self.shown(&action, body))))
            }
            Err(response) => (response.status(), response),
        };
        self.record.finish(position, |call| {
            (call.status, call.took) = (Some(status.as_u16()), Some(arrived.elapsed()));
            call.launched = launched;
        });
        if matches!(action.as_str(), "RunInstances" | "CreateFleet" | "TerminateInstances") {
            self.changed.send_modify(|changes| *changes += 1);
        }
        self.faults.keep_back(&action).await;
        answer
    }

    /// The body as the caller shall see it.
    fn shown(&self, action: &str, body: Bytes) -> Bytes {
        if action != "DescribeInstanceAttribute" {
            return body;
        }
        self.faults.rewritten(&String::from_utf8_lossy(&body)).map_or(body, Bytes::from)
    }

    /// Forwards the first call with a token; later ones wait for its answer and get the same.
    async fn once(
        &self,
        action: &str,
        token: &str,
        parameters: &BTreeMap<String, String>,
        parts: http::request::Parts,
        body: Bytes,
    ) -> Result<Answer, http::Response<Full<Bytes>>> {
        let answer = {
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            let first = tokens
                .entry((action.to_owned(), token.to_owned()))
                .or_insert_with(|| Tokened { parameters: parameters.clone(), answer: Arc::default() });
            if first.parameters != *parameters {
                return Err(query_error(
                    "IdempotentParameterMismatch",
                    "The client token was used with other parameters before.",
                ));
            }
            Arc::clone(&first.answer)
        };
        let answered = answer.get_or_try_init(|| self.forward(parts, body)).await.cloned();
        if !matches!(&answered, Ok((head, _)) if head.status.is_success()) {
            // What failed has no effect to be repeated: the token is as good as new.
            let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
            tokens.remove(&(action.to_owned(), token.to_owned()));
        }
        answered
    }

    async fn forward(
        &self,
        mut parts: http::request::Parts,
        body: Bytes,
    ) -> Result<Answer, http::Response<Full<Bytes>>> {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let upstream = format!("http://{}{path}", self.upstream).parse();
        parts.uri = upstream.map_err(|_| failure(400, "the request's path is not a path"))?;
        let answer = self.client.request(http::Request::from_parts(parts, Full::from(body))).await;
        let (mut head, body) = answer.map_err(|error| failure(502, &error.to_string()))?.into_parts();
        let body = body.collect().await.map_err(|error| failure(502, &error.to_string()))?.to_bytes();
        // The body is whole here; its framing is this side's to choose.
        head.headers.remove(http::header::TRANSFER_ENCODING);
        head.headers.remove(http::header::CONNECTION);
        head.headers.remove(http::header::CONTENT_LENGTH);
        head.version = http::Version::HTTP_11;
        Ok((head, body))
    }
}

impl Record {
    fn add(&self, call: Call) -> usize {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.push(call);
        calls.len() - 1
    }

    fn finish(&self, position: usize, note: impl FnOnce(&mut Call)) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        calls.get_mut(position).map(note);
    }
}

fn form(headers: &http::HeaderMap, body: &[u8]) -> BTreeMap<String, String> {
    if header(headers, "content-type").starts_with("application/x-www-form-urlencoded") {
        form_urlencoded::parse(body).into_owned().collect()
    } else {
        BTreeMap::new()
    }
}

fn action(parts: &http::request::Parts, parameters: &BTreeMap<String, String>) -> String {
    if let Some(action) = parameters.get("Action") {
        return action.clone();
    }
    let target = header(&parts.headers, "x-amz-target");
    match target.rsplit_once('.') {
        Some((_, action)) => action.to_owned(),
        None => format!("{} {}", parts.method, parts.uri.path()),
    }
}

fn header(headers: &http::HeaderMap, name: &str) -> String {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
}

fn failure(status: u16, message: &str) -> http::Response<Full<Bytes>> {
    let mut response = http::Response::new(Full::from(message.to_owned()));
    *response.status_mut() = http::StatusCode::from_u16(status).unwrap_or(http::StatusCode::BAD_GATEWAY);
    response
}

/// An error as EC2's query protocol writes it.
fn query_error(code: &str, message: &str) -> http::Response<Full<Bytes>> {
    failure(
        400,
        &format!(
            "<Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
             <RequestID>00000000-0000-0000-0000-000000000000</RequestID></Response>"
        ),
    )
}

#[expect(clippy::disallowed_methods, reason = "the lab measures; it decides nothing")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}
