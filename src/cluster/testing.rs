//! An API server as a script: answers each call by a function, and keeps what it was asked.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::service_fn;

/// A call: `PATCH /api/v1/nodes/n1`, its query and its body.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) line: String,
    pub(crate) query: String,
    pub(crate) body: Value,
}

/// What was asked, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    /// Everything since the last time.
    pub(crate) fn take(&self) -> Vec<Call> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// The lines of [`Self::take`].
    pub(crate) fn lines(&self) -> Vec<String> {
        self.take().into_iter().map(|call| call.line).collect()
    }
}

/// A client of an API server that answers with a code and an object. To be made inside a runtime.
pub(crate) fn api_server(
    answer: impl Fn(&Call) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> (Client, Calls) {
    slow_api_server(|_| Duration::ZERO, answer)
}

/// One that takes its time for a call.
pub(crate) fn slow_api_server(
    time: impl Fn(&Call) -> Duration + Clone + Send + Sync + 'static,
    answer: impl Fn(&Call) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> (Client, Calls) {
    serve(time, move |call| {
        let (code, body) = answer(call);
        (code, body.to_string())
    })
}

/// One that answers with a text, such as the events of a watch. Each watch takes a second: a clock that is paused goes on only while nobody asks.
pub(crate) fn text_api_server(
    answer: impl Fn(&Call) -> (u16, String) + Clone + Send + Sync + 'static,
) -> (Client, Calls) {
    let time = |call: &Call| Duration::from_secs(call.query.contains("watch=true").into());
    serve(time, answer)
}

fn serve(
    time: impl Fn(&Call) -> Duration + Clone + Send + Sync + 'static,
    answer: impl Fn(&Call) -> (u16, String) + Clone + Send + Sync + 'static,
) -> (Client, Calls) {
    let calls = Calls::default();
    let kept = calls.clone();
    let service = service_fn(move |request: Request<Body>| {
        let (time, answer, kept) = (time.clone(), answer.clone(), kept.clone());
        async move {
            let line = format!("{} {}", request.method(), request.uri().path());
            let query = request.uri().query().unwrap_or_default().to_owned();
            let body = request.into_body().collect().await.unwrap().to_bytes();
            let call = Call { line, query, body: serde_json::from_slice(&body).unwrap_or_default() };
            let (code, body) = answer(&call);
            let time = time(&call);
            kept.0.lock().unwrap().push(call);
            if !time.is_zero() {
                tokio::time::sleep(time).await;
            }
            let body = Body::from(body.into_bytes());
            Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
        }
    });
    (Client::new(service, "default"), calls)
}

/// The answer to a call that fails.
pub(crate) fn refusal(code: u16, message: &str) -> (u16, Value) {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        _ => "",
    };
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code });
    (code, status)
}
