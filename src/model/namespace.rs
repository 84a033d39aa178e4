//! What a namespace is to those who decide about its pods.

use std::collections::{BTreeMap, BTreeSet};

use crate::api::labels;

/// What is known of a namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Namespace {
    /// Admission does not judge its pods, and its label counts for nothing.
    Exempt,
    /// It is not known yet. Whether it has a type cannot be told.
    Unknown,
    /// It has no workload type.
    Typeless,
    /// It has this workload type, whether there is such a type or not.
    Typed(String),
}

impl Namespace {
    /// What the namespace of this name is, by the namespaces that are exempt and by its labels, if it is known.
    #[must_use]
    pub fn of(name: &str, exempt: &BTreeSet<String>, labels: Option<&BTreeMap<String, String>>) -> Self {
        match labels {
            _ if exempt.contains(name) => Self::Exempt,
            None => Self::Unknown,
            Some(labels) => {
                let workload_type = labels.get(labels::WORKLOAD_TYPE);
                workload_type.map_or(Self::Typeless, |workload_type| Self::Typed(workload_type.clone()))
            }
        }
    }

    /// Its workload type, if it is known to have one that counts.
    #[must_use]
    pub fn workload_type(&self) -> Option<&str> {
        match self {
            Self::Typed(workload_type) => Some(workload_type),
            Self::Exempt | Self::Unknown | Self::Typeless => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_an_exempt_namespace_counts_for_nothing_and_one_that_is_not_known_is_not_typeless() {
        let exempt: BTreeSet<_> = ["kube-system".to_owned()].into();
        let typed: BTreeMap<_, _> = [(labels::WORKLOAD_TYPE.to_owned(), "application".to_owned())].into();
        let plain = BTreeMap::new();
        let application = Namespace::Typed("application".to_owned());
        let cases = [
            ("shop", Some(&typed), application, Some("application")),
            ("shop", Some(&plain), Namespace::Typeless, None),
            ("shop", None, Namespace::Unknown, None),
            ("kube-system", Some(&typed), Namespace::Exempt, None),
            ("kube-system", None, Namespace::Exempt, None),
        ];
        for (name, labels, expected, workload_type) in cases {
            let namespace = Namespace::of(name, &exempt, labels);
            assert_eq!(namespace, expected, "{name} {labels:?}");
            assert_eq!(namespace.workload_type(), workload_type);
        }
    }
}
