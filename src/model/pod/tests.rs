use serde_json::{Value, json};

use super::*;
use crate::model::{Quantity, requirements::Undefined};

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "call sites pass literals")]
fn api_pod(spec: Value) -> ApiPod {
    serde_json::from_value(json!({ "metadata": { "namespace": "team-a", "name": "web-0" }, "spec": spec }))
        .unwrap()
}

#[track_caller]
fn pod(spec: Value) -> Pod {
    Pod::from_api(&api_pod(spec)).unwrap()
}

fn container(cpu: &str, memory: &str) -> Value {
    json!({ "name": "main", "resources": { "requests": { "cpu": cpu, "memory": memory } } })
}

fn sidecar(cpu: &str, memory: &str) -> Value {
    let mut sidecar = container(cpu, memory);
    sidecar["name"] = "sidecar".into();
    sidecar["restartPolicy"] = "Always".into();
    sidecar
}

#[test]
fn init_containers_count_at_their_turn_and_sidecars_from_their_start() {
    let cases = [
        ("no init containers", json!([]), container("6", "2Gi"), "6 cpu, 2Gi memory, 1 pods"),
        (
            "a large init container before the sidecar",
            json!([container("10", "4Gi"), sidecar("4.9", "2.9Gi")]),
            container("6", "2Gi"),
            "10900m cpu, 5261334938 memory, 1 pods",
        ),
        (
            "a small init container after the sidecar",
            json!([sidecar("4.9", "2.9Gi"), container("5", "1Gi")]),
            container("6", "2Gi"),
            "10900m cpu, 5261334938 memory, 1 pods",
        ),
        (
            "an init container after the sidecar that decides",
            json!([sidecar("4.9", "2.9Gi"), container("6", "2Gi")]),
            container("5", "1Gi"),
            "10900m cpu, 5261334938 memory, 1 pods",
        ),
        (
            "an init container between two sidecars",
            json!([sidecar("1", "1Gi"), container("7", "1Gi"), sidecar("2", "1Gi")]),
            container("1", "1Gi"),
            "8 cpu, 3Gi memory, 1 pods",
        ),
    ];
    for (name, init, main, expected) in cases {
        let pod = pod(json!({ "initContainers": init, "containers": [main] }));
        // 2.9Gi is no whole number of bytes; what counts here is rounded up to one.
        let memory = pod.requests.amount("memory");
        let memory = Quantity::from_units(memory.units()).with_format(memory.format());
        assert_eq!(pod.requests.clone().with("memory", memory).to_string(), expected, "{name}");
    }
}

#[test]
fn pod_level_requests_replace_those_of_the_containers_where_they_may() {
    let pod = pod(json!({
        "containers": [{ "name": "main", "resources": { "requests": {
            "cpu": "6", "memory": "2Gi", "hugepages-2Mi": "2Mi", "nvidia.com/gpu": "1" } } }],
        "resources": { "requests": { "cpu": "9.9", "hugepages-2Mi": "4Mi", "nvidia.com/gpu": "7" } },
    }));
    assert_eq!(
        pod.requests.to_string(),
        "9900m cpu, 2Gi memory, 1 pods, 4Mi hugepages-2Mi, 1 nvidia.com/gpu"
    );
}

#[test]
fn overhead_comes_on_top_and_limits_are_not_requests() {
    let pod = pod(json!({
        "containers": [{ "name": "main", "resources": { "requests": { "cpu": "1" }, "limits": { "cpu": "2", "memory": "1Gi" } } }],
        "overhead": { "cpu": "250m", "memory": "120Mi" },
    }));
    assert_eq!(pod.requests.to_string(), "1250m cpu, 120Mi memory, 1 pods");
}

