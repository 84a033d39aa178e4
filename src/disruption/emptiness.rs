//! Whether nothing needs a node any more, and for how long that has been so.
//!
//! A node is empty when no pod on it would have to run elsewhere: daemons, the kubelet's own pods and pods that have ended do not count,
//! nor do pods that are being deleted, unless a StatefulSet waits for them to be gone. So a node can be given up while its last pod takes
//! its grace to end; the drain waits for it. Karpenter also takes a node for empty whose pods all have a very low priority: here no pod is
//! too unimportant to count.

use jiff::{SignedDuration, Timestamp};

use crate::api::nodeclaim::{INITIALIZED, REGISTERED};
use crate::model::NodeClaim;
use crate::model::bound_pod::{BoundPod, Runner};

/// A node must have been left alone for so long, whatever its pool says: pods that are restarted come back within that time. Karpenter
/// waits as long for its second look.
pub const LEAST_QUIET: SignedDuration = SignedDuration::from_secs(10);

/// A node that is registered has so long to become initialized. Past that nobody waits for it any more: it counts as ready for pods that do not
/// come, so that it goes when nothing runs on it. As long as Karpenter gives a node to register.
pub const INITIALIZATION_TIMEOUT: SignedDuration = SignedDuration::from_mins(15);

/// The first pod, by name, for which the node is still needed.
#[must_use]
pub fn needed_for<'p>(pods: &[&'p BoundPod]) -> Option<&'p BoundPod> {
    pods.iter().copied().filter(|pod| pod.is_reschedulable()).min_by_key(|pod| (&pod.key, &pod.uid))
}

/// From when on nobody waits any more for a node that is registered to become initialized. Nothing for a node that is initialized, or is not
/// registered yet: for that, the registration timeout counts.
#[must_use]
pub fn initialization_deadline(claim: &NodeClaim) -> Option<Timestamp> {
    if claim.is(INITIALIZED) {
        return None;
    }
    claim.true_since(REGISTERED)?.checked_add(INITIALIZATION_TIMEOUT).ok()
}

/// Whether the node is initialized, or nobody waits for that any more.
#[must_use]
pub fn is_settled(claim: &NodeClaim, now: Timestamp) -> bool {
    claim.is(INITIALIZED) || initialization_deadline(claim).is_some_and(|deadline| now >= deadline)
}

/// Since when pods have left the node alone: since the last one came, went or ended, or since it is initialized. For a node that is registered
/// and does not become initialized, since its [`initialization_deadline`], which may be still to come. Nothing for any other.
#[must_use]
pub fn quiet_since(claim: &NodeClaim, pods: &[&BoundPod]) -> Option<Timestamp> {
    let settled = claim.true_since(INITIALIZED).or_else(|| initialization_deadline(claim))?;
    let of_pods = pods.iter().filter(|pod| !belongs_to_node(pod)).filter_map(|pod| pod.last_event);
    of_pods.chain(claim.last_pod_event).chain([settled]).max()
}

/// When the node has been quiet for long enough.
#[must_use]
pub fn quiet_enough_at(since: Timestamp, consolidate_after: SignedDuration) -> Timestamp {
    since.saturating_add(consolidate_after.max(LEAST_QUIET)).unwrap_or(Timestamp::MAX)
}

fn belongs_to_node(pod: &BoundPod) -> bool {
    match pod.runner {
        Runner::DaemonSet | Runner::Kubelet => true,
        Runner::Other | Runner::StatefulSet => false,
    }
}
