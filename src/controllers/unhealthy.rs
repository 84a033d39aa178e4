//! Tells people about conditions that have become bad. Pure.

use crate::api::conditions::{Condition, ConditionStatus, find};
use crate::model::Event;
use crate::model::event::{Regarding, Severity};

/// When a condition is bad, and how an event calls that.
pub(super) struct Bad {
    /// The condition's type.
    pub(super) condition: &'static str,
    /// The status that is bad; that something is not known yet is no news.
    pub(super) status: ConditionStatus,
    /// The event's reason.
    pub(super) reason: &'static str,
}

/// One event for each condition that is bad now, and was not before or said something else.
pub(super) fn events(
    regarding: &Regarding,
    bad: &[Bad],
    before: &[Condition],
    now: &[Condition],
) -> Vec<Event> {
    let news = |bad: &Bad| {
        let condition = find(now, bad.condition).filter(|condition| condition.status == bad.status)?;
        let known = find(before, bad.condition);
        let is_told =
            known.is_some_and(|known| known.status == condition.status && known.message == condition.message);
        (!is_told).then(|| Event {
            regarding: regarding.clone(),
            severity: Severity::Warning,
            reason: bad.reason,
            message: condition.message.clone(),
            same_if: condition.message.clone(),
        })
    };
    bad.iter().filter_map(news).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::conditions::{Change, ConditionTypes, Subject};
    use crate::model::testing::nodes::at;

    const TYPES: ConditionTypes = ConditionTypes { dependents: &["Valid", "Shared"] };
    const BAD: &[Bad] = &[
        Bad { condition: "Valid", status: ConditionStatus::False, reason: "NotValid" },
        Bad { condition: "Shared", status: ConditionStatus::True, reason: "IsShared" },
    ];

    fn conditions(changes: &[Change]) -> Vec<Condition> {
        TYPES.merge(Subject { conditions: &[], generation: 1, created: at(0) }, changes, at(1))
    }

    #[test]
    fn what_has_become_bad_is_told_once() {
        let good = conditions(&[Change::holds("Valid"), Change::fails("Shared", "NotShared", "")]);
        let invalid = |message: &str| conditions(&[Change::fails("Valid", "Invalid", message)]);
        let shared = conditions(&[Change::holds("Shared").with_message("with another")]);
        let cases = [
            (conditions(&[]), good.clone(), vec![]),
            (good.clone(), conditions(&[]), vec![]),
            (conditions(&[]), invalid("no pool"), vec!["NotValid: no pool"]),
            (good.clone(), invalid("no pool"), vec!["NotValid: no pool"]),
            (invalid("no pool"), invalid("no pool"), vec![]),
            (invalid("no pool"), invalid("a pool twice"), vec!["NotValid: a pool twice"]),
            (good, shared, vec!["IsShared: with another"]),
        ];
        let pool = Regarding::NodePool { name: "p".to_owned(), uid: "u".to_owned() };
        for (before, now, expected) in cases {
            let told = events(&pool, BAD, &before, &now);
            let told: Vec<_> =
                told.iter().map(|event| format!("{}: {}", event.reason, event.message)).collect();
            assert_eq!(told, expected, "{before:?} / {now:?}");
        }
    }
}
