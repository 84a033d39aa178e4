//! Why a cloud did not do what it was asked, in the few classes that make a difference to who asked.
//!
//! Providers classify where they read an answer; above them nobody looks at codes, statuses or texts.

use thiserror::Error;

/// What to do about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// It does not exist, or no longer.
    NotFound,
    /// There is no capacity for it now. Something else may be had: the claim is given up and its pods are placed anew.
    NoCapacity,
    /// The node class cannot be launched from. Nothing helps but a change of the class, or of what it refers to.
    NotReady,
    /// The cloud asks for fewer calls. The same again, later.
    Throttled,
    /// The cloud does not allow it. Somebody has to grant a permission.
    Unauthorised,
    /// Anything else. Worth trying again for a while.
    Other,
}

impl ErrorClass {
    /// All classes.
    pub const ALL: [Self; 6] =
        [Self::NotFound, Self::NoCapacity, Self::NotReady, Self::Throttled, Self::Unauthorised, Self::Other];

    /// A word for metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NoCapacity => "no_capacity",
            Self::NotReady => "not_ready",
            Self::Throttled => "throttled",
            Self::Unauthorised => "unauthorised",
            Self::Other => "other",
        }
    }
}

/// A failure: what failed, on what, and why.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{action}: {message}")]
pub struct CloudError {
    /// What to do about it.
    pub class: ErrorClass,
    /// What was tried, and on what: `launch claim default-x7k2q`.
    pub action: String,
    /// One word for conditions and metrics, from a closed set of the provider's; Karpenter's where it has one.
    pub reason: &'static str,
    /// Why it failed, for people.
    pub message: String,
    /// Whether the cloud has answered a launch for good: asked again with the same attempt, it would only give the same answer
    /// again. Without it the launch, or one before with the same attempt, may have taken effect although its answer was lost: a
    /// call can be refused before anybody looks at its attempt.
    pub is_answered: bool,
    /// Whether the attempt cannot be repeated, since the cloud remembers it as something else, and shows no instance of it. Nobody knows
    /// yet whether there is none.
    pub is_spent: bool,
}

impl CloudError {
    /// A failure that was not an answer to a launch.
    pub fn new(
        class: ErrorClass,
        reason: &'static str,
        action: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let (action, message) = (action.into(), message.into());
        Self { class, action, reason, message, is_answered: false, is_spent: false }
    }

    /// The same failure, as the cloud's last word on a launch.
    #[must_use]
    pub fn answered(self) -> Self {
        Self { is_answered: true, ..self }
    }

    /// The same failure, of an attempt that cannot be repeated.
    #[must_use]
    pub fn spent(self) -> Self {
        Self { is_spent: true, ..self }
    }

    /// The same failure, seen as part of a larger action: `launch claim a: create launch template b: …`.
    #[must_use]
    pub fn within(self, action: &str) -> Self {
        Self { action: format!("{action}: {}", self.action), ..self }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn an_error_says_what_failed_on_what_and_why() {
        let error = CloudError::new(
            ErrorClass::Throttled,
            "RequestLimitExceeded",
            "create launch template t",
            "slow down",
        );
        assert_eq!(error.to_string(), "create launch template t: slow down");
        let error = error.within("launch claim default-x7k2q").answered();
        assert_eq!(error.to_string(), "launch claim default-x7k2q: create launch template t: slow down");
        assert_eq!((error.class, error.is_answered), (ErrorClass::Throttled, true));
    }

    #[test]
    fn every_class_has_a_name_of_its_own() {
        let names: BTreeSet<_> = ErrorClass::ALL.into_iter().map(ErrorClass::name).collect();
        assert_eq!(names.len(), ErrorClass::ALL.len());
    }
}
