use super::*;
use crate::admission::testing::{NOW, after, inventory, node_pool, workload_type};

fn types_on(taint: &str) -> Inventory {
    inventory(&[node_pool("p", taint)], &[workload_type("type", "p")])
}

fn honoured(policies: &Policies, now: Timestamp) -> Vec<String> {
    let policy = policies.find("type").unwrap();
    policy.honoured(now).map(|policy| policy.tolerations[0].value.clone()).collect()
}

#[test]
fn the_previous_policy_is_honoured_for_a_minute_beside_the_current_one() {
    let first = Policies::new(Settings::default()).next(types_on("k=a:NoSchedule"), NOW);
    assert_eq!(honoured(&first, NOW), ["a"]);
    let second = first.next(types_on("k=b:NoSchedule"), after(100));
    assert_eq!(honoured(&second, after(100)), ["b", "a"]);
    assert_eq!(honoured(&second, after(159)), ["b", "a"]);
    assert_eq!(honoured(&second, after(160)), ["b"]);
    // A change of something else does not make it last longer, nor end it.
    let same = second.next(types_on("k=b:NoSchedule"), after(130));
    assert_eq!(honoured(&same, after(159)), ["b", "a"]);
    assert_eq!(honoured(&same, after(160)), ["b"]);
    let third = same.next(types_on("k=c:NoSchedule"), after(140));
    assert_eq!(honoured(&third, after(141)), ["c", "b"]);
}

#[test]
fn there_is_nothing_before_the_first_policy_to_be_honoured() {
    let waiting = workload_type("type", "p");
    let mut closed = waiting.clone();
    closed.spec.enforcement = "Audit".into();
    for object in [waiting, closed] {
        let mut unpublished = Inventory::default();
        unpublished.add_workload_type(&object);
        let first = Policies::new(Settings::default()).next(unpublished, NOW);
        let second = first.next(types_on("k=a:NoSchedule"), after(1));
        assert_eq!(honoured(&second, after(1)), ["a"]);
    }
}

#[test]
fn a_fence_moves_at_once_with_the_status() {
    let first = Policies::new(Settings::default()).next(types_on("k=a:NoSchedule"), NOW);
    let second = first.next(types_on("k=b:NoSchedule"), NOW);
    let reaches = |policies: &Policies, taint: &str| {
        let taint = taint.parse().unwrap();
        policies.owned().first_foreign(&crate::model::taints::Toleration::of(&taint), None).is_some()
    };
    assert!(reaches(&first, "k=a:NoSchedule") && !reaches(&first, "k=b:NoSchedule"));
    assert!(reaches(&second, "k=b:NoSchedule") && !reaches(&second, "k=a:NoSchedule"));
}

#[test]
fn a_type_is_closed_until_its_policy_is_published_and_while_its_spec_cannot_be_carried_out() {
    let closed = |object: &api::WorkloadType| {
        let mut inventory = Inventory::default();
        inventory.add_workload_type(object);
        let policies = Policies::new(Settings::default()).next(inventory, NOW);
        policies.find("type").unwrap().closed.clone()
    };
    let unpublished = workload_type("type", "p");
    assert_eq!(closed(&unpublished), Some(Closed::Unpublished));

    let selector =
        BTreeMap::from([("workload-type.node-restriction.kubernetes.io/type".to_owned(), String::new())]);
    let published = api::WorkloadTypeStatus { node_selector: selector, ..Default::default() };
    let open = api::WorkloadType { status: Some(published.clone()), ..unpublished };
    assert_eq!(closed(&open), None);

    let mut unsupported = open.clone();
    unsupported.spec.enforcement = "Audit".into();
    assert!(
        matches!(closed(&unsupported), Some(Closed::Invalid(problem)) if problem.starts_with("spec.enforcement: "))
    );

    // A newer controller may know better.
    let condition = serde_json::from_value(serde_json::json!({
        "type": "ValidationSucceeded", "status": "False", "message": "no", "lastTransitionTime": "2025-01-01T00:00:00Z",
    }));
    let mut refused = open;
    refused.status = Some(api::WorkloadTypeStatus { conditions: vec![condition.unwrap()], ..published });
    assert_eq!(closed(&refused), Some(Closed::Invalid("no".to_owned())));
}

#[test]
fn a_closed_type_keeps_its_fence() {
    let mut object = workload_type("type", "p");
    object.spec.enforcement = "Audit".into();
    let policies = Policies::new(Settings::default())
        .next(inventory(&[node_pool("p", "k=a:NoSchedule")], &[object]), NOW);
    let taint = "k=a:NoSchedule".parse().unwrap();
    assert!(policies.owned().first_foreign(&crate::model::taints::Toleration::of(&taint), None).is_some());
}
