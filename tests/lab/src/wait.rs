//! Waiting for what is expected to happen, never without a limit: a test that waits in vain says for what.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::api::Api;
use kube::runtime::wait::{Condition, await_condition};

/// How long anything may take that nothing else bounds.
const PATIENCE: Duration = Duration::from_mins(2);
/// Between a watch that failed and the next.
const WATCHES_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Waits until the condition of an object holds.
///
/// A watch that fails, as while the API server is restarted, begins again.
pub async fn until<K>(limit: Duration, api: &Api<K>, name: &str, condition: impl Condition<K>) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let holds = |object: Option<&K>| condition.matches_object(object);
    let mut failure = None;
    let wait = async {
        while let Err(error) = await_condition(api.clone(), name, holds).await {
            failure = Some(error);
            tokio::time::sleep(WATCHES_AGAIN_AFTER).await;
        }
    };
    if tokio::time::timeout(limit, wait).await.is_ok() {
        return Ok(());
    }
    match failure {
        None => bail!("{name}: not within {limit:?}"),
        Some(error) => Err(error).with_context(|| format!("{name}: not within {limit:?}; the last failure")),
    }
}

/// Waits for what comes to an end by itself, and for two minutes at most.
pub async fn patiently<T>(what: &str, wait: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(PATIENCE, wait).await.with_context(|| format!("{what}: not within {PATIENCE:?}"))
}
