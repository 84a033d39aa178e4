//! Which pods have been promised which node, so that none is launched for twice. In memory; after a restart the plan is made anew, with
//! the claims that exist as nodes on their way.
//!
//! A node is named by its claim, which stays the same from before there is a Node to the end; a Node without a claim by its own name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::model::ResourceList;
use crate::model::pod::PodKey;

/// For how long a promise stands once the node could take the pod: kube-scheduler binds within moments, or not at all.
const STANDS_FOR: SignedDuration = SignedDuration::from_secs(20);

/// A promise.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Nomination {
    /// The pod's uid: a pod of the same name that comes later was promised nothing.
    uid: String,
    /// The claim's name, or the Node's if it has no claim.
    node: String,
    /// Until when; nothing while the node is on its way.
    until: Option<Timestamp>,
}

/// The promises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nominations(BTreeMap<PodKey, Nomination>);

impl Nominations {
    /// Promises the pod a place on the node of this claim, or on this Node if it has none.
    pub fn nominate(&mut self, pod: PodKey, uid: &str, node: &str) {
        self.0.insert(pod, Nomination { uid: uid.to_owned(), node: node.to_owned(), until: None });
    }

    /// Where the pod was promised a place.
    #[must_use]
    pub fn of(&self, pod: &PodKey, uid: &str) -> Option<&str> {
        self.0.get(pod).filter(|nomination| nomination.uid == uid).map(|nomination| nomination.node.as_str())
    }

    /// Until when a pod that was promised a place on this node can be expected there; for ever while the node is on its way.
    #[must_use]
    pub fn until(&self, node: &str) -> Option<Timestamp> {
        let promised = self.0.values().filter(|nomination| nomination.node == node);
        promised.map(|nomination| nomination.until.unwrap_or(Timestamp::MAX)).max()
    }

    /// Drops what no longer counts: pods that do not wait any more, nodes that are gone, and promises that were not kept although
    /// the node could take pods.
    ///
    /// `waits` tells whether the pod of this key and uid still waits; `node` tells what became of a node or claim.
    pub fn review(
        &mut self,
        waits: impl Fn(&PodKey, &str) -> bool,
        node: impl Fn(&str) -> Progress,
        now: Timestamp,
    ) {
        self.0.retain(|pod, nomination| {
            if !waits(pod, &nomination.uid) {
                return false;
            }
            match node(&nomination.node) {
                Progress::Gone => false,
                Progress::OnItsWay => true,
                Progress::Ready => *nomination.until.get_or_insert(now + STANDS_FOR) > now,
            }
        });
    }

    /// The nodes (or claims) on which places are promised.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<String> {
        self.0.values().map(|nomination| nomination.node.clone()).collect()
    }

    /// Ends promises that cannot be kept any more, since kube-scheduler has put other pods in their places: those pods are planned for
    /// anew at once.
    ///
    /// `requests` tells what a pod that waits requests, `room` what a node has left beside the pods that are bound to it; nodes that it
    /// knows nothing about are left alone.
    pub fn release_crowded_out(
        &mut self,
        requests: impl Fn(&PodKey) -> Option<ResourceList>,
        room: &BTreeMap<String, ResourceList>,
    ) {
        let mut room = room.clone();
        self.0.retain(|pod, nomination| {
            let (Some(left), Some(requests)) = (room.get_mut(&nomination.node), requests(pod)) else {
                return true;
            };
            let fits = requests.fits_in(left);
            if fits {
                *left = left.minus(&requests);
            }
            fits
        });
    }

    /// The next moment at which a promise ends.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.0.values().filter_map(|nomination| nomination.until).min()
    }
}

/// The promises of the process, shared between who makes them and who must not take a node away before they are kept. Cheap to clone, all
/// clones see the same.
#[derive(Clone, Debug, Default)]
pub struct SharedNominations(Arc<Mutex<Nominations>>);

