//! Whether nothing needs a node any more, and for how long that has been so.
//!
//! A node is empty when no pod on it would have to run elsewhere: daemons, the kubelet's own pods and pods that have ended do not count,
//! nor do pods that are being deleted, unless a StatefulSet waits for them to be gone. So a node can be given up while its last pod takes
//! its grace to end; the drain waits for it. Karpenter also takes a node for empty whose pods all have a very low priority: here no pod is
//! too unimportant to count.

use jiff::{SignedDuration, Timestamp};

use crate::api::nodeclaim::INITIALIZED;
use crate::model::NodeClaim;
use crate::model::bound_pod::{BoundPod, Runner};

/// A node must have been left alone for so long, whatever its pool says: pods that are restarted come back within that time. Karpenter
/// waits as long for its second look.
pub const LEAST_QUIET: SignedDuration = SignedDuration::from_secs(10);

/// The first pod, by name, for which the node is still needed.
#[must_use]
pub fn needed_for<'p>(pods: &[&'p BoundPod]) -> Option<&'p BoundPod> {
    pods.iter().copied().filter(|pod| pod.is_reschedulable()).min_by_key(|pod| (&pod.key, &pod.uid))
}

/// Since when pods have left the node alone: since the last one came, went or ended, or since it is initialized. Nothing for a node that
/// is not.
#[must_use]
pub fn quiet_since(claim: &NodeClaim, pods: &[&BoundPod]) -> Option<Timestamp> {
    let initialized = claim.true_since(INITIALIZED)?;
    let of_pods = pods.iter().filter(|pod| !belongs_to_node(pod)).filter_map(|pod| pod.last_event);
    of_pods.chain(claim.last_pod_event).chain([initialized]).max()
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
