use serde_json::{Value, json};

use super::*;
use crate::model::{
    Pod,
    pod::{NodeAlternative, UnsupportedConstraint},
};

fn spec(spec: Value) -> PodSpec {
    serde_json::from_value(spec).unwrap()
}

fn affinity(terms: Value) -> Value {
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } })
}

fn names(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("n{number}"))
}

fn expression(key: &str, values: usize) -> Value {
    json!({ "key": key, "operator": "NotIn", "values": names(values).collect::<Vec<_>>() })
}

fn with_requests(requests: Value) -> Value {
    json!({ "name": "a", "resources": { "requests": requests } })
}

/// A pod with so many of it.
fn with(measure: Measure, count: usize) -> PodSpec {
    spec(match measure {
        Measure::Containers => {
            json!({ "containers": vec![json!({ "name": "a" }); count - 1], "initContainers": [{ "name": "b" }] })
        }
        Measure::Tolerations => {
            json!({ "containers": [], "tolerations": vec![json!({ "operator": "Exists" }); count] })
        }
        Measure::Terms => {
            json!({ "containers": [], "affinity": affinity(vec![json!({}); count].into()) })
        }
        Measure::Requirements => {
            // Two terms with all labels but one each, and one expression for what is odd.
            let selector: serde_json::Map<_, _> =
                names((count - 1) / 2).map(|name| (name, "".into())).collect();
            let expressions = vec![expression("team", 1); count - 2 * selector.len()];
            let terms = json!([{ "matchExpressions": expressions }, {}]);
            json!({ "containers": [], "nodeSelector": selector, "affinity": affinity(terms) })
        }
        Measure::Values => {
            let terms = json!([{ "matchExpressions": [expression("team", count - 1)] }, { "matchFields": [expression("metadata.name", 1)] }]);
            json!({ "containers": [], "affinity": affinity(terms) })
        }
        Measure::Resources => {
            let requests: serde_json::Map<_, _> =
                names(count - 3).map(|name| (format!("example.com/{name}"), "1".into())).collect();
            json!({
                "containers": [with_requests(requests.into()), { "name": "b", "resources": { "limits": { "example.com/limited": "1" } } }],
                "initContainers": [with_requests(json!({ "cpu": "1" }))],
                "overhead": { "memory": "1Gi" },
            })
        }
        Measure::HostPorts => {
            let ports: Vec<_> =
                (1..=count).map(|port| json!({ "containerPort": port, "hostPort": port })).collect();
            json!({ "containers": [{ "name": "a", "ports": ports }] })
        }
    })
}

#[test]
fn what_is_planned_for_is_read_and_one_more_is_not() {
    for measure in Measure::ALL {
        let most = measure.most();
        assert_eq!(Excess::find(&with(measure, most)), None, "{measure:?}");
        let excess = Excess { of: measure, count: most + 1 };
        assert_eq!(Excess::find(&with(measure, most + 1)), Some(excess));
    }
}

#[track_caller]
fn read(spec: PodSpec) -> Pod {
    Pod::from_api(&k8s_openapi::api::core::v1::Pod { spec: Some(spec), ..Default::default() }).unwrap()
}

/// How much is kept of what the pod asks for.
fn kept(pod: &Pod) -> usize {
    let alternatives = pod.alternatives.iter().map(|alternative| alternative.requirements.len());
    let asked = pod.node_selector.len() + pod.unusable_terms.len() + pod.host_ports.len();
    alternatives.sum::<usize>() + asked + pod.requests.iter().count() + pod.unsupported.len()
}

#[test]
fn a_pod_that_is_too_large_is_kept_small_with_what_is_wrong() {
    for measure in Measure::ALL {
        let pod = read(with(measure, 20 * measure.most()));
        let excess = Excess { of: measure, count: 20 * measure.most() };
        assert_eq!(pod.unsupported, [UnsupportedConstraint::TooLarge(excess)]);
        assert_eq!(pod.excess(), Some(excess));
        assert_eq!(pod.alternatives, [NodeAlternative::default()], "it may be anywhere");
        assert!(kept(&pod) <= 5, "{measure:?}: {}", kept(&pod));
    }
    assert_eq!(read(with(Measure::Terms, 1)).excess(), None);
}

#[test]
fn every_label_of_the_selector_counts_with_every_term() {
    let selector: serde_json::Map<_, _> = names(3000).map(|name| (name, "".into())).collect();
    let terms =
        |count: usize| affinity(vec![json!({ "matchExpressions": [expression("team", 1)] }); count].into());
    let bomb = json!({ "containers": [], "nodeSelector": selector, "affinity": terms(3000) });
    assert_eq!(Excess::find(&spec(bomb)).unwrap().of, Measure::Terms);
    let bomb = json!({ "containers": [], "nodeSelector": selector, "affinity": terms(90) });
    let excess = Excess::find(&spec(bomb)).unwrap();
    assert_eq!(excess, Excess { of: Measure::Requirements, count: 90 * 3001 });
    let alone = json!({ "containers": [], "nodeSelector": selector });
    assert_eq!(Excess::find(&spec(alone)), Some(Excess { of: Measure::Requirements, count: 3000 }));
}

#[test]
fn the_largest_pod_that_is_read_keeps_no_more_than_the_bounds_together() {
    for measure in Measure::ALL {
        let pod = read(with(measure, measure.most()));
        assert!(kept(&pod) <= measure.most() + 3, "{measure:?}: {}", kept(&pod));
    }
}

#[test]
fn of_too_many_resources_those_that_every_pod_takes_still_count() {
    let mut bomb = with(Measure::Resources, 1000);
    bomb.node_name = Some("node".to_owned());
    assert_eq!(read(bomb).requests.to_string(), "1 cpu, 1Gi memory, 1 pods");
    let mut bomb = spec(
        json!({ "containers": vec![with_requests(json!({ "cpu": "1m", "example.com/a": "1" })); 2000] }),
    );
    bomb.node_name = Some("node".to_owned());
    assert_eq!(read(bomb).requests.to_string(), "2 cpu, 1 pods");
}

#[test]
fn a_template_that_is_too_large_stays_small_too() {
    let limits: serde_json::Map<_, _> =
        names(1000).map(|name| (format!("example.com/{name}"), "1".into())).collect();
    let container = json!({ "name": "a", "resources": { "limits": limits } });
    let template = serde_json::from_value(json!({ "spec": { "containers": [container] } })).unwrap();
    let pod = Pod::from_template("shop", &template).unwrap();
    assert_eq!(pod.excess(), Some(Excess { of: Measure::Resources, count: 1000 }));
    assert_eq!(pod.requests.to_string(), "1 pods");
}
