//! What one process remembers of a claim: the answers to what it asked, and when to ask again.
//!
//! All of it may be lost at any moment. Without it a step asks once more, which costs time and never more: a launch is answered with the
//! instance that exists, a termination with the fact that it was asked for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::backoff;
use super::effect::Effect;
use super::planted::PlantedPod;
use crate::model::bound_pod::{BoundPod, Runner};
use crate::model::{ProviderId, ResourceList};

/// How long an answer of the eviction API is taken for granted before the pod must be seen to end.
const EVICTION_SHOWS_WITHIN: SignedDuration = SignedDuration::from_secs(10);

/// An instance that was launched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchedInstance {
    /// The instance.
    pub provider_id: ProviderId,
    /// The image that it runs.
    pub image_id: String,
    /// Labels of its node. Those that the claim has already stay as they are.
    pub labels: BTreeMap<String, String>,
    /// Annotations of its claim.
    pub annotations: BTreeMap<String, String>,
    /// What the machine is expected to have.
    pub capacity: ResourceList,
    /// What it is expected to leave for pods.
    pub allocatable: ResourceList,
}

/// What a failed launch means for its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LaunchProblem {
    /// There is no capacity for it now: the claim is given up and its pods are placed anew.
    NoCapacity,
    /// The class cannot be launched from: as above.
    NodeClassNotReady,
    /// Anything else: worth trying again until the launch timeout.
    Other,
}

/// A launch that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchFailure {
    /// What it means for the claim.
    pub problem: LaunchProblem,
    /// One word for the condition.
    pub reason: String,
    /// Why it failed, for people.
    pub message: String,
    /// Whether the cloud has refused this attempt for good, so that no instance comes of it. Otherwise the answer may have been lost,
    /// and the same attempt is made again.
    pub is_answered: bool,
    /// Whether the same attempt cannot be made again, and shows no instance: there is none if it still shows none a while later.
    pub is_spent: bool,
}

/// What the cloud said about an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Existence {
    /// It exists; after a termination: it will end.
    Exists,
    /// It does not.
    Gone,
}

/// What the eviction API said, or the API server to a deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EvictionAnswer {
    /// The pod is being deleted.
    Accepted,
    /// There is no such pod any more.
    Gone,
    /// A disruption budget does not allow it now.
    Blocked {
        /// What the API server said.
        message: String,
    },
    /// It could not be done.
    Failed {
        /// Why.
        message: String,
    },
}

impl EvictionAnswer {
    /// Reads the status code of an answer, 200 for success, and its message.
    ///
    /// A pod of that name and another UID is a conflict, and a pod under two budgets is an internal error by its code.
    #[must_use]
    pub fn classify(code: u16, message: &str) -> Self {
        let message = || message.to_owned();
        match code {
            200..=299 => Self::Accepted,
            404 | 409 => Self::Gone,
            429 => Self::Blocked { message: message() },
            500 if message().contains("more than one PodDisruptionBudget") => {
                Self::Blocked { message: message() }
            }
            _ => Self::Failed { message: message() },
        }
    }
}

/// The answer to an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To [`Effect::Launch`].
    Launch {
        /// The attempt that was made.
        attempt: u32,
        /// What came of it. Boxed, since it is much larger than the others.
        result: Result<Box<LaunchedInstance>, LaunchFailure>,
    },
    /// To [`Effect::FindInstance`]: the instance, none, or why that is not known.
    Found(Result<Option<ProviderId>, String>),
    /// To [`Effect::FindOwner`]: the UID of the claim that it was launched for, if its tags tell, or why that is not known.
    Owner(Result<Option<String>, String>),
    /// To [`Effect::GetInstance`].
    Instance(Result<Existence, String>),
    /// To [`Effect::Terminate`].
    Termination(Result<Existence, String>),
    /// To [`Effect::ListPods`]: the pods, or why they are not known.
    Pods(Result<Vec<BoundPod>, String>),
    /// To [`Effect::DeletePlanted`]: the pod's namespace is of a type that owns the taint.
    Rightful {
        /// The UID of the pod.
        uid: String,
    },
    /// To [`Effect::Evict`], [`Effect::DeletePod`] and [`Effect::DeletePlanted`].
    Eviction {
        /// The UID of the pod.
        uid: String,
        /// What came of it.
        answer: EvictionAnswer,
    },
}

