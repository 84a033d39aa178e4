//! Which fields of an object are set and not honoured yet.
//!
//! The schemas are complete, so that existing YAML applies unchanged; what is built is less. Nothing is
//! ignored unnoticed: every field of every spec is in one table ([`tables`]) as honoured or not, and a field
//! that is in no table counts as not honoured. Refusing, warning and conditions are the callers' business,
//! and so is what a value means: a value that is honoured may still be wrong.

use std::fmt;

use serde::Serialize;
use serde_json::{Value, json};

use super::ec2nodeclass::Ec2NodeClass;
use super::labels;
use super::nodepool::NodePool;
use super::requirement::{NodeSelectorRequirement, Operator};
use super::workload_type::WorkloadType;

mod tables;

use tables::{Honours, Row};

/// What it would do to ignore the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// What is launched, or admitted, would be wrong: nothing is, and the object says so.
    Blocks,
    /// Less is done than asked for, and nothing wrong: it is used, with a warning.
    Weakens,
}

/// A field that is set and not honoured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// JSON path of the field, for example `spec.disruption.budgets[1].schedule`.
    pub path: String,
    /// What it would do to ignore it.
    pub severity: Severity,
    /// What is missing, or what happens instead.
    pub text: &'static str,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: not supported yet: {}", self.path, self.text)
    }
}

/// A kind whose fields are in a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `karpenter.sh` NodePool.
    NodePool,
    /// `karpenter.k8s.aws` EC2NodeClass.
    Ec2NodeClass,
    /// `treenail.dev` WorkloadType.
    WorkloadType,
}

/// Fields of the pool that are set and not honoured.
#[must_use]
pub fn node_pool(pool: &NodePool) -> Vec<Unsupported> {
    of_spec(Kind::NodePool, &pool.spec)
}

/// Fields of the class that are set and not honoured.
#[must_use]
pub fn ec2_node_class(class: &Ec2NodeClass) -> Vec<Unsupported> {
    of_spec(Kind::Ec2NodeClass, &class.spec)
}

/// Fields of the type that are set and not honoured. All of them block.
#[must_use]
pub fn workload_type(workload_type: &WorkloadType) -> Vec<Unsupported> {
    of_spec(Kind::WorkloadType, &workload_type.spec)
}

/// As the functions for the typed objects, and also finds fields that the types do not know: a CRD of a
/// later Karpenter may have them.
#[must_use]
pub fn in_object(kind: Kind, object: &Value) -> Vec<Unsupported> {
    let mut found = Vec::new();
    if let Some(spec) = object.get("spec") {
        visit(kind.rows(), spec, "spec", "spec", &mut found);
    }
    if kind == Kind::NodePool {
        found.extend(capacity_types(object));
    }
    found
}

fn of_spec(kind: Kind, spec: &impl Serialize) -> Vec<Unsupported> {
    match serde_json::to_value(spec) {
        Ok(spec) => in_object(kind, &json!({ "spec": spec })),
        // Types with text as keys always become JSON; if one ever does not, nothing must be launched from it.
        Err(_) => vec![Unsupported {
            path: "spec".to_owned(),
            severity: Severity::Blocks,
            text: "the spec cannot be read",
        }],
    }
}

impl Kind {
    fn rows(self) -> &'static [Row] {
        match self {
            Self::NodePool => tables::NODE_POOL,
            Self::Ec2NodeClass => tables::EC2_NODE_CLASS,
            Self::WorkloadType => tables::WORKLOAD_TYPE,
        }
    }
}

/// `path` names the value in this object, `pattern` in every object of the kind: indices are empty.
fn visit(rows: &[Row], value: &Value, path: &str, pattern: &str, found: &mut Vec<Unsupported>) {
    if let Some(row) = row(rows, pattern) {
        if !row.is_honoured(value) {
            found.push(Unsupported { path: path.to_owned(), severity: row.severity, text: row.text });
        }
        return;
    }
    let has_rows_below = rows.iter().any(|row| is_below(row.path, pattern));
    match value {
        Value::Object(fields) if has_rows_below => {
            for (name, inner) in fields {
                visit(rows, inner, &format!("{path}.{name}"), &format!("{pattern}.{name}"), found);
            }
        }
        Value::Array(items) if has_rows_below => {
            for (index, inner) in items.iter().enumerate() {
                visit(rows, inner, &format!("{path}[{index}]"), &format!("{pattern}[]"), found);
            }
        }
        _ if is_unset(value) => {}
        _ => found.push(Unsupported {
            path: path.to_owned(),
            severity: Severity::Blocks,
            text: "this version does not know the field",
        }),
    }
}

/// The row of the field, else the row for all other fields of its parent, whose last part is `*`.
fn row<'a>(rows: &'a [Row], pattern: &str) -> Option<&'a Row> {
    let named = rows.iter().find(|row| row.path == pattern);
    named.or_else(|| {
        let (parent, _) = pattern.rsplit_once('.')?;
        rows.iter().find(|row| row.path.strip_suffix(".*") == Some(parent))
    })
}

fn is_below(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor).is_some_and(|rest| rest.starts_with(['.', '[']))
}

/// Whether the value says nothing: leaving it out would mean the same.
fn is_unset(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    }
}

impl Row {
    fn is_honoured(&self, value: &Value) -> bool {
        let is_word_of = |words: &[&str]| value.as_str().is_some_and(|word| words.contains(&word));
        match self.honours {
            Honours::Everything => true,
            Honours::Nothing => is_unset(value),
            Honours::NothingNotEvenEmpty => value.is_null(),
            Honours::Words(words) => is_unset(value) || is_word_of(words),
            Honours::Values(is_honoured) => is_unset(value) || is_honoured(value),
        }
    }
}

/// Only on-demand capacity is launched. A pool that excludes it can launch nothing; one that names another
/// kind beside it gets on-demand where Karpenter would have saved money.
fn capacity_types(object: &Value) -> Vec<Unsupported> {
    let requirements = object.pointer("/spec/template/spec/requirements").and_then(Value::as_array);
    let read = |(index, value): (usize, &Value)| {
        let requirement = serde_json::from_value::<NodeSelectorRequirement>(value.clone()).ok()?;
        let (severity, text) = capacity_type(&requirement)?;
        Some(Unsupported { path: format!("spec.template.spec.requirements[{index}]"), severity, text })
    };
    requirements.into_iter().flatten().enumerate().filter_map(read).collect()
}

fn capacity_type(requirement: &NodeSelectorRequirement) -> Option<(Severity, &'static str)> {
    let names = |value: &str| requirement.values.iter().any(|v| v == value);
    let allows_on_demand = match &requirement.operator {
        _ if requirement.key != labels::CAPACITY_TYPE => return None,
        Operator::In => names(labels::CAPACITY_ON_DEMAND),
        Operator::NotIn => !names(labels::CAPACITY_ON_DEMAND),
        Operator::Exists => true,
        // The capacity type is always there, and no number; the row of the operator speaks for unknown ones.
        Operator::DoesNotExist
        | Operator::Gt
        | Operator::Lt
        | Operator::Gte
        | Operator::Lte
        | Operator::Other(_) => return None,
    };
    let names_another = names(labels::CAPACITY_SPOT) || names(labels::CAPACITY_RESERVED);
    if !allows_on_demand {
        Some((Severity::Blocks, "spot and reserved capacity: only on-demand instances can be launched"))
    } else if requirement.operator == Operator::In && names_another {
        Some((Severity::Weakens, "spot and reserved capacity: on-demand instances are launched instead"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
