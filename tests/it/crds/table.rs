//! The tables of valid and invalid objects: data in YAML, made into cases here.
//!
//! A table has a base object that is valid and has every part that a row changes. `values` says for a path
//! (`[]` is the first item, `*` a key of a map) what to put there: under `valid` values that are accepted,
//! under the name of a rule values that it rejects. A text replaces what is there, an object is merged into it
//! (null removes a field). Three notations save typing: `{$each: [a, b]}` is several values one by one,
//! `{$repeat: x, times: n}` a text that is repeated or a list of items in which `{i}` counts, and
//! `{$keys: k{i}, value: v, times: n}` a map. Sections of `shared.yaml` are used wherever the same part of a
//! schema occurs.
//!
//! Two kinds of rules need no rows: for `required` the field is removed from the base object, for `unique` the
//! first item of the list is repeated. The base must have it, so such a rule cannot be missed either.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::rules;

const SHARED: &str = include_str!("shared.yaml");
const TABLES: &[&str] = &[
    include_str!("nodepools.yaml"),
    include_str!("nodeclaims.yaml"),
    include_str!("ec2nodeclasses.yaml"),
    include_str!("workloadtypes.yaml"),
];

/// The cases of one CRD.
pub(super) struct Table {
    /// Name of the CRD.
    pub(super) crd: String,
    /// A valid object.
    pub(super) base: Value,
    pub(super) cases: Vec<Case>,
}

/// An object and what is to become of it.
pub(super) struct Case {
    /// What the object is about, for messages.
    pub(super) title: String,
    pub(super) write: Write,
    pub(super) object: Value,
    /// Absent: it is accepted.
    pub(super) rejection: Option<Rejection>,
}

/// How the object is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    Create,
    /// In place of the base object.
    Update,
    /// As the status of the base object.
    Status,
}

pub(super) struct Rejection {
    /// The rule that the object breaks.
    pub(super) rule: String,
    /// The field that the API server names.
    pub(super) field: String,
    /// A part of what it says.
    pub(super) message: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    crd: String,
    base: Value,
    #[serde(default)]
    uses: BTreeMap<String, Vec<String>>,
    values: Values,
    /// Changes to the base object that are valid, with why they are worth a row.
    accepted: BTreeMap<String, Value>,
}

/// By path, by `valid` or the name of a rule.
type Values = BTreeMap<String, BTreeMap<String, Value>>;

/// Reads the tables and makes the cases of each, for the schemas that the CRDs have.
pub(super) fn read(schemas: &BTreeMap<String, Value>) -> Vec<Table> {
    let shared: BTreeMap<String, Values> = serde_saphyr::from_str(SHARED).expect("shared.yaml is a table");
    let used: BTreeSet<_> = TABLES.iter().flat_map(|text| parse(text).uses.into_keys()).collect();
    assert_eq!(used, shared.keys().cloned().collect(), "every section of shared.yaml is used");
    TABLES.iter().map(|text| table(parse(text), &shared, schemas)).collect()
}

fn parse(text: &str) -> Source {
    serde_saphyr::from_str(text).unwrap_or_else(|error| panic!("not a table: {error}"))
}

fn table(source: Source, shared: &BTreeMap<String, Values>, schemas: &BTreeMap<String, Value>) -> Table {
    let Source { crd, base, uses, mut values, accepted } = source;
    let schema = schemas.get(&crd).unwrap_or_else(|| panic!("no CRD {crd}"));
    for (section, paths) in uses {
        for path in paths {
            for (below, entry) in &shared[&section] {
                values.entry(format!("{path}{below}")).or_default().extend(entry.clone());
            }
        }
    }
    let mut cases = vec![Case {
        title: "the base object".to_owned(),
        write: Write::Create,
        object: base.clone(),
        rejection: None,
    }];
    for (title, patch) in accepted {
        let mut object = base.clone();
        merge(&mut object, patch);
        cases.push(Case { title, write: Write::Create, object, rejection: None });
    }
    let known = rules::enumerate(schema);
    for (path, entry) in values {
        for (rule, value) in entry {
            let rule = if rule == "valid" { None } else { Some(rules::name(&path, &rule)) };
            if let Some(rule) = &rule {
                assert!(known.contains(rule), "{crd} has a row for a rule that does not exist: {rule}");
            }
            for value in expand(value) {
                cases.push(case(&base, schema, &path, rule.as_deref(), value));
            }
        }
    }
    cases.extend(known.iter().filter_map(|rule| derived(&base, rule)));
    Table { crd, base, cases }
}

