//! Status conditions: the type, and how a set of them changes.
//!
//! Pure: the current conditions and the moment come in, the new conditions go out. Writing them is the
//! controllers' business. The semantics are those that Karpenter's objects show, so that dashboards and
//! `kubectl wait` work on ours:
//!
//! - one *root* condition (`Ready`) sums up the *dependents*; any other condition is *free* and does not
//!   touch it;
//! - a dependent that nobody has set yet is `Unknown`, since the object's creation: timers that run from a
//!   condition's last transition start with the object, not with the first time a controller looked;
//! - the last transition is when the status changed; a new reason or message does not move it;
//! - a condition is about the generation that it was set for: a dependent of an older generation makes the
//!   root `Unknown`, whatever it says.

use std::borrow::Cow;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema;
use super::text_enum::text_enum;

text_enum! {
    /// Whether a condition holds.
    pub enum ConditionStatus {
        /// It holds.
        True = "True",
        /// It does not hold.
        False = "False",
        /// It is not known whether it holds.
        Unknown = "Unknown",
    }
}

/// One condition of an object.
///
/// `reason` and `message` may be missing or empty, as Karpenter's CRDs allow for objects that older
/// versions wrote.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// Type of the condition, for example `Ready`.
    #[serde(rename = "type")]
    #[schemars(length(max = 316), extend("pattern" = CONDITION_TYPE))]
    pub type_: String,
    /// Whether it holds: `True`, `False` or `Unknown`.
    pub status: ConditionStatus,
    /// Generation of the object that the condition is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When the status last changed.
    #[schemars(schema_with = "schema::time")]
    pub last_transition_time: Time,
    /// Why, in one word for programs.
    #[serde(default)]
    #[schemars(length(max = 1024), extend("pattern" = REASON))]
    pub reason: String,
    /// Why, in a sentence for people.
    #[serde(default)]
    #[schemars(length(max = 32768))]
    pub message: String,
}

const CONDITION_TYPE: &str = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$";
const REASON: &str = "^([A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?|)$";

/// Reason of a dependent that nobody has set yet.
pub const AWAITING_RECONCILIATION: &str = "AwaitingReconciliation";
/// Reason of the root while a dependent is not `True` at the current generation and none is `False`.
pub const RECONCILING_DEPENDENTS: &str = "ReconcilingDependents";
/// Reason of the root while a dependent is `False` at the current generation.
pub const UNHEALTHY_DEPENDENTS: &str = "UnhealthyDependents";
/// The root condition of every kind.
pub const READY: &str = "Ready";

/// Which conditions a kind's root sums up.
#[derive(Clone, Copy, Debug)]
pub struct ConditionTypes {
    /// Types that [`READY`] depends on.
    pub dependents: &'static [&'static str],
}

/// What the conditions are about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// `status.conditions` as last read.
    pub conditions: &'a [Condition],
    /// `metadata.generation`.
    pub generation: i64,
    /// `metadata.creationTimestamp`.
    pub created: Timestamp,
}

/// Why an object is not ready that somebody has deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// In one word.
    pub reason: &'static str,
    /// What it waits for.
    pub message: String,
}

/// A condition to set; what it does not say is filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    type_: &'static str,
    status: ConditionStatus,
    reason: Cow<'static, str>,
    message: String,
}

impl Change {
    /// The condition holds. The reason of a condition that holds is its type.
    #[must_use]
    pub fn holds(type_: &'static str) -> Self {
        Self::new(type_, ConditionStatus::True, type_, String::new())
    }

    /// The condition does not hold.
    #[must_use]
    pub fn fails(
        type_: &'static str,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(type_, ConditionStatus::False, reason, message.into())
    }

    /// It is not known whether the condition holds.
    #[must_use]
    pub fn unknown(
        type_: &'static str,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self::new(type_, ConditionStatus::Unknown, reason, message.into())
    }

    /// Says more about it, as a condition that is bad when it holds should.
    #[must_use]
    pub fn with_message(self, message: impl Into<String>) -> Self {
        Self { message: message.into(), ..self }
    }

    /// Gives another reason, as a condition does whose reason is what people look for.
    #[must_use]
    pub fn with_reason(self, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { reason: reason.into(), ..self }
    }

    /// Whether the condition holds.
    #[must_use]
    pub fn is_true(&self) -> bool {
        self.status == ConditionStatus::True
    }

    /// Whether it holds.
    #[must_use]
    pub const fn status(&self) -> &ConditionStatus {
        &self.status
    }

    /// What is said about it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    fn new(
        type_: &'static str,
        status: ConditionStatus,
        reason: impl Into<Cow<'static, str>>,
        message: String,
    ) -> Self {
        Self { type_, status, reason: reason.into(), message }
    }
}