#[test]
fn a_template_is_read_as_the_pod_that_it_becomes() {
    let template = serde_json::from_value(json!({
        "metadata": { "name": "ignored", "labels": { "app": "web" } },
        "spec": {
            "initContainers": [{ "name": "init", "resources": { "limits": { "memory": "2Gi" } } }],
            "containers": [
                { "name": "main", "resources": { "requests": { "cpu": "1" }, "limits": { "cpu": "2", "memory": "1Gi" } } },
                { "name": "helper" },
            ],
            "hostNetwork": true,
            "nodeSelector": { "team": "a" },
        },
    }))
    .unwrap();
    let pod = Pod::from_template("team-a", &template).unwrap();
    assert_eq!(pod.requests.to_string(), "1 cpu, 2Gi memory, 1 pods");
    assert_eq!((pod.key.namespace.as_str(), pod.key.name.as_str()), ("team-a", ""));
    assert_eq!(pod.labels["app"], "web");
    assert_eq!(pod.alternatives[0].requirements.to_string(), "team In [a]");
    assert_eq!(pod.check_provisionable(), Err(NotProvisionable::NotUnschedulable));
}

#[test]
fn a_node_is_asked_for_the_sum_of_its_pods_and_daemons() {
    let one = pod(json!({ "containers": [container("1", "1Mi")] })).requests;
    let claim = |pods: usize| std::iter::repeat_n(&one, pods).sum::<ResourceList>().to_string();
    assert_eq!(claim(2), "2 cpu, 2Mi memory, 2 pods");
    assert_eq!(claim(3), "3 cpu, 3Mi memory, 3 pods");
}

#[test]
fn a_resized_container_counts_with_the_most_it_was_promised() {
    let resized = |condition: Value| {
        let mut pod = api_pod(json!({ "containers": [container("4", "1Gi")] }));
        pod.status = serde_json::from_value(json!({
            "conditions": [condition],
            "containerStatuses": [{
                "name": "main", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "allocatedResources": { "cpu": "3" },
                "resources": { "requests": { "cpu": "2", "memory": "2Gi" } },
            }],
        }))
        .unwrap();
        Pod::from_api(&pod).unwrap().requests.to_string()
    };
    let pending = json!({ "type": "PodResizePending", "status": "True", "reason": "Deferred" });
    assert_eq!(resized(pending), "4 cpu, 2Gi memory, 1 pods");
    let infeasible = json!({ "type": "PodResizePending", "status": "True", "reason": "Infeasible" });
    assert_eq!(resized(infeasible), "3 cpu, 2Gi memory, 1 pods");
}

#[test]
fn a_pod_without_requests_still_takes_one_of_pods() {
    assert_eq!(pod(json!({ "containers": [{ "name": "main" }] })).requests.to_string(), "1 pods");
    assert_eq!(Pod::from_api(&ApiPod::default()).unwrap().requests.to_string(), "1 pods");
}

#[test]
fn every_unreadable_amount_is_reported_with_its_place() {
    let malformed = api_pod(json!({
        "containers": [container("1", "1Gi"), container("one", "1 Gi")],
        "initContainers": [container("x", "1")],
        "overhead": { "cpu": "" },
    }));
    let malformed = Pod::from_api(&malformed).unwrap_err();
    let places: Vec<_> =
        malformed.problems.iter().map(|(path, problem)| format!("{path}.{}", problem.resource)).collect();
    assert_eq!(
        places,
        [
            "spec.containers[1].resources.requests.cpu",
            "spec.containers[1].resources.requests.memory",
            "spec.initContainers[0].resources.requests.cpu",
            "spec.overhead.cpu",
        ]
    );
    assert!(malformed.to_string().starts_with(
        "pod team-a/web-0: spec.containers[1].resources.requests: resource cpu: quantity \"one\" does not start with a number"
    ));
}

#[expect(clippy::needless_pass_by_value, reason = "call sites pass literals")]
fn affinity(terms: Value) -> Value {
    json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } } })
}

fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({ "key": key, "operator": operator, "values": values })
}

#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "call sites pass literals")]
fn check_alternatives(selector: Value, terms: Value, expected: &[&str], unusable: &[&str]) {
    let pod = pod(json!({ "containers": [], "nodeSelector": selector, "affinity": affinity(terms) }));
    let shown: Vec<_> = pod.alternatives.iter().map(|term| term.requirements.to_string()).collect();
    assert_eq!(shown, expected);
    let shown: Vec<_> = pod.unusable_terms.iter().map(|(i, problem)| format!("{i}: {problem}")).collect();
    assert_eq!(shown, unusable);
}

