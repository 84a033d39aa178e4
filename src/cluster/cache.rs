//! A cache of one kind, fed by a watch.
//!
//! What is kept of an object is the caller's choice: the whole, or the slice that decisions are made from. An object that
//! cannot be read does not wedge the watch: it is left out, named in the log, and everything else goes on.
//! A list that is read again (after the watch broke) replaces the content whole, so no reader sees half of one.
//!
//! Whoever writes an object can let the cache [learn](Cache::learn) the answer, so that it need not wait for its own write to come back
//! by the watch. What is older than what is known is dropped: resource versions are compared as numbers, as KEP-5504 allows.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures::StreamExt;
use kube::Resource;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::time::Instant;

use super::client::{SILENCE_AT_MOST, WATCH_FOR};

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
    pub async fn follow<O, E>(self, api: Api<O>, scope: watcher::Config, keep: impl Fn(O) -> Result<K, E>)
    where
        O: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        E: Display,
    {
        let scope = scope.timeout(u32::try_from(WATCH_FOR.as_secs()).unwrap_or(u32::MAX));
        let mut events = watcher(api, scope).default_backoff().boxed();
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    // A list that has only begun says nothing yet.
                    if !matches!(event, watcher::Event::Init) {
                        self.outage.send_replace(None);
                    }
                    self.apply(event, &mut listed, &keep);
                }
                Err(error) => {
                    let outage = Outage::after(*self.outage.borrow(), Instant::now());
                    self.outage.send_replace(Some(outage));
                    let seconds = outage.lasts(Instant::now()).as_secs();
                    tracing::warn!(kind = %self.kind, %error, seconds, "the watch is broken; it is tried again");
                }
            }
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

/// Keeps a part of an object that can always be read.
pub fn part<O, K>(part: impl Fn(O) -> K) -> impl Fn(O) -> Result<K, Infallible> {
    move |object| Ok(part(object))
}

