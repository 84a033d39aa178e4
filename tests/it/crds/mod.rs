//! The CRDs: every rule that they make has an object that it rejects, and what people have is accepted.
//!
//! The rules are enumerated from the schemas themselves, so a new rule without a row fails by its name. All
//! cases are judged here without a cluster, and by a real API server in [`apiserver`].

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use treenail::api::crds;
use treenail::api::ec2nodeclass::Ec2NodeClass;
use treenail::api::nodeclaim::NodeClaim;
use treenail::api::nodepool::NodePool;
use treenail::api::workload_type::WorkloadType;

mod apiserver;
mod command;
mod evaluate;
mod examples;
mod rules;
mod table;

use evaluate::Judge;
use table::{Table, Write};
use treenail_lab::User;
use treenail_lab::shared::on_lab;

/// The tables, each with the whole objects of its kind among its cases.
fn tables() -> Vec<Table> {
    let mut tables = table::read(&schemas());
    for case in examples::cases() {
        let kind = &case.object["kind"];
        let table =
            tables.iter_mut().find(|table| table.base["kind"] == *kind).expect("every kind has a table");
        table.cases.push(case);
    }
    tables
}

/// Schemas by name of the CRD.
fn schemas() -> BTreeMap<String, Value> {
    let crds = crds::all().expect("every CRD can be made");
    crds.iter().map(|crd| (crd.name().to_owned(), crd.schema().clone())).collect()
}

#[test]
fn a_real_api_server_judges_every_object_as_its_row_says() {
    on_lab(async |lab| {
        let misjudged = apiserver::misjudged(&lab.client(&User::administrator()).await.unwrap()).await;
        assert!(misjudged.is_empty(), "{}", misjudged.join("\n"));
    });
}

#[test]
fn every_rule_of_every_schema_has_an_object_that_it_rejects() {
    let schemas = schemas();
    let tables = tables();
    let mut missing = Vec::new();
    for (crd, schema) in &schemas {
        let table = tables.iter().find(|table| &table.crd == crd);
        let rejected: BTreeSet<_> = table
            .iter()
            .flat_map(|table| &table.cases)
            .filter_map(|case| Some(case.rejection.as_ref()?.rule.clone()))
            .collect();
        let unproven = rules::enumerate(schema).into_iter().filter(|rule| !rejected.contains(rule));
        missing.extend(unproven.map(|rule| format!("{crd}: {rule}")));
    }
    assert!(missing.is_empty(), "no row in tests/it/crds for:\n{}", missing.join("\n"));
}

#[test]
fn every_object_is_judged_as_its_row_says() {
    let mut wrong = Vec::new();
    let mut judged = 0;
    for table in tables() {
        let judge = Judge::new(schemas()[&table.crd].clone());
        for case in &table.cases {
            let old = (case.write == Write::Update).then_some(&table.base);
            let found = judge.violations(&case.object, old);
            let is_right = match &case.rejection {
                None => found.is_empty(),
                Some(rejection) => found.contains(&rejection.rule),
            };
            if !is_right {
                let expected = case.rejection.as_ref().map_or("accepted", |rejection| &rejection.rule);
                wrong.push(format!(
                    "{}: {}\n  expected: {expected}\n  found: {found:?}",
                    table.crd, case.title
                ));
            }
            judged += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {judged} objects:\n{}", wrong.len(), wrong.join("\n"));
}

/// Whether `read` still says all that `written` said; what says nothing may be gone.
fn keeps(read: Option<&Value>, written: &Value) -> bool {
    match (read, written) {
        (Some(Value::Object(read)), Value::Object(written)) => {
            written.iter().all(|(field, inner)| keeps(read.get(field), inner))
        }
        (Some(Value::Array(read)), Value::Array(written)) => {
            // Sets of texts are sorted when they are read.
            read.len() == written.len()
                && written.iter().all(|inner| read.iter().any(|candidate| keeps(Some(candidate), inner)))
        }
        // A quantity that was written as a number is read as text.
        (Some(Value::String(read)), Value::Number(written)) => *read == written.to_string(),
        (Some(read), written) => read == written,
        (None, Value::Object(fields)) => fields.values().all(|inner| keeps(None, inner)),
        (None, Value::Array(items)) => items.is_empty(),
        (None, Value::String(text)) => text.is_empty(),
        (None, written) => *written == Value::Bool(false),
    }
}

fn read_and_written<T: DeserializeOwned + Serialize>(object: &Value) -> Value {
    let read: T = serde_json::from_value(object.clone()).unwrap_or_else(|error| panic!("{error}: {object}"));
    serde_json::to_value(read).expect("every object is JSON")
}

#[test]
fn every_valid_object_is_read_into_its_type_and_nothing_is_lost() {
    for table in tables() {
        for case in table.cases.iter().filter(|case| case.rejection.is_none()) {
            let kind = case.object["kind"].as_str().expect("every object has a kind");
            let read = match kind {
                "NodePool" => read_and_written::<NodePool>(&case.object),
                "NodeClaim" => read_and_written::<NodeClaim>(&case.object),
                "EC2NodeClass" => read_and_written::<Ec2NodeClass>(&case.object),
                _ => read_and_written::<WorkloadType>(&case.object),
            };
            assert!(
                keeps(Some(&read), &case.object),
                "{}\nwritten: {}\nread: {read}",
                case.title,
                case.object
            );
        }
    }
}