#[test]
fn each_affinity_term_is_an_alternative_that_includes_the_node_selector() {
    check_alternatives(
        json!({ "team": "a" }),
        json!([
            { "matchExpressions": [expression("zone", "In", &["z1"]), expression("cpu", "Gt", &["3"])] },
            { "matchExpressions": [expression("zone", "NotIn", &["z1"])] },
        ]),
        &["cpu Exists >=4, team In [a], zone In [z1]", "team In [a], zone NotIn [z1]"],
        &[],
    );
}

#[test]
fn terms_that_no_node_can_meet_are_set_aside_with_their_reason() {
    check_alternatives(
        json!({ "team": "a" }),
        json!([
            {},
            { "matchExpressions": [expression("team", "In", &["b"])] },
            { "matchExpressions": [expression("cpu", "Gt", &["many"])] },
            { "matchFields": [expression("metadata.uid", "In", &["x"])] },
            { "matchFields": [expression("metadata.name", "In", &["a"]), expression("metadata.name", "In", &["b"])] },
            { "matchExpressions": [expression("team", "Exists", &[])] },
        ]),
        &["team In [a]"],
        &[
            "0: it is empty, and an empty term matches no node",
            "1: its requirements on team contradict each other or those of the node selector",
            "2: key cpu: operator Gt compares integers, and \"many\" is none",
            "3: field metadata.uid is unknown; only metadata.name can be matched",
            "4: its requirements on metadata.name contradict each other or those of the node selector",
        ],
    );
}

#[test]
fn an_affinity_without_usable_terms_leaves_no_alternative_at_all() {
    check_alternatives(json!({}), json!([]), &[], &[]);
    check_alternatives(json!({}), json!([{}]), &[], &["0: it is empty, and an empty term matches no node"]);
}

#[test]
fn a_node_selector_alone_is_the_one_alternative_unless_it_contradicts_itself() {
    let plain = pod(json!({ "containers": [], "nodeSelector": { "beta.kubernetes.io/arch": "arm64" } }));
    assert_eq!(plain.alternatives[0].requirements.to_string(), "kubernetes.io/arch In [arm64]");
    let torn = json!({ "beta.kubernetes.io/arch": "arm64", "kubernetes.io/arch": "amd64" });
    let torn = pod(json!({ "containers": [], "nodeSelector": torn }));
    assert!(torn.alternatives.is_empty());
    assert_eq!(torn.unusable_terms.len(), 1);
    let free = pod(json!({ "containers": [] }));
    assert!(free.alternatives[0].requirements.is_compatible(&Requirements::new(), Undefined::Denied));
}

/// A pending pod that the scheduler found unschedulable, changed by a JSON merge.
#[track_caller]
fn pending_pod(change: &Value) -> Pod {
    let mut pod = json!({
        "metadata": { "namespace": "team-a", "name": "web-0" },
        "spec": { "containers": [] },
        "status": {
            "phase": "Pending",
            "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable" }],
        },
    });
    merge(&mut pod, change);
    Pod::from_api(&serde_json::from_value(pod).unwrap()).unwrap()
}

fn merge(into: &mut Value, change: &Value) {
    match change {
        Value::Object(fields) => fields.iter().for_each(|(name, value)| merge(&mut into[name], value)),
        value => *into = value.clone(),
    }
}

fn owned_by(api_version: &str, kind: &str) -> Value {
    json!({ "metadata": { "ownerReferences": [
        { "apiVersion": api_version, "kind": kind, "name": "owner", "uid": "1", "controller": true },
    ] } })
}

