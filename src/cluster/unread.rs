//! An object as the API server sent it: which one it is, and the rest still as text.
//!
//! A page of a list and an event of a watch are parsed whole. One field of one object that its type here cannot hold would hide all others, and
//! keep a watch from ever hearing of a deletion; and whoever may write a pod can have such a field stored. So of an object only its identity is
//! read while it arrives, which does not fail, and the rest when somebody asks for it.
//!
//! `managedFields` are dropped. Nothing is decided from them, they are up to half of an object, and the API server keeps them as their writer sent
//! them: times that no clock here has, nesting that no parser here follows.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use kube::Resource;
use kube::api::ObjectMeta;
use serde::de::{Deserialize, DeserializeOwned, Deserializer};
use serde_json::value::{RawValue, to_raw_value};

/// The fields of an object, in text. Neither this nor what is skipped in them follows the nesting: there is no depth at which it fails.
type Fields = BTreeMap<String, Box<RawValue>>;

/// An object of kind `K` that is not read yet.
pub struct Unread<K> {
    /// Namespace, name, UID and resource version, and nothing else.
    identity: ObjectMeta,
    text: Box<RawValue>,
    kind: PhantomData<fn() -> K>,
}

impl<K: DeserializeOwned> Unread<K> {
    /// Reads it.
    pub fn read(&self) -> Result<K, serde_json::Error> {
        self.read_as()
    }
}

impl<K> Unread<K> {
    /// Reads as much of it as `T` has.
    pub fn read_as<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.text.get())
    }

    fn new(text: Box<RawValue>) -> Self {
        let mut object = fields(&text);
        let mut metadata = object.get("metadata").map(|metadata| fields(metadata)).unwrap_or_default();
        let string = |field| metadata.get(field).and_then(|value| serde_json::from_str(value.get()).ok());
        let identity = ObjectMeta {
            namespace: string("namespace"),
            name: string("name"),
            uid: string("uid"),
            resource_version: string("resourceVersion"),
            ..ObjectMeta::default()
        };
        let without = metadata.remove("managedFields").and_then(|_| {
            object.insert("metadata".to_owned(), to_raw_value(&metadata).ok()?);
            to_raw_value(&object).ok()
        });
        Self { identity, text: without.unwrap_or(text), kind: PhantomData }
    }
}

/// None, if it is no object.
fn fields(text: &RawValue) -> Fields {
    serde_json::from_str(text.get()).unwrap_or_default()
}

impl<'de, K> Deserialize<'de> for Unread<K> {
    /// Takes any JSON value, but only out of text: what was buffered before, such as the object of a watch event that stands before the event's
    /// type, has no text any more. API servers write the type first.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::new)
    }
}

impl<K> Clone for Unread<K> {
    fn clone(&self) -> Self {
        Self { identity: self.identity.clone(), text: self.text.clone(), kind: PhantomData }
    }
}

impl<K> fmt::Debug for Unread<K> {
    /// Which object it is; what is in it is nobody's business.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ObjectMeta { namespace, name, .. } = &self.identity;
        f.debug_struct("Unread").field("namespace", namespace).field("name", name).finish_non_exhaustive()
    }
}

impl<K: Resource> Resource for Unread<K> {
    type DynamicType = K::DynamicType;
    type Scope = K::Scope;

    fn kind(dynamic: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::kind(dynamic)
    }

    fn group(dynamic: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::group(dynamic)
    }

    fn version(dynamic: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::version(dynamic)
    }

    fn plural(dynamic: &Self::DynamicType) -> std::borrow::Cow<'_, str> {
        K::plural(dynamic)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.identity
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.identity
    }
}

#[cfg(test)]
mod tests;
