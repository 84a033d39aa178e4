//! All CRDs as a list, and their YAML.
//!
//! The schemas come from the Rust types. What the derive writes differently from what Karpenter's CRDs
//! accept is put right here, once for all kinds. Applying them to a cluster is the operator's business:
//! CRDs that Karpenter installed are never overwritten.

use kube::CustomResourceExt;
use serde_json::{Map, Value};
use thiserror::Error;

use super::ec2nodeclass::Ec2NodeClass;
use super::nodeclaim::NodeClaim;
use super::nodepool::NodePool;
use super::workload_type::WorkloadType;

/// A CRD.
#[derive(Clone, Debug, PartialEq)]
pub struct Crd {
    definition: Value,
}

/// Why a CRD could not be made.
#[derive(Debug, Error)]
pub enum CrdError {
    /// The derived definition is no JSON.
    #[error("serialize the definition of a CRD")]
    Json(#[from] serde_json::Error),
    /// The definition is no YAML.
    #[error("write the definition of a CRD as YAML")]
    Yaml(#[from] serde_saphyr::ser::Error),
}

/// Every CRD that Treenail reads, in the order in which they are listed.
pub fn all() -> Result<Vec<Crd>, CrdError> {
    [
        serde_json::to_value(NodePool::crd()),
        serde_json::to_value(NodeClaim::crd()),
        serde_json::to_value(Ec2NodeClass::crd()),
        serde_json::to_value(WorkloadType::crd()),
    ]
    .into_iter()
    .map(|definition| Ok(Crd { definition: corrected(definition?) }))
    .collect()
}

impl Crd {
    /// The definition as JSON.
    #[must_use]
    pub fn definition(&self) -> &Value {
        &self.definition
    }

    /// `<plural>.<group>`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    /// The name of its file, as Karpenter names them: `<group>_<plural>.yaml`.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}_{}.yaml", self.text("/spec/group"), self.text("/spec/names/plural"))
    }

    /// The schema of the one version there is.
    #[must_use]
    pub fn schema(&self) -> &Value {
        self.definition.pointer("/spec/versions/0/schema/openAPIV3Schema").unwrap_or(&Value::Null)
    }

    /// The definition as YAML. The same definition gives the same bytes.
    pub fn to_yaml(&self) -> Result<String, CrdError> {
        let body = serde_saphyr::to_string(&self.definition)?;
        Ok(format!("# Generated from the types in src/api by: treenail crds --write manifests/crds\n{body}"))
    }

    fn text(&self, pointer: &str) -> &str {
        self.definition.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

/// The definition with every schema in it put right, and with sorted keys.
fn corrected(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let mut entries: Vec<(String, Value)> = object.into_iter().collect();
            // The order of a map depends on a feature of serde_json that any dependency may turn on.
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            let mut object: Map<String, Value> =
                entries.into_iter().map(|(key, value)| (key, corrected(value))).collect();
            if object.contains_key("openAPIV3Schema") {
                object.entry("openAPIV3Schema").and_modify(correct_schema);
            }
            Value::Object(object)
        }
        Value::Array(items) => Value::Array(items.into_iter().map(corrected).collect()),
        Value::Number(number) => whole(&number).map_or(Value::Number(number), Value::from),
        other => other,
    }
}

/// Corrects one schema and those within it.
fn correct_schema(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    // An optional field is one that may be left out. Nullable would store an explicit null instead of
    // dropping it, which Karpenter's CRDs do not.
    schema.remove("nullable");
    schema.remove("title");
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    // The API server knows no unsigned formats.
    if schema.get("format").and_then(Value::as_str).is_some_and(|format| format.starts_with("uint")) {
        schema.remove("format");
    }
    // A default that only says "absent" would be written into every object that people compare with Git.
    if schema.get("default").is_some_and(says_nothing) {
        schema.remove("default");
    }
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = unwrapped(description);
    }
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.values_mut().for_each(correct_schema);
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = schema.get_mut(key) {
            correct_schema(inner);
        }
    }
}

/// Bounds are floating point numbers in the client library's types: `100.0` is 100.
fn whole(number: &serde_json::Number) -> Option<i64> {
    let float = number.as_f64().filter(|_| number.is_f64())?;
    // The numbers in a schema are small; what a float cannot hold exactly stays as it is.
    #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and small")]
    let truncated = (float.fract() == 0.0 && float.abs() < 9e15).then_some(float as i64);
    truncated
}

fn says_nothing(default: &Value) -> bool {
    match default {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// Joins the lines of each paragraph: documentation comments are wrapped for source files, `kubectl
/// explain` wraps for the terminal.
fn unwrapped(text: &str) -> String {
    text.split("\n\n")
        .map(|paragraph| paragraph.lines().map(str::trim).collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join("\n\n")
}

#[cfg(test)]
mod tests;
