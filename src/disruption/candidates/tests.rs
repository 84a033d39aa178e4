use expect_test::expect;
use serde_json::json;

use super::*;
use crate::api::conditions::Change;
use crate::api::nodeclaim::INITIALIZED;
use crate::model::bound_pod::{DoNotDisrupt, Runner};
use crate::model::pod::Phase;
use crate::model::testing::nodes::{at, claim, pod, registered_node};

/// Owned, so that a case can change it.
struct Case {
    claim: NodeClaim,
    node: Option<Node>,
    pods: Vec<BoundPod>,
    nominated_until: Option<Timestamp>,
    pool: Option<Pool>,
}

/// A node that is initialized since 100 s and empty, in a pool that waits for a minute.
fn case() -> Case {
    Case {
        claim: claim().registered().with(&[Change::holds(INITIALIZED)], at(100)),
        node: Some(registered_node()),
        pods: Vec::new(),
        nominated_until: None,
        pool: Some(Pool {
            uid: "pool-uid".into(),
            consolidate_after: Some(SignedDuration::from_secs(60)),
            budgets: Vec::new(),
        }),
    }
}

fn judge(case: &Case, now: i64) -> Result<(), Ineligible> {
    let Case { claim, node, pods, nominated_until, pool } = case;
    let pods: Vec<_> = pods.iter().collect();
    let machine = Machine { claim, node: node.as_ref(), pods: &pods, nominated_until: *nominated_until };
    check(&machine, pool.as_ref(), at(now))
}

#[test]
fn an_empty_node_may_be_given_up_when_it_has_been_quiet_for_long_enough() {
    let event = |second| BoundPod { phase: Phase::Succeeded, last_event: Some(at(second)), ..pod("done") };
    let daemon = BoundPod { runner: Runner::DaemonSet, last_event: Some(at(900)), ..pod("daemon") };
    let after = |seconds| {
        Some(Pool {
            uid: "pool-uid".into(),
            consolidate_after: Some(SignedDuration::from_secs(seconds)),
            budgets: vec![],
        })
    };
    let noted = |second| NodeClaim { last_pod_event: Some(at(second)), ..case().claim };
    let cases = [
        (case(), 160),
        (Case { claim: noted(150), ..case() }, 210),
        (Case { claim: noted(50), ..case() }, 160),
        (Case { pods: vec![event(180)], ..case() }, 240),
        (Case { pods: vec![event(180)], claim: noted(190), ..case() }, 250),
        (Case { pods: vec![daemon], ..case() }, 160),
        (Case { pool: after(0), ..case() }, 110),
        (Case { pool: after(10), ..case() }, 110),
        (Case { pool: after(11), ..case() }, 111),
        (Case { nominated_until: Some(at(300)), ..case() }, 300),
    ];
    for (number, (case, from)) in cases.into_iter().enumerate() {
        let until = judge(&case, from - 1).expect_err("too early").until();
        assert_eq!(until, Some(at(from)), "{number}");
        assert_eq!(judge(&case, from), Ok(()), "{number}");
    }
}

#[test]
fn a_node_that_never_becomes_initialized_is_waited_for_and_then_quiet_from_that_moment_on() {
    let never = || Case { claim: claim().registered(), ..case() };
    assert_eq!(judge(&never(), 939), Err(Ineligible::NotInitialized { until: Some(at(940)) }));
    assert_eq!(judge(&never(), 940), Err(Ineligible::NotQuiet { until: at(1000) }));
    assert_eq!(judge(&never(), 1000), Ok(()));
    let busy = Case { pods: vec![pod("web")], ..never() };
    assert_eq!(judge(&busy, 1000), Err(Ineligible::NotEmpty { pod: pod("web").key }));
    let done = BoundPod { phase: Phase::Succeeded, last_event: Some(at(990)), ..pod("done") };
    assert_eq!(
        judge(&Case { pods: vec![done], ..never() }, 1000),
        Err(Ineligible::NotQuiet { until: at(1050) })
    );
    // It became initialized after all, late.
    let late = claim().registered().with(&[Change::holds(INITIALIZED)], at(2000));
    assert_eq!(judge(&Case { claim: late, ..never() }, 2001), Err(Ineligible::NotQuiet { until: at(2060) }));
}

