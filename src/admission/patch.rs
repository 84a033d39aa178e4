//! The JSON patch that adds to a pod, against the bytes that were received.
//!
//! Only `add`, only what is missing: a list or map that is absent (or null) is added whole, else single items are appended or inserted.
//! Nothing is replaced, removed or reordered, so that the patch does not depend on what others did to the pod.

use std::collections::BTreeMap;

use json_patch::jsonptr::PointerBuf;
use json_patch::{AddOperation, Patch, PatchOperation};
use serde::Serialize;
use serde_json::{Map, Value};

use super::injection::{Lost, Missing};
use super::object::Pod;
use super::policies::TypePolicy;
use crate::api::labels;
use crate::model::taints::Toleration;

/// What is added to a new pod, and what its annotation says about that; nothing if nothing is missing.
pub(super) fn inject(
    pod: &Pod<'_>,
    workload_type: &TypePolicy,
    missing: &Missing<'_>,
) -> Option<(Patch, String)> {
    if missing.is_empty() {
        return None;
    }
    let note = note(workload_type, missing);
    let tolerations: Vec<_> =
        missing.tolerations.iter().map(|taint| toleration(&Toleration::of(taint))).collect();
    let mut operations = append_tolerations(pod, tolerations);
    operations.extend(insert(&["spec", "nodeSelector"], pod.spec.node_selector.is_none(), &missing.selector));
    let annotations = pod.metadata.annotations.is_none();
    operations.extend(insert(&["metadata", "annotations"], annotations, &[(labels::INJECTED, &note)]));
    Some((Patch(operations), note))
}

/// What is put back into a pod that is updated; nothing if nothing is lost.
pub(super) fn put_back(pod: &Pod<'_>, lost: &Lost<'_>) -> Option<Patch> {
    let tolerations: Vec<_> = lost.tolerations.iter().map(|lost| toleration(lost)).collect();
    let mut operations = append_tolerations(pod, tolerations);
    operations.extend(insert(&["spec", "nodeSelector"], pod.spec.node_selector.is_none(), &lost.selector));
    (!operations.is_empty()).then_some(Patch(operations))
}

/// The annotation's value: the type, the generation of its policy, and what was added.
fn note(workload_type: &TypePolicy, missing: &Missing<'_>) -> String {
    let note = Note {
        workload_type: &workload_type.name,
        generation: workload_type.generation,
        tolerations: missing.tolerations.iter().map(ToString::to_string).collect(),
        node_selector: missing.selector.iter().copied().collect(),
    };
    // Text, numbers and maps of text always become JSON.
    serde_json::to_string(&note).unwrap_or_default()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Note<'a> {
    #[serde(rename = "type")]
    workload_type: &'a str,
    generation: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tolerations: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    node_selector: BTreeMap<&'a str, &'a str>,
}

fn append_tolerations(pod: &Pod<'_>, tolerations: Vec<Value>) -> Vec<PatchOperation> {
    if tolerations.is_empty() {
        return Vec::new();
    }
    if pod.spec.tolerations.is_none() {
        return vec![add(&["spec", "tolerations"], Value::Array(tolerations))];
    }
    tolerations.into_iter().map(|toleration| add(&["spec", "tolerations", "-"], toleration)).collect()
}

fn insert(map: &[&str], is_absent: bool, entries: &[(&str, &str)]) -> Vec<PatchOperation> {
    if entries.is_empty() {
        return Vec::new();
    }
    if is_absent {
        let entries: Map<_, _> =
            entries.iter().map(|(key, value)| ((*key).to_owned(), Value::from(*value))).collect();
        return vec![add(map, Value::Object(entries))];
    }
    let path = |key| map.iter().copied().chain([key]).collect::<Vec<_>>();
    entries.iter().map(|(key, value)| add(&path(key), Value::from(*value))).collect()
}

fn add(path: &[&str], value: Value) -> PatchOperation {
    // Escapes `~` and `/`, which label keys have.
    let path = PointerBuf::from_tokens(path.iter().copied());
    PatchOperation::Add(AddOperation { path, value })
}

/// The toleration as the API writes it: what is empty is left out.
fn toleration(toleration: &Toleration<'_>) -> Value {
    let Toleration { key, operator, value, effect, seconds } = toleration;
    let fields = [("key", key), ("operator", operator), ("value", value), ("effect", effect)];
    let fields = fields.into_iter().filter(|(_, text)| !text.is_empty());
    let mut object: Map<_, _> =
        fields.map(|(name, text)| (name.to_owned(), Value::from(text.as_ref()))).collect();
    if let Some(seconds) = seconds {
        object.insert("tolerationSeconds".to_owned(), Value::from(*seconds));
    }
    Value::Object(object)
}

#[cfg(test)]
mod tests;
