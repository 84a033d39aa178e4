//! A small cluster for tests, and calls to the two webhooks of it in the API server's own words.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::decide::decide;
use super::policies::{Inventory, Policies, Settings};
use super::question::{Endpoint, Question};
use super::review::Review;
use super::standing::NamespaceLabels;
use super::verdict::Verdict;
use crate::api::nodepool::NodePool;
use crate::api::workload_type as api;
use crate::model::pod::DAEMON_SET_CONTROLLER;
use crate::model::taints::Taint;
use crate::model::workload_type::{Fleet, Pool, WorkloadType, derive};

/// When every test begins.
pub(crate) const NOW: Timestamp = Timestamp::UNIX_EPOCH;

pub(crate) fn after(seconds: i64) -> Timestamp {
    NOW + SignedDuration::from_secs(seconds)
}

/// A pool whose nodes carry these taints, as `key=value:Effect` each.
pub(crate) fn node_pool(name: &str, taints: &str) -> NodePool {
    let taints: Vec<Taint> = taints.split_whitespace().map(|taint| taint.parse().unwrap()).collect();
    let taints: Vec<_> = taints
        .iter()
        .map(|taint| json!({ "key": taint.key, "value": taint.value, "effect": taint.effect.name() }))
        .collect();
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
    let spec = json!({ "nodeClassRef": class, "requirements": [], "taints": taints, "expireAfter": "Never" });
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": { "template": { "spec": spec }, "disruption": { "consolidationPolicy": "WhenEmpty" } },
    }))
    .unwrap()
}

/// A type that names these pools.
pub(crate) fn workload_type(name: &str, pools: &str) -> api::WorkloadType {
    let pools: Vec<_> = pools.split_whitespace().map(|pool| json!({ "name": pool })).collect();
    serde_json::from_value(json!({
        "metadata": { "name": name, "generation": 1 },
        "spec": { "pools": pools },
    }))
    .unwrap()
}

/// The objects after the controller has published what it derives from them.
pub(crate) fn inventory(pools: &[NodePool], types: &[api::WorkloadType]) -> Inventory {
    let read: BTreeMap<_, _> =
        types.iter().map(WorkloadType::read).map(|read| (read.name.clone(), read)).collect();
    let pool_map: BTreeMap<_, _> =
        pools.iter().map(|pool| (pool.metadata.name.clone().unwrap(), Pool::read(pool))).collect();
    let fleet = Fleet { types: &read, pools: &pool_map, nodes: &[] };
    let mut inventory = Inventory::default();
    for object in types {
        let mut object = object.clone();
        let derived = derive(&read[object.metadata.name.as_ref().unwrap()], &fleet);
        let status = api::WorkloadTypeStatus {
            observed_generation: object.metadata.generation,
            ..object.status.unwrap_or_default()
        };
        object.status = Some(derived.publish(status));
        inventory.add_workload_type(&object);
    }
    for pool in pools {
        inventory.add_node_pool(pool);
    }
    inventory
}

/// A cluster with its namespaces.
#[derive(Clone)]
pub(crate) struct World {
    pub(crate) policies: Policies,
    pub(crate) namespaces: BTreeMap<String, BTreeMap<String, String>>,
    pub(crate) now: Timestamp,
}

impl World {
    /// Types `application` and `monitoring`, each with a pool of its name and the taint `node-type=<name>:NoSchedule`; namespaces `shop` and
    /// `watch` of these types, `plain` of none, `ghost` of one that does not exist, and `kube-system`.
    pub(crate) fn new() -> Self {
        let pools = ["application", "monitoring"]
            .map(|name| node_pool(name, &format!("node-type={name}:NoSchedule")));
        let types = ["application", "monitoring"].map(|name| workload_type(name, name));
        Self::of(inventory(&pools, &types))
    }

    pub(crate) fn of(inventory: Inventory) -> Self {
        let namespaces = [
            ("shop", Some("application")),
            ("watch", Some("monitoring")),
            ("plain", None),
            ("ghost", Some("aplication")),
            ("kube-system", None),
        ];
        let labels = |label: Option<&str>| {
            let label = label.map(|name| ("treenail.dev/workload-type".to_owned(), name.to_owned()));
            label.into_iter().collect()
        };
        Self {
            policies: Policies::new(Settings::default()).next(inventory, NOW),
            namespaces: namespaces.map(|(name, label)| (name.to_owned(), labels(label))).into(),
            now: NOW,
        }
    }

    pub(crate) fn ask(&self, endpoint: Endpoint, call: &Call) -> Verdict {
        let body = call.body().to_string();
        let review = Review::parse(body.as_bytes()).unwrap();
        let labels = self.namespaces.get(&*review.namespace);
        let namespace = labels.map_or(NamespaceLabels::Unknown, NamespaceLabels::Known);
        decide(&self.policies, &Question { endpoint, review: &review, namespace, now: self.now })
    }

    pub(crate) fn mutate(&self, call: &Call) -> Verdict {
        self.ask(Endpoint::Mutate, call)
    }

    pub(crate) fn validate(&self, call: &Call) -> Verdict {
        self.ask(Endpoint::Validate, call)
    }

    /// What the API server does: mutate, then validate what came of it. The verdict is that of whoever refused, else of the validation.
    pub(crate) fn send(&self, call: &Call) -> (Value, Verdict) {
        let mut call = call.clone();
        let mutated = self.mutate(&call);
        if !mutated.is_allowed() {
            return (call.object, mutated);
        }
        if let Some(patch) = &mutated.patch {
            json_patch::patch(&mut call.object, patch).unwrap();
        }
        let verdict = self.validate(&call);
        (call.object, verdict)
    }

