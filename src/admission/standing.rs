//! What a namespace's labels say about the pods in it.
//!
//! The label is only read here; who may write it is guarded elsewhere (`admission::namespace_guard`, and the native policy for the verb `use`).

use std::collections::BTreeMap;

use super::policies::{Closed, Policies, TypePolicy};
use crate::api::labels;

/// The labels of a namespace, as the caller's cache or the API server has them.
#[derive(Debug, Clone, Copy)]
pub enum NamespaceLabels<'a> {
    /// The namespace is there and has these.
    Known(&'a BTreeMap<String, String>),
    /// Neither the cache nor the API server could say.
    Unknown,
}

/// What pods of a namespace are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Standing<'a> {
    /// Nobody's business here.
    Exempt,
    /// Of no type.
    Typeless,
    /// Of this type.
    Typed(&'a TypePolicy),
    /// Refused: the type is there, and closed.
    TypeClosed(&'a TypePolicy, &'a Closed),
    /// Refused: the label names a type that is not there.
    TypeMissing(&'a str),
    /// Not known.
    Unknown,
}

impl<'a> Standing<'a> {
    pub(super) fn of(policies: &'a Policies, namespace: &str, labels: NamespaceLabels<'a>) -> Self {
        if policies.is_exempt(namespace) {
            return Self::Exempt;
        }
        let NamespaceLabels::Known(labels) = labels else { return Self::Unknown };
        let Some(name) = labels.get(labels::WORKLOAD_TYPE) else { return Self::Typeless };
        match policies.find(name) {
            None => Self::TypeMissing(name),
            Some(policy) => match &policy.closed {
                Some(closed) => Self::TypeClosed(policy, closed),
                None => Self::Typed(policy),
            },
        }
    }

    /// The type that the namespace names, whatever became of it.
    pub(super) fn type_name(&self) -> Option<&'a str> {
        match self {
            Self::Typed(policy) | Self::TypeClosed(policy, _) => Some(&policy.name),
            Self::TypeMissing(name) => Some(name),
            Self::Exempt | Self::Typeless | Self::Unknown => None,
        }
    }
}