#[test]
fn nodes_are_launched_for_pods_that_the_scheduler_cannot_place() {
    use NotProvisionable::{
        Bound, DaemonSet, Finished, Gated, Mirror, Nominated, NotUnschedulable, Terminating,
    };
    let condition = |condition: Value| json!({ "status": { "conditions": [condition] } });
    let cases = [
        (json!({}), Ok(())),
        (
            condition(json!({ "type": "PodScheduled", "status": "Unknown", "reason": "Unschedulable" })),
            Ok(()),
        ),
        (
            condition(json!({ "type": "PodScheduled", "status": "False", "reason": "SchedulingGated" })),
            Err(NotUnschedulable),
        ),
        (
            condition(json!({ "type": "Ready", "status": "False", "reason": "Unschedulable" })),
            Err(NotUnschedulable),
        ),
        (json!({ "status": { "conditions": null } }), Err(NotUnschedulable)),
        (json!({ "spec": { "nodeName": "node-1" } }), Err(Bound)),
        (json!({ "spec": { "nodeName": "" } }), Ok(())),
        (json!({ "spec": { "schedulingGates": [{ "name": "quota" }] } }), Err(Gated)),
        (json!({ "spec": { "schedulerName": "another" } }), Ok(())),
        (json!({ "status": { "nominatedNodeName": "node-1" } }), Err(Nominated)),
        (owned_by("apps/v1", "DaemonSet"), Err(DaemonSet)),
        (owned_by("apps/v1beta1", "DaemonSet"), Ok(())),
        (owned_by("v1", "Node"), Err(Mirror)),
        (owned_by("apps/v1", "ReplicaSet"), Ok(())),
    ];
    for (change, expected) in cases {
        assert_eq!(pending_pod(&change).check_provisionable(), expected, "{change}");
    }
    let deleted = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    for (change, expected) in [
        (deleted, Terminating),
        (json!({ "status": { "phase": "Failed" } }), Finished),
        (json!({ "status": { "phase": "Succeeded" } }), Finished),
    ] {
        let differs_from_karpenter = pending_pod(&change).check_provisionable();
        assert_eq!(differs_from_karpenter, Err(expected), "{change}");
    }
}

