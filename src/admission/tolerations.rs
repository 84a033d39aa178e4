//! V1: a toleration that would match somebody else's owned taint is refused; V12: so are more tolerations than may be.

use std::collections::BTreeSet;

use super::injection;
use super::owned::{OwnedTaint, Reach};
use super::reason::Reason;
use super::subject::Subject;
use crate::model::taints::{Tolerance, Toleration, TolerationOperator};
use crate::model::workload_type::unregistered_taint;

pub(super) fn judge(subject: &Subject<'_>) -> Vec<Reason> {
    let tolerations = subject.new.spec.tolerations();
    let before = subject.baseline.map(|pod| pod.spec.tolerations());
    if before == Some(tolerations) {
        return Vec::new();
    }
    if let Some(too_many) = too_many(subject, tolerations) {
        return vec![too_many];
    }
    let before: BTreeSet<_> = before.unwrap_or_default().iter().collect();
    let new = tolerations.iter().enumerate().filter(|(_, toleration)| !before.contains(toleration));
    new.filter_map(|(index, toleration)| {
        let refused = refusal(subject, toleration)?;
        Some(reason(subject, index, toleration, refused))
    })
    .collect()
}

/// Counted before anything else is looked at, so that every other rule has a bounded list. What injection adds counts already: a pod that
/// is changed here is admitted there.
fn too_many(subject: &Subject<'_>, tolerations: &[Toleration<'_>]) -> Option<Reason> {
    let max = subject.policies.settings().max_tolerations;
    let missing = |()| {
        let injected = subject.injected_type()?;
        Some(injection::missing(&injected.current, &subject.new.spec).tolerations.len())
    };
    let added = if tolerations.len() > max { 0 } else { missing(()).unwrap_or_default() };
    let count = tolerations.len() + added;
    (count > max).then(|| Reason::TooManyTolerations {
        path: subject.field("spec.tolerations"),
        count,
        added,
        max,
    })
}

/// Why a toleration is refused.
enum Refused<'p> {
    Foreign(&'p OwnedTaint),
    Unsure(&'p OwnedTaint),
    Unregistered,
}

/// Whether the subject may not have the toleration.
pub(super) fn is_refused(subject: &Subject<'_>, toleration: &Toleration<'_>) -> bool {
    refusal(subject, toleration).is_some()
}

fn refusal<'p>(subject: &Subject<'p>, toleration: &Toleration<'_>) -> Option<Refused<'p>> {
    match subject.policies.owned().first_foreign(toleration, subject.standing.type_name()) {
        Some(Reach { owned, is_unsure: false }) => Some(Refused::Foreign(owned)),
        Some(Reach { owned, is_unsure: true }) => Some(Refused::Unsure(owned)),
        None => {
            let reaches = toleration.matches(&unregistered_taint()) != Tolerance::No;
            (reaches && !subject.role.is_daemon()).then_some(Refused::Unregistered)
        }
    }
}

fn reason(subject: &Subject<'_>, index: usize, toleration: &Toleration<'_>, refused: Refused<'_>) -> Reason {
    let path = format!("{}[{index}]", subject.field("spec.tolerations"));
    let toleration = toleration.clone().into_owned();
    match refused {
        Refused::Foreign(_) if is_wildcard(&toleration) => {
            let own_type = subject.standing.type_name();
            let owners = subject.policies.owned().foreign_owners(&toleration, own_type);
            Reason::WildcardToleration {
                path,
                owners: owners.into_iter().map(str::to_owned).collect(),
                own_type: own_type.map(str::to_owned),
                toleration,
            }
        }
        Refused::Foreign(OwnedTaint { taint, owners }) => Reason::ForeignToleration {
            path,
            toleration,
            taint: taint.clone(),
            owners: owners.iter().cloned().collect(),
            own_type: subject.standing.type_name().map(str::to_owned),
        },
        Refused::Unsure(OwnedTaint { taint, owners }) => Reason::UnknownTolerationOperator {
            path,
            toleration,
            taint: taint.clone(),
            owners: owners.iter().cloned().collect(),
        },
        Refused::Unregistered => Reason::UnregisteredToleration { path, toleration },
    }
}

fn is_wildcard(toleration: &Toleration<'_>) -> bool {
    toleration.key.is_empty() && toleration.operator() == TolerationOperator::Exists
}

#[cfg(test)]
mod tests;
