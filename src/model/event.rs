//! An event to tell people about, as a value. Who sends it, and how often the same one is sent, is decided elsewhere.

use super::pod::PodKey;

/// Whether an event is news or trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Things go as they should.
    Normal,
    /// Somebody may have to do something.
    Warning,
}

impl Severity {
    /// The event's `type` in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "Normal",
            Self::Warning => "Warning",
        }
    }
}

/// The object that an event is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Regarding {
    /// A NodeClaim.
    NodeClaim {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// A Node.
    Node {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// A NodePool.
    NodePool {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// An EC2NodeClass.
    NodeClass {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// A WorkloadType.
    WorkloadType {
        /// Its name.
        name: String,
        /// Its UID.
        uid: String,
    },
    /// A Pod.
    Pod {
        /// Its namespace and name.
        key: PodKey,
        /// Its UID.
        uid: String,
    },
}

/// Something that happened to an object, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The object.
    pub regarding: Regarding,
    /// News or trouble.
    pub severity: Severity,
    /// One word for programs.
    pub reason: &'static str,
    /// A sentence for people.
    pub message: String,
    /// What makes two events of one object and reason the same, so that the second need not be sent for a while. Not the
    /// message: that may count seconds.
    pub same_if: String,
}

impl Event {
    /// By this two events are recognised as the same.
    #[must_use]
    pub fn dedupe_key(&self) -> (&Regarding, &'static str, &str) {
        (&self.regarding, self.reason, &self.same_if)
    }
}
