//! A cache of one kind, fed by a watch.
//!
//! What is kept of an object is the caller's choice: the whole, or the slice that decisions are made from. An object that
//! cannot be read does not wedge the watch: it is left out, named in the log, and everything else goes on.
//! A list that is read again (after the watch broke) replaces the content whole, so no reader sees half of one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::{Debug, Display};
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use kube::Resource;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde::de::DeserializeOwned;
use tokio::sync::watch;

/// Namespace (empty for cluster-scoped kinds) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Empty for cluster-scoped kinds.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

/// What is known of a kind; cheap to clone, all clones see the same.
#[derive(Debug)]
pub struct Cache<K> {
    kind: Arc<str>,
    objects: Arc<RwLock<BTreeMap<Key, Arc<K>>>>,
    /// Raised at every change; zero until the first list is complete.
    revision: watch::Sender<u64>,
}

impl<K> Clone for Cache<K> {
    fn clone(&self) -> Self {
        Self {
            kind: Arc::clone(&self.kind),
            objects: Arc::clone(&self.objects),
            revision: self.revision.clone(),
        }
    }
}

impl<K> Cache<K> {
    /// An empty cache; [`Cache::follow`] fills it.
    #[must_use]
    pub fn new(kind: &str) -> Self {
        Self { kind: kind.into(), objects: Arc::default(), revision: watch::Sender::new(0) }
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

    /// Changes whenever the content does.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// The object of this name, in this namespace (empty for cluster-scoped kinds).
    #[must_use]
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<K>> {
        let key = Key { namespace: namespace.to_owned(), name: name.to_owned() };
        self.objects.read().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
    }

    /// All objects, in the order of their keys.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<K>> {
        self.objects.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Watches the kind for as long as it is awaited. Errors are logged and tried again with backoff.
    pub async fn follow<O, E>(self, api: Api<O>, scope: watcher::Config, keep: impl Fn(O) -> Result<K, E>)
    where
        O: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
        E: Display,
    {
        let mut events = watcher(api, scope).default_backoff().boxed();
        let mut listed = BTreeMap::new();
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.apply(event, &mut listed, &keep),
                Err(error) => tracing::warn!(kind = %self.kind, %error, "the watch broke; it is tried again"),
            }
        }
    }

    fn apply<O: Resource, E: Display>(
        &self,
        event: watcher::Event<O>,
        listed: &mut BTreeMap<Key, Arc<K>>,
        keep: &impl Fn(O) -> Result<K, E>,
    ) {
        match event {
            watcher::Event::Init => listed.clear(),
            watcher::Event::InitApply(object) => {
                let key = key(&object);
                if let Some(object) = self.read(&key, object, keep) {
                    listed.insert(key, object);
                }
            }
            watcher::Event::InitDone => self.change(|objects| *objects = std::mem::take(listed)),
            watcher::Event::Apply(object) => {
                let key = key(&object);
                // An object that can no longer be read is no longer known: its last readable version is not its truth.
                match self.read(&key, object, keep) {
                    Some(object) => self.change(|objects| drop(objects.insert(key, object))),
                    None => self.change(|objects| drop(objects.remove(&key))),
                }
            }
            watcher::Event::Delete(object) => self.change(|objects| drop(objects.remove(&key(&object)))),
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

    fn change(&self, change: impl FnOnce(&mut BTreeMap<Key, Arc<K>>)) {
        change(&mut self.objects.write().unwrap_or_else(PoisonError::into_inner));
        self.revision.send_modify(|revision| *revision += 1);
    }
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