#[test]
fn what_keeps_a_node_is_named() {
    let running = || pod("web");
    let gone_by = Some(at(9999));
    let set = |runner, gone_by| BoundPod { runner, gone_by, ..pod("web") };
    let alone =
        || BoundPod { do_not_disrupt: DoNotDisrupt::Always, runner: Runner::DaemonSet, ..pod("agent") };
    let annotated = |value: &str| {
        let mut node = registered_node();
        node.annotations.insert(labels::DO_NOT_DISRUPT.into(), value.into());
        Some(node)
    };
    let key = |name: &str| pod(name).key;
    let never = Some(Pool { uid: "pool-uid".into(), consolidate_after: None, budgets: vec![] });
    let mut poolless = case().claim;
    poolless.labels.clear();
    let deleting = Node { is_deleting: true, ..registered_node() };
    let cases: Vec<(Case, Result<(), Ineligible>)> = vec![
        (Case { claim: case().claim.deleted(200), ..case() }, Err(Ineligible::Deleting)),
        (Case { node: Some(deleting), ..case() }, Err(Ineligible::Deleting)),
        (Case { node: None, ..case() }, Err(Ineligible::NoNode)),
        (Case { claim: claim().launched(), ..case() }, Err(Ineligible::NotInitialized { until: None })),
        (Case { nominated_until: Some(at(9999)), ..case() }, Err(Ineligible::Nominated { until: at(9999) })),
        (Case { node: annotated("true"), ..case() }, Err(Ineligible::NodeLeftAlone)),
        (Case { node: annotated("5m"), ..case() }, Ok(())),
        (Case { claim: poolless, ..case() }, Err(Ineligible::NoPool)),
        (Case { pool: None, ..case() }, Err(Ineligible::PoolNotFound { pool: "application".into() })),
        (Case { pods: vec![alone()], ..case() }, Err(Ineligible::PodLeftAlone { pod: key("agent") })),
        (Case { pods: vec![BoundPod { gone_by, ..alone() }], ..case() }, Ok(())),
        (Case { pods: vec![BoundPod { phase: Phase::Failed, ..alone() }], ..case() }, Ok(())),
        (Case { pool: never, ..case() }, Err(Ineligible::Never)),
        (Case { pods: vec![running()], ..case() }, Err(Ineligible::NotEmpty { pod: key("web") })),
        (Case { pods: vec![BoundPod { gone_by, ..running() }], ..case() }, Ok(())),
        (
            Case { pods: vec![set(Runner::StatefulSet, gone_by)], ..case() },
            Err(Ineligible::NotEmpty { pod: key("web") }),
        ),
        (Case { pods: vec![set(Runner::DaemonSet, None)], ..case() }, Ok(())),
        (Case { pods: vec![set(Runner::Kubelet, None)], ..case() }, Ok(())),
        (Case { pods: vec![BoundPod { phase: Phase::Succeeded, ..running() }], ..case() }, Ok(())),
    ];
    for (number, (case, expected)) in cases.into_iter().enumerate() {
        assert_eq!(judge(&case, 1000), expected, "{number}");
    }
}

#[test]
fn a_pool_is_read_and_what_cannot_be_read_is_never() {
    let read = |disruption: serde_json::Value| {
        let object = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": {"name": "p"},
            "spec": {
                "disruption": disruption,
                "template": {"spec": {
                    "requirements": [],
                    "nodeClassRef": {"group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default"},
                }},
            },
        });
        Pool::read(&serde_json::from_value(object).unwrap())
    };
    let seconds = |seconds| Some(SignedDuration::from_secs(seconds));
    let cases = [
        (json!({"consolidateAfter": "90s"}), seconds(90)),
        (json!({}), seconds(0)),
        (json!({"consolidateAfter": "Never"}), None),
        (json!({"consolidateAfter": "1d"}), None),
    ];
    for (disruption, expected) in cases {
        assert_eq!(read(disruption.clone()).consolidate_after, expected, "{disruption}");
    }
    assert_eq!(read(json!({})).budgets, [Budget::default()]);
    assert_eq!(read(json!({"budgets": []})).budgets, []);
}

#[test]
fn every_reason_has_words_and_those_are_told_that_somebody_asked_for() {
    let pod = || pod("web").key;
    let all = [
        Ineligible::Deleting,
        Ineligible::NoNode,
        Ineligible::NotInitialized { until: None },
        Ineligible::NotInitialized { until: Some(at(940)) },
        Ineligible::Nominated { until: at(20) },
        Ineligible::NodeLeftAlone,
        Ineligible::NoPool,
        Ineligible::PoolNotFound { pool: "application".into() },
        Ineligible::PodLeftAlone { pod: pod() },
        Ineligible::Never,
        Ineligible::NotEmpty { pod: pod() },
        Ineligible::NotQuiet { until: at(20) },
        Ineligible::PodsUnknown { until: at(20) },
    ];
    let line = |why: &Ineligible| {
        // The compiler asks for those that are added.
        match why {
            Ineligible::Deleting
            | Ineligible::NoNode
            | Ineligible::NotInitialized { .. }
            | Ineligible::Nominated { .. }
            | Ineligible::NodeLeftAlone
            | Ineligible::NoPool
            | Ineligible::PoolNotFound { .. }
            | Ineligible::PodLeftAlone { .. }
            | Ineligible::Never
            | Ineligible::NotEmpty { .. }
            | Ineligible::NotQuiet { .. }
            | Ineligible::PodsUnknown { .. } => {}
        }
        let told = why.event(&claim()).map_or("not told", |event| event.reason);
        format!("{told}: {why}\n")
    };
    expect![[r#"
        not told: it is being removed already
        not told: it has no Node of its own
        not told: it is not initialized; see the NodeClaim's conditions
        not told: it is not initialized; see the NodeClaim's conditions; if nothing runs on it, it is removed after 2026-01-01T00:15:40Z
        not told: pods are expected on it until 2026-01-01T00:00:20Z
        DisruptionBlocked: its Node has the annotation karpenter.sh/do-not-disrupt; remove it to let the node go
        not told: it belongs to no NodePool; delete the NodeClaim to remove it
        DisruptionBlocked: its NodePool application does not exist; delete the NodeClaim to remove it
        DisruptionBlocked: pod shop/web has the annotation karpenter.sh/do-not-disrupt; it is waited for
        not told: its NodePool's spec.disruption.consolidateAfter is Never
        not told: pod shop/web runs on it
        not told: pods have not left it alone for long enough before 2026-01-01T00:00:20Z
        not told: the watch of pods is broken, so what runs on it is not known; it is looked at again at 2026-01-01T00:00:20Z
    "#]].assert_eq(&all.iter().map(line).collect::<String>());
}
