//! No pod author can reach another team's nodes.
//!
//! Each attack is played twice: on a cluster without Treenail, where it must be accepted and, if it places a pod, must place it
//! on the other team's node; and with Treenail, where it must be refused, our reason code leading the message. An attack that fails
//! by itself would prove nothing.

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Event, Pod, Toleration};
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use treenail_lab::Lab;
use treenail_lab::kubectl::Outcome;
use treenail_lab::shared::on_lab;

use crate::support::cluster::{
    administrator, alice, apply, empower_alice, has_label, kubectl, namespace, node_of, node_of_type, soon,
};
use crate::support::world::on_treenail;

/// A namespace of workload type `application`, and one of no type; alice administers both.
#[derive(Clone, Copy, PartialEq)]
enum Standing {
    Typed,
    Typeless,
}

/// Where an attack is played.
struct Stage<'a> {
    lab: &'a Lab,
    /// The monitoring team's node.
    target: &'a str,
    /// Whether Treenail is there.
    fenced: bool,
    typed: String,
    typeless: String,
    /// The UID of DaemonSet `agent` of the typed namespace, which makes no pod.
    agent: String,
}

impl<'a> Stage<'a> {
    async fn set(lab: &'a Lab, target: &'a str, fenced: bool, name: &str) -> Self {
        let (typed, typeless) = (format!("{name}-typed"), format!("{name}-typeless"));
        namespace(lab, &typed, &[("treenail.dev/workload-type", "application")]).await;
        namespace(lab, &typeless, &[]).await;
        empower_alice(lab, &[&typed, &typeless]).await;
        let agent = idle_daemon_set(lab, &typed).await;
        Self { lab, target, fenced, typed, typeless, agent }
    }

    fn namespace(&self, standing: Standing) -> &str {
        match standing {
            Standing::Typed => &self.typed,
            Standing::Typeless => &self.typeless,
        }
    }

    async fn pods(&self, standing: Standing) -> Api<Pod> {
        Api::namespaced(administrator(self.lab).await, self.namespace(standing))
    }

    async fn apply(&self, manifest: &Value) -> Outcome {
        apply(self.lab, &alice(), &manifest.to_string()).await
    }

    /// With Treenail the attack was refused for this reason; without it was accepted.
    fn judge(&self, attack: &str, outcome: &Outcome, code: &str) {
        if self.fenced {
            assert_refused(attack, outcome, code);
        } else {
            assert!(outcome.success, "{attack}: {}", outcome.stderr);
        }
    }

    /// A node selector that only the target has.
    fn selector(&self) -> Value {
        json!({ "kubernetes.io/hostname": self.target })
    }

    fn pod(&self, standing: Standing, name: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": self.namespace(standing) },
            "spec": with_container(spec),
        })
    }
}

/// Creates DaemonSet `agent`, which no node is for, and gives its UID. It owns no pod without its label: one that claims so is let go.
async fn idle_daemon_set(lab: &Lab, namespace: &str) -> String {
    let daemon_set = json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "agent", "namespace": namespace },
        "spec": {
            "selector": { "matchLabels": { "app": "agent" } },
            "template": {
                "metadata": { "labels": { "app": "agent" } },
                "spec": with_container(&json!({ "nodeSelector": { "example.com/for": "nobody" } })),
            },
        },
    });
    let daemon_sets: Api<DaemonSet> = Api::namespaced(administrator(lab).await, namespace);
    let daemon_set = serde_json::from_value(daemon_set).expect("a DaemonSet");
    daemon_sets.create(&PostParams::default(), &daemon_set).await.unwrap().uid().expect("a UID")
}

fn with_container(spec: &Value) -> Value {
    let mut spec = spec.clone();
    spec["containers"] = json!([{ "name": "app", "image": "app" }]);
    spec
}

fn merge(target: &mut Value, from: &Value) {
    match (target, from) {
        (Value::Object(target), Value::Object(from)) => {
            for (key, value) in from {
                merge(target.entry(key).or_insert(Value::Null), value);
            }
        }
        (target, from) => *target = from.clone(),
    }
}

