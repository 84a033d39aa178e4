//! Judges an object by a schema, as the API server does: defaults first, then the structure, and the CEL
//! rules only if the structure is sound.
//!
//! It knows the keywords that [`rules`](super::rules) names, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{LazyLock, Mutex};

use kube::core::cel::{CompiledSchema, Validator, apply_defaults, compile_schema};
use regex::Regex;
use serde_json::{Map, Value};

use super::rules::{below, name, own_rules};

/// A schema that objects are judged by.
pub(super) struct Judge {
    schema: Value,
    rules: CompiledSchema,
    validator: Validator,
}

impl Judge {
    pub(super) fn new(schema: Value) -> Self {
        let rules = compile_schema(&schema);
        assert!(!rules.has_errors(), "a rule cannot be compiled: {:?}", rules.compilation_errors());
        Self { schema, rules, validator: Validator::new() }
    }

    /// The names of the rules that the object breaks; with the object before, those about changes too.
    pub(super) fn violations(&self, object: &Value, old: Option<&Value>) -> BTreeSet<String> {
        let mut broken = BTreeSet::new();
        visit(&self.schema, &apply_defaults(&self.schema, object), "", &mut broken);
        if !broken.is_empty() {
            return broken;
        }
        let errors = self.validator.validate_compiled(&self.rules, object, old).err();
        let named = |path: &str, message: &str| name(&pattern(path), &format!("rule: {message}"));
        errors.iter().flatten().map(|error| named(&error.field_path, &error.message)).collect()
    }
}

fn visit(schema: &Value, value: &Value, path: &str, broken: &mut BTreeSet<String>) {
    let Some(schema) = schema.as_object() else { return };
    if !has_type(schema, value) {
        broken.insert(name(path, "type"));
        return;
    }
    for rule in own_rules(schema) {
        if !rule.starts_with("rule: ") && !holds(schema, &rule, value) {
            broken.insert(name(path, &rule));
        }
    }
    match value {
        Value::Object(fields) => {
            for (field, inner) in fields {
                // The server checks these itself, for every kind.
                if path.is_empty() && ["apiVersion", "kind", "metadata"].contains(&field.as_str()) {
                    continue;
                }
                if let Some(schema) = schema.get("properties").and_then(|p| p.get(field)) {
                    visit(schema, inner, &below(path, field), broken);
                } else if let Some(schema) = schema.get("additionalProperties") {
                    visit(schema, inner, &below(path, "*"), broken);
                } else if schema.get("x-kubernetes-preserve-unknown-fields").is_none() {
                    broken.insert(name(&below(path, field), "unknown field"));
                }
            }
        }
        Value::Array(items) => {
            for inner in items {
                visit(schema.get("items").unwrap_or(&Value::Null), inner, &format!("{path}[]"), broken);
            }
        }
        _ => {}
    }
}

fn has_type(schema: &Map<String, Value>, value: &Value) -> bool {
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return value.is_i64() || value.is_string();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("boolean") => value.is_boolean(),
        other => panic!("the evaluator does not know the type {other:?}"),
    }
}

fn holds(schema: &Map<String, Value>, rule: &str, value: &Value) -> bool {
    if let Some(field) = rule.strip_prefix("required: ") {
        return value.get(field).is_some();
    }
    if rule == "unique" {
        return is_unique(schema, value.as_array().expect("the type was checked"));
    }
    let bound = &schema[rule];
    let limit = || bound.as_u64().expect("a bound is a number");
    let number = |limit: fn(i64, i64) -> bool| {
        value.as_i64().is_none_or(|n| limit(n, bound.as_i64().expect("a bound is a number")))
    };
    match rule {
        "enum" => bound.as_array().expect("words are a list").contains(value),
        "pattern" => {
            value.as_str().is_none_or(|text| is_match(bound.as_str().expect("a pattern is text"), text))
        }
        "format" => value.as_str().is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        "minimum" => number(|n, bound| n >= bound),
        "maximum" => number(|n, bound| n <= bound),
        "minLength" | "minItems" | "minProperties" => size(value) >= limit(),
        "maxLength" | "maxItems" | "maxProperties" => size(value) <= limit(),
        _ => panic!("the evaluator does not know the rule {rule:?}"),
    }
}

/// Compiling a pattern takes longer than all the rest.
fn is_match(pattern: &str, text: &str) -> bool {
    static COMPILED: LazyLock<Mutex<BTreeMap<String, Regex>>> = LazyLock::new(Mutex::default);
    let mut compiled = COMPILED.lock().expect("no test fails in here");
    let new = || Regex::new(pattern).expect("a pattern is valid");
    compiled.entry(pattern.to_owned()).or_insert_with(new).is_match(text)
}

fn size(value: &Value) -> u64 {
    let size = match value {
        Value::String(text) => text.chars().count(),
        Value::Array(items) => items.len(),
        Value::Object(fields) => fields.len(),
        _ => panic!("{value} has no size"),
    };
    u64::try_from(size).expect("sizes are small")
}

fn is_unique(schema: &Map<String, Value>, items: &[Value]) -> bool {
    let keys: Vec<_> =
        schema.get("x-kubernetes-list-map-keys").and_then(Value::as_array).into_iter().flatten().collect();
    let identity = |item: &Value| {
        if keys.is_empty() {
            item.to_string()
        } else {
            keys.iter().map(|key| item[key.as_str().expect("keys are text")].to_string() + " ").collect()
        }
    };
    items.iter().map(identity).collect::<BTreeSet<_>>().len() == items.len()
}

/// `spec.pools[3].name` is `spec.pools[].name`.
fn pattern(field_path: &str) -> String {
    let without_index = |part: &str| match part.split_once('[') {
        Some((field, _)) => format!("{field}[]"),
        None => part.to_owned(),
    };
    field_path.split('.').map(without_index).collect::<Vec<_>>().join(".")
}
