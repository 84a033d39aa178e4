//! `/mutate` and `/validate`, and the same with `/typed` behind: HTTP in, a judge's answer out.
//!
//! The webhook configurations call the typed paths for namespaces that carry the label of a type. So the path says what the API server
//! itself knows of the namespace, and a cache that is behind cannot make a typed pod a typeless one.
//!
//! Every way for a call to go wrong has an answer of its own, and none is an allow: a body that is no review is 400, one that does
//! not say how long it is 411, one that is too large 413, no capacity or no answer in time 503, a panic 500. These are
//! failed calls: the API server does what the configuration's `failurePolicy` says.

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
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::review::{self, Answer};
use super::shutdown::{Phase, Shutdown};
use crate::admission::decide::Endpoint;

/// The largest body read: two objects at the API server's own limit of 3 MiB, and what is around them.
pub const BODY_LIMIT: usize = 7 * 1024 * 1024;
/// Large bodies in flight together: memory stays bounded whatever is sent.
const LARGE_BYTES_IN_FLIGHT: usize = 6 * BODY_LIMIT;
/// Small bodies in flight together. Pods are among them: they have room of their own, however many large bodies are on their way.
const SMALL_BYTES_IN_FLIGHT: usize = 2 * BODY_LIMIT;
/// What an API server waits for when it does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// What is given to a caller to send its body: API servers send at once, and a slow caller must not hold room for long.
const BODY_WITHIN: Duration = Duration::from_secs(2);
/// The API server's clock starts before ours and ends sooner than it says: our own answer must still reach it.
const MARGIN: Duration = Duration::from_millis(300);
/// Larger reviews share the room for large ones, and are judged beside the event loop.
const LARGE: usize = 256 * 1024;

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
    room_for_small: Arc<Semaphore>,
    room_for_large: Arc<Semaphore>,
}

/// The routes.
pub fn router(judge: Arc<dyn Judge>, shutdown: Shutdown) -> Router {
    let webhook = Arc::new(Webhook {
        judge,
        shutdown,
        room_for_small: Arc::new(Semaphore::new(SMALL_BYTES_IN_FLIGHT)),
        room_for_large: Arc::new(Semaphore::new(LARGE_BYTES_IN_FLIGHT)),
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
    async fn read(&self, request: HttpRequest) -> Result<(Bytes, OwnedSemaphorePermit), Failure> {
        let length = request.headers().get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        let length = length.ok_or(Failure::LengthMissing)?;
        if length > BODY_LIMIT {
            return Err(Failure::TooLarge);
        }
        let capacity = if length > LARGE { &self.room_for_large } else { &self.room_for_small };
        let permits = u32::try_from(length.max(1)).map_err(|_| Failure::TooLarge)?;
        let room = Arc::clone(capacity).acquire_many_owned(permits).await;
        let room = room.map_err(|_| Failure::TooLate)?;
        let body: Body = request.into_body();
        let read = tokio::time::timeout(BODY_WITHIN, Limited::new(body, length.max(1)).collect()).await;
        match read.map_err(|_| Failure::TooLate)? {
            Ok(body) => Ok((body.to_bytes(), room)),
            Err(error) if error.is::<LengthLimitError>() => Err(Failure::TooLarge),
            Err(error) => Err(Failure::BadRequest(format!("the body broke off: {error}"))),
        }
    }
}

/// A failed call.
#[derive(Debug)]
enum Failure {
    BadRequest(String),
    LengthMissing,
    TooLarge,
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
