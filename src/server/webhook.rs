//! `/mutate` and `/validate`, and the same with `/typed` behind: HTTP in, a judge's answer out.
//!
//! The webhook configurations call the typed paths for namespaces that carry the label of a type. So the path says what the API server
//! itself knows of the namespace, and a cache that is behind cannot make a typed pod a typeless one.
//!
//! Every way for a call to go wrong has an answer of its own, and none is an allow: a body that is no review is 400, one that does
//! not say how long it is 411, one that is too large 413, no room, a body that does not arrive or no answer in time 503, a panic 500.
//! These are failed calls: the API server does what the configuration's `failurePolicy` says.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::FutureExt;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Bytes;
use tokio::time::Instant;

use super::connections::Caller;
use super::review::{self, Answer};
use super::room::{Room, SHARES, Taken};
use super::shutdown::{Phase, Shutdown};
use crate::admission::question::Endpoint;

/// The largest body read: two objects at the API server's own limit of 3 MiB, and what is around them.
pub const BODY_LIMIT: usize = 7 * 1024 * 1024;
/// Large bodies in flight together: memory stays bounded whatever is sent.
const LARGE_BYTES_IN_FLIGHT: usize = 6 * BODY_LIMIT;
/// Small bodies in flight together. Pods are among them: they have room of their own, however many large bodies are on their way.
const SMALL_BYTES_IN_FLIGHT: usize = 2 * BODY_LIMIT;
/// What an API server waits for when it does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Of one address, any body has room in either.
const _: () =
    assert!(SMALL_BYTES_IN_FLIGHT / SHARES >= LARGE && LARGE_BYTES_IN_FLIGHT / SHARES >= BODY_LIMIT);
/// So long a call waits for room at most: who calls still has time to do so again, and to hear why not.
const ROOM_WITHIN: Duration = Duration::from_millis(900);
/// A body has so long for each quarter of it, and nothing of it may stay out for longer: API servers send at once, and whoever does not must
/// not hold room for long.
const QUARTER_WITHIN: Duration = Duration::from_millis(500);
/// The API server's clock starts before ours and ends sooner than it says: our own answer must still reach it.
const MARGIN: Duration = Duration::from_millis(300);
/// Larger reviews share the room for large ones, and are judged beside the event loop.
const LARGE: usize = 256 * 1024;
/// Who calls where no listener says so: all of them together.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// What a path says about the call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which of the two webhooks asks.
    pub endpoint: Endpoint,
    /// Whether the API server saw the label of a type on the request's namespace.
    pub is_typed: bool,
}

/// What was decided about a review, and which it was.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// The request's id; the answer must carry it.
    pub uid: String,
    /// What the API server is told.
    pub answer: Answer,
}

/// Who decides about a review.
pub trait Judge: Send + Sync + 'static {
    /// Judges the review in this body. May wait for what it must look up; the caller bounds the time.
    fn judge(self: Arc<Self>, route: Route, body: Bytes)
    -> BoxFuture<'static, Result<Judgement, JudgeError>>;
}

/// The request cannot be judged: a failed call, not an answer.
#[derive(Debug, thiserror::Error)]
pub enum JudgeError {
    /// The body is not a review.
    #[error("{0}")]
    BadRequest(String),
    /// What the answer depends on is not known yet.
    #[error("{0}")]
    NotReady(String),
    /// What the answer depends on could not be found out.
    #[error("{0}")]
    Lookup(String),
}

struct Webhook {
    judge: Arc<dyn Judge>,
    shutdown: Shutdown,
    room_for_small: Room,
    room_for_large: Room,
}

/// The routes.
pub fn router(judge: Arc<dyn Judge>, shutdown: Shutdown) -> Router {
    let webhook = Arc::new(Webhook {
        judge,
        shutdown,
        room_for_small: Room::new(SMALL_BYTES_IN_FLIGHT),
        room_for_large: Room::new(LARGE_BYTES_IN_FLIGHT),
    });
    let route = |endpoint, is_typed| {
        let route = Route { endpoint, is_typed };
        post(async move |State(webhook), request| handle(webhook, route, request).await)
    };
    Router::new()
        .route("/mutate", route(Endpoint::Mutate, false))
        .route("/mutate/typed", route(Endpoint::Mutate, true))
        .route("/validate", route(Endpoint::Validate, false))
        .route("/validate/typed", route(Endpoint::Validate, true))
        .with_state(webhook)
}

