//! What a step tells people about a claim, its node and its pods: the vocabulary, with words and Karpenter's reasons where it has one.

use std::fmt::{self, Write as _};

use jiff::{SignedDuration, Timestamp};

use super::drain::{Hold, Waiting};
use super::planted::PlantedPod;
use super::planted::removal::Held;
use crate::model::event::{Event, Regarding, Severity};
use crate::model::problem::Problem;
use crate::model::text::Excerpt;
use crate::model::{Node, NodeClaim, ProviderId};

/// How many of a longer list a message names.
const NAMED: usize = 5;

/// A planted pod that somebody must do something about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InTheWay<'a> {
    /// The pod.
    pub(super) pod: &'a PlantedPod,
    /// What the API server said to its deletion; nothing for a pod that nothing made, which is left to people.
    pub(super) refusal: Option<&'a str>,
}

/// Something that people should know about a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice<'a> {
    /// The claim is given up, since there is no capacity for it.
    InsufficientCapacity { message: &'a str },
    /// The claim is given up, since its class cannot be launched from.
    NodeClassNotReady { message: &'a str },
    /// A launch failed and is tried again.
    LaunchFailed { message: &'a str },
    /// The claim is wrong.
    InvalidNodeClaim { problems: &'a [Problem] },
    /// The launch waits for a policy.
    LaunchHeld { message: &'a str },
    /// Something waits for pods to be removed that would get onto the node.
    PlantedPods { planted: &'a [InTheWay<'a>], held: Held },
    /// The claim is given up, since no instance was launched in time.
    LaunchTimeout { timeout: SignedDuration, last: Option<&'a str> },
    /// The claim is given up, since no Node was registered in time.
    RegistrationTimeout { timeout: SignedDuration, provider_id: &'a ProviderId, in_the_way: Option<&'a str> },
    /// Another claim has the instance.
    InstanceOfAnotherClaim { provider_id: &'a ProviderId, owner: &'a NodeClaim },
    /// The Node was open.
    UnregisteredTaintMissing { node: &'a Node },
    /// Several Nodes say that they are the instance.
    MultipleNodesFound { nodes: &'a [Node] },
    /// The Node was deleted, and so the claim is.
    NodeDeleted { node: &'a Node },
    /// The drain has a deadline.
    TerminationGracePeriodExpiring { deadline: Timestamp },
    /// Pods keep the drain from going on.
    FailedDraining { node: &'a Node, waiting: &'a [Waiting<'a>] },
    /// Volumes are still attached.
    AwaitingVolumeDetachment { node: &'a Node, volumes: &'a [&'a str] },
    /// The instance could not be terminated.
    FailedTermination { provider_id: &'a ProviderId, message: &'a str },
}

impl Notice<'_> {
    /// The event about the claim, or about its node where it is the node that people look at.
    pub(super) fn about(&self, claim: &NodeClaim) -> Event {
        let (severity, reason) = self.kind();
        let (node, same_if) = match self {
            Self::FailedDraining { node, waiting } => {
                let named = waiting.iter().take(NAMED).map(|pod| pod.pod.uid.as_str());
                (Some(*node), named.collect::<Vec<_>>().join(","))
            }
            Self::LaunchFailed { message } | Self::LaunchHeld { message } => (None, (*message).to_owned()),
            Self::PlantedPods { .. } => (None, self.to_string()),
            // Of these, one is like the other.
            Self::AwaitingVolumeDetachment { node, .. } => (Some(*node), String::new()),
            Self::InsufficientCapacity { .. }
            | Self::NodeClassNotReady { .. }
            | Self::InvalidNodeClaim { .. }
            | Self::LaunchTimeout { .. }
            | Self::RegistrationTimeout { .. }
            | Self::InstanceOfAnotherClaim { .. }
            | Self::UnregisteredTaintMissing { .. }
            | Self::MultipleNodesFound { .. }
            | Self::NodeDeleted { .. }
            | Self::TerminationGracePeriodExpiring { .. }
            | Self::FailedTermination { .. } => (None, String::new()),
        };
        let regarding = match node {
            Some(node) => Regarding::Node { name: node.object.name.clone(), uid: node.object.uid.clone() },
            None => Regarding::NodeClaim { name: claim.object.name.clone(), uid: claim.object.uid.clone() },
        };
        Event { regarding, severity, reason, message: self.to_string(), same_if }
    }

    const fn kind(&self) -> (Severity, &'static str) {
        match self {
            Self::InsufficientCapacity { .. } => (Severity::Warning, "InsufficientCapacityError"),
            Self::NodeClassNotReady { .. } => (Severity::Warning, "NodeClassNotReady"),
            Self::LaunchFailed { .. } => (Severity::Warning, "LaunchFailed"),
            Self::InvalidNodeClaim { .. } => (Severity::Warning, "InvalidNodeClaim"),
            Self::LaunchHeld { .. } => (Severity::Normal, "LaunchHeld"),
            Self::PlantedPods { .. } => (Severity::Warning, "ForeignPodsWait"),
            Self::LaunchTimeout { .. } => (Severity::Warning, "LaunchTimeout"),
            Self::RegistrationTimeout { .. } => (Severity::Warning, "RegistrationTimeout"),
            Self::InstanceOfAnotherClaim { .. } => (Severity::Warning, "InstanceOfAnotherClaim"),
            Self::UnregisteredTaintMissing { .. } => (Severity::Warning, "UnregisteredTaintMissing"),
            Self::MultipleNodesFound { .. } => (Severity::Warning, "MultipleNodesFound"),
            Self::NodeDeleted { .. } => (Severity::Normal, "NodeDeleted"),
            Self::TerminationGracePeriodExpiring { .. } => {
                (Severity::Warning, "TerminationGracePeriodExpiring")
            }
            Self::FailedDraining { .. } => (Severity::Warning, "FailedDraining"),
            Self::AwaitingVolumeDetachment { .. } => (Severity::Normal, "AwaitingVolumeDetachment"),
            Self::FailedTermination { .. } => (Severity::Warning, "FailedTermination"),
        }
    }
}

impl fmt::Display for Notice<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InsufficientCapacity { message } => write!(
                f,
                "no capacity, so the claim is deleted and its pods are placed anew: {message}; allow more instance types or \
                 zones in the NodePool's requirements if this lasts"
            ),
            Self::NodeClassNotReady { message } => write!(
                f,
                "nothing can be launched as node class and pool are, so the claim is deleted: {message}; where that is about the class, the \
                 EC2NodeClass's status says more"
            ),
            Self::LaunchFailed { message } => write!(f, "the launch failed and is tried again: {message}"),
            Self::InvalidNodeClaim { problems } => {
                f.write_str("nothing is launched, since the claim cannot be used as it is written: ")?;
                list(f, problems, problems.len())?;
                f.write_str("; delete it and create a correct one")
            }
            Self::LaunchHeld { message } => write!(f, "nothing is launched yet: {message}"),
            Self::PlantedPods { planted, held } => {
                f.write_str(match held {
                    Held::Launch => "nothing is launched",
                    Held::Opening => "its Node is not opened",
                    Held::Joining => "its Node is not given to the workload types of its pool",
                })?;
                f.write_str(
                    " while pods wait that tolerate the node's taint and are not of the type that owns it: ",
                )?;
                list(f, planted, planted.len())?;
                let is_refused = |pod: &InTheWay<'_>| pod.refusal.is_some();
                f.write_str(match (planted.iter().any(is_refused), planted.iter().all(is_refused)) {
                    (false, _) => "; delete them: nobody makes them again, and what is created now is judged",
                    (true, true) => "; let them be deleted: what is created in their place is judged",
                    (true, false) => "; delete those that nothing made, and let the others be deleted: what is created now is judged",
                })
            }
            Self::LaunchTimeout { timeout, last } => {
                write!(f, "no instance was launched within {timeout:#}, so the claim is deleted")?;
                last.map_or(Ok(()), |last| write!(f, "; last failure: {last}"))
            }
            Self::RegistrationTimeout { timeout, provider_id, in_the_way: None } => write!(
                f,
                "no Node of instance {provider_id} was registered within {timeout:#}, so the claim is deleted; look at the \
                 instance's console output, its user data, and whether its role may join the cluster"
            ),
            Self::RegistrationTimeout { timeout, provider_id, in_the_way: Some(why) } => write!(
                f,
                "the Node of instance {provider_id} was not opened within {timeout:#}, so the claim is deleted: {why}"
            ),
            Self::InstanceOfAnotherClaim { provider_id, owner } => write!(
                f,
                "status.providerID names instance {provider_id}, which is NodeClaim {}'s, so nothing is done to it for this claim; delete this \
                 NodeClaim: the instance stays",
                Excerpt(&owner.object.name)
            ),
            Self::UnregisteredTaintMissing { node } => write!(
                f,
                "Node {} registered without the taint karpenter.sh/unregistered:NoExecute and was open to every pod, so it is \
                 terminated; let its kubelet register with that taint",
                Excerpt(&node.object.name)
            ),
            Self::MultipleNodesFound { nodes } => {
                f.write_str("several Nodes have the instance's provider ID: ")?;
                let names: Vec<_> = nodes.iter().map(|node| Excerpt(&node.object.name)).collect();
                list(f, &names, names.len())?;
                f.write_str("; delete those that are not the instance")
            }
            Self::NodeDeleted { node } => write!(
                f,
                "Node {} was deleted, so it is drained and its instance is terminated",
                Excerpt(&node.object.name)
            ),
            Self::TerminationGracePeriodExpiring { deadline } => write!(
                f,
                "the drain ends at {deadline}: what is left by then is deleted, early enough for its grace, whatever protects it"
            ),
            Self::FailedDraining { waiting, .. } => {
                f.write_str("the drain waits for pods: ")?;
                list(f, waiting, waiting.len())
            }
            Self::AwaitingVolumeDetachment { volumes, .. } => {
                f.write_str("the instance waits until these volumes are detached: ")?;
                let names: Vec<_> = volumes.iter().map(|name| Excerpt(name)).collect();
                list(f, &names, names.len())
            }
            Self::FailedTermination { provider_id, message } => {
                write!(f, "instance {provider_id} could not be terminated and is tried again: {message}")
            }
        }
    }
}

/// The first few, and how many more there are.
fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T], total: usize) -> fmt::Result {
    let mut text = String::new();
    for (number, item) in items.iter().take(NAMED).enumerate() {
        let separator = if number == 0 { "" } else { ", " };
        write!(text, "{separator}{item}")?;
    }
    f.write_str(&text)?;
    if total > NAMED { write!(f, " and {} more", total - NAMED) } else { Ok(()) }
}

/// `shop/web-1 (tolerates node-type=a:NoSchedule of workload type a), whose deletion was refused (…)`.
impl fmt::Display for InTheWay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pod)?;
        self.refusal
            .map_or(Ok(()), |refusal| write!(f, ", whose deletion was refused ({})", Excerpt(refusal)))
    }
}

/// `shop/web-1 (no budget allows it: …)`.
impl fmt::Display for Waiting<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.pod.key, self.hold)
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("its eviction is asked for"),
            Self::Ending { by } => write!(f, "it ends by {by}"),
            Self::LeftAlone { until: Some(until) } => write!(f, "karpenter.sh/do-not-disrupt until {until}"),
            Self::LeftAlone { until: None } => f.write_str("karpenter.sh/do-not-disrupt"),
            Self::Blocked { message } => write!(f, "not allowed now: {}", Excerpt(message)),
            Self::Failed { message } => write!(f, "eviction failed: {}", Excerpt(message)),
            Self::LaterGroup => f.write_str("others go first"),
        }
    }
}

#[cfg(test)]
mod tests;