/// Something that is known for a while.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known<T> {
    /// What.
    pub(super) value: T,
    /// When it was said.
    pub(super) at: Timestamp,
    /// When to ask again, if it matters then.
    pub(super) ask_again: Timestamp,
    /// How often in a row the answer was a failure.
    failures: u32,
}

impl<T> Known<T> {
    fn new(value: T, now: Timestamp, is_failure: bool, before: Option<u32>, poll: SignedDuration) -> Self {
        let failures = if is_failure { before.unwrap_or(0).saturating_add(1) } else { 0 };
        let wait = if is_failure { backoff::after(failures) } else { poll };
        Self { value, at: now, ask_again: backoff::later(now, wait), failures }
    }
}

/// What is known of the last launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LaunchResult {
    Launched(Box<LaunchedInstance>),
    Failed { attempt: u32, failure: LaunchFailure },
}

/// What one process remembers of a claim.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimMemory {
    /// Nothing while a launch is under way, or if none was made.
    pub(super) launch: Option<Known<LaunchResult>>,
    /// How often a launch failed in a row; kept while the next one is under way.
    launch_failures: u32,
    /// Since when every answer was that this attempt is spent.
    spent: Option<(u32, Timestamp)>,
    /// Since when the cloud is asked for an instance of the claim, with no launch meanwhile.
    pub(super) looks_since: Option<Timestamp>,
    pub(super) found: Option<Known<Result<Option<ProviderId>, String>>>,
    pub(super) owner: Option<Known<Result<Option<String>, String>>>,
    pub(super) instance: Option<Known<Result<Existence, String>>>,
    pub(super) termination: Option<Known<Result<Existence, String>>>,
    /// The pods of the claim's Nodes by the API server's own account.
    pub(super) pods: Option<Known<Result<Vec<BoundPod>, String>>>,
    /// By the UIDs of pods.
    pub(super) evictions: BTreeMap<String, Known<EvictionAnswer>>,
    /// The pods that looked planted and are not, by their UIDs.
    pub(super) rightful: BTreeMap<String, Known<()>>,
    pub(super) last_pod_event: Option<Timestamp>,
}

impl ClaimMemory {
    /// To be called before an effect is carried out: what was known of the same thing counts no more, in case no answer comes.
    pub fn begin(&mut self, effect: &Effect) {
        if matches!(effect, Effect::Launch { .. }) {
            if self.launch.is_none() {
                // What became of the last one is not known.
                self.spent = None;
            }
            (self.launch, self.found, self.looks_since) = (None, None, None);
        }
    }