fn case(base: &Value, schema: &Value, path: &str, rule: Option<&str>, value: Value) -> Case {
    let mut object = base.clone();
    let title = format!("{path} = {value}");
    let mut field = path.replace("[]", "[0]");
    if let Some((parent, "*")) = path.rsplit_once('.') {
        let key = value.as_object().and_then(|map| map.keys().next()).expect("a value of a map has a key");
        field = format!("{}.{key}", parent.replace("[]", "[0]"));
        put(&mut object, parent, value);
    } else {
        put(&mut object, path, value);
    }
    if field.is_empty() {
        // What the API server calls the object itself.
        "<nil>".clone_into(&mut field);
    }
    let rejection = rule.map(|rule| {
        let keyword = &rule[path.len()..].trim_start();
        let message = match keyword.strip_prefix("rule: ") {
            Some(message) => message,
            None => rules::BOUNDS.iter().find(|(bound, _)| bound == keyword).expect("a bound").1,
        };
        Rejection { rule: rule.to_owned(), field, message: message.to_owned() }
    });
    let is_about_a_change = rule.is_some_and(|rule| rules::is_about_a_change(schema, rule));
    Case { title, write: write(path, is_about_a_change), object, rejection }
}

/// The case of a rule that needs no row.
fn derived(base: &Value, rule: &str) -> Option<Case> {
    let mut object = base.clone();
    let (path, field, message) = if let Some((path, name)) = rule.split_once("required: ") {
        let path = path.trim_end();
        let parent = at(&mut object, path);
        let removed = parent.as_object_mut().expect("an object has required fields").remove(name);
        assert!(removed.is_some(), "the base object needs {} for {rule:?}", rules::below(path, name));
        (path, rules::below(&path.replace("[]", "[0]"), name), "Required value")
    } else if let Some(path) = rule.strip_suffix(" unique") {
        let items = at(&mut object, path).as_array_mut().expect("only lists are unique");
        let first = items.first().unwrap_or_else(|| panic!("the base object needs an item for {rule:?}"));
        items.push(first.clone());
        let last = items.len() - 1;
        (path, format!("{}[{last}]", path.replace("[]", "[0]")), "Duplicate value")
    } else {
        return None;
    };
    let rejection = Rejection { rule: rule.to_owned(), field, message: message.to_owned() };
    Some(Case { title: rule.to_owned(), write: write(path, false), object, rejection: Some(rejection) })
}

fn write(path: &str, is_about_a_change: bool) -> Write {
    if is_about_a_change {
        Write::Update
    } else if path == "status" || path.starts_with("status.") {
        Write::Status
    } else {
        Write::Create
    }
}

/// Puts the value at the path: an object is merged into what is there.
fn put(object: &mut Value, path: &str, value: Value) {
    merge(at(object, path), value);
}

/// The place in the object; fields on the way are made, items must be there.
fn at<'a>(object: &'a mut Value, path: &str) -> &'a mut Value {
    path.split('.').filter(|part| !part.is_empty()).fold(object, |place, part| {
        let (field, is_item) = part.strip_suffix("[]").map_or((part, false), |field| (field, true));
        if !place.is_object() {
            *place = json!({});
        }
        let inner = place.as_object_mut().expect("just made one").entry(field).or_insert(Value::Null);
        if is_item {
            inner.get_mut(0).unwrap_or_else(|| panic!("the base object needs an item at {path}"))
        } else {
            inner
        }
    })
}

/// JSON merge patch (RFC 7386).
pub(super) fn merge(place: &mut Value, patch: Value) {
    match patch {
        Value::Object(fields) => {
            if !place.is_object() {
                *place = json!({});
            }
            let object = place.as_object_mut().expect("just made one");
            for (field, value) in fields {
                if value.is_null() {
                    object.remove(&field);
                } else {
                    merge(object.entry(field).or_insert(Value::Null), value);
                }
            }
        }
        other => *place = other,
    }
}

/// The values that a notation stands for.
fn expand(value: Value) -> Vec<Value> {
    match value {
        Value::Object(fields) if fields.contains_key("$each") => {
            fields["$each"].as_array().expect("$each has a list").iter().map(generated).collect()
        }
        other => vec![generated(&other)],
    }
}

fn generated(value: &Value) -> Value {
    let Some(fields) = value.as_object() else {
        return value.as_array().map_or_else(|| value.clone(), |items| items.iter().map(generated).collect());
    };
    let times = || fields["times"].as_u64().expect("times is a number");
    match (fields.get("$repeat"), fields.get("$keys")) {
        (Some(Value::String(text)), _) if !text.contains("{i}") => {
            json!(text.repeat(usize::try_from(times()).expect("small")))
        }
        (Some(item), _) => (0..times()).map(|i| counted(item, i)).collect(),
        (None, Some(key)) => (0..times())
            .map(|i| (counted(key, i).as_str().expect("keys are text").to_owned(), fields["value"].clone()))
            .collect::<Map<_, _>>()
            .into(),
        (None, None) => {
            fields.iter().map(|(key, inner)| (key.clone(), generated(inner))).collect::<Map<_, _>>().into()
        }
    }
}

/// The value with `{i}` replaced in all its texts.
fn counted(value: &Value, i: u64) -> Value {
    match value {
        Value::String(text) => json!(text.replace("{i}", &i.to_string())),
        Value::Array(items) => items.iter().map(|item| counted(item, i)).collect(),
        Value::Object(fields) => {
            fields.iter().map(|(key, inner)| (key.clone(), counted(inner, i))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}
