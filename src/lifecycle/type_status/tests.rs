use serde_json::{Value, json};

use super::*;
use crate::api::conditions::{self, ConditionStatus};
use crate::model::testing::nodes::at;
use crate::model::workload_type::Pool;

fn object(status: Value) -> api::WorkloadType {
    serde_json::from_value(json!({
        "metadata": { "name": "application", "generation": 3, "creationTimestamp": "2026-01-01T00:00:00Z" },
        "spec": { "pools": [{ "name": "large" }, { "name": "small" }] },
        "status": status,
    }))
    .unwrap()
}

fn envelope(generation: i64) -> api::Envelope {
    let object = api::ObservedObject { kind: "WorkloadType".into(), name: "application".into(), generation };
    api::Envelope { generations: vec![object], vectors: Vec::new() }
}

/// The status with these pools, nodes (by their pool, with a price) and counts.
fn decided(before: Value, pools: &[&str], counts: &Counts, envelope: &EnvelopeState) -> WorkloadTypeStatus {
    let taints = vec!["node-type=application:NoSchedule".parse().unwrap()];
    let pool = |name: &&str| ((*name).to_owned(), Pool { taints: taints.clone(), problems: Vec::new() });
    let object = object(before);
    let types = [("application".to_owned(), WorkloadType::read(&object))].into();
    let pools = pools.iter().map(pool).collect();
    let fleet = Fleet { types: &types, pools: &pools, nodes: &[] };
    status(&object, &fleet, counts, envelope, at(60))
}

#[test]
fn what_pods_get_and_what_there_is_are_told() {
    let counts = Counts {
        namespaces: [("application".to_owned(), 2), ("other".to_owned(), 7)].into(),
        nodes: [("large".to_owned(), 3), ("other".to_owned(), 7)].into(),
        costs: None,
    };
    let status = decided(json!({}), &["large", "small"], &counts, &EnvelopeState::Unknown);
    assert_eq!((status.observed_generation, status.namespaces, status.nodes), (Some(3), Some(2), Some(3)));
    assert!(conditions::is_true(&status.conditions, conditions::READY), "{:?}", status.conditions);
    assert_eq!(status.taints.len(), 1);
    assert_eq!(status.taints[0].pools, ["large", "small"]);
    let pools: Vec<_> =
        status.pools.iter().map(|pool| (pool.name.as_str(), pool.ready, pool.nodes)).collect();
    assert_eq!(pools, [("large", true, Some(3)), ("small", true, Some(0))]);
}

#[test]
fn a_pool_that_is_missing_is_named_and_the_rest_stands() {
    let status = decided(json!({}), &["large"], &Counts::default(), &EnvelopeState::Unknown);
    let ready = conditions::find(&status.conditions, conditions::READY).unwrap();
    assert_eq!(ready.status, ConditionStatus::False);
    let [large, small] = status.pools.as_slice() else { panic!("{:?}", status.pools) };
    assert!(large.ready && !small.ready && small.message.contains("does not exist"), "{}", small.message);
    assert_eq!(status.tolerations.len(), 1);
}

#[test]
fn costs_are_told_where_every_price_is_known_and_stand_while_nobody_can_say() {
    let price = |text: &str| Some(text.parse::<Price>().unwrap());
    let mut costs = Costs::default();
    costs.add("large", price("0.1785"));
    costs.add("large", price("0.17856"));
    let told = |before: Value, costs: Option<&Costs>| {
        let counts = Counts { costs: costs.cloned(), ..Counts::default() };
        let status = decided(before, &["large", "small"], &counts, &EnvelopeState::Unknown);
        let pools: Vec<_> =
            status.pools.iter().map(|pool| pool.hourly_cost.clone().unwrap_or_default()).collect();
        (status.hourly_cost.unwrap_or_default(), pools)
    };
    let of = |total: &str, pools: [&str; 2]| (total.to_owned(), pools.map(str::to_owned).to_vec());
    assert_eq!(told(json!({}), Some(&costs)), of("0.3571", ["0.3571", "0.0000"]));
    costs.add("large", None);
    assert_eq!(told(json!({}), Some(&costs)), of("", ["", "0.0000"]));
    let before = json!({ "hourlyCost": "1.0000", "pools": [{ "name": "small", "ready": true, "hourlyCost": "1.0000" }] });
    assert_eq!(told(before.clone(), None), of("1.0000", ["", "1.0000"]));
    assert_eq!(told(before, Some(&Costs::default())), of("0.0000", ["0.0000", "0.0000"]));
}

#[test]
fn an_envelope_stands_until_the_cloud_has_answered_and_goes_when_it_cannot_be_known() {
    let before = json!({ "envelope": envelope(2) });
    for (state, expected) in [
        (EnvelopeState::Awaited, Some(envelope(2))),
        (EnvelopeState::Unknown, None),
        (EnvelopeState::Known(envelope(3)), Some(envelope(3))),
    ] {
        let status = decided(before.clone(), &["large", "small"], &Counts::default(), &state);
        assert_eq!(status.envelope, expected, "{state:?}");
    }
}
