//! From a cluster to a plan that is checked, and what people are told about it.

use std::cell::Cell;

use expect_test::expect;

use super::*;
use crate::controllers::provisioning::checked::checked;
use crate::controllers::provisioning::machines::Machine;
use crate::controllers::provisioning::notice;
use crate::controllers::provisioning::world::Snapshot;
use crate::model::Event;
use crate::model::pod::PodKey;
use crate::scheduling::{Plan, Violation, solve, verify};

fn key(name: &str) -> PodKey {
    PodKey { namespace: "shop".to_owned(), name: name.to_owned() }
}

fn text(event: &Event) -> String {
    format!("{} {}: {} [{}]", event.severity.name(), event.reason, event.message, event.same_if)
}

#[test]
fn a_claim_that_was_created_for_pods_is_found_again_when_the_promises_are_lost() {
    let mut world = world();
    world.pods = vec![admitted("a", "500m"), admitted("b", "1")];
    let Snapshot { problem, .. } = world.snapshot(at(0));
    let found = checked(problem, solve, verify);
    assert_eq!(found.plan.claims.len(), 1, "{}", found.plan);
    assert!(found.violations.is_empty() && found.refused.is_empty());

    let created =
        crate::controllers::provisioning::claims::node_claim(&found.plan.claims[0], &world.node_pools[0]);
    let named =
        merged(serde_json::to_value(created).unwrap(), &json!({ "metadata": { "name": "application-1" } }));
    world.claims = vec![Arc::new(known_claim(read(named)))];
    let plan = checked(world.snapshot(at(1)).problem, solve, verify).plan;
    expect![[r#"
        node application-1: 2 pods
        price $0.00/h
    "#]]
    .assert_eq(&plan.to_string());

    // With them, nobody waits, and there is room for nobody else.
    for name in ["a", "b"] {
        world.nominations.nominate(key(name), &format!("{name}-uid"), "application-1");
    }
    world.pods.push(admitted("c", "100m"));
    let plan = checked(world.snapshot(at(2)).problem, solve, verify).plan;
    expect![[r#"
        claim of pool application: c7i.xlarge at $0.10/h, 1 pod, requests 100m cpu, 1 pods
        price $0.10/h
    "#]]
    .assert_eq(&plan.to_string());
}

#[test]
fn what_is_wrong_in_a_plan_is_left_out_and_the_rest_is_planned_anew() {
    let mut world = world();
    world.pods = ["a", "b", "c"].map(|name| admitted(name, "3")).into();
    let problem = world.snapshot(at(0)).problem;
    let solved = Cell::new(0);
    let count = |problem: &_| {
        solved.set(solved.get() + 1);
        solve(problem)
    };
    let wrong = |problem: &crate::scheduling::Problem, plan: &Plan| match solved.get() {
        1 => {
            let place = crate::scheduling::Place::Claim {
                position: 1,
                pool: "application".to_owned(),
                instance_type: None,
            };
            vec![Violation::WrongTaints { place }]
        }
        _ => verify(problem, plan),
    };
    let found = checked(problem.clone(), count, wrong);
    assert_eq!((solved.get(), found.violations.len()), (2, 1));
    assert_eq!(found.refused, [key("b")].into());
    assert_eq!(found.plan.claims.len(), 2, "{}", found.plan);
    assert_eq!(found.problem.pods.len(), 2);

    // Nothing is launched when nothing comes out right.
    let never = |_: &_, _: &Plan| vec![Violation::UnknownNode { node: "nowhere".to_owned() }];
    let found = checked(problem, solve, never);
    assert_eq!(found.plan, Plan::default());
    assert_eq!(found.refused.len(), 3);
}

#[test]
fn people_are_told_in_karpenters_words() {
    let mut world = world();
    world.pods =
        vec![admitted("large", "64"), pod("untyped", &json!({ "metadata": { "namespace": "free" } }))];
    world.namespaces.insert("free".to_owned(), Arc::default());
    let plan = solve(&world.snapshot(at(0)).problem);
    let mut told: Vec<_> =
        plan.unschedulable.iter().map(|pod| text(&notice::left_out(&pod.pod, "u", &pod.reasons))).collect();
    let claim = Machine { claim: Some("application-1".to_owned()), ..Machine::default() };
    let node = Machine { node_name: Some("ip-10-0-0-1".to_owned()), ..claim.clone() };
    told.push(text(&notice::nominated(&key("web"), "u", &claim)));
    told.push(text(&notice::nominated(&key("web"), "u", &node)));
    told.push(text(&notice::refused(&key("web"), "u")));
    told.push(text(&notice::claim_not_created("application", "u", "forbidden")));
    told.push(text(&notice::no_compatible_instance_types("application", "u")));
    expect![[r#"
        Warning FailedScheduling: every NodePool belongs to a workload type, and the pod has none; label the namespace with a workload type, or create a NodePool that no type uses [=NoPool]
        Warning FailedScheduling: pool application: spec.containers[*].resources.requests: 64 cpu requested, and c7i.xlarge, which comes closest, leaves 4 cpu; request less, or let the NodePool use larger instance types [application=ResourcesDoNotFit]
        Normal Nominated: Pod should schedule on: nodeclaim/application-1 [application-1]
        Normal Nominated: Pod should schedule on: nodeclaim/application-1, node/ip-10-0-0-1 [application-1]
        Warning FailedScheduling: no node is launched for this pod: there is no plan for it that passes its own check, which is a defect of Treenail; please report it with the controller's log [refused]
        Warning NodeClaimNotCreated: a NodeClaim could not be created, and is tried again: forbidden [forbidden]
        Warning NoCompatibleInstanceTypes: no instance type that meets spec.template.spec.requirements is on offer; correct them, or allow more instance types, zones or capacity types []"#]].assert_eq(&told.join("\n"));
}
