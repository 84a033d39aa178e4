//! What the objects that people write name each other by.

/// An object, by its kind and name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    /// A WorkloadType.
    WorkloadType(String),
    /// A NodePool.
    NodePool(String),
    /// An EC2NodeClass.
    NodeClass(String),
}

impl Reference {
    /// The object's name, as somebody wrote it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::WorkloadType(name) | Self::NodePool(name) | Self::NodeClass(name) => name,
        }
    }
}