impl ConditionTypes {
    /// The conditions after the changes: missing dependents are `Unknown`, of several changes to one type
    /// the last one counts, the root follows from its dependents. Sorted by last transition,
    /// the root last. Applying the same changes again, at any later moment, gives the same conditions.
    #[must_use]
    pub fn merge(&self, subject: Subject<'_>, changes: &[Change], now: Timestamp) -> Vec<Condition> {
        self.merge_and_end(subject, changes, None, now)
    }

    /// The same for an object that comes to its end, if `end` is something: then that is why it is not ready, whatever its dependents say.
    #[must_use]
    pub fn merge_and_end(
        &self,
        subject: Subject<'_>,
        changes: &[Change],
        end: Option<End>,
        now: Timestamp,
    ) -> Vec<Condition> {
        let mut conditions = subject.conditions.to_vec();
        for type_ in self.dependents {
            if find(&conditions, type_).is_none() {
                let change =
                    Change::unknown(type_, AWAITING_RECONCILIATION, "object is awaiting reconciliation");
                self.apply(&mut conditions, &change, subject, now);
            }
        }
        for (index, change) in changes.iter().enumerate() {
            let is_overruled = changes.iter().skip(index + 1).any(|later| later.type_ == change.type_);
            if !is_overruled {
                self.apply(&mut conditions, change, subject, now);
            }
        }
        let root = match end {
            Some(End { reason, message }) => Change::fails(READY, reason, message),
            None => self.root(&conditions, subject.generation),
        };
        self.apply(&mut conditions, &root, subject, now);
        conditions.sort_by(|a, b| {
            let key = |c: &Condition| (c.type_ == READY, c.last_transition_time.0);
            key(a).cmp(&key(b))
        });
        conditions
    }

    /// The conditions without a free one, for example when a drained node takes pods again.
    /// A dependent is never cleared: the root would no longer mean what it says.
    #[must_use]
    pub fn clear(&self, conditions: &[Condition], free_type: &str) -> Vec<Condition> {
        let is_free = free_type != READY && !self.dependents.contains(&free_type);
        conditions.iter().filter(|c| !(is_free && c.type_ == free_type)).cloned().collect()
    }

    fn apply(&self, conditions: &mut Vec<Condition>, change: &Change, subject: Subject<'_>, now: Timestamp) {
        let current = find(conditions, change.type_);
        let since = match current {
            Some(current) if current.status == change.status => current.last_transition_time.0,
            None if self.dependents.contains(&change.type_) => subject.created,
            Some(_) | None => now,
        };
        let new = Condition {
            type_: change.type_.to_owned(),
            status: change.status.clone(),
            observed_generation: Some(subject.generation),
            last_transition_time: Time(whole_second(since)),
            reason: change.reason.clone().into_owned(),
            message: change.message.clone(),
        };
        match conditions.iter_mut().find(|c| c.type_ == new.type_) {
            Some(slot) => *slot = new,
            None => conditions.push(new),
        }
    }

    fn root(&self, conditions: &[Condition], generation: i64) -> Change {
        let unhealthy: Vec<&Condition> = self
            .dependents
            .iter()
            .filter_map(|type_| find(conditions, type_))
            .filter(|c| c.status != ConditionStatus::True || c.observed_generation != Some(generation))
            .collect();
        if unhealthy.is_empty() {
            return Change::holds(READY);
        }
        let told = |c: &&Condition| match c.message.lines().next() {
            Some(why) if c.status == ConditionStatus::False => format!("{}={}: {why}", c.type_, c.status),
            Some(_) | None => format!("{}={}", c.type_, c.status),
        };
        let message = unhealthy.iter().map(told).collect::<Vec<_>>().join(", ");
        let fails =
            |c: &&Condition| c.status == ConditionStatus::False && c.observed_generation == Some(generation);
        if unhealthy.iter().any(fails) {
            Change::fails(READY, UNHEALTHY_DEPENDENTS, message)
        } else {
            Change::unknown(READY, RECONCILING_DEPENDENTS, message)
        }
    }
}

/// The condition of the type, if there is one.
#[must_use]
pub fn find<'a>(conditions: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    conditions.iter().find(|c| c.type_ == type_)
}

/// Whether the condition is there and holds, for whatever generation.
#[must_use]
pub fn is_true(conditions: &[Condition], type_: &str) -> bool {
    find(conditions, type_).is_some_and(|c| c.status == ConditionStatus::True)
}

/// Kubernetes' times have whole seconds: without cutting here, a condition would differ from itself once
/// it was written and read back.
fn whole_second(moment: Timestamp) -> Timestamp {
    Timestamp::from_second(moment.as_second()).unwrap_or(moment)
}

#[cfg(test)]
mod tests;