async fn handle(webhook: Arc<Webhook>, route: Route, request: HttpRequest) -> Response {
    let timeout = timeout_of(request.uri().query().unwrap_or_default());
    let answered = AssertUnwindSafe(webhook.answer(route, request)).catch_unwind();
    let mut response = match tokio::time::timeout(timeout, answered).await {
        Ok(Ok(Ok(body))) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Ok(Ok(Err(failure))) => failure.into_response(),
        Ok(Err(_)) => Failure::Panic.into_response(),
        Err(_) => Failure::TooLate.into_response(),
    };
    if webhook.shutdown.phase() > Phase::Serving {
        // The caller's next request should open a connection, to another replica.
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

impl Webhook {
    async fn answer(&self, route: Route, request: HttpRequest) -> Result<Vec<u8>, Failure> {
        let (body, room) = self.read(request).await?;
        let size = body.len();
        let judging = Arc::clone(&self.judge).judge(route, body);
        let judged = if size > LARGE {
            let runtime = tokio::runtime::Handle::current();
            // The room is held for as long as the body is, also when nobody waits for the answer any more.
            let judged = tokio::task::spawn_blocking(move || (runtime.block_on(judging), room).0).await;
            judged.map_err(|_| Failure::Panic)?
        } else {
            let judged = judging.await;
            drop(room);
            judged
        };
        let Judgement { uid, answer } = judged.map_err(|error| match error {
            JudgeError::BadRequest(message) => Failure::BadRequest(message),
            JudgeError::NotReady(message) => Failure::NotReady(message),
            JudgeError::Lookup(message) => Failure::Lookup(message),
        })?;
        review::write(&uid, &answer).map_err(|_| Failure::Panic)
    }

    /// Reads a body within the limits. Room for the whole of it is taken before the first byte is.
    async fn read(&self, request: HttpRequest) -> Result<(Bytes, Taken), Failure> {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let length = length.ok_or(Failure::LengthMissing)?.max(1);
        if length > BODY_LIMIT {
            return Err(Failure::TooLarge);
        }
        let bytes = u32::try_from(length).map_err(|_| Failure::TooLarge)?;
        let capacity = if length > LARGE { &self.room_for_large } else { &self.room_for_small };
        let caller = request.extensions().get().map_or(UNKNOWN, |Caller(address)| *address);
        let taken = tokio::time::timeout(ROOM_WITHIN, capacity.take(caller, bytes)).await;
        let taken = taken.ok().and_then(Result::ok).ok_or(Failure::NoRoom)?;
        Ok((read_steadily(request.into_body(), length).await?, taken))
    }
}

/// Reads a body of this length for as long as it arrives steadily.
async fn read_steadily(body: Body, length: usize) -> Result<Bytes, Failure> {
    let begun = Instant::now();
    let mut body = Limited::new(body, length);
    let mut read = Vec::with_capacity(length);
    loop {
        // The end of a body that is there already belongs to its last quarter.
        let next_quarter = (read.len() * 4 / length).min(3) + 1;
        let due = begun + QUARTER_WITHIN.saturating_mul(u32::try_from(next_quarter).unwrap_or(1));
        let due = due.min(Instant::now() + QUARTER_WITHIN);
        match tokio::time::timeout_at(due, body.frame()).await.map_err(|_| Failure::Stalled)? {
            None => return Ok(read.into()),
            Some(Ok(frame)) => read.extend(frame.into_data().unwrap_or_default()),
            Some(Err(error)) if error.is::<LengthLimitError>() => return Err(Failure::TooLarge),
            Some(Err(error)) => return Err(Failure::BadRequest(format!("the body broke off: {error}"))),
        }
    }
}

/// A failed call.
#[derive(Debug)]
enum Failure {
    BadRequest(String),
    LengthMissing,
    TooLarge,
    NoRoom,
    Stalled,
    TooLate,
    NotReady(String),
    Lookup(String),
    Panic,
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, message),
            Self::LengthMissing => {
                (StatusCode::LENGTH_REQUIRED, "the call does not say how long the review is".to_owned())
            }
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, format!("the review is larger than {BODY_LIMIT} bytes"))
            }
            Self::NoRoom => {
                let message = "there is no room for the review: too many are being read; try again";
                (StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
            }
            Self::Stalled => {
                let message = "the review did not arrive: its bytes came too slowly or not at all; try again";
                (StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
            }
            Self::TooLate => (StatusCode::SERVICE_UNAVAILABLE, "no answer in time".to_owned()),
            Self::NotReady(message) => (StatusCode::SERVICE_UNAVAILABLE, message),
            Self::Lookup(message) => (StatusCode::INTERNAL_SERVER_ERROR, message),
            Self::Panic => (StatusCode::INTERNAL_SERVER_ERROR, "the review could not be judged".to_owned()),
        };
        tracing::warn!(status = status.as_u16(), message, "a review was not answered");
        (status, message).into_response()
    }
}

/// When to answer at the latest: the time that the API server gives (`?timeout=3s`), less what its answer needs to arrive.
fn timeout_of(query: &str) -> Duration {
    let given = query.split('&').find_map(|pair| pair.strip_prefix("timeout="));
    let seconds = given.and_then(|text| text.strip_suffix('s')?.parse::<u64>().ok());
    let given = seconds.map_or(DEFAULT_TIMEOUT, Duration::from_secs);
    given.clamp(Duration::from_secs(1), DEFAULT_TIMEOUT).saturating_sub(MARGIN)
}

#[cfg(test)]
mod tests;