#[test]
fn a_daemon_pod_is_known_by_its_creator_its_controller_and_its_node() {
    let pinned = |operator: &str, values: &[&str]| json!({ "spec": { "affinity": affinity(json!([{ "matchFields": [expression("metadata.name", operator, values)] }])) } });
    let daemon_set = owned_by("apps/v1", "DaemonSet");
    let not_controller = json!({ "metadata": { "ownerReferences": [
        { "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "owner", "uid": "1" },
    ] } });
    let two_terms = json!({ "spec": { "affinity": affinity(json!([
        { "matchFields": [expression("metadata.name", "In", &["node-1"])] },
        { "matchExpressions": [expression("team", "Exists", &[])] },
    ])) } });
    let cases = [
        (DAEMON_SET_CONTROLLER, &daemon_set, pinned("In", &["node-1"]), true),
        ("alice", &daemon_set, pinned("In", &["node-1"]), false),
        (DAEMON_SET_CONTROLLER, &owned_by("apps/v1", "ReplicaSet"), pinned("In", &["node-1"]), false),
        (DAEMON_SET_CONTROLLER, &not_controller, pinned("In", &["node-1"]), false),
        (DAEMON_SET_CONTROLLER, &daemon_set, pinned("In", &["node-1", "node-2"]), false),
        (DAEMON_SET_CONTROLLER, &daemon_set, pinned("NotIn", &["node-1"]), false),
        (DAEMON_SET_CONTROLLER, &daemon_set, two_terms, false),
        (DAEMON_SET_CONTROLLER, &daemon_set, json!({}), false),
    ];
    for (user, owner, affinity, expected) in cases {
        let mut change = affinity;
        merge(&mut change, owner);
        assert_eq!(pending_pod(&change).is_daemon_pod(user), expected, "{user} {change}");
    }
}

#[test]
fn a_pod_opts_out_by_requiring_that_the_pool_label_is_absent() {
    let label = "karpenter.sh/nodepool";
    let term = |operator: &str| json!({ "matchExpressions": [expression(label, operator, &[])] });
    let cases = [
        (json!([term("DoesNotExist")]), true),
        (json!([term("DoesNotExist"), term("Exists")]), false),
        (json!([term("Exists")]), false),
        (json!([{ "matchExpressions": [expression(label, "NotIn", &["a"])] }]), false),
    ];
    for (terms, expected) in cases {
        let pod = pod(json!({ "containers": [], "affinity": affinity(terms.clone()) }));
        assert_eq!(pod.requires_absence_of(label), expected, "{terms}");
    }
    assert!(!pod(json!({ "containers": [] })).requires_absence_of(label));
}

#[test]
fn required_constraints_that_nothing_solves_yet_are_named_and_preferences_are_not() {
    let near = json!([{ "topologyKey": "topology.kubernetes.io/zone" }]);
    let preferred = json!([{ "weight": 1, "podAffinityTerm": { "topologyKey": "kubernetes.io/hostname" } }]);
    let spread = |mode: &str| json!([{ "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": mode }]);
    let cases = [
        (
            json!({ "affinity": { "podAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": near } } }),
            "required pod affinity over topology.kubernetes.io/zone",
        ),
        (
            json!({ "affinity": { "podAntiAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": near } } }),
            "required pod anti-affinity over topology.kubernetes.io/zone",
        ),
        (
            json!({ "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": preferred } } }),
            "",
        ),
        (
            json!({ "topologySpreadConstraints": spread("DoNotSchedule") }),
            "required topology spread over kubernetes.io/hostname",
        ),
        (
            json!({ "topologySpreadConstraints": spread("Whatever") }),
            "required topology spread over kubernetes.io/hostname",
        ),
        (json!({ "topologySpreadConstraints": spread("ScheduleAnyway") }), ""),
        (
            json!({ "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "c" } }] }),
            "persistent volume data",
        ),
        (json!({ "volumes": [{ "name": "scratch", "ephemeral": {} }] }), "persistent volume scratch"),
        (json!({ "volumes": [{ "name": "tmp", "emptyDir": {} }, { "name": "token", "projected": {} }] }), ""),
        (json!({ "resourceClaims": [{ "name": "gpu", "resourceClaimName": "c" }] }), "resource claim gpu"),
        (
            json!({ "affinity": affinity(json!([{ "matchFields": [expression("metadata.name", "In", &["n"])] }])) }),
            "choosing nodes by name with matchFields",
        ),
    ];
    for (mut spec, expected) in cases {
        spec["containers"] = json!([]);
        let found = pod(spec.clone()).unsupported;
        assert_eq!(found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "), expected, "{spec}");
        assert!(found.iter().all(|constraint| constraint.field().starts_with("spec.")));
    }
}

#[test]
fn identity_and_scheduling_fields_are_taken_over() {
    let pod = pending_pod(&json!({
        "metadata": { "uid": "u-1", "labels": { "app": "web" }, "creationTimestamp": "2026-01-02T03:04:05Z" },
        "spec": {
            "priority": 7, "priorityClassName": "high", "runtimeClassName": "gvisor", "schedulerName": "default-scheduler",
            "nodeSelector": { "team": "a" },
            "tolerations": [{ "key": "node-type", "operator": "Exists", "effect": "NoSchedule" }],
            "containers": [{ "name": "main", "ports": [{ "containerPort": 80, "hostPort": 8080 }] }],
        },
    }));
    assert_eq!(pod.key.to_string(), "team-a/web-0");
    assert_eq!(pod.uid, "u-1");
    assert_eq!(pod.created.unwrap().to_string(), "2026-01-02T03:04:05Z");
    assert_eq!(pod.labels["app"], "web");
    assert_eq!((pod.priority, pod.priority_class_name.as_deref()), (Some(7), Some("high")));
    assert_eq!(pod.runtime_class_name.as_deref(), Some("gvisor"));
    assert_eq!(pod.scheduler_name.as_deref(), Some("default-scheduler"));
    assert_eq!(pod.node_selector["team"], "a");
    assert_eq!(pod.tolerations[0].to_string(), "node-type:NoSchedule op=Exists");
    assert_eq!(pod.host_ports[0].to_string(), "TCP 8080");
}
