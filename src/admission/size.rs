//! V12: a pod that asks for more than is planned for is refused, whoever makes it: it would never get a node, or, of a DaemonSet, could not be
//! reckoned with. How much that is, the model says; what it counts, it counts before it copies anything.

use super::reason::Reason;
use super::subject::Subject;
use super::wishes::Wishes;
use crate::model::pod::Measure;

/// Tolerations have a rule of their own, which allows fewer.
pub(super) fn judge(subject: &Subject<'_>, wishes: &Wishes) -> Option<Reason> {
    let excess = wishes.new.pod.excess().filter(|excess| excess.of != Measure::Tolerations)?;
    let was_too_large = wishes.baseline.as_ref().is_some_and(|before| before.pod.excess().is_some());
    (!was_too_large).then(|| Reason::PodTooLarge { path: subject.path.to_owned(), excess })
}

#[cfg(test)]
mod tests;
