//! Liveness and readiness, on a plain port of their own.
//!
//! Alive means that the process answers; it never depends on the API server, or an outage there would restart every replica.
//! Ready means that a call would get a right answer; `/readyz` names what is still missing. What a person should know although
//! calls are answered stands there too, behind the `ok`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;

use super::shutdown::{Phase, Shutdown};

/// A condition of readiness: says what is missing, or nothing.
pub type Check = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What readiness depends on.
pub struct Readiness {
    checks: Vec<Check>,
    notes: Vec<Check>,
    shutdown: Shutdown,
}

impl Readiness {
    /// Ready when no check misses anything, until the shutdown begins.
    #[must_use]
    pub fn new(checks: Vec<Check>, shutdown: Shutdown) -> Arc<Self> {
        Self::with_notes(checks, Vec::new(), shutdown)
    }

    /// The same, with what people are told besides.
    #[must_use]
    pub fn with_notes(checks: Vec<Check>, notes: Vec<Check>, shutdown: Shutdown) -> Arc<Self> {
        Arc::new(Self { checks, notes, shutdown })
    }

    /// What is missing, every item.
    #[must_use]
    pub fn missing(&self) -> Vec<String> {
        let leaving = (self.shutdown.phase() > Phase::Serving).then(|| "shutting down".to_owned());
        leaving.into_iter().chain(self.checks.iter().filter_map(|check| check())).collect()
    }
}

/// `/healthz` and `/readyz`.
pub fn router(readiness: Arc<Readiness>) -> Router {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready)).with_state(readiness)
}

async fn ready(State(readiness): State<Arc<Readiness>>) -> (StatusCode, String) {
    let missing = readiness.missing();
    if missing.is_empty() {
        let notes = readiness.notes.iter().filter_map(|note| note());
        (StatusCode::OK, ["ok".to_owned()].into_iter().chain(notes).map(|line| line + "\n").collect())
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {}\n", missing.join("; ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn readiness_names_all_that_is_missing_and_ends_when_the_shutdown_begins() {
        let shutdown = Shutdown::default();
        let checks: Vec<Check> = vec![
            Box::new(|| Some("the namespaces are not listed yet".to_owned())),
            Box::new(|| None),
            Box::new(|| Some("no certificate".to_owned())),
        ];
        let readiness = Readiness::new(checks, shutdown.clone());
        let (status, text) = ready(State(readiness)).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(text, "not ready: the namespaces are not listed yet; no certificate\n");

        let readiness = Readiness::new(vec![], shutdown.clone());
        assert_eq!(ready(State(Arc::clone(&readiness))).await.0, StatusCode::OK);
        let notes: Vec<Check> = vec![Box::new(|| Some("the watch is broken".to_owned())), Box::new(|| None)];
        let broken = Readiness::with_notes(vec![], notes, shutdown.clone());
        assert_eq!(ready(State(broken)).await, (StatusCode::OK, "ok\nthe watch is broken\n".to_owned()));
        shutdown.leave(std::time::Duration::ZERO).await;
        assert_eq!(ready(State(readiness)).await.1, "not ready: shutting down\n");
    }
}
