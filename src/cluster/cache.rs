//! A cache of one kind, fed by a watch.
//!
//! What is kept of an object is the caller's choice: the whole, or the slice that decisions are made from. An object that
//! cannot be read does not wedge the watch: it is left out, named in the log, and everything else goes on.
//! The same goes for what the API server sends: see [`Unread`].
//! A list that is read again (after the watch broke) replaces the content whole, so no reader sees half of one.
//!
//! Whoever writes an object can let the cache [learn](Cache::learn) the answer, so that it need not wait for its own write to come back
//! by the watch. What is older than what is known is dropped: resource versions are compared as numbers, as KEP-5504 allows.

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use kube::Resource;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use super::client::{SILENCE_AT_MOST, WATCH_FOR};
use super::unread::Unread;

/// A watch that has not failed again for so long has been taken up, though nothing may have changed since.
const TAKEN_UP_AFTER: Duration = SILENCE_AT_MOST.saturating_add(WATCH_FOR);

/// Namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

/// An object, and what was read of it.
#[derive(Clone, Debug)]
pub struct Known<O, M> {
    /// The object, for those who change it: a patch of a list is made from the whole list.
    pub object: O,
    /// What decisions are made from.
    pub model: M,
}

/// An object, and the version of it.
#[derive(Debug)]
struct Entry<K> {
    version: Option<u64>,
    object: Arc<K>,
}

/// A time during which a watch fails again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outage {
    since: Instant,
    failed: Instant,
}

impl Outage {
    /// What the outage is after one more failure.
    fn after(before: Option<Self>, failed: Instant) -> Self {
        let before = before.filter(|outage| failed - outage.failed < TAKEN_UP_AFTER);
        Self { since: before.map_or(failed, |outage| outage.since), failed }
    }

    /// How long it has lasted; nothing if it is over.
    fn lasts(self, now: Instant) -> Duration {
        if now - self.failed < TAKEN_UP_AFTER { now - self.since } else { Duration::ZERO }
    }
}

/// What is told about each change, with what was known before and what is known now.
type Observer<K> = Box<dyn Fn(Option<&K>, Option<&K>) + Send + Sync>;

/// What is known of a kind; cheap to clone, all clones see the same.
pub struct Cache<K> {
    kind: Arc<str>,
    objects: Arc<RwLock<BTreeMap<Key, Entry<K>>>>,
    observers: Arc<RwLock<Vec<Observer<K>>>>,
    /// Held from a change until everybody has been told of it.
    in_order: Arc<Mutex<()>>,
    /// Raised at every change; zero until the first list is complete.
    revision: watch::Sender<u64>,
    outage: watch::Sender<Option<Outage>>,
}

impl<K> Debug for Cache<K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("kind", &self.kind).finish_non_exhaustive()
    }
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            kind: Arc::clone(&self.kind),
            objects: Arc::clone(&self.objects),
            observers: Arc::clone(&self.observers),
            in_order: Arc::clone(&self.in_order),
            revision: self.revision.clone(),
            outage: self.outage.clone(),
        }
    }
}

