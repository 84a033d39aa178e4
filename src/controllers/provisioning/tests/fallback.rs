//! When the next pool of a type may be used.

use super::*;
use crate::controllers::provisioning::Scope;
use crate::controllers::provisioning::fallback::Shortages;
use crate::model::pod::PodKey;
use crate::model::{Pod, Reason};
use crate::scheduling::{
    PendingPod, Plan, PlannedClaim, PoolPreference, PoolReason, Problem, Unschedulable, WorkloadType,
};

fn key() -> PodKey {
    PodKey { namespace: "shop".to_owned(), name: "web".to_owned() }
}

fn problem() -> Problem {
    let pod = Pod { key: key(), ..Pod::default() };
    let pending = PendingPod { pod, workload_type: Some("application".to_owned()) };
    let pools =
        ["first", "second"].map(|pool| PoolPreference { pool: pool.to_owned(), may_fall_back: false });
    let workload_type = WorkloadType { name: "application".to_owned(), pools: pools.into() };
    Problem { pods: vec![pending], workload_types: vec![workload_type], ..Problem::default() }
}

fn left_out(reason: Reason) -> Plan {
    let reasons = vec![PoolReason { pool: Some("first".to_owned()), reason }];
    Plan { unschedulable: vec![Unschedulable { pod: key(), reasons }], ..Plan::default() }
}

fn launched_from(pool: &str) -> Plan {
    let claim = PlannedClaim {
        pool: pool.to_owned(),
        requirements: Requirements::new(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
        startup_taints: Vec::new(),
        requests: resource_list(""),
        instance_types: Vec::new(),
        pods: vec![key()],
    };
    Plan { claims: vec![claim], ..Plan::default() }
}

#[test]
fn a_pool_that_is_short_for_two_minutes_may_be_passed_over_until_it_is_launched_from_again() {
    let mut shortages = Shortages::default();
    let may = |shortages: &Shortages, now| shortages.may_fall_back("application", "first", at(now));
    assert!(!may(&shortages, 1000));
    shortages.note(Scope::All, &problem(), &left_out(Reason::NoOffering), at(0));
    shortages.note(Scope::All, &problem(), &left_out(Reason::LimitReached { exceeded: Vec::new() }), at(100));
    assert!(!may(&shortages, 119));
    assert!(may(&shortages, 120));
    assert!(!shortages.may_fall_back("batch", "first", at(120)), "of another type nobody waited");
    shortages.note(Scope::All, &problem(), &launched_from("second"), at(121));
    assert!(may(&shortages, 122));
    shortages.note(Scope::All, &problem(), &launched_from("first"), at(123));
    assert!(!may(&shortages, 1000));
}

/// Small nodes can be had all the time, large ones never.
#[test]
fn launches_for_others_do_not_keep_a_pod_from_the_next_pool() {
    let mut shortages = Shortages::default();
    let both = Plan { claims: launched_from("first").claims, ..left_out(Reason::NoOffering) };
    for second in [0, 60, 119] {
        shortages.note(Scope::All, &problem(), &both, at(second));
        assert!(!shortages.may_fall_back("application", "first", at(second)));
    }
    assert!(shortages.may_fall_back("application", "first", at(120)));
}

#[test]
fn a_pool_that_would_never_do_is_not_short() {
    let mut shortages = Shortages::default();
    let never = Reason::TaintNotTolerated { taint: taint("node-type=application:NoSchedule") };
    shortages.note(Scope::All, &problem(), &left_out(never), at(0));
    assert!(!shortages.may_fall_back("application", "first", at(1000)));
}

#[test]
fn a_shortage_that_nobody_has_met_for_a_while_begins_anew() {
    let mut shortages = Shortages::default();
    let may = |shortages: &Shortages, now| shortages.may_fall_back("application", "first", at(now));
    for second in [0, 60, 119] {
        shortages.note(Scope::All, &problem(), &left_out(Reason::NoOffering), at(second));
    }
    assert!(may(&shortages, 238));
    assert!(!may(&shortages, 239), "hours later it may be long over");
    shortages.note(Scope::All, &problem(), &left_out(Reason::NoOffering), at(5000));
    assert!(!may(&shortages, 5001));
    // Pods that get nodes of the next pool meanwhile show that it lasts.
    for second in [5000, 5100, 5200, 5300] {
        shortages.note(Scope::All, &problem(), &launched_from("second"), at(second));
    }
    assert!(may(&shortages, 5400));
    shortages.note(Scope::Fresh, &problem(), &launched_from("first"), at(5401));
    assert!(may(&shortages, 5402), "it was not asked for those that wait");
    shortages.note(Scope::All, &problem(), &launched_from("first"), at(5403));
    assert!(!may(&shortages, 5404));
}
