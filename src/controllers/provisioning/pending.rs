//! Which pods may be waiting, kept as pods change, so that a cluster full of pods is not searched for them at each of its events.
//!
//! Kept whether this replica leads or not, and so never more than there are such pods. Only a hint: whether a pod waits is decided from the
//! cache when it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::time::Instant;

use super::batch::LONGEST;
use super::waiting::is_waiting;
use crate::cluster::cache::Cache;
use crate::model::pod::{NotProvisionable, PodKey};
use crate::model::{KnownPod, Pod};

/// The pods that may be waiting.
pub(super) struct Pending {
    pods: Cache<KnownPod>,
    keys: Arc<Mutex<BTreeSet<PodKey>>>,
    /// Pods that the scheduler has not looked at yet, and since when they are known.
    coming: Arc<Mutex<BTreeMap<PodKey, Instant>>>,
    revision: watch::Sender<u64>,
}

impl Pending {
    /// Follows the pods of this cache, which must not be filled yet.
    pub(super) fn of(pods: &Cache<KnownPod>) -> Self {
        let pending = Self {
            pods: pods.clone(),
            keys: Arc::default(),
            coming: Arc::default(),
            revision: watch::Sender::new(0),
        };
        let (keys, revision) = (Arc::clone(&pending.keys), pending.revision.clone());
        let coming = Arc::clone(&pending.coming);
        pods.observe(move |before, now| {
            let (was, is) = (before.and_then(waits), now.and_then(waits));
            match (was, is) {
                (_, Some(key)) => drop(lock(&keys).insert(key.clone())),
                (Some(key), None) => drop(lock(&keys).remove(key)),
                (None, None) => {}
            }
            match (before.and_then(comes), now.and_then(comes)) {
                (_, Some(key)) => drop(lock(&coming).entry(key.clone()).or_insert_with(Instant::now)),
                (Some(key), None) => drop(lock(&coming).remove(key)),
                (None, None) => {}
            }
            if was.is_some() || is.is_some() {
                revision.send_modify(|revision| *revision += 1);
            }
        });
        pending
    }

    /// Changes when a pod begins to wait, waits in another way, or ends to.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// The pods that wait, with their UIDs.
    pub(super) fn waiting(&self) -> BTreeMap<PodKey, String> {
        let keys = lock(&self.keys);
        let waiting = keys.iter().filter_map(|key| {
            let pod = self.pods.get(&key.namespace, &key.name)?;
            waits(&pod)?;
            Some((key.clone(), pod.unbound()?.uid.clone()))
        });
        waiting.collect()
    }

    /// Whether the scheduler has not looked yet at a pod that something with one of these UIDs made a moment ago.
    pub(super) fn are_more_coming(&self, makers: &BTreeSet<String>) -> bool {
        lock(&self.coming).iter().any(|(key, since)| {
            let pod = self.pods.get(&key.namespace, &key.name);
            let maker = pod.as_deref().filter(|pod| comes(pod).is_some()).and_then(KnownPod::unbound);
            // A scheduler that has not looked at a pod for so long may never do.
            since.elapsed() < LONGEST
                && maker.and_then(Pod::controller).is_some_and(|maker| makers.contains(&maker.uid))
        })
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The key of a pod that nothing keeps from waiting but that the scheduler has not looked at it.
fn comes(pod: &KnownPod) -> Option<&PodKey> {
    let comes = |pod: &&Pod| pod.check_provisionable() == Err(NotProvisionable::NotUnschedulable);
    pod.unbound().filter(comes).map(|pod| &pod.key)
}

/// The key of a pod that waits.
fn waits(pod: &KnownPod) -> Option<&PodKey> {
    pod.unbound().filter(|pod| is_waiting(pod)).map(|pod| &pod.key)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::cache::Key;

    fn pod(name: &str, changes: &Value) -> (Key, KnownPod) {
        let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "maker", "controller": true });
        let mut object = json!({
            "metadata": { "name": name, "namespace": "shop", "uid": format!("{name}-uid"), "ownerReferences": [owner] },
            "spec": { "containers": [] }, "status": { "phase": "Pending" },
        });
        for (field, change) in changes.as_object().into_iter().flatten() {
            object[field] = change.clone();
        }
        let key = Key { namespace: "shop".to_owned(), name: name.to_owned() };
        (key, KnownPod::read(&serde_json::from_value(object).unwrap()).unwrap())
    }

    fn unschedulable() -> Value {
        json!({ "status": {
            "phase": "Pending", "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable" }],
        }})
    }

    #[test]
    fn what_waits_and_what_is_about_to_is_known_and_nothing_else_is_kept() {
        let pods = Cache::new("Pod");
        let pending = Pending::of(&pods);
        let mut changes = pending.changes();
        let bound =
            json!({ "spec": { "containers": [], "nodeName": "n1" }, "status": { "phase": "Running" } });
        pods.fill([
            pod("waits", &unschedulable()),
            pod("comes", &json!({})),
            pod("gated", &json!({ "spec": { "containers": [], "schedulingGates": [{ "name": "later" }] } })),
            pod("bound", &bound),
        ]);
        assert!(changes.has_changed().unwrap());
        let waiting = pending.waiting();
        assert_eq!(
            waiting.iter().map(|(key, uid)| (key.name.as_str(), uid.as_str())).collect::<Vec<_>>(),
            [("waits", "waits-uid")]
        );
        assert!(pending.are_more_coming(&["maker".to_owned()].into()));
        assert!(!pending.are_more_coming(&["another".to_owned()].into()));

        changes.mark_unchanged();
        pods.fill([pod("waits", &unschedulable()), pod("comes", &unschedulable())]);
        assert!(changes.has_changed().unwrap());
        assert_eq!(pending.waiting().len(), 2);
        assert!(!pending.are_more_coming(&["maker".to_owned()].into()));

        changes.mark_unchanged();
        pods.fill([pod("waits", &bound)]);
        assert!(changes.has_changed().unwrap(), "it waits no more");
        assert!(pending.waiting().is_empty());
        changes.mark_unchanged();
        pods.fill([pod("later", &json!({}))]);
        pods.fill([]);
        assert!(!changes.has_changed().unwrap(), "nobody waited");
        assert!(lock(&pending.keys).is_empty() && lock(&pending.coming).is_empty(), "nothing is kept");
    }
}