/// A pod written at once; what is added to it, and the code that refuses it.
struct PodAttack {
    name: &'static str,
    standing: Standing,
    pod: fn(&Stage<'_>) -> Value,
    code: &'static str,
}

const POD_ATTACKS: &[PodAttack] = &[
    PodAttack {
        name: "toleration",
        standing: Standing::Typed,
        pod: |stage| {
            spec(stage, json!([{ "key": "node-type", "value": "monitoring", "effect": "NoSchedule" }]))
        },
        code: "ForeignToleration",
    },
    PodAttack {
        name: "toleration-typeless",
        standing: Standing::Typeless,
        pod: |stage| {
            spec(stage, json!([{ "key": "node-type", "value": "monitoring", "effect": "NoSchedule" }]))
        },
        code: "ForeignToleration",
    },
    PodAttack {
        name: "wildcard",
        standing: Standing::Typed,
        pod: |stage| spec(stage, json!([{ "operator": "Exists" }])),
        code: "ForeignToleration",
    },
    PodAttack {
        name: "wildcard-typeless",
        standing: Standing::Typeless,
        pod: |stage| spec(stage, json!([{ "operator": "Exists" }])),
        code: "ForeignToleration",
    },
    PodAttack {
        name: "any-value",
        standing: Standing::Typed,
        pod: |stage| {
            spec(stage, json!([{ "key": "node-type", "operator": "Exists", "effect": "NoSchedule" }]))
        },
        code: "ForeignToleration",
    },
    PodAttack {
        name: "any-effect",
        standing: Standing::Typeless,
        pod: |stage| spec(stage, json!([{ "key": "node-type", "operator": "Equal", "value": "monitoring" }])),
        code: "ForeignToleration",
    },
    PodAttack {
        name: "node-name",
        standing: Standing::Typed,
        pod: |stage| json!({ "spec": { "nodeName": stage.target } }),
        code: "NodeNameSet",
    },
    PodAttack {
        name: "node-name-typeless",
        standing: Standing::Typeless,
        pod: |stage| json!({ "spec": { "nodeName": stage.target } }),
        code: "NodeNameSet",
    },
    PodAttack {
        name: "type-label",
        standing: Standing::Typed,
        pod: |stage| {
            let mut pod =
                spec(stage, json!([{ "key": "node-type", "value": "monitoring", "effect": "NoSchedule" }]));
            pod["metadata"] = json!({ "labels": { "treenail.dev/workload-type": "monitoring" } });
            pod
        },
        code: "TypeNotAllowed",
    },
    PodAttack {
        name: "type-label-typeless",
        standing: Standing::Typeless,
        pod: |stage| {
            let mut pod =
                spec(stage, json!([{ "key": "node-type", "value": "monitoring", "effect": "NoSchedule" }]));
            pod["metadata"] = json!({ "labels": { "treenail.dev/workload-type": "monitoring" } });
            pod
        },
        code: "TypeNotAllowed",
    },
    PodAttack {
        name: "forged-owner",
        standing: Standing::Typed,
        pod: |stage| {
            // A live owner, or the garbage collector may take the pod before it is placed.
            let mut pod = spec(stage, json!([{ "operator": "Exists" }]));
            pod["metadata"] = json!({ "ownerReferences": [{
                "apiVersion": "apps/v1", "kind": "DaemonSet", "name": "agent", "controller": true, "uid": stage.agent,
            }] });
            pod
        },
        code: "ForeignToleration",
    },
    PodAttack {
        name: "forged-mirror",
        standing: Standing::Typeless,
        pod: |stage| {
            json!({
                "metadata": { "annotations": { "kubernetes.io/config.mirror": "forged" } },
                "spec": { "nodeName": stage.target },
            })
        },
        code: "ForgedMirrorPod",
    },
];

fn spec(stage: &Stage<'_>, tolerations: Value) -> Value {
    json!({ "spec": { "nodeSelector": stage.selector(), "tolerations": tolerations } })
}

async fn play_pod_attacks(stage: &Stage<'_>) {
    for attack in POD_ATTACKS {
        let mut pod = stage.pod(attack.standing, attack.name, &json!({}));
        merge(&mut pod, &(attack.pod)(stage));
        pod["spec"] = with_container(&pod["spec"]);
        let outcome = stage.apply(&pod).await;
        stage.judge(attack.name, &outcome, attack.code);
        if !stage.fenced {
            assert_placed(stage, attack.standing, attack.name).await;
        }
    }
}

/// Refused, and the reason's code is the first of our words.
fn assert_refused(attack: &str, outcome: &Outcome, code: &str) {
    assert!(!outcome.success, "{attack} was accepted: {}", outcome.stdout);
    let ours = outcome.refusal().unwrap_or_else(|| panic!("{attack}: {}", outcome.stderr));
    assert!(ours.starts_with(&format!("{code}: ")), "{attack}: {}", outcome.stderr);
}

async fn assert_placed(stage: &Stage<'_>, standing: Standing, name: &str) {
    let pods = stage.pods(standing).await;
    let node = soon(&format!("{name} is placed"), async || node_of(&pods, name).await).await.unwrap();
    assert_eq!(node, stage.target, "{name}");
}

/// The template kinds that make pods; each tolerates everything and selects the target.
fn workload(kind: &str, standing: Standing, stage: &Stage<'_>) -> Value {
    let name = kind.to_lowercase();
    let template = json!({
        "metadata": { "labels": { "app": name } },
        "spec": with_container(&json!({ "nodeSelector": stage.selector(), "tolerations": [{ "operator": "Exists" }] })),
    });
    let metadata = json!({ "name": name, "namespace": stage.namespace(standing) });
    let selector = json!({ "matchLabels": { "app": name } });
    let job_template = {
        let mut template = template.clone();
        template["spec"]["restartPolicy"] = json!("Never");
        template
    };
    let (api_version, rest) = match kind {
        "Deployment" | "ReplicaSet" => {
            ("apps/v1", json!({ "spec": { "replicas": 1, "selector": selector, "template": template } }))
        }
        "StatefulSet" => (
            "apps/v1",
            json!({ "spec": { "replicas": 1, "serviceName": name, "selector": selector, "template": template } }),
        ),
        "DaemonSet" => ("apps/v1", json!({ "spec": { "selector": selector, "template": template } })),
        "ReplicationController" => {
            ("v1", json!({ "spec": { "replicas": 1, "selector": { "app": name }, "template": template } }))
        }
        "Job" => ("batch/v1", json!({ "spec": { "template": job_template } })),
        "CronJob" => (
            "batch/v1",
            json!({ "spec": { "schedule": "* * * * *", "jobTemplate": { "spec": { "template": job_template } } } }),
        ),
        "PodTemplate" => ("v1", json!({ "template": template })),
        other => panic!("unknown kind {other}"),
    };
    let mut object = json!({ "apiVersion": api_version, "kind": kind, "metadata": metadata });
    merge(&mut object, &rest);
    object
}

const TEMPLATE_KINDS: [&str; 8] = [
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
    "PodTemplate",
];

/// Kinds whose controllers make a pod at once.
fn makes_pods(kind: &str) -> bool {
    !["CronJob", "PodTemplate"].contains(&kind)
}

async fn play_templates(stage: &Stage<'_>) {
    for kind in TEMPLATE_KINDS {
        let outcome = stage.apply(&workload(kind, Standing::Typed, stage)).await;
        stage.judge(kind, &outcome, "ForeignToleration");
        // Templates of typeless namespaces are never judged; their pods are.
        let outcome = stage.apply(&workload(kind, Standing::Typeless, stage)).await;
        assert!(outcome.success, "{kind}: {}", outcome.stderr);
    }
    for kind in TEMPLATE_KINDS.into_iter().filter(|kind| makes_pods(kind)) {
        if stage.fenced {
            assert_pods_refused(stage, kind).await;
        } else {
            for standing in [Standing::Typed, Standing::Typeless] {
                assert_pod_of_kind_placed(stage, standing, kind).await;
            }
        }
    }
}

/// A DaemonSet whose pods want to be on the other team's nodes from the moment that these register. Its pods may tolerate
/// `karpenter.sh/unregistered`, whoever wrote the set; the team's own taint is there from that moment, too, and keeps them out.
async fn play_daemons_of_booting_nodes(stage: &Stage<'_>) {
    let mut set = workload("DaemonSet", Standing::Typeless, stage);
    set["metadata"]["name"] = json!("daemonset-early");
    for pointer in ["/spec/selector/matchLabels/app", "/spec/template/metadata/labels/app"] {
        *set.pointer_mut(pointer).unwrap() = json!("daemonset-early");
    }
    let unregistered =
        json!({ "key": "karpenter.sh/unregistered", "operator": "Exists", "effect": "NoExecute" });
    set["spec"]["template"]["spec"]["tolerations"] = if stage.fenced {
        json!([unregistered])
    } else {
        json!([unregistered, { "key": "node-type", "value": "monitoring", "effect": "NoSchedule" }])
    };
    let outcome = stage.apply(&set).await;
    assert!(outcome.success, "{}", outcome.stderr);
    let sets: Api<DaemonSet> = Api::namespaced(administrator(stage.lab).await, &stage.typeless);
    let wanted = async || {
        let status = sets.get("daemonset-early").await.ok()?.status?;
        (status.observed_generation == Some(1)).then_some(status.desired_number_scheduled)
    };
    let wanted = soon("the DaemonSet is looked at", wanted).await.unwrap();
    assert_eq!(wanted, i32::from(!stage.fenced), "nodes that the DaemonSet wants to be on");
}

async fn assert_pod_of_kind_placed(stage: &Stage<'_>, standing: Standing, kind: &str) {
    let pods = stage.pods(standing).await;
    let selector = ListParams::default().labels(&format!("app={}", kind.to_lowercase()));
    let what = format!("a pod of the {kind} is placed");
    let node = soon(&what, async || {
        let pods = pods.list(&selector).await.ok()?;
        pods.iter().find_map(|pod| pod.spec.as_ref()?.node_name.clone())
    });
    assert_eq!(node.await.unwrap(), stage.target, "{kind}");
}

/// The controller of the kind says that its pod was refused, and why.
async fn assert_pods_refused(stage: &Stage<'_>, kind: &str) {
    let events: Api<Event> = Api::namespaced(administrator(stage.lab).await, &stage.typeless);
    let what = format!("the pods of the {kind} are refused");
    let message = soon(&what, async || {
        let events = events.list(&ListParams::default()).await.ok()?;
        // A Deployment's pods are made, and missed, by its ReplicaSet.
        let wanted = if kind == "Deployment" { "ReplicaSet" } else { kind };
        let about = |event: &&Event| {
            event.involved_object.kind.as_deref() == Some(wanted)
                && event
                    .involved_object
                    .name
                    .as_deref()
                    .is_some_and(|name| name.starts_with(&kind.to_lowercase()))
                && event.reason.as_deref() == Some("FailedCreate")
        };
        events.iter().find(about).and_then(|event| event.message.clone())
    });
    let message = message.await.unwrap();
    assert!(message.contains("denied the request: ForeignToleration: "), "{kind}: {message}");
    let pods = stage.pods(Standing::Typeless).await;
    let selector = ListParams::default().labels(&format!("app={}", kind.to_lowercase()));
    assert!(pods.list(&selector).await.unwrap().items.is_empty(), "{kind} has pods");
}

/// Writes that change who a namespace belongs to.
async fn play_namespace_attacks(stage: &Stage<'_>, name: &str) {
    const KEY: &str = "treenail.dev/workload-type";
    let alice = kubectl(stage.lab, &alice());
    let patch = |value: Value| json!({ "metadata": { "labels": { KEY: value } } }).to_string();
    let attempts = [
        ("label a namespace", stage.typeless.as_str(), None, json!("monitoring")),
        (
            "label it through status",
            stage.typeless.as_str(),
            Some("--subresource=status"),
            json!("monitoring"),
        ),
        ("change the label", stage.typed.as_str(), None, json!("monitoring")),
        ("change it through status", stage.typed.as_str(), Some("--subresource=status"), json!("monitoring")),
        ("remove the label", stage.typed.as_str(), None, Value::Null),
    ];
    for (attack, namespace, subresource, value) in attempts {
        let patch = patch(value);
        let mut arguments = vec!["patch", "namespace", namespace, "--type=merge", "-p", &patch];
        arguments.extend(subresource);
        let outcome = alice.run(&arguments).await.unwrap();
        stage.judge(attack, &outcome, "TypeNotGranted");
    }
    let team = json!({ "metadata": { "labels": { "treenail.dev/team": "red" } } }).to_string();
    let arguments = ["patch", "namespace", stage.typeless.as_str(), "--type=merge", "-p", &team];
    stage.judge("join a team", &alice.run(&arguments).await.unwrap(), "TeamNotGranted");
    let finalize = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": stage.typeless, "labels": { KEY: "monitoring" } },
    });
    let finalizer = format!("/api/v1/namespaces/{}/finalize", stage.typeless);
    let outcome = alice
        .run_with_input(&["replace", "--raw", &finalizer, "-f", "-"], &finalize.to_string())
        .await
        .unwrap();
    stage.judge("label it through finalize", &outcome, "TypeNotGranted");
    assert_eq!(has_label(stage.lab, &stage.typeless, KEY, "monitoring").await, !stage.fenced);

    let new = format!("{name}-new");
    let manifest = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": new, "labels": { KEY: "monitoring" } },
    });
    let outcome = alice.run_with_input(&["create", "-f", "-"], &manifest.to_string()).await.unwrap();
    stage.judge("create a labelled namespace", &outcome, "TypeNotGranted");
}

