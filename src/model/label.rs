//! Label keys: which name the same label, and which are known without anybody defining them.
//!
//! What a label's value may be is said by requirements; which labels a provider adds is said by the provider.

use std::collections::BTreeSet;

pub use crate::api::labels::{
    ARCH, CAPACITY_TYPE, HOSTNAME, INSTANCE_TYPE, OS, REGION, ZONE, normalize as normalized,
};

/// A set of label keys, such as the labels that every launched node gets although no pool defines them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelKeys(BTreeSet<&'static str>);

impl LabelKeys {
    /// Whether `key`, in normalised form, is one of these.
    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.0.contains(key)
    }

    /// The keys in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().copied()
    }
}

impl FromIterator<&'static str> for LabelKeys {
    fn from_iter<I: IntoIterator<Item = &'static str>>(keys: I) -> Self {
        Self(keys.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deprecated_keys_are_read_as_the_keys_that_replaced_them() {
        let cases = [
            ("failure-domain.beta.kubernetes.io/zone", ZONE),
            ("failure-domain.beta.kubernetes.io/region", REGION),
            ("beta.kubernetes.io/arch", ARCH),
            ("beta.kubernetes.io/os", OS),
            ("beta.kubernetes.io/instance-type", INSTANCE_TYPE),
            ("topology.ebs.csi.aws.com/zone", ZONE),
            (ZONE, ZONE),
            ("team", "team"),
        ];
        for (key, expected) in cases {
            assert_eq!(normalized(key), expected, "{key}");
        }
    }
}
