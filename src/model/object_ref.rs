//! Which object, and which version of it, a decision was made about.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::pod::PodKey;

/// An object as it was when it was looked at.
///
/// Whoever carries out a decision writes on the condition that the object is still this one: the UID for deletions, the
/// resource version for everything that replaces a list.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ObjectRef {
    /// Its name.
    pub name: String,
    /// Its UID: another object of the same name has another one.
    pub uid: String,
    /// The version that was looked at.
    pub resource_version: String,
}

impl From<&ObjectMeta> for ObjectRef {
    fn from(metadata: &ObjectMeta) -> Self {
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
        }
    }
}

/// Which pod, and no other of the same name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PodRef {
    /// Namespace and name.
    pub key: PodKey,
    /// The UID, a precondition of whatever is done to it.
    pub uid: String,
}
