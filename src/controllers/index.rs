//! Which pods, Nodes and claims belong together, kept as they change, so that nobody searches all that a cluster has for them.
//!
//! Kept whether this replica leads or not, and so never more than what is there: each object is in the one group that it belongs to now. What is
//! in a group is looked up in the cache when it is asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cluster::cache::{Cache, Key};
use crate::cluster::caches::{Caches, KnownClaim, KnownNode};
use crate::model::{KnownPod, ProviderId};

/// The index, over the caches. Cheap to clone, all clones are the same.
#[derive(Clone, Debug)]
pub struct Index {
    pods_on: Groups<KnownPod, String>,
    unbound: Groups<KnownPod, ()>,
    nodes_of: Groups<KnownNode, ProviderId>,
    claims_of: Groups<KnownClaim, ProviderId>,
}

impl Index {
    /// Follows these caches, which must not be filled yet. Whoever is told about a change and looks here is to be told after the index is.
    #[must_use]
    pub fn of(caches: &Caches) -> Self {
        let pod_key = |pod: &KnownPod| {
            let key = match pod {
                KnownPod::Bound(pod) => &pod.key,
                KnownPod::Unbound(pod) => &pod.key,
            };
            Key { namespace: key.namespace.clone(), name: key.name.clone() }
        };
        let cluster_key = |name: &str| Key { namespace: String::new(), name: name.to_owned() };
        Self {
            pods_on: Groups::of(&caches.pods, pod_key, |pod| Some(pod.bound()?.node_name.clone())),
            unbound: Groups::of(&caches.pods, pod_key, |pod| pod.unbound().map(|_| ())),
            nodes_of: Groups::of(
                &caches.nodes,
                move |node| cluster_key(&node.model.object.name),
                |node| node.model.provider_id.clone(),
            ),
            claims_of: Groups::of(
                &caches.node_claims,
                move |claim| cluster_key(&claim.model.object.name),
                |claim| claim.model.provider_id.clone(),
            ),
        }
    }

    /// Every pod on the Node of this name.
    #[must_use]
    pub fn pods_on(&self, node: &str) -> Vec<Arc<KnownPod>> {
        self.pods_on.find(&node.to_owned())
    }

    /// Every pod that has no node.
    #[must_use]
    pub fn unbound(&self) -> Vec<Arc<KnownPod>> {
        self.unbound.find(&())
    }

    /// Every Node that says that it is this instance.
    #[must_use]
    pub fn nodes_of(&self, id: &ProviderId) -> Vec<Arc<KnownNode>> {
        self.nodes_of.find(id)
    }

    /// Every claim that says that it has this instance.
    #[must_use]
    pub fn claims_of(&self, id: &ProviderId) -> Vec<Arc<KnownClaim>> {
        self.claims_of.find(id)
    }
}

/// The objects of a cache, by what they belong to.
struct Groups<K, G> {
    cache: Cache<K>,
    group: fn(&K) -> Option<G>,
    members: Arc<Mutex<BTreeMap<G, BTreeSet<Key>>>>,
}

impl<K, G> Clone for Groups<K, G> {
    fn clone(&self) -> Self {
        Self { cache: self.cache.clone(), group: self.group, members: Arc::clone(&self.members) }
    }
}

impl<K, G: fmt::Debug> fmt::Debug for Groups<K, G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").field("members", &self.members).finish_non_exhaustive()
    }
}

impl<K: 'static, G: Ord + Send + 'static> Groups<K, G> {
    /// Follows the cache, whose objects have these keys and belong to these groups.
    fn of(
        cache: &Cache<K>,
        key: impl Fn(&K) -> Key + Send + Sync + 'static,
        group: fn(&K) -> Option<G>,
    ) -> Self {
        let groups = Self { cache: cache.clone(), group, members: Arc::default() };
        let members = Arc::clone(&groups.members);
        cache.observe(move |before, now| {
            let (was, is) = (before.and_then(group), now.and_then(group));
            if was == is {
                return;
            }
            let Some(key) = now.or(before).map(&key) else { return };
            let mut members = members.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(was) = was
                && let Some(keys) = members.get_mut(&was)
            {
                keys.remove(&key);
                if keys.is_empty() {
                    members.remove(&was);
                }
            }
            if let Some(is) = is {
                members.entry(is).or_default().insert(key);
            }
        });
        groups
    }

