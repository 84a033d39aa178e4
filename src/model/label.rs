//! Label keys: which name the same label, and which are known without anybody defining them.
//!
//! What a label's value may be is said by requirements; which labels a provider adds is said by the provider.

use std::collections::BTreeSet;

/// The zone of a node.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The region of a node.
pub const REGION: &str = "topology.kubernetes.io/region";
/// The instance type of a node.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// The processor architecture of a node.
pub const ARCH: &str = "kubernetes.io/arch";
/// The operating system of a node.
pub const OS: &str = "kubernetes.io/os";
/// The host name of a node; never a property of a pool.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// How a node is bought: `on-demand`, `spot` or `reserved`.
pub const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";

/// Deprecated keys and driver-specific aliases, with the key that replaces each.
const ALIASES: [(&str, &str); 6] = [
    ("beta.kubernetes.io/arch", ARCH),
    ("beta.kubernetes.io/instance-type", INSTANCE_TYPE),
    ("beta.kubernetes.io/os", OS),
    ("failure-domain.beta.kubernetes.io/region", REGION),
    ("failure-domain.beta.kubernetes.io/zone", ZONE),
    ("topology.ebs.csi.aws.com/zone", ZONE),
];

/// The key under which requirements on `key` are kept, as Karpenter and its EC2 provider normalise it.
#[must_use]
pub fn normalized(key: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, replacement)| replacement)
}

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
