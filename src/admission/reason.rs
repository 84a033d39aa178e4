//! Why something is refused: every reason that a person can meet, in words.
//!
//! A reason is a value with the facts in it; its code leads the message and never changes with the facts. What is a reason to refuse is
//! decided by the rules, one file each.

use std::fmt;

use crate::model::pod::Excess;
use crate::model::reason as model;
use crate::model::taints::{Taint, Toleration};
use crate::model::text::Excerpt;

mod words;

#[cfg(test)]
mod tests;

/// The most of anything that one message lists.
const LISTED: usize = 5;

/// Why an object is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The object cannot be read.
    MalformedObject {
        /// What the parser says.
        problem: String,
    },
    /// Nobody could say what the namespace's labels are.
    NamespaceNotKnown,
    /// The namespace names a type that does not exist.
    NamespaceClosed {
        /// The type.
        workload_type: String,
        /// Types that do exist.
        known: KnownNames,
    },
    /// The namespace's type admits no pods.
    TypeClosed {
        /// The type.
        workload_type: String,
        /// Why; nothing if its policy has not been published yet.
        problem: Option<String>,
    },
    /// There are more tolerations than may be.
    TooManyTolerations {
        /// Path of the list.
        path: String,
        /// How many there are.
        count: usize,
        /// How many of these are still to be added.
        added: usize,
        /// How many there may be.
        max: usize,
    },
    /// The pod asks for more of something than is planned for.
    PodTooLarge {
        /// Path of the pod in its object, with a dot at the end; empty for a pod.
        path: String,
        /// Of what, and how much.
        excess: Excess,
    },
    /// A toleration would match a taint that belongs to other types.
    ForeignToleration {
        /// Path of the toleration.
        path: String,
        /// The toleration.
        toleration: Toleration<'static>,
        /// The taint.
        taint: Taint,
        /// Who owns it.
        owners: Vec<String>,
        /// The pod's own type.
        own_type: Option<String>,
    },
    /// A toleration without a key would match the taints of other types.
    WildcardToleration {
        /// Path of the toleration.
        path: String,
        /// The toleration.
        toleration: Toleration<'static>,
        /// Who owns taints that it would match.
        owners: Vec<String>,
        /// The pod's own type.
        own_type: Option<String>,
    },
    /// A toleration on an owned key has an operator that may come to mean anything.
    UnknownTolerationOperator {
        /// Path of the toleration.
        path: String,
        /// The toleration.
        toleration: Toleration<'static>,
        /// The taint with that key.
        taint: Taint,
        /// Who owns it.
        owners: Vec<String>,
    },
    /// A toleration would match the taint of nodes that are not adopted yet.
    UnregisteredToleration {
        /// Path of the toleration.
        path: String,
        /// The toleration.
        toleration: Toleration<'static>,
    },
    /// The node selector contradicts that of the pod's type.
    SelectorContradiction {
        /// Path of the node selector.
        path: String,
        /// The label's key.
        key: String,
        /// The value that it asks for.
        value: String,
        /// The value that nodes of the type have.
        wanted: String,
        /// The type.
        workload_type: String,
    },
    /// What the pod's type gives it is not there.
    NotInjected {
        /// The type.
        workload_type: String,
        /// The taints that it does not tolerate.
        tolerations: Vec<Taint>,
        /// The labels that it does not select, as `key=value`.
        selector: Vec<String>,
        /// Whether the pod can still be made anew by whoever makes it.
        is_update: bool,
    },
    /// The pod chooses its node, past the scheduler.
    NodeNameSet {
        /// Path of the field.
        path: String,
        /// The node.
        node: String,
    },
    /// The pod claims to mirror a static pod and does not come from its node.
    ForgedMirrorPod {
        /// Who sends it.
        user: String,
    },
    /// The pod's label names a type that its namespace may not use.
    TypeNotAllowed {
        /// Path of the labels.
        path: String,
        /// The type that the label names.
        workload_type: String,
        /// The type of the namespace.
        allowed: Option<String>,
    },
    /// The pod's label for its type would change.
    TypeLabelChanged {
        /// The value that it has.
        old: Option<String>,
        /// The value that it would have.
        new: Option<String>,
    },
    /// No node of the pod's type can ever run it.
    NeverSchedulable {
        /// Path of the pod in its object, with a dot at the end; empty for a pod.
        path: String,
        /// The type.
        workload_type: String,
        /// Why not.
        why: model::Reason,
    },
    /// A namespace's label names a type that does not exist.
    UnknownWorkloadType {
        /// The type.
        workload_type: String,
        /// Types that do exist.
        known: KnownNames,
    },
    /// A namespace's label names a type of which could not be found out whether it exists.
    WorkloadTypeNotKnown {
        /// The type.
        workload_type: String,
    },
    /// A namespace's label would name a type that somebody has deleted.
    TypeBeingDeleted {
        /// The type.
        workload_type: String,
    },
    /// A namespace has a label of ours that means nothing.
    UnknownLabelKey {
        /// The key.
        key: String,
        /// Keys that mean something.
        known: KnownNames,
    },
    /// A field of one of our objects has a value that cannot be used.
    InvalidField {
        /// Path of the field.
        path: String,
        /// What is wrong, and what to do.
        text: String,
    },
    /// A field of one of our objects is not honoured yet.
    NotSupportedYet {
        /// Path of the field.
        path: String,
        /// What is missing.
        text: String,
    },
}

