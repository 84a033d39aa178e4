//! The name of an instance that the cloud, the NodeClaim and the Node agree on.

use std::fmt;

use super::text::Excerpt;

/// A provider ID such as `aws:///us-east-1a/i-0123456789abcdef0`: the only thing by which a claim and its Node are matched.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId(String);

impl ProviderId {
    /// Takes the text as it is; a provider that cannot read it says "not found".
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ProviderId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Excerpt(&self.0).fmt(f)
    }
}