/// Keeps a custom resource whole, where its schema let something through that its type cannot hold.
pub fn typed<K: DeserializeOwned>(object: DynamicObject) -> Result<K, serde_json::Error> {
    serde_json::to_value(object).and_then(serde_json::from_value)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::ResourceExt;
    use serde_json::json;

    use super::*;

    fn object(name: &str, data: &str) -> ConfigMap {
        serde_json::from_value(
            json!({ "metadata": { "name": name, "namespace": "n" }, "data": { "d": data } }),
        )
        .unwrap()
    }

    fn versioned(name: &str, data: &str, version: u64) -> ConfigMap {
        let mut object = object(name, data);
        object.metadata.resource_version = Some(version.to_string());
        object
    }

    #[test]
    fn what_was_written_is_known_at_once_and_not_forgotten_by_what_is_older() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let cache: Cache<ConfigMap> = Cache::new("ConfigMap");
        let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
        let data = |object: &ConfigMap| object.data.clone().unwrap().remove("d").unwrap();
        let notes = Arc::clone(&seen);
        cache.observe(move |before, now| notes.lock().unwrap().push((before.map(data), now.map(data))));
        let mut listed = BTreeMap::new();
        let mut play = |event| cache.apply(event, &mut listed, &part(|object: ConfigMap| object));
        let known = || cache.get("n", "a").map(|object| data(&object));
        let note =
            |before: Option<&str>, now: Option<&str>| (before.map(str::to_owned), now.map(str::to_owned));

        cache.learn(versioned("a", "made", 1), |object| object);
        assert_eq!(known(), None, "it may be gone again");
        for event in [Init, InitApply(versioned("a", "1", 1)), InitApply(versioned("b", "b", 1)), InitDone] {
            play(event);
        }
        cache.learn(versioned("a", "3", 3), |object| object);
        play(Apply(versioned("a", "2", 2)));
        cache.learn(versioned("a", "2", 2), |object| object);
        assert_eq!(known().as_deref(), Some("3"));
        for event in [Init, InitApply(versioned("a", "2", 2)), InitDone] {
            play(event);
        }
        assert_eq!(known().as_deref(), Some("3"), "a list may be older than a write, too");
        play(Apply(versioned("a", "4", 4)));
        play(Delete(versioned("a", "4", 5)));
        cache.learn(versioned("a", "3", 3), |object| object);
        assert_eq!(known(), None);
        let expected = [
            note(None, Some("1")),
            note(None, Some("b")),
            note(Some("1"), Some("3")),
            note(Some("b"), None),
            note(Some("3"), Some("4")),
            note(Some("4"), None),
        ];
        assert_eq!(*seen.lock().unwrap(), expected);
    }

    /// Somebody may learn the answer to a write while the watch shows a change, and whoever counts would never be right again.
    #[test]
    fn observers_are_told_of_changes_in_their_order_whoever_makes_them() {
        let cache: Cache<u64> = Cache::new("ConfigMap");
        cache.fill([(Key { namespace: "n".to_owned(), name: "a".to_owned() }, 0)]);
        let (begun, has_begun) = std::sync::mpsc::channel();
        let told = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&told);
        cache.observe(move |before, now| {
            if now == Some(&1) {
                begun.send(()).unwrap();
                // Time enough for the other to overtake, if it may.
                std::thread::sleep(Duration::from_millis(100));
            }
            notes.lock().unwrap().push((before.copied(), now.copied()));
        });
        let learn = |version| cache.learn(versioned("a", "d", version), |_| version);
        std::thread::scope(|scope| {
            scope.spawn(|| learn(1));
            has_begun.recv().unwrap();
            learn(2);
        });
        assert_eq!(*told.lock().unwrap(), [(Some(0), Some(1)), (Some(1), Some(2))]);
    }

    /// Plays events; an object whose data is `bad` cannot be read. Returns what is known, and whether it is complete.
    fn play(events: Vec<watcher::Event<ConfigMap>>) -> (Vec<String>, bool) {
        let cache: Cache<String> = Cache::new("ConfigMap");
        let mut listed = BTreeMap::new();
        let keep = |object: ConfigMap| {
            let data = object.data.clone().unwrap_or_default().remove("d").unwrap_or_default();
            if data == "bad" { Err("bad data") } else { Ok(format!("{}={data}", object.name_any())) }
        };
        for event in events {
            cache.apply(event, &mut listed, &keep);
        }
        (cache.all().iter().map(|object| String::clone(object)).collect(), cache.is_synced())
    }

    #[test]
    fn an_outage_lasts_from_its_first_failure_until_no_other_follows() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let first = Outage::after(None, at(0));
        let second = Outage::after(Some(first), at(30));
        assert_eq!(second.lasts(at(40)), Duration::from_secs(40));
        assert_eq!(second.lasts(at(30) + TAKEN_UP_AFTER), Duration::ZERO);
        assert_eq!(Outage::after(Some(second), at(1000)).lasts(at(1001)), Duration::from_secs(1));
    }

    #[test]
    fn a_list_is_taken_over_when_it_is_complete_and_replaces_what_was_known() {
        use watcher::Event::{Apply, Init, InitApply, InitDone};
        assert_eq!(play(vec![Init, InitApply(object("a", "1"))]), (vec![], false));
        let first = || vec![Init, InitApply(object("a", "1")), InitApply(object("b", "1")), InitDone];
        assert_eq!(play(first()), (vec!["a=1".to_owned(), "b=1".to_owned()], true));
        let again =
            [first(), vec![Apply(object("c", "1")), Init, InitApply(object("b", "2")), InitDone]].concat();
        assert_eq!(play(again), (vec!["b=2".to_owned()], true));
    }

    #[test]
    fn an_object_that_cannot_be_read_is_left_out_and_the_others_go_on() {
        use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
        let listed = vec![Init, InitApply(object("a", "bad")), InitApply(object("b", "1")), InitDone];
        assert_eq!(play(listed.clone()), (vec!["b=1".to_owned()], true));
        let broken = [listed.clone(), vec![Apply(object("b", "bad"))]].concat();
        assert_eq!(play(broken.clone()), (vec![], true));
        let mended =
            [broken, vec![Apply(object("b", "2")), Apply(object("c", "1")), Delete(object("c", "1"))]]
                .concat();
        assert_eq!(play(mended), (vec!["b=2".to_owned()], true));
    }
}