/// Binds a pod by hand, past the scheduler.
async fn play_bindings(stage: &Stage<'_>) {
    for (name, path) in
        [("bound-by-subresource", "pods/bound-by-subresource/binding"), ("bound-by-binding", "bindings")]
    {
        let pod = stage.pod(Standing::Typeless, name, &json!({ "schedulerName": "nobody" }));
        let outcome = stage.apply(&pod).await;
        assert!(outcome.success, "{name}: {}", outcome.stderr);
        let binding = json!({
            "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
            "target": { "apiVersion": "v1", "kind": "Node", "name": stage.target },
        });
        let path = format!("/api/v1/namespaces/{}/{path}", stage.typeless);
        let alice = kubectl(stage.lab, &alice());
        let outcome =
            alice.run_with_input(&["create", "--raw", &path, "-f", "-"], &binding.to_string()).await.unwrap();
        stage.judge(name, &outcome, "BindingNotAllowed");
        if stage.fenced {
            assert_eq!(node_of(&stage.pods(Standing::Typeless).await, name).await, None);
        } else {
            assert_placed(stage, Standing::Typeless, name).await;
        }
    }
}

/// Changes pods that are already there, as Kubernetes allows: tolerations may be added at any time, and a gated pod may be
/// given its placement while its gate is taken away.
async fn play_updates(stage: &Stage<'_>) {
    for standing in [Standing::Typed, Standing::Typeless] {
        for (name, spec) in [
            ("updated", json!({ "nodeSelector": stage.selector() })),
            ("gated", json!({ "schedulingGates": [{ "name": "example.com/hold" }] })),
        ] {
            // It waits: it does not tolerate the target's taint, or it is gated.
            let outcome = stage.apply(&stage.pod(standing, name, &spec)).await;
            assert!(outcome.success, "{name}: {}", outcome.stderr);
            let mut tolerations = stage
                .pods(standing)
                .await
                .get(name)
                .await
                .unwrap()
                .spec
                .unwrap()
                .tolerations
                .unwrap_or_default();
            tolerations.push(Toleration { operator: Some("Exists".to_owned()), ..Toleration::default() });
            let mut patch = json!({ "spec": { "tolerations": tolerations } });
            if name == "gated" {
                patch["spec"]["schedulingGates"] = json!([]);
                patch["spec"]["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{ "matchFields": [
                        { "key": "metadata.name", "operator": "In", "values": [stage.target] },
                    ] }],
                } } });
            }
            let patch = patch.to_string();
            let arguments =
                ["patch", "pod", name, "-n", stage.namespace(standing), "--type=merge", "-p", &patch];
            let outcome = kubectl(stage.lab, &alice()).run(&arguments).await.unwrap();
            stage.judge(name, &outcome, "ForeignToleration");
            if !stage.fenced {
                assert_placed(stage, standing, name).await;
            }
        }
    }
}

