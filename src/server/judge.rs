//! The judge of reviews: looks up what the decision depends on, decides, and puts the verdict into the wire's words.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures::FutureExt;
use futures::future::BoxFuture;
use hyper::body::Bytes;
use tokio::sync::Semaphore;

use super::review::Answer;
use super::webhook::{Judge, JudgeError, Judgement, Route};
use crate::admission::decide::decide;
use crate::admission::missing::missing;
use crate::admission::policies::{Inventory, Policies};
use crate::admission::question::{Endpoint, Question};
use crate::admission::reference::Reference;
use crate::admission::review::{Kind, Review};
use crate::admission::standing::NamespaceLabels;
use crate::admission::verdict::Verdict;
use crate::api::labels;
use crate::api::names::is_dns_label;
use crate::cluster::cache::Cache;
use crate::model::text::Excerpt;
use crate::ports::clock::Clock;

/// The labels of a namespace.
pub type Labels = BTreeMap<String, String>;

/// Asks the API server itself for the labels of a namespace: nothing if there is none of the name, an error's text if it could not say.
pub type NamespaceLookup =
    Box<dyn Fn(String) -> BoxFuture<'static, Result<Option<Labels>, String>> + Send + Sync>;

/// Asks the API server itself for an object: nothing is in the inventory if there is none, an error's text if it could not say.
pub type ObjectLookup = Box<dyn Fn(Reference) -> BoxFuture<'static, Result<Inventory, String>> + Send + Sync>;

/// So long the API server has to answer for what an object names, the wait for others included; the webhook's own deadline is three seconds.
const OBJECTS_WITHIN: Duration = Duration::from_secs(1);
/// So many objects are asked for at a time, and for one review: people can name any number that are not there.
const OBJECTS_AT_ONCE: usize = 4;
/// So long the API server has to answer for a namespace, the wait for others included; the webhook's own deadline is three seconds, that of
/// `/mutate` two.
const NAMESPACE_WITHIN: Duration = Duration::from_secs(1);
/// So many namespaces are asked for at a time: whoever speaks to the port can name any number. Several times what a cluster makes in the moment
/// that the watch is behind.
const NAMESPACES_AT_ONCE: usize = 16;

/// How what the caches miss is looked up.
pub struct Lookups {
    /// Labels of namespaces.
    pub namespace: NamespaceLookup,
    /// Types, pools and classes.
    pub object: ObjectLookup,
}

/// Decides by the current policies.
pub struct PolicyJudge {
    policies: Arc<ArcSwapOption<Policies>>,
    namespaces: Cache<Labels>,
    lookups: Lookups,
    objects_at_once: Semaphore,
    namespaces_at_once: Semaphore,
    clock: Arc<dyn Clock>,
}

impl PolicyJudge {
    /// A judge that reads `policies` and `namespaces` at each decision, and looks up what it misses there.
    #[must_use]
    pub fn new(
        policies: Arc<ArcSwapOption<Policies>>,
        namespaces: Cache<Labels>,
        lookups: Lookups,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let objects_at_once = Semaphore::new(OBJECTS_AT_ONCE);
        let namespaces_at_once = Semaphore::new(NAMESPACES_AT_ONCE);
        Self { policies, namespaces, lookups, objects_at_once, namespaces_at_once, clock }
    }

    /// The policies with what the object names and they miss: one `kubectl apply` makes both, faster than the watch tells of the first.
    /// What could not be looked up may exist or not: a namespace is refused, and told that its type may; else nothing is said of it.
    async fn with_what_is_named(&self, policies: Arc<Policies>, review: &Review<'_>) -> Arc<Policies> {
        let mut named = missing(&policies, review);
        named.retain(|reference| is_object_name(reference.name()));
        if named.is_empty() {
            return policies;
        }
        let not_asked = named.split_off(named.len().min(OBJECTS_AT_ONCE));
        let all: Vec<_> = named.iter().chain(&not_asked).cloned().collect();
        let ask = async |reference: Reference| {
            let _turn = self.objects_at_once.acquire().await.map_err(|closed| closed.to_string())?;
            (self.lookups.object)(reference).await
        };
        let asked = futures::future::try_join_all(named.into_iter().map(ask));
        let asked = tokio::time::timeout(OBJECTS_WITHIN, asked).await;
        match asked.unwrap_or_else(|elapsed| Err(elapsed.to_string())) {
            Ok(found) => {
                let (now, policies) = (self.clock.now(), policies.doubting(not_asked));
                Arc::new(found.into_iter().fold(policies, |known, more| known.knowing(more, now)))
            }
            Err(error) => {
                let (kind, name) = (review.kind.noun(), &review.name);
                tracing::warn!(kind, name = %Excerpt(name), error, "what it names could not be looked up");
                Arc::new(policies.doubting(all))
            }
        }
    }

