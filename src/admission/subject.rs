//! The pod, or pod template, under judgement, with everything that the rules ask about it.

use jiff::Timestamp;

use super::object::Pod;
use super::policies::{Policies, TypePolicy};
use super::standing::Standing;

/// What the subject is. Rules differ where nobody injects, or where injection is still to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// A pod.
    Pod,
    /// A pod that the DaemonSet controller makes for one node.
    DaemonPod,
    /// A template whose pods will be injected.
    Template,
    /// The template of a DaemonSet, whose pods nobody injects.
    DaemonTemplate,
}

impl Role {
    /// Whether pods of this kind run wherever their DaemonSet says, and only tolerate what its template tolerates.
    pub(super) const fn is_daemon(self) -> bool {
        match self {
            Self::DaemonPod | Self::DaemonTemplate => true,
            Self::Pod | Self::Template => false,
        }
    }

    pub(super) const fn is_template(self) -> bool {
        match self {
            Self::Template | Self::DaemonTemplate => true,
            Self::Pod | Self::DaemonPod => false,
        }
    }
}

/// A pod or template under judgement.
#[derive(Debug, Clone, Copy)]
pub(super) struct Subject<'a> {
    pub(super) policies: &'a Policies,
    /// What its namespace says.
    pub(super) standing: Standing<'a>,
    pub(super) role: Role,
    /// The path of the pod in its object, with a dot at the end; empty for a pod.
    pub(super) path: &'a str,
    pub(super) new: &'a Pod<'a>,
    /// What is stored; absent on creation.
    pub(super) stored: Option<&'a Pod<'a>>,
    /// What was judged before, so that only the difference counts; absent where everything does.
    pub(super) baseline: Option<&'a Pod<'a>>,
    pub(super) now: Timestamp,
}

impl<'a> Subject<'a> {
    /// The subject's open type.
    pub(super) fn workload_type(&self) -> Option<&'a TypePolicy> {
        match self.standing {
            Standing::Typed(policy) => Some(policy),
            Standing::Exempt
            | Standing::Typeless
            | Standing::TypeClosed(..)
            | Standing::TypeMissing(_)
            | Standing::Unknown => None,
        }
    }

    /// The subject's type with its policy, open or closed.
    pub(super) fn named_type(&self) -> Option<&'a TypePolicy> {
        match self.standing {
            Standing::Typed(policy) | Standing::TypeClosed(policy, _) => Some(policy),
            Standing::Exempt | Standing::Typeless | Standing::TypeMissing(_) | Standing::Unknown => None,
        }
    }

    /// The type that injection will add to, or should have added to, this subject.
    pub(super) fn injected_type(&self) -> Option<&'a TypePolicy> {
        self.workload_type().filter(|_| !self.role.is_daemon())
    }

    pub(super) fn field(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }
}
