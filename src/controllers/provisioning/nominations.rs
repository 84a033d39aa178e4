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

/// So many promises to a pod may be broken before it waits for the next one: others may have taken its place, or kube-scheduler was slow.
const BROKEN_WITHOUT_PAUSE: u32 = 2;
/// So long it waits then, and twice as long after each further one …
const PAUSE: SignedDuration = SignedDuration::from_secs(30);
/// … but never longer.
const LONGEST_PAUSE: SignedDuration = SignedDuration::from_mins(10);

/// Promises to a pod that were not kept although the node was there.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Broken {
    uid: String,
    times: u32,
    /// Until when no further promise is made.
    until: Timestamp,
}

/// Why a pod is promised nothing for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// How often a node was there for it that it was not bound to.
    pub times: u32,
    /// Until when.
    pub until: Timestamp,
}

/// The promises.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Nominations {
    promised: BTreeMap<PodKey, Nomination>,
    broken: BTreeMap<PodKey, Broken>,
}

impl Nominations {
    /// Promises the pod a place on the node of this claim, or on this Node if it has none.
    pub fn nominate(&mut self, pod: PodKey, uid: &str, node: &str) {
        self.promised.insert(pod, Nomination { uid: uid.to_owned(), node: node.to_owned(), until: None });
    }

    /// Where the pod was promised a place.
    #[must_use]
    pub fn of(&self, pod: &PodKey, uid: &str) -> Option<&str> {
        self.promised
            .get(pod)
            .filter(|nomination| nomination.uid == uid)
            .map(|nomination| nomination.node.as_str())
    }

    /// Why the pod is to be promised nothing now: nodes were there for it, one after the other, and it was bound to none of them. What
    /// is promised and what the scheduler sees differ then, and each further node would cost money for nothing.
    #[must_use]
    pub fn pause(&self, pod: &PodKey, uid: &str, now: Timestamp) -> Option<Pause> {
        let broken = self.broken.get(pod).filter(|broken| broken.uid == uid && broken.until > now)?;
        Some(Pause { times: broken.times, until: broken.until })
    }

    /// Until when a pod that was promised a place on this node can be expected there; for ever while the node is on its way.
    #[must_use]
    pub fn until(&self, node: &str) -> Option<Timestamp> {
        let promised = self.promised.values().filter(|nomination| nomination.node == node);
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
        let Self { promised, broken } = self;
        broken.retain(|pod, broken| waits(pod, &broken.uid));
        promised.retain(|pod, nomination| {
            if !waits(pod, &nomination.uid) {
                return false;
            }
            match node(&nomination.node) {
                Progress::Gone => false,
                Progress::OnItsWay => true,
                Progress::Ready => {
                    let stands = *nomination.until.get_or_insert(now + STANDS_FOR) > now;
                    if !stands {
                        note_broken(broken, pod, &nomination.uid, now);
                    }
                    stands
                }
            }
        });
    }

    /// The nodes (or claims) on which places are promised.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<String> {
        self.promised.values().map(|nomination| nomination.node.clone()).collect()
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
        now: Timestamp,
    ) {
        let mut room = room.clone();
        let Self { promised, broken } = self;
        promised.retain(|pod, nomination| {
            let (Some(left), Some(requests)) = (room.get_mut(&nomination.node), requests(pod)) else {
                return true;
            };
            let fits = requests.fits_in(left);
            if fits {
                *left = left.minus(&requests);
            } else {
                note_broken(broken, pod, &nomination.uid, now);
            }
            fits
        });
    }

    /// The next moment at which a promise ends.
    #[must_use]
    pub fn next_end(&self) -> Option<Timestamp> {
        self.promised.values().filter_map(|nomination| nomination.until).min()
    }
}

fn note_broken(broken: &mut BTreeMap<PodKey, Broken>, pod: &PodKey, uid: &str, now: Timestamp) {
    let before = broken.get(pod).filter(|broken| broken.uid == uid).map_or(0, |broken| broken.times);
    let times = before.saturating_add(1);
    let pause = match times.checked_sub(BROKEN_WITHOUT_PAUSE + 1) {
        None => SignedDuration::ZERO,
        Some(more) => {
            PAUSE.checked_mul(2_i32.saturating_pow(more)).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
        }
    };
    let until = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
    broken.insert(pod.clone(), Broken { uid: uid.to_owned(), times, until });
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
        nominations.release_crowded_out(requests, &room, at(0));
        let left: Vec<_> = ["a", "b", "c", "d"]
            .into_iter()
            .filter(|name| nominations.of(&pod(name), "u").is_some())
            .collect();
        assert_eq!(left, ["b", "d"]);
        assert_eq!(nominations.nodes(), ["half".to_owned(), "on-its-way".to_owned()].into());
    }

    /// A kubelet gives less than was expected, or a label is on no node that is there: one more node would be like the last.
    #[test]
    fn a_pod_that_ready_nodes_do_not_get_waits_longer_and_longer_for_the_next() {
        let mut nominations = Nominations::default();
        let room = [("node".to_owned(), resource_list("cpu=100m pods=9"))].into();
        let (mut now, mut pauses) = (0, Vec::new());
        for again in 0..9 {
            assert_eq!(nominations.pause(&pod("a"), "u", at(now)), None);
            nominations.nominate(pod("a"), "u", "node");
            nominations.review(|_, _| true, |_| Progress::Ready, at(now));
            if again % 2 == 0 {
                nominations.release_crowded_out(|_| Some(resource_list("cpu=500m pods=1")), &room, at(now));
            } else {
                now += 20;
                nominations.review(|_, _| true, |_| Progress::Ready, at(now));
            }
            assert_eq!(nominations.of(&pod("a"), "u"), None);
            let pause = nominations.pause(&pod("a"), "u", at(now));
            assert!(pause.is_none_or(|pause| pause.times == again + 1));
            let seconds = pause.map_or(0, |pause| pause.until.as_second() - now);
            pauses.push(seconds);
            now += seconds;
        }
        assert_eq!(pauses, [0, 0, 30, 60, 120, 240, 480, 600, 600]);
        nominations.review(|_, _| true, |_| Progress::Ready, at(now - 1));
        assert!(nominations.pause(&pod("a"), "u", at(now - 1)).is_some());
        assert_eq!(nominations.pause(&pod("a"), "another", at(now - 1)), None);
        nominations.review(|_, _| false, |_| Progress::Ready, at(now - 1));
        assert_eq!(nominations.pause(&pod("a"), "u", at(now - 1)), None, "it waits no more");
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
