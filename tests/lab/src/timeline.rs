//! When things happened, in milliseconds, by the lab's own watches.
//!
//! Objects carry whole seconds only, and every party has its own clock; here one watcher notes when it first sees each thing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use futures::StreamExt;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use tokio::task::JoinSet;

/// A thing that happens once to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The pod exists.
    PodCreated,
    /// The scheduler says that no node will do.
    PodUnschedulable,
    /// The pod has a node.
    PodBound,
    /// The pod runs.
    PodRunning,
    /// The NodeClaim exists.
    ClaimCreated,
    /// The NodeClaim has an instance.
    ClaimLaunched,
    /// The NodeClaim is being deleted.
    ClaimDeleted,
    /// The Node exists.
    NodeRegistered,
    /// The Node is ready.
    NodeReady,
    /// The taint `karpenter.sh/unregistered` is gone.
    NodeAdopted,
    /// The taint `karpenter.sh/disrupted` is there.
    NodeDisrupted,
}

/// First sights, by moment and by the object's key (`namespace/name`, or the name alone).
type Sights = BTreeMap<(Moment, String), Instant>;

/// A running observation.
#[derive(Debug)]
pub struct Timeline {
    sights: Arc<Mutex<Sights>>,
    // Ends the watches when the timeline goes.
    _watching: JoinSet<()>,
}

impl Timeline {
    /// Starts watching pods, nodes and claims.
    #[must_use]
    pub fn start(client: &Client) -> Self {
        let sights = Arc::<Mutex<Sights>>::default();
        let mut watching = JoinSet::new();
        watching.spawn(watch(Api::<Pod>::all(client.clone()), Arc::clone(&sights), pod_moments));
        watching.spawn(watch(Api::<Node>::all(client.clone()), Arc::clone(&sights), node_moments));
        let claims = ApiResource::from_gvk(&GroupVersionKind::gvk("karpenter.sh", "v1", "NodeClaim"));
        watching.spawn(watch(Api::all_with(client.clone(), &claims), Arc::clone(&sights), claim_moments));
        Self { sights, _watching: watching }
    }

    /// When this was first seen of the object.
    #[must_use]
    pub fn at(&self, moment: Moment, key: &str) -> Option<Instant> {
        self.lock().get(&(moment, key.to_owned())).copied()
    }

    /// Every object of which this was seen whose key starts so, with the time, earliest first.
    #[must_use]
    pub fn all(&self, moment: Moment, prefix: &str) -> Vec<(String, Instant)> {
        let sights = self.lock();
        let mut found: Vec<_> = sights
            .iter()
            .filter(|((seen, key), _)| *seen == moment && key.starts_with(prefix))
            .map(|((_, key), at)| (key.clone(), *at))
            .collect();
        found.sort_by_key(|(_, at)| *at);
        found
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Sights> {
        self.sights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn watch<K>(api: Api<K>, sights: Arc<Mutex<Sights>>, moments: fn(&K) -> Vec<Moment>)
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let mut objects = watcher(api, watcher::Config::default()).default_backoff().applied_objects().boxed();
    while let Some(object) = objects.next().await {
        let Ok(object) = object else { continue };
        let at = Instant::now();
        let key = match object.namespace() {
            Some(namespace) => format!("{namespace}/{}", object.name_any()),
            None => object.name_any(),
        };
        let mut sights = sights.lock().unwrap_or_else(PoisonError::into_inner);
        for moment in moments(&object) {
            sights.entry((moment, key.clone())).or_insert(at);
        }
    }
}

fn pod_moments(pod: &Pod) -> Vec<Moment> {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let is_unschedulable = |reason: &Option<String>| reason.as_deref() == Some("Unschedulable");
    let unschedulable = conditions.filter(|condition| condition.type_ == "PodScheduled");
    let mut moments = vec![Moment::PodCreated];
    if unschedulable.into_iter().any(|condition| is_unschedulable(&condition.reason)) {
        moments.push(Moment::PodUnschedulable);
    }
    if pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some()) {
        moments.push(Moment::PodBound);
    }
    if status.is_some_and(|status| status.phase.as_deref() == Some("Running")) {
        moments.push(Moment::PodRunning);
    }
    moments
}

fn node_moments(node: &Node) -> Vec<Moment> {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref()).into_iter().flatten();
    let mut moments = vec![Moment::NodeRegistered];
    if conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True") {
        moments.push(Moment::NodeReady);
    }
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_deref()).unwrap_or_default();
    let has = |key: &str| taints.iter().any(|taint| taint.key == key);
    if !has("karpenter.sh/unregistered") {
        moments.push(Moment::NodeAdopted);
    }
    if has("karpenter.sh/disrupted") {
        moments.push(Moment::NodeDisrupted);
    }
    moments
}

fn claim_moments(claim: &DynamicObject) -> Vec<Moment> {
    let provider_id = claim.data.pointer("/status/providerID").and_then(serde_json::Value::as_str);
    let launched = provider_id.is_some_and(|id| !id.is_empty()).then_some(Moment::ClaimLaunched);
    let deleted = claim.metadata.deletion_timestamp.is_some().then_some(Moment::ClaimDeleted);
    [Moment::ClaimCreated].into_iter().chain(launched).chain(deleted).collect()
}
