//! V3: nobody chooses a node past the scheduler; only a kubelet mirrors its static pods.

use super::daemon::MIRROR_ANNOTATION;
use super::reason::Reason;
use super::review::User;
use super::subject::Subject;

/// A node's name is refused wherever it comes from: no policy can know every node, and the scheduler, which enforces taints, is bypassed.
pub(super) fn judge_node_name(subject: &Subject<'_>) -> Option<Reason> {
    let node = &subject.new.spec.node_name;
    let before = subject.baseline.map(|pod| &pod.spec.node_name);
    (!node.is_empty() && before != Some(node))
        .then(|| Reason::NodeNameSet { path: subject.field("spec.nodeName"), node: node.to_string() })
}

/// Called for pods that are not the mirrors of their sender's own static pods.
pub(super) fn judge_mirror(subject: &Subject<'_>, user: &User<'_>) -> Option<Reason> {
    let is_new = subject.stored.is_none() && subject.new.metadata.has_annotation(MIRROR_ANNOTATION);
    is_new.then(|| Reason::ForgedMirrorPod { user: user.name.to_string() })
}
