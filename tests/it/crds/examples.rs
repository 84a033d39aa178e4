//! Whole objects that people have: our own examples, and what they run with Karpenter today.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use treenail::api::unsupported::{self, Kind};

use super::table::{Case, Rejection, Write, merge};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Source {
    pool: Value,
    class: Value,
    examples: BTreeMap<String, Example>,
    refused: Example,
}

/// Changes to the pool (one or several) and to the class.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    #[serde(default)]
    pools: Vec<Value>,
    #[serde(default)]
    class: Value,
}

/// What people run with Karpenter, and our own examples.
pub(super) fn cases() -> Vec<Case> {
    let source: Source = serde_saphyr::from_str(include_str!("karpenter.yaml")).expect("karpenter.yaml");
    let changed = |base: &Value, patch: &Value| {
        let mut object = base.clone();
        if !patch.is_null() {
            merge(&mut object, patch.clone());
        }
        object
    };
    let mut cases = Vec::new();
    for (name, Example { pools, class }) in &source.examples {
        let pools = if pools.is_empty() { &[Value::Null][..] } else { pools };
        cases.extend(pools.iter().map(|pool| accepted(name, changed(&source.pool, pool))));
        cases.push(accepted(name, changed(&source.class, class)));
    }
    cases.extend(source.refused.pools.iter().map(|pool| Case {
        rejection: Some(Rejection {
            rule: "spec.template.spec.nodeClassRef.group pattern".to_owned(),
            field: "spec.template.spec.nodeClassRef.group".to_owned(),
            message: "should match".to_owned(),
        }),
        ..accepted("a group with a version", changed(&source.pool, pool))
    }));
    cases.extend(own().into_iter().map(|(file, object)| accepted(&file, object)));
    cases
}

fn accepted(name: &str, object: Value) -> Case {
    let title = format!("{} of {name}", object["kind"]);
    Case { title, write: Write::Create, object, rejection: None }
}

/// The objects in manifests/examples, with the names of their files.
fn own() -> Vec<(String, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/examples");
    let mut objects = Vec::new();
    for entry in fs::read_dir(&directory).expect("there are examples") {
        let path = entry.expect("the examples can be listed").path();
        let text = fs::read_to_string(&path).expect("an example is text");
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text).expect("an example is YAML");
        objects.extend(documents.into_iter().map(|object| (path.display().to_string(), object)));
    }
    assert!(!objects.is_empty(), "there are examples");
    objects
}

#[test]
fn our_own_examples_use_nothing_that_is_not_built() {
    for (file, object) in own() {
        let kind = match object["kind"].as_str() {
            Some("NodePool") => Kind::NodePool,
            Some("EC2NodeClass") => Kind::Ec2NodeClass,
            Some("WorkloadType") => Kind::WorkloadType,
            _ => continue,
        };
        let found: Vec<_> = unsupported::in_object(kind, &object).iter().map(ToString::to_string).collect();
        assert!(found.is_empty(), "{file}: {found:?}");
    }
}
