//! Which pods, Nodes and claims belong together, kept as they change, so that no round of a claim searches all that a cluster has.
//!
//! Only a hint of where to look: what belongs together is decided from the caches when it is asked for, and what does not any more is
//! forgotten then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use crate::cluster::cache::Key;
use crate::cluster::caches::{Caches, KnownClaim, KnownNode};
use crate::model::{KnownPod, ProviderId};

/// The index, over the caches. Cheap to clone, all clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) caches: Caches,
    pods_on: Groups<String>,
    unbound: Groups<()>,
    nodes_of: Groups<ProviderId>,
    claims_of: Groups<ProviderId>,
}

impl Index {
    /// Follows these caches, which must not be filled yet.
    pub(super) fn of(caches: &Caches) -> Self {
        let index = Self {
            caches: caches.clone(),
            pods_on: Groups::default(),
            unbound: Groups::default(),
            nodes_of: Groups::default(),
            claims_of: Groups::default(),
        };
        let (pods_on, unbound) = (index.pods_on.clone(), index.unbound.clone());
        caches.pods.observe(move |_, now| match now {
            Some(KnownPod::Bound(pod)) => {
                pods_on.add(pod.node_name.clone(), key(&pod.key.namespace, &pod.key.name));
            }
            Some(KnownPod::Unbound(pod)) => unbound.add((), key(&pod.key.namespace, &pod.key.name)),
            None => {}
        });
        let nodes_of = index.nodes_of.clone();
        caches.nodes.observe(move |_, now| {
            if let Some((node, id)) = now.and_then(|node| Some((node, node.model.provider_id.clone()?))) {
                nodes_of.add(id, key("", &node.model.object.name));
            }
        });
        let claims_of = index.claims_of.clone();
        caches.node_claims.observe(move |_, now| {
            if let Some((claim, id)) = now.and_then(|claim| Some((claim, claim.model.provider_id.clone()?))) {
                claims_of.add(id, key("", &claim.model.object.name));
            }
        });
        index
    }

    /// Every pod on the Node of this name.
    pub(super) fn pods_on(&self, node: &str) -> Vec<Arc<KnownPod>> {
        self.pods_on.find(&node.to_owned(), |key| {
            let pod = self.caches.pods.get(&key.namespace, &key.name)?;
            pod.bound().is_some_and(|pod| pod.node_name == node).then_some(pod)
        })
    }

    /// Every pod that has no node.
    pub(super) fn unbound(&self) -> Vec<Arc<KnownPod>> {
        self.unbound.find(&(), |key| {
            let pod = self.caches.pods.get(&key.namespace, &key.name)?;
            pod.unbound().is_some().then_some(pod)
        })
    }

    /// Every Node that says that it is this instance.
    pub(super) fn nodes_of(&self, id: &ProviderId) -> Vec<Arc<KnownNode>> {
        self.nodes_of.find(id, |key| {
            let node = self.caches.nodes.get("", &key.name)?;
            (node.model.provider_id.as_ref() == Some(id)).then_some(node)
        })
    }

    /// Every claim that says that it has this instance.
    pub(super) fn claims_of(&self, id: &ProviderId) -> Vec<Arc<KnownClaim>> {
        self.claims_of.find(id, |key| {
            let claim = self.caches.node_claims.get("", &key.name)?;
            (claim.model.provider_id.as_ref() == Some(id)).then_some(claim)
        })
    }
}

fn key(namespace: &str, name: &str) -> Key {
    Key { namespace: namespace.to_owned(), name: name.to_owned() }
}

/// The keys of objects that were seen to belong to a group, and may still.
#[derive(Debug)]
struct Groups<G>(Arc<Mutex<BTreeMap<G, BTreeSet<Key>>>>);

impl<G> Clone for Groups<G> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<G> Default for Groups<G> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<G: Ord> Groups<G> {
    fn add(&self, group: G, key: Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(group).or_default().insert(key);
    }

    /// The group's members, in the order of their keys. Those that `look` does not find there are forgotten: a cache tells about a change after
    /// it was made, so that whatever belongs to the group later is added again.
    fn find<T>(&self, group: &G, look: impl Fn(&Key) -> Option<T>) -> Vec<T> {
        let mut groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = groups.get_mut(group) else { return Vec::new() };
        let mut found = Vec::new();
        keys.retain(|key| {
            let member = look(key);
            let is_member = member.is_some();
            found.extend(member);
            is_member
        });
        if keys.is_empty() {
            groups.remove(group);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::caches::known_node;
    use crate::controllers::testing::{cluster_key, registered_claim};

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

    fn names<T>(objects: Vec<T>, name: impl Fn(&T) -> String) -> Vec<String> {
        objects.iter().map(name).collect()
    }

    /// What an object of each number belongs to, if it exists.
    fn places() -> impl Strategy<Value = BTreeMap<u8, Option<u8>>> {
        prop::collection::btree_map(0_u8..6, prop::option::of(0_u8..3), 0..6)
    }

    proptest! {
        #[test]
        fn what_the_index_finds_is_what_a_search_of_everything_finds(states in prop::collection::vec((places(), places(), any::<bool>()), 1..6)) {
            let caches = Caches::default();
            let index = Index::of(&caches);
            for (pods, owners, is_asked) in states {
                caches.pods.fill(pods.iter().map(|(number, node)| pod(*number, *node)));
                caches.nodes.fill(owners.iter().map(|(number, instance)| node(*number, *instance)));
                let claims = owners.iter().filter_map(|(number, instance)| Some((number, (*instance)?)));
                caches.node_claims.fill(claims.map(|(number, instance)| registered_claim(&format!("c{number}"), id(instance).as_str(), json!({}))));
                if !is_asked {
                    continue;
                }
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