impl SharedNominations {
    /// Until when pods are expected on the node of this claim (or on this Node, if it has no claim) that a plan has placed there, and
    /// that are not bound yet. Nothing if none are. [`Timestamp::MAX`] while the node is on its way; a moment that has passed no longer
    /// counts.
    ///
    /// A restart forgets it: until the next plan, nothing is expected anywhere.
    #[must_use]
    pub fn nominated_until(&self, claim: &str) -> Option<Timestamp> {
        self.with(|nominations| nominations.until(claim))
    }

    /// The promises as they are now.
    #[must_use]
    pub fn now(&self) -> Nominations {
        self.with(|nominations| nominations.clone())
    }

    /// Looks at the promises, or changes them.
    pub fn with<T>(&self, look: impl FnOnce(&mut Nominations) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What became of a node that was promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Neither claim nor node exists.
    Gone,
    /// It cannot take pods yet.
    OnItsWay,
    /// It can.
    Ready,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::resource_list;

    fn pod(name: &str) -> PodKey {
        PodKey { namespace: "shop".to_owned(), name: name.to_owned() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn a_promise_stands_while_the_node_is_on_its_way_and_a_while_longer() {
        let mut nominations = Nominations::default();
        nominations.nominate(pod("a"), "u1", "claim-1");
        assert_eq!(nominations.of(&pod("a"), "u1"), Some("claim-1"));
        assert_eq!(nominations.of(&pod("a"), "u2"), None, "another pod of the same name");
        nominations.review(|_, _| true, |_| Progress::OnItsWay, at(1000));
        assert_eq!(nominations.next_end(), None);
        assert_eq!(nominations.until("claim-1"), Some(Timestamp::MAX));
        assert_eq!(nominations.until("claim-2"), None);
        nominations.review(|_, _| true, |_| Progress::Ready, at(2000));
        assert_eq!(nominations.next_end(), Some(at(2020)));
        assert_eq!(nominations.until("claim-1"), Some(at(2020)));
        nominations.review(|_, _| true, |_| Progress::Ready, at(2019));
        assert!(nominations.of(&pod("a"), "u1").is_some());
        nominations.review(|_, _| true, |_| Progress::Ready, at(2020));
        assert!(nominations.of(&pod("a"), "u1").is_none());
    }

    #[test]
    fn a_promise_ends_when_others_have_taken_its_place() {
        let mut nominations = Nominations::default();
        for (name, node) in [("a", "full"), ("b", "half"), ("c", "half"), ("d", "on-its-way")] {
            nominations.nominate(pod(name), "u", node);
        }
        let room = [("full", "cpu=100m pods=9"), ("half", "cpu=700m pods=9")];
        let room = room.map(|(node, left)| (node.to_owned(), resource_list(left))).into();
        let requests = |_: &PodKey| Some(resource_list("cpu=500m pods=1"));
        nominations.release_crowded_out(requests, &room);
        let left: Vec<_> = ["a", "b", "c", "d"]
            .into_iter()
            .filter(|name| nominations.of(&pod(name), "u").is_some())
            .collect();
        assert_eq!(left, ["b", "d"]);
        assert_eq!(nominations.nodes(), ["half".to_owned(), "on-its-way".to_owned()].into());
    }

    #[test]
    fn a_pod_that_waits_no_more_or_whose_node_is_gone_was_promised_nothing() {
        let mut nominations = Nominations::default();
        for (name, node) in [("a", "gone"), ("b", "here"), ("c", "here")] {
            nominations.nominate(pod(name), "u", node);
        }
        let progress = |node: &str| if node == "gone" { Progress::Gone } else { Progress::OnItsWay };
        nominations.review(|pod, _| pod.name != "c", progress, at(0));
        let left: Vec<_> =
            ["a", "b", "c"].into_iter().filter(|name| nominations.of(&pod(name), "u").is_some()).collect();
        assert_eq!(left, ["b"]);
    }
}