impl<K> Cache<K> {
    /// An empty cache; [`Cache::follow`] fills it.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self {
            kind: kind.into(),
            objects: Arc::default(),
            observers: Arc::default(),
            in_order: Arc::default(),
            revision: watch::Sender::new(0),
            outage: watch::Sender::new(None),
        }
    }

    /// Calls `observer` after each change from now on, in the order of the changes, with what was known of the object before and what is now.
    /// It must be quick, and may read this cache but not change it.
    pub fn observe(&self, observer: impl Fn(Option<&K>, Option<&K>) + Send + Sync + 'static) {
        self.observers.write().unwrap_or_else(PoisonError::into_inner).push(Box::new(observer));
    }

    /// The kind, as messages name it.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Whether the first list is complete.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        *self.revision.borrow() > 0
    }

    /// Waits until the first list is complete.
    pub async fn synced(&self) {
        // The sender is this cache's own.
        let _ = self.revision.subscribe().wait_for(|revision| *revision > 0).await;
    }

    /// Says, for readiness, that the first list is not complete; nothing once it is.
    #[must_use]
    pub fn check(&self) -> Box<dyn Fn() -> Option<String> + Send + Sync>
    where
        K: Send + Sync + 'static,
    {
        let cache = self.clone();
        Box::new(move || {
            (!cache.is_synced()).then(|| format!("the {} objects are not listed yet", cache.kind))
        })
    }

    /// For how long the watch has been broken, so that what is known may be old; zero if it is not.
    #[must_use]
    pub fn broken_for(&self) -> Duration {
        self.outage.borrow().map_or(Duration::ZERO, |outage| outage.lasts(Instant::now()))
    }

    /// Says, for people, that the watch is broken; nothing while it is not.
    #[must_use]
    pub fn note(&self) -> Box<dyn Fn() -> Option<String> + Send + Sync>
    where
        K: Send + Sync + 'static,
    {
        let cache = self.clone();
        Box::new(move || {
            let seconds = cache.broken_for().as_secs();
            (seconds > 0).then(|| {
                format!(
                    "the watch of {} objects has been broken for {seconds} s; what is known is as old",
                    cache.kind
                )
            })
        })
    }

    /// Changes whenever the content does.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// The object of this name, in this namespace (empty for cluster-scoped kinds).
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        self.objects
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .map(|entry| Arc::clone(&entry.object))
    }

    /// All objects, in the order of their keys.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .map(|entry| Arc::clone(&entry.object))
            .collect()
    }

    /// All objects with their keys, in the order of these.
    #[must_use]
    pub fn entries(&self) -> Vec<(Key, Arc<K>)> {
        let objects = self.objects.read().unwrap_or_else(PoisonError::into_inner);
        objects.iter().map(|(key, entry)| (key.clone(), Arc::clone(&entry.object))).collect()
    }

    /// Watches the kind for as long as it is awaited. Errors are logged and tried again with backoff.
    pub async fn follow<O, E>(
        self,
        api: Api<Unread<O>>,
        scope: watcher::Config,
        keep: impl Fn(Unread<O>) -> Result<K, E>,
    ) where
        O: Resource + 'static,
        E: Display,
    {
        let scope = scope.timeout(u32::try_from(WATCH_FOR.as_secs()).unwrap_or(u32::MAX));
        let mut events = watcher(api, scope).default_backoff().boxed();
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            self.hear(event, &mut listed, &keep);
        }
    }

    /// Takes over the answer to a write of an object that is known already, if it is newer.
    ///
    /// An object that is not known is left out: it may have been deleted since.
    pub fn learn<O: Resource>(&self, object: O, keep: impl FnOnce(O) -> K) {
        let (key, version) = (key(&object), version(&object));
        self.change(&key, |objects| {
            if objects.get(&key).is_some_and(|known| version > known.version) {
                objects.insert(key.clone(), Entry { version, object: Arc::new(keep(object)) });
            }
        });
    }

    /// Takes these for the complete list, as a watch would, in tests of those who read caches.
    #[cfg(test)]
    pub(crate) fn fill(&self, objects: impl IntoIterator<Item = (Key, K)>) {
        let entry = |object| Entry { version: None, object: Arc::new(object) };
        self.replace(objects.into_iter().map(|(key, object)| (key, entry(object))).collect());
    }

    /// Takes the watch for broken from now on, in tests of those who read caches.
    #[cfg(test)]
    pub(crate) fn break_off(&self) {
        self.outage.send_replace(Some(Outage::after(None, Instant::now())));
    }

    /// Takes over what the watch says, and notes whether it is broken.
    fn hear<O: Resource, E: Display>(
        &self,
        event: Result<watcher::Event<O>, impl Display>,
        listed: &mut BTreeMap<Key, Entry<K>>,
        keep: &impl Fn(O) -> Result<K, E>,
    ) {
        match event {
            Ok(event) => {
                // Of a list that is not complete nothing is known yet, however long it takes.
                let is_known = !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_));
                self.apply(event, listed, keep);
                let outage = *self.outage.borrow();
                if let Some(outage) = outage {
                    let goes_on = Outage { failed: Instant::now(), ..outage };
                    self.outage.send_replace((!is_known).then_some(goes_on));
                }
            }
            Err(error) => {
                let outage = Outage::after(*self.outage.borrow(), Instant::now());
                self.outage.send_replace(Some(outage));
                let seconds = outage.lasts(Instant::now()).as_secs();
                tracing::warn!(kind = %self.kind, %error, seconds, "the watch is broken; it is tried again");
            }
        }
    }

    fn apply<O: Resource, E: Display>(
        &self,
        event: watcher::Event<O>,
        listed: &mut BTreeMap<Key, Entry<K>>,
        keep: &impl Fn(O) -> Result<K, E>,
    ) {
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(object) => {
                let (key, version) = (key(&object), version(&object));
                if let Some(object) = self.read(&key, object, keep) {
                    listed.insert(key, Entry { version, object });
                }
            }
            watcher::Event::InitDone => self.replace(std::mem::take(listed)),
            watcher::Event::Apply(object) => {
                let (key, version) = (key(&object), version(&object));
                let read = self.read(&key, object, keep);
                self.change(&key, |objects| {
                    if objects.get(&key).is_some_and(|known| known.is_newer_than(version)) {
                        return;
                    }
                    // An object that can no longer be read is no longer known: its last readable version is not its truth.
                    match read {
                        Some(object) => drop(objects.insert(key.clone(), Entry { version, object })),
                        None => drop(objects.remove(&key)),
                    }
                });
            }
            watcher::Event::Delete(object) => {
                let key = key(&object);
                self.change(&key, |objects| drop(objects.remove(&key)));
            }
        }
    }

    fn read<O, E: Display>(&self, key: &Key, object: O, keep: &impl Fn(O) -> Result<K, E>) -> Option<Arc<K>> {
        let read = keep(object);
        if let Err(error) = &read {
            let Key { namespace, name } = key;
            tracing::warn!(kind = %self.kind, namespace, name, %error, "the object cannot be read and is left out");
        }
        read.ok().map(Arc::new)
    }

    /// Takes over a list, save where something newer is known already.
    fn replace(&self, listed: BTreeMap<Key, Entry<K>>) {
        let _in_order = self.in_order.lock().unwrap_or_else(PoisonError::into_inner);
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::replace(&mut *objects, listed);
        let mut changes = Vec::new();
        for (key, now) in objects.iter_mut() {
            let was = before.remove(key);
            match was {
                Some(was) if was.is_newer_than(now.version) => *now = was,
                was => changes.push((was.map(|was| was.object), Some(Arc::clone(&now.object)))),
            }
        }
        drop(objects);
        changes.extend(before.into_values().map(|gone| (Some(gone.object), None)));
        for (before, now) in changes {
            self.tell(before.as_deref(), now.as_deref());
        }
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Changes what is known of one object, and tells about it if it did change.
    fn change(&self, key: &Key, change: impl FnOnce(&mut BTreeMap<Key, Entry<K>>)) {
        let _in_order = self.in_order.lock().unwrap_or_else(PoisonError::into_inner);
        let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
        let look =
            |objects: &BTreeMap<Key, Entry<K>>| objects.get(key).map(|entry| Arc::clone(&entry.object));
        let before = look(&objects);
        change(&mut objects);
        let now = look(&objects);
        drop(objects);
        let is_same = match (&before, &now) {
            (Some(before), Some(now)) => Arc::ptr_eq(before, now),
            (None, None) => true,
            _ => false,
        };
        if !is_same {
            self.tell(before.as_deref(), now.as_deref());
            self.revision.send_modify(|revision| *revision += 1);
        }
    }

    fn tell(&self, before: Option<&K>, now: Option<&K>) {
        for observer in self.observers.read().unwrap_or_else(PoisonError::into_inner).iter() {
            observer(before, now);
        }
    }
}

impl<K> Entry<K> {
    fn is_newer_than(&self, version: Option<u64>) -> bool {
        // Versions that are no numbers cannot be compared: whoever speaks last is right.
        matches!((self.version, version), (Some(own), Some(other)) if own > other)
    }
}

fn version(object: &impl Resource) -> Option<u64> {
    object.meta().resource_version.as_deref()?.parse().ok()
}

fn key(object: &impl Resource) -> Key {
    Key {
        namespace: object.meta().namespace.clone().unwrap_or_default(),
        name: object.meta().name.clone().unwrap_or_default(),
    }
}

/// Keeps a part of an object that can be read.
pub fn part<O, K>(part: impl Fn(O) -> K) -> impl Fn(Unread<O>) -> Result<K, serde_json::Error>
where
    O: DeserializeOwned,
{
    move |object| object.read().map(&part)
}

#[cfg(test)]
mod tests;
