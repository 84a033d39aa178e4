use serde_json::{Value, json};

use super::*;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// Merges `changes` into a running pod of a ReplicaSet, and reads it.
#[track_caller]
fn read(changes: Value) -> Option<BoundPod> {
    let mut pod = json!({
        "metadata": {
            "namespace": "shop", "name": "web-1", "uid": "p1",
            "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web", "uid": "r1", "controller": true}],
        },
        "spec": {"nodeName": "n1", "containers": [], "terminationGracePeriodSeconds": 45},
        "status": {"phase": "Running", "startTime": "1970-01-01T00:01:40Z"},
    });
    json_patch::merge(&mut pod, &changes);
    BoundPod::read(&serde_json::from_value(pod).unwrap())
}

#[test]
fn only_a_pod_with_a_node_is_bound() {
    assert_eq!(read(json!({"spec": {"nodeName": null}})), None);
    assert_eq!(read(json!({"spec": {"nodeName": ""}})), None);
    let pod = read(json!({})).unwrap();
    assert_eq!((pod.node_name.as_str(), pod.key.to_string().as_str()), ("n1", "shop/web-1"));
    assert_eq!((pod.grace, pod.started), (SignedDuration::from_secs(45), Some(at(100))));
}

#[test]
fn a_grace_that_is_missing_is_kubernetes_default_and_a_negative_one_is_none() {
    for (given, expected) in [(json!(null), 30), (json!(0), 0), (json!(-5), 0), (json!(7), 7)] {
        let pod = read(json!({"spec": {"terminationGracePeriodSeconds": given}})).unwrap();
        assert_eq!(pod.grace, SignedDuration::from_secs(expected), "{given}");
    }
}

#[test]
fn who_runs_a_pod_and_whether_it_has_to_run_elsewhere() {
    let owned = |version: &str, kind: &str| json!({"ownerReferences": [{"apiVersion": version, "kind": kind, "name": "o", "uid": "o"}]});
    let deleting = json!({"deletionTimestamp": "1970-01-01T00:03:20Z"});
    let cases = [
        (json!({}), "Running", Runner::Other, [true, false]),
        (json!({"ownerReferences": null}), "Running", Runner::Other, [true, false]),
        (json!({}), "Pending", Runner::Other, [true, false]),
        (json!({}), "Succeeded", Runner::Other, [false, false]),
        (json!({}), "Failed", Runner::Other, [false, false]),
        (owned("apps/v1", "StatefulSet"), "Running", Runner::StatefulSet, [true, true]),
        (owned("apps/v1", "StatefulSet"), "Failed", Runner::StatefulSet, [false, false]),
        (owned("apps/v1", "DaemonSet"), "Running", Runner::DaemonSet, [false, false]),
        (owned("v1", "Node"), "Running", Runner::Kubelet, [false, false]),
        (owned("example.com/v1", "DaemonSet"), "Running", Runner::Other, [true, false]),
    ];
    for (metadata, phase, runner, expected) in cases {
        let mut changes = json!({"metadata": metadata, "status": {"phase": phase}});
        let pod = read(changes.clone()).unwrap();
        assert_eq!(pod.runner, runner, "{changes}");
        json_patch::merge(&mut changes, &json!({"metadata": deleting}));
        let while_terminating = read(changes.clone()).unwrap().is_reschedulable();
        assert_eq!([pod.is_reschedulable(), while_terminating], expected, "{changes}");
    }
}

#[test]
fn a_pod_is_left_alone_for_as_long_as_it_asks() {
    let not_started = json!({"startTime": null});
    let cases = [
        (json!(null), json!({}), [false, false], None),
        (json!("true"), json!({}), [true, true], None),
        (json!("false"), json!({}), [false, false], None),
        (json!("yes"), json!({}), [false, false], None),
        (json!("-5m"), json!({}), [false, false], None),
        (json!("0s"), json!({}), [false, false], None),
        (json!("50s"), json!({}), [true, false], Some(150)),
        (json!("50s"), not_started, [true, true], None),
        (json!("2562047h"), json!({}), [true, true], Some(9_223_369_300)),
    ];
    for (value, status, expected, until) in cases {
        let changes =
            json!({"metadata": {"annotations": {"karpenter.sh/do-not-disrupt": value}}, "status": status});
        let pod = read(changes).unwrap();
        assert_eq!([149, 150].map(|now| pod.is_to_be_left_alone(at(now))), expected, "{value}");
        assert_eq!(pod.left_alone_until(), until.map(at), "{value}");
    }
}

#[test]
fn the_last_event_is_what_the_pod_tells_of_itself() {
    let scheduled =
        json!([{"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:00:50Z"}]);
    let ended = json!([{
        "name": "c", "image": "", "imageID": "", "ready": false, "restartCount": 0,
        "state": {"terminated": {"exitCode": 0, "finishedAt": "1970-01-01T00:05:00Z"}},
    }]);
    let deletion = json!({"deletionTimestamp": "1970-01-01T00:03:20Z", "deletionGracePeriodSeconds": 45});
    let cases = [
        (json!({}), None),
        (json!({"status": {"conditions": scheduled}}), Some(50)),
        (json!({"metadata": deletion, "status": {"conditions": scheduled}}), Some(155)),
        // A container that ended and is started again is no event of the pod.
        (json!({"status": {"conditions": scheduled, "containerStatuses": ended}}), Some(50)),
        (
            json!({"status": {"phase": "Succeeded", "conditions": scheduled, "containerStatuses": ended}}),
            Some(300),
        ),
    ];
    for (changes, expected) in cases {
        assert_eq!(read(changes.clone()).unwrap().last_event, expected.map(at), "{changes}");
    }
}

#[test]
fn volumes_are_known_by_their_claims() {
    let volumes = json!([
        {"name": "config", "configMap": {"name": "c"}},
        {"name": "data", "persistentVolumeClaim": {"claimName": "orders"}},
        {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
    ]);
    assert_eq!(
        read(json!({"spec": {"volumes": volumes}})).unwrap().volume_claims,
        ["orders", "web-1-scratch"]
    );
}