    /// The codes of a refusal; `admitted` if there is none.
    pub(crate) fn outcome(&self, call: &Call) -> String {
        let verdict = self.send(call).1;
        if verdict.is_allowed() { "admitted".to_owned() } else { verdict.codes().join(" ") }
    }
}

/// A verdict in lines: what is added, the refusal, the warnings.
pub(crate) fn show(verdict: &Verdict) -> String {
    let mut lines = Vec::new();
    for operation in verdict.patch.iter().flat_map(|patch| patch.iter()) {
        let operation = serde_json::to_value(operation).unwrap();
        let field = |name: &str| operation[name].as_str().unwrap_or_default().to_owned();
        lines.push(format!("{} {} {}", field("op"), field("path"), operation["value"]));
    }
    lines.push(if verdict.is_allowed() { "admitted".to_owned() } else { verdict.message() });
    lines.extend(verdict.warnings.iter().map(|warning| format!("Warning: {warning}")));
    lines.join("\n")
}

/// A call of the API server.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    group: String,
    kind: String,
    pub(crate) subresource: String,
    pub(crate) operation: &'static str,
    pub(crate) namespace: String,
    user: String,
    groups: Vec<String>,
    pub(crate) object: Value,
    old: Value,
}

impl Call {
    /// Somebody creates an object of the kind, `group/Kind` or `Kind`.
    pub(crate) fn create(kind: &str, namespace: &str, object: Value) -> Self {
        let (group, kind) = kind.split_once('/').unwrap_or(("", kind));
        Self {
            group: group.to_owned(),
            kind: kind.to_owned(),
            subresource: String::new(),
            operation: "CREATE",
            namespace: namespace.to_owned(),
            user: "alice".to_owned(),
            groups: vec!["system:authenticated".to_owned()],
            object,
            old: Value::Null,
        }
    }

    /// Somebody creates a pod `web` with this spec.
    pub(crate) fn pod(namespace: &str, spec: Value) -> Self {
        Self::create("Pod", namespace, json!({ "metadata": { "name": "web" }, "spec": spec }))
    }

    /// Somebody creates a Deployment `web` whose template has this spec.
    pub(crate) fn deployment(namespace: &str, spec: Value) -> Self {
        Self::template("apps/Deployment", namespace, spec)
    }

    pub(crate) fn template(kind: &str, namespace: &str, spec: Value) -> Self {
        let template = json!({ "metadata": { "labels": { "app": "web" } }, "spec": spec });
        let metadata = json!({ "name": "web" });
        let object = match kind {
            "PodTemplate" => json!({ "metadata": metadata, "template": template }),
            "batch/CronJob" => {
                json!({ "metadata": metadata, "spec": { "jobTemplate": { "spec": { "template": template } } } })
            }
            _ => json!({ "metadata": metadata, "spec": { "template": template } }),
        };
        Self::create(kind, namespace, object)
    }

    /// The same object becomes this one.
    pub(crate) fn becomes(mut self, object: Value) -> Self {
        self.old = std::mem::replace(&mut self.object, object);
        self.operation = "UPDATE";
        self
    }

    /// The same object, with a field (a JSON pointer) added or replaced, or removed by null.
    pub(crate) fn with(mut self, pointer: &str, value: Value) -> Self {
        set(&mut self.object, pointer, value);
        self
    }

    /// An update that changes a field.
    pub(crate) fn update(self, pointer: &str, value: Value) -> Self {
        let mut object = self.object.clone();
        set(&mut object, pointer, value);
        self.becomes(object)
    }

    pub(crate) fn by(mut self, user: &str, groups: &[&str]) -> Self {
        self.user = user.to_owned();
        self.groups = groups.iter().map(|group| (*group).to_owned()).collect();
        self
    }

    /// The DaemonSet controller creates the pod for the node.
    pub(crate) fn daemon_pod(namespace: &str, spec: Value) -> Self {
        let terms =
            json!([{ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": ["node-1"] }] }]);
        let required =
            json!({ "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms } });
        Self::pod(namespace, spec)
            .with("/metadata/ownerReferences", json!([owner("apps/v1", "DaemonSet", "agent")]))
            .with("/spec/affinity", json!({ "nodeAffinity": required }))
            .by(DAEMON_SET_CONTROLLER, &["system:serviceaccounts"])
    }

    pub(crate) fn body(&self) -> Value {
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                "kind": { "group": self.group, "version": "v1", "kind": self.kind },
                "subResource": self.subresource,
                "name": self.object["metadata"]["name"].as_str(),
                "namespace": self.namespace,
                "operation": self.operation,
                "userInfo": { "username": self.user, "groups": self.groups },
                "object": self.object,
                "oldObject": self.old,
                "dryRun": false,
            },
        })
    }
}

/// An owner reference of a controller.
pub(crate) fn owner(api_version: &str, kind: &str, name: &str) -> Value {
    json!({ "apiVersion": api_version, "kind": kind, "name": name, "uid": "1", "controller": true })
}

fn set(object: &mut Value, pointer: &str, value: Value) {
    let mut parts: Vec<_> =
        pointer.split('/').skip(1).map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
    let last = parts.pop().unwrap();
    let parent = parts.into_iter().fold(object, |object, part| match object {
        Value::Array(items) => &mut items[part.parse::<usize>().unwrap()],
        object => &mut object[part],
    });
    match parent {
        Value::Array(items) => {
            let index = last.parse::<usize>().unwrap();
            if index == items.len() {
                items.push(value);
            } else {
                items[index] = value;
            }
        }
        parent if value.is_null() => drop(parent.as_object_mut().unwrap().remove(&last)),
        parent => parent[last] = value,
    }
}