    /// The group's members, in the order of their keys.
    fn find(&self, group: &G) -> Vec<Arc<K>> {
        // The watch that fills the cache needs the lock, too.
        let keys = {
            let members = self.members.lock().unwrap_or_else(PoisonError::into_inner);
            members.get(group).cloned().unwrap_or_default()
        };
        let look = |key: &Key| {
            let found = self.cache.get(&key.namespace, &key.name)?;
            ((self.group)(&found).as_ref() == Some(group)).then_some(found)
        };
        keys.iter().filter_map(look).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::caches::known_node;
    use crate::controllers::testing::{cluster_key, registered_claim};

    fn key(namespace: &str, name: &str) -> Key {
        Key { namespace: namespace.to_owned(), name: name.to_owned() }
    }

    /// A pod by its number, on a node or on none.
    fn pod(number: u8, node: Option<u8>) -> (Key, KnownPod) {
        let name = format!("web-{number}");
        let pod = json!({
            "metadata": { "name": name, "namespace": "shop", "uid": name },
            "spec": { "containers": [], "nodeName": node.map(|node| format!("n{node}")) },
        });
        (key("shop", &name), KnownPod::read(&serde_json::from_value(pod).unwrap()).unwrap())
    }

    fn id(number: u8) -> ProviderId {
        ProviderId::new(format!("aws:///a/i-{number}"))
    }

    fn node(number: u8, instance: Option<u8>) -> (Key, KnownNode) {
        let name = format!("n{number}");
        let id: Option<Value> = instance.map(|number| json!(id(number).as_str()));
        let node = json!({ "metadata": { "name": name }, "spec": { "providerID": id } });
        (cluster_key(&name), known_node(serde_json::from_value(node).unwrap()))
    }

    /// Every group that there is, with its members.
    fn kept<K, G: Ord + Clone>(groups: &Groups<K, G>) -> BTreeMap<G, BTreeSet<Key>> {
        groups.members.lock().unwrap().clone()
    }

    /// The groups of all that the cache has.
    fn searched<K, G: Ord>(groups: &Groups<K, G>) -> BTreeMap<G, BTreeSet<Key>> {
        let mut found: BTreeMap<G, BTreeSet<Key>> = BTreeMap::new();
        for (key, object) in groups.cache.entries() {
            if let Some(group) = (groups.group)(&object) {
                found.entry(group).or_default().insert(key);
            }
        }
        found
    }

    fn names<T>(objects: Vec<T>, name: impl Fn(&T) -> String) -> Vec<String> {
        objects.iter().map(name).collect()
    }

    /// What an object of each number belongs to, if it exists.
    fn places() -> impl Strategy<Value = BTreeMap<u8, Option<u8>>> {
        prop::collection::btree_map(0_u8..6, prop::option::of(0_u8..3), 0..6)
    }

    proptest! {
        #[test]
        fn the_index_finds_what_a_search_of_everything_finds_and_keeps_nothing_else(states in prop::collection::vec((places(), places()), 1..6)) {
            let caches = Caches::default();
            let index = Index::of(&caches);
            for (pods, owners) in states {
                caches.pods.fill(pods.iter().map(|(number, node)| pod(*number, *node)));
                caches.nodes.fill(owners.iter().map(|(number, instance)| node(*number, *instance)));
                let claims = owners.iter().filter_map(|(number, instance)| Some((number, (*instance)?)));
                caches.node_claims.fill(claims.map(|(number, instance)| registered_claim(&format!("c{number}"), id(instance).as_str(), json!({}))));
                prop_assert_eq!(kept(&index.pods_on), searched(&index.pods_on));
                prop_assert_eq!(kept(&index.unbound), searched(&index.unbound));
                prop_assert_eq!(kept(&index.nodes_of), searched(&index.nodes_of));
                prop_assert_eq!(kept(&index.claims_of), searched(&index.claims_of));
                let uid = |pod: &Arc<KnownPod>| pod.bound().map_or_else(|| pod.unbound().unwrap().uid.clone(), |pod| pod.uid.clone());
                let all = caches.pods.all();
                let unbound = all.iter().filter(|pod| pod.unbound().is_some()).cloned().collect();
                prop_assert_eq!(names(index.unbound(), uid), names(unbound, uid));
                for number in 0..3 {
                    let node = format!("n{number}");
                    let on_it = |pod: &&Arc<KnownPod>| pod.bound().is_some_and(|pod| pod.node_name == node);
                    prop_assert_eq!(names(index.pods_on(&node), uid), names(all.iter().filter(on_it).cloned().collect(), uid));
                    let id = id(number);
                    let of_node = |node: &Arc<KnownNode>| node.model.object.name.clone();
                    let nodes = caches.nodes.all().into_iter().filter(|node| node.model.provider_id.as_ref() == Some(&id)).collect();
                    prop_assert_eq!(names(index.nodes_of(&id), of_node), names(nodes, of_node));
                    let of_claim = |claim: &Arc<KnownClaim>| claim.model.object.name.clone();
                    let claims = caches.node_claims.all().into_iter().filter(|claim| claim.model.provider_id.as_ref() == Some(&id)).collect();
                    prop_assert_eq!(names(index.claims_of(&id), of_claim), names(claims, of_claim));
                }
            }
        }
    }
}