async fn play(lab: &Lab, fenced: bool, name: &str) {
    // It holds 58 pods: all that are placed without Treenail, and what the CronJobs add by the minute.
    let target = node_of_type(lab, "monitoring", "m5a.xlarge").await.unwrap();
    let stage = Stage::set(lab, &target, fenced, name).await;
    play_pod_attacks(&stage).await;
    play_bindings(&stage).await;
    play_updates(&stage).await;
    play_templates(&stage).await;
    play_daemons_of_booting_nodes(&stage).await;
    // Last: without Treenail they change what the namespaces are.
    play_namespace_attacks(&stage, name).await;
    if fenced {
        let pods: Api<Pod> = Api::all(administrator(lab).await);
        let on_target =
            pods.list(&ListParams::default().fields(&format!("spec.nodeName={target}"))).await.unwrap();
        let ours =
            on_target.iter().filter(|pod| pod.namespace().is_some_and(|found| found.starts_with(name)));
        assert_eq!(ours.map(ResourceExt::name_any).collect::<Vec<_>>(), Vec::<String>::new());
    }
    let pods = stage.pods(Standing::Typeless).await;
    let _ = pods.delete_collection(&DeleteParams::default(), &ListParams::default()).await;
}

#[test]
fn without_treenail_every_attack_succeeds() {
    on_lab(async |lab| play(lab, false, "control").await);
}

#[test]
fn with_treenail_every_attack_is_refused_with_its_reason_first() {
    on_treenail(async |world| play(&world.lab, true, "attack").await);
}

/// The names exist in every cluster, so the attack is judged by what is said first: that they are not hers to take, or that they are taken.
#[test]
fn the_name_of_an_exempt_namespace_is_not_for_everyone_to_take() {
    let create = async |lab: &Lab| {
        empower_alice(lab, &[]).await;
        kubectl(lab, &alice()).run(&["create", "namespace", "kube-public"]).await.unwrap()
    };
    on_lab(async |lab| assert!(create(lab).await.stderr.contains("already exists")));
    on_treenail(async |world| {
        assert_refused("take kube-public", &create(&world.lab).await, "ExemptionNotGranted");
    });
}