/// What a name could have been.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownNames {
    /// The one that was probably meant.
    pub nearest: Option<String>,
    /// Some of them in order.
    pub some: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

impl KnownNames {
    /// Of all names, those worth telling somebody who wrote `given`.
    pub(super) fn near<'n>(given: &str, all: impl Iterator<Item = &'n str> + Clone) -> Self {
        let nearest = crate::model::requirements::nearest_key(given, all.clone()).map(str::to_owned);
        let more = all.clone().skip(LISTED).count();
        Self { nearest, some: all.take(LISTED).map(str::to_owned).collect(), more }
    }
}

/// One reason, about one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The object, as `pod shop/web`.
    pub object: String,
    /// Why it is refused.
    pub reason: Reason,
}

/// `Code: object: what is wrong; what to do`, on one line.
impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: ", self.reason.code(), Excerpt(&self.object))?;
        self.reason.write_problem(f)?;
        // What is wrong with a field is said with what to do by whoever read it.
        if matches!(self.reason, Reason::InvalidField { .. }) {
            return Ok(());
        }
        f.write_str("; ")?;
        self.reason.write_advice(f)
    }
}

impl Reason {
    /// A short name that never changes with the facts: it leads the message, and is what to search and alert for.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::MalformedObject { .. } => "MalformedObject",
            Self::NamespaceNotKnown => "NamespaceNotKnown",
            Self::NamespaceClosed { .. } => "NamespaceClosed",
            Self::TypeClosed { .. } => "TypeClosed",
            Self::TooManyTolerations { .. } => "TooManyTolerations",
            Self::PodTooLarge { .. } => "PodTooLarge",
            Self::ForeignToleration { .. } | Self::WildcardToleration { .. } => "ForeignToleration",
            Self::UnknownTolerationOperator { .. } => "UnknownTolerationOperator",
            Self::UnregisteredToleration { .. } => "UnregisteredToleration",
            Self::SelectorContradiction { .. } => "SelectorContradiction",
            Self::NotInjected { .. } => "NotInjected",
            Self::NodeNameSet { .. } => "NodeNameSet",
            Self::ForgedMirrorPod { .. } => "ForgedMirrorPod",
            Self::TypeNotAllowed { .. } => "TypeNotAllowed",
            Self::TypeLabelChanged { .. } => "TypeLabelChanged",
            Self::NeverSchedulable { .. } => "NeverSchedulable",
            Self::UnknownWorkloadType { .. } => "UnknownWorkloadType",
            Self::WorkloadTypeNotKnown { .. } => "WorkloadTypeNotKnown",
            Self::TypeBeingDeleted { .. } => "TypeBeingDeleted",
            Self::UnknownLabelKey { .. } => "UnknownLabelKey",
            Self::InvalidField { .. } => "InvalidField",
            Self::NotSupportedYet { .. } => "NotSupportedYet",
        }
    }

    /// What is wrong, without advice.
    pub(super) fn problem(&self) -> String {
        struct Words<'a>(&'a Reason);
        impl fmt::Display for Words<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.write_problem(f)
            }
        }
        Words(self).to_string()
    }

    /// Whether a later admission step of the same request could still make it right, so that it is left to validation.
    #[must_use]
    pub(super) const fn is_repairable(&self) -> bool {
        matches!(
            self,
            Self::NotInjected { .. }
                | Self::SelectorContradiction { .. }
                | Self::NamespaceNotKnown
                | Self::NeverSchedulable { .. }
        )
    }
}
