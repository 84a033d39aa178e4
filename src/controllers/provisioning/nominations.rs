//! Which pods have been promised which node, so that none is launched for twice. In memory; after a restart the plan is made anew, with
//! the claims that exist as nodes on their way.
//!
//! A node is named by its claim, which stays the same from before there is a Node to the end; a Node without a claim by its own name.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::lifecycle::backoff;
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

/// A way in which a promise is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Breach {
    /// The node was there, and the pod was not bound to it: others may have taken its place, or kube-scheduler was slow.
    NeverBound,
    /// The node was given up before the pod could be bound to it.
    NodeLost,
    /// The API server refused the node's claim.
    ClaimRefused,
}

impl Breach {
    /// How many breaches go by before the pod waits for the next promise, and how long it waits first and at most; each wait is twice the
    /// one before.
    const fn patience(self) -> (u32, SignedDuration, SignedDuration) {
        match self {
            Self::NeverBound => (2, SignedDuration::from_secs(30), SignedDuration::from_mins(10)),
            // What a launch shows to be unavailable is avoided by the next plan; what it does not show is soon met again.
            Self::NodeLost => (1, SignedDuration::from_secs(1), SignedDuration::from_mins(10)),
            // A refusal costs nothing but the call.
            Self::ClaimRefused => (0, SignedDuration::from_secs(1), SignedDuration::from_secs(10)),
        }
    }
}

/// Promises to a pod that were not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Broken {
    uid: String,
    times: BTreeMap<Breach, u32>,
    /// Since the last one.
    pause: Option<Pause>,
}

/// Why a pod is promised nothing for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// What became of the promises to it.
    pub breach: Breach,
    /// How often.
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

    /// Notes that the pod could be promised nothing, since the API server has refused the claim of its node.
    pub fn refused(&mut self, pod: &PodKey, uid: &str, now: Timestamp) {
        note_broken(&mut self.broken, pod, uid, (Breach::ClaimRefused, now));
    }

    /// Where the pod was promised a place.
    #[must_use]
    pub fn of(&self, pod: &PodKey, uid: &str) -> Option<&str> {
        self.promised
            .get(pod)
            .filter(|nomination| nomination.uid == uid)
            .map(|nomination| nomination.node.as_str())
    }

    /// Why the pod is to be promised nothing now: nodes were there for it, one after the other, and it was bound to none of them, or none
    /// of them came to be. What is promised and what comes of it differ then, and each further node would cost money, or calls, for nothing.
    #[must_use]
    pub fn pause(&self, pod: &PodKey, uid: &str, now: Timestamp) -> Option<Pause> {
        let broken = self.broken.get(pod).filter(|broken| broken.uid == uid)?;
        broken.pause.filter(|pause| pause.until > now)
    }

    /// Until when a pod that was promised a place on this node can be expected there; for ever while the node is on its way.
    #[must_use]
    pub fn until(&self, node: &str) -> Option<Timestamp> {
        let promised = self.promised.values().filter(|nomination| nomination.node == node);
        promised.map(|nomination| nomination.until.unwrap_or(Timestamp::MAX)).max()
    }

    /// Drops what no longer counts: pods that do not wait any more, and promises that were not kept although the node could take pods, or
    /// whose node is gone.
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
                Progress::Gone => {
                    note_broken(broken, pod, &nomination.uid, (Breach::NodeLost, now));
                    false
                }
                Progress::Unfounded => false,
                Progress::OnItsWay => {
                    // It was ready, and is not any more, or what says so is behind.
                    nomination.until = None;
                    true
                }
                Progress::Ready => {
                    let stands = *nomination.until.get_or_insert(now + STANDS_FOR) > now;
                    if !stands {
                        note_broken(broken, pod, &nomination.uid, (Breach::NeverBound, now));
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
                note_broken(broken, pod, &nomination.uid, (Breach::NeverBound, now));
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

fn note_broken(
    broken: &mut BTreeMap<PodKey, Broken>,
    pod: &PodKey,
    uid: &str,
    (breach, now): (Breach, Timestamp),
) {
    let broken = broken.entry(pod.clone()).or_default();
    if broken.uid != uid {
        *broken = Broken { uid: uid.to_owned(), ..Broken::default() };
    }
    let times = broken.times.entry(breach).or_default();
    *times = times.saturating_add(1);
    let (free, first, longest) = breach.patience();
    let pause = times.checked_sub(free).filter(|more| *more > 0);
    let pause = pause.map(|more| backoff::doubled(first, more, longest));
    broken.pause = pause.map(|pause| Pause { breach, times: *times, until: backoff::later(now, pause) });
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
    /// It is lost, or neither claim nor node exists.
    Gone,
    /// There was none: what the promise was made for did not come to be.
    Unfounded,
    /// It cannot take pods yet.
    OnItsWay,
    /// It can.
    Ready,
}

#[cfg(test)]
mod tests;