    /// To be called with each answer.
    pub fn record(&mut self, answer: Answer, now: Timestamp) {
        /// How soon to look again whether an instance has gone, or exists, or which pods there are.
        const POLL: SignedDuration = SignedDuration::from_secs(5);
        let failures =
            |known: &Option<Known<Result<Existence, String>>>| known.as_ref().map(|known| known.failures);
        match answer {
            Answer::Launch { attempt, result } => {
                let is_failure = result.is_err();
                let is_spent = result.as_ref().is_err_and(|failure| failure.is_spent);
                let before = self.spent.filter(|(of, _)| *of == attempt);
                self.spent = is_spent.then(|| before.unwrap_or((attempt, now)));
                let value = match result {
                    Ok(instance) => LaunchResult::Launched(instance),
                    Err(failure) => LaunchResult::Failed { attempt, failure },
                };
                let known = Known::new(value, now, is_failure, Some(self.launch_failures), POLL);
                self.launch_failures = known.failures;
                self.launch = Some(known);
            }
            Answer::Found(result) => {
                let before = self.found.as_ref().map(|known| known.failures);
                self.looks_since.get_or_insert(now);
                self.found = Some(Known::new(result.clone(), now, result.is_err(), before, POLL));
            }
            Answer::Owner(result) => {
                let before = self.owner.as_ref().map(|known| known.failures);
                self.owner = Some(Known::new(result.clone(), now, result.is_err(), before, POLL));
            }
            Answer::Instance(result) => {
                let before = failures(&self.instance);
                self.instance = Some(Known::new(result.clone(), now, result.is_err(), before, POLL));
            }
            Answer::Termination(result) => {
                let before = failures(&self.termination);
                self.termination = Some(Known::new(result.clone(), now, result.is_err(), before, POLL));
            }
            Answer::Pods(result) => {
                let before = self.pods.as_ref().map(|known| known.failures);
                let is_failure = result.is_err();
                self.pods = Some(Known::new(result, now, is_failure, before, POLL));
            }
            Answer::Rightful { uid } => {
                self.rightful.insert(uid, Known::new((), now, false, None, POLL));
            }
            Answer::Eviction { uid, answer } => {
                let before = self.evictions.get(&uid).map(|known| known.failures);
                let is_failure =
                    matches!(answer, EvictionAnswer::Blocked { .. } | EvictionAnswer::Failed { .. });
                let mut known = Known::new(answer, now, is_failure, before, EVICTION_SHOWS_WITHIN);
                if is_failure {
                    known.ask_again = backoff::later(now, backoff::of_evictions(known.failures));
                }
                self.evictions.insert(uid, known);
            }
        }
    }

    /// To be called with the pods of the claim's nodes, and with those that are planted, before each step: a pod that is gone at the next
    /// one cannot tell any more when it went, and its eviction is of no interest.
    pub fn see(&mut self, pods: &[BoundPod], planted: &[PlantedPod]) {
        let newest = newest_event(pods);
        self.last_pod_event = self.last_pod_event.max(newest);
        let listed = self.pods.iter().filter_map(|known| known.value.as_ref().ok()).flatten();
        let uids: BTreeSet<&str> = { pods.iter().chain(listed).map(|pod| pod.uid.as_str()) }
            .chain(planted.iter().map(|planted| planted.pod.uid.as_str()))
            .collect();
        self.evictions.retain(|uid, _| uids.contains(uid.as_str()));
        self.rightful.retain(|uid, _| uids.contains(uid.as_str()));
    }

    /// Whether the attempt of the last launch is spent, and showed no instance so long after the first time that this was said.
    pub(super) fn is_spent_for(&self, long: SignedDuration) -> bool {
        let last = self.launch.as_ref().map(|known| known.at);
        self.spent.is_some_and(|(_, since)| last >= Some(backoff::later(since, long)))
    }

    /// Whether the cloud has answered the last launch, and it was this attempt, with a refusal: no instance comes of it.
    pub(super) fn has_refused(&self, attempt: u32) -> bool {
        match self.launch.as_ref().map(|known| &known.value) {
            Some(LaunchResult::Failed { attempt: failed, failure }) => {
                *failed == attempt && failure.is_answered
            }
            Some(LaunchResult::Launched(_)) | None => false,
        }
    }
}

/// When a pod last came or went that does not belong to the node.
pub(super) fn newest_event(pods: &[BoundPod]) -> Option<Timestamp> {
    let counts = |pod: &&BoundPod| match pod.runner {
        Runner::Other | Runner::StatefulSet => true,
        Runner::DaemonSet | Runner::Kubelet => false,
    };
    pods.iter().filter(counts).filter_map(|pod| pod.last_event).max()
}

#[cfg(test)]
mod tests;