    /// What is known of a namespace. The cache may be behind: a pod follows its namespace by milliseconds, faster than the watch does,
    /// and a label may have been set or removed since. The API server is asked once then.
    async fn labels(&self, namespace: &str, is_typed: bool) -> Result<Option<Arc<Labels>>, JudgeError> {
        // Whoever speaks to the port chooses this text; only a name may become part of a request to the API server.
        if !is_dns_label(namespace) {
            return Ok(None);
        }
        let is_as_told = |labels: &Labels| labels.contains_key(labels::WORKLOAD_TYPE) == is_typed;
        if let Some(labels) = self.namespaces.get("", namespace).filter(|labels| is_as_told(labels)) {
            return Ok(Some(labels));
        }
        let ask = async {
            let _turn = self.namespaces_at_once.acquire().await.map_err(|closed| closed.to_string())?;
            (self.lookups.namespace)(namespace.to_owned()).await
        };
        let asked = tokio::time::timeout(NAMESPACE_WITHIN, ask).await;
        let found =
            asked.unwrap_or_else(|_| Err(format!("no answer within {} s", NAMESPACE_WITHIN.as_secs())));
        let found = found.map_err(|error| {
            JudgeError::Lookup(format!("namespace {namespace} could not be looked up: {error}; try again"))
        })?;
        if found.as_ref().is_some_and(|labels| !is_as_told(labels)) {
            // One of the API servers is behind. Which one cannot be told: a typed pod would be let through as a typeless one, or a
            // typeless one onto the nodes of a type that its namespace has no more.
            let (then, now) = if is_typed { ("was", "is not any more") } else { ("was not", "is now") };
            let label = labels::WORKLOAD_TYPE;
            return Err(JudgeError::Lookup(format!(
                "namespace {namespace} {then} labelled {label} when the call was made and {now}; try again"
            )));
        }
        Ok(found.map(Arc::new))
    }

    async fn decide(&self, route: Route, body: &[u8]) -> Result<Judgement, JudgeError> {
        let endpoint = route.endpoint;
        let policies = self.policies.load_full();
        let policies =
            policies.ok_or_else(|| JudgeError::NotReady("the policies are not made yet".to_owned()))?;
        let body = as_text(body);
        let review =
            Review::parse(body.as_bytes()).map_err(|error| JudgeError::BadRequest(describe(&error)))?;
        let policies = match endpoint {
            Endpoint::Validate => self.with_what_is_named(policies, &review).await,
            Endpoint::Mutate => policies,
        };
        let labels = match review.kind {
            Kind::Pod | Kind::Template(_) => self.labels(&review.namespace, route.is_typed).await?,
            // Their `namespace` is their own name, or nothing; no label of a namespace counts.
            Kind::Namespace | Kind::WorkloadType | Kind::NodePool | Kind::Ec2NodeClass | Kind::Other => None,
        };
        let namespace = labels.as_deref().map_or(NamespaceLabels::Unknown, NamespaceLabels::Known);
        let question = Question { endpoint, review: &review, namespace, now: self.clock.now() };
        let verdict = decide(&policies, &question);
        record(endpoint, &review, &verdict);
        Ok(Judgement { uid: review.uid.to_string(), answer: answer(verdict) })
    }
}

impl Judge for PolicyJudge {
    fn judge(
        self: Arc<Self>,
        route: Route,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Judgement, JudgeError>> {
        async move { self.decide(route, &body).await }.boxed()
    }
}

/// The body as text, as long as it is. Names in `managedFields` may hold bytes that are none, and nobody here reads them.
fn as_text(body: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = str::from_utf8(body) {
        return text.into();
    }
    let mut text = String::with_capacity(body.len());
    for chunk in body.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(std::iter::repeat_n('?', chunk.invalid().len()));
    }
    text.into()
}

/// Whether the text can be the name of a type, pool or class (RFC 1123): labels with dots between them.
fn is_object_name(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_dns_label)
}

fn describe(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", describe(source)),
        None => error.to_string(),
    }
}

fn answer(verdict: Verdict) -> Answer {
    let refusal = (!verdict.is_allowed()).then(|| verdict.message());
    let audit = verdict.audit.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Answer { refusal, patch: verdict.patch, warnings: verdict.warnings, audit }
}

/// One line a refusal, for whoever is asked about it: the codes, never the object.
fn record(endpoint: Endpoint, review: &Review<'_>, verdict: &Verdict) {
    if verdict.is_allowed() {
        tracing::debug!(uid = %Excerpt(&review.uid), ?endpoint, name = %Excerpt(&review.name), "admitted");
    } else {
        tracing::info!(
            uid = %Excerpt(&review.uid), ?endpoint, kind = review.kind.noun(), dry_run = review.dry_run,
            namespace = %Excerpt(&review.namespace), name = %Excerpt(&review.name),
            user = %Excerpt(&review.user.name), codes = verdict.codes().join(","), "refused"
        );
    }
}

#[cfg(test)]
mod tests;
