//! Every rule that a schema makes, named: `spec.weight maximum`, `spec.pools[].name pattern`,
//! `spec required: template`, `spec rule: <message>`.
//!
//! `[]` stands for every item of a list, `*` for every value of a map.

use serde_json::{Map, Value};

/// Keywords that bound a single value, with what the API server says of a value beyond the bound.
pub(super) const BOUNDS: &[(&str, &str)] = &[
    ("enum", "Unsupported value"),
    ("pattern", "should match"),
    ("format", "must be of type"),
    ("minimum", "should be greater than or equal to"),
    ("maximum", "should be less than or equal to"),
    ("minLength", "should be at least"),
    ("maxLength", "Too long: may not be more than"),
    ("minItems", "should have at least"),
    ("maxItems", "must have at most"),
    ("minProperties", "should have at least"),
    ("maxProperties", "must have at most"),
];

/// Formats that the API server checks. Those of integers only say how a client may hold them.
const CHECKED_FORMATS: &[&str] = &["date-time"];

/// The names of all rules of the schema and of those within it.
pub(super) fn enumerate(schema: &Value) -> Vec<String> {
    let mut names = Vec::new();
    visit(schema, "", &mut names);
    names
}

fn visit(schema: &Value, path: &str, names: &mut Vec<String>) {
    let Some(schema) = schema.as_object() else { return };
    names.extend(own_rules(schema).into_iter().map(|rule| name(path, &rule)));
    for (field, inner) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
        visit(inner, &below(path, field), names);
    }
    if let Some(items) = schema.get("items") {
        visit(items, &format!("{path}[]"), names);
    }
    if let Some(values) = schema.get("additionalProperties") {
        visit(values, &below(path, "*"), names);
    }
}

/// The rules of one schema, without those within it.
pub(super) fn own_rules(schema: &Map<String, Value>) -> Vec<String> {
    let mut rules = Vec::new();
    for (keyword, _) in BOUNDS {
        let is_rule = match schema.get(*keyword) {
            None => false,
            Some(Value::String(format)) if *keyword == "format" => CHECKED_FORMATS.contains(&format.as_str()),
            Some(_) => true,
        };
        if is_rule {
            rules.push((*keyword).to_owned());
        }
    }
    for field in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
        rules.push(format!("required: {}", field.as_str().expect("names of fields are text")));
    }
    if matches!(schema.get("x-kubernetes-list-type").and_then(Value::as_str), Some("set" | "map")) {
        rules.push("unique".to_owned());
    }
    for rule in schema.get("x-kubernetes-validations").and_then(Value::as_array).into_iter().flatten() {
        rules.push(format!("rule: {}", rule["message"].as_str().expect("every rule has a message")));
    }
    rules
}

/// The name of a rule at a path.
pub(super) fn name(path: &str, rule: &str) -> String {
    if path.is_empty() { rule.to_owned() } else { format!("{path} {rule}") }
}

/// The path of a field.
pub(super) fn below(path: &str, field: &str) -> String {
    if path.is_empty() { field.to_owned() } else { format!("{path}.{field}") }
}

/// Whether the rule compares an object with what it was.
pub(super) fn is_about_a_change(schema: &Value, rule: &str) -> bool {
    let mut transitions = Vec::new();
    visit_transitions(schema, "", &mut transitions);
    transitions.iter().any(|transition| transition == rule)
}

fn visit_transitions(schema: &Value, path: &str, names: &mut Vec<String>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        if rule["rule"].as_str().is_some_and(|rule| rule.contains("oldSelf")) {
            names.push(name(
                path,
                &format!("rule: {}", rule["message"].as_str().expect("every rule has a message")),
            ));
        }
    }
    for (field, inner) in schema["properties"].as_object().into_iter().flatten() {
        visit_transitions(inner, &below(path, field), names);
    }
}
