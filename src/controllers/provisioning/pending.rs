//! Which pods may be waiting, kept as pods change, so that a cluster full of pods is not searched for them at each of its events.
//!
//! Only a hint: whether a pod waits is decided from the cache when it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

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
            let was = before.is_some_and(|pod| waits(pod).is_some());
            let key = now.and_then(waits);
            if let Some(key) = key {
                keys.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
            }
            if let Some(pod) = now.and_then(KnownPod::unbound).filter(|pod| may_wait_soon(pod)) {
                let mut coming = coming.lock().unwrap_or_else(PoisonError::into_inner);
                coming.entry(pod.key.clone()).or_insert_with(Instant::now);
            }
            if was || key.is_some() {
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
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = BTreeMap::new();
        keys.retain(|key| {
            let pod = self.pods.get(&key.namespace, &key.name);
            let pod = pod.as_deref().filter(|pod| waits(pod).is_some()).and_then(KnownPod::unbound);
            waiting.extend(pod.map(|pod| (key.clone(), pod.uid.clone())));
            pod.is_some()
        });
        waiting
    }

    /// Whether the scheduler has not looked yet at a pod that something with one of these UIDs made a moment ago.
    pub(super) fn are_more_coming(&self, makers: &BTreeSet<String>) -> bool {
        let mut coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner);
        let mut are_more = false;
        coming.retain(|key, since| {
            let pod = self.pods.get(&key.namespace, &key.name);
            let pod = pod.as_deref().and_then(KnownPod::unbound).filter(|pod| may_wait_soon(pod));
            // A scheduler that has not looked at a pod for so long may never do.
            let pod = pod.filter(|_| since.elapsed() < LONGEST);
            are_more |= pod.and_then(Pod::controller).is_some_and(|maker| makers.contains(&maker.uid));
            pod.is_some()
        });
        are_more
    }
}

/// Whether nothing keeps the pod from waiting but that the scheduler has not looked at it.
fn may_wait_soon(pod: &Pod) -> bool {
    pod.check_provisionable() == Err(NotProvisionable::NotUnschedulable)
}

fn waits(pod: &KnownPod) -> Option<&PodKey> {
    pod.unbound().filter(|pod| is_waiting(pod)).map(|pod| &pod.key)
}
