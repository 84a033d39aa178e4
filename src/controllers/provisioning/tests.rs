//! A cluster as values, and what is made of it.

#![expect(
    clippy::needless_raw_string_hashes,
    reason = "expect-test writes them when it updates a golden text"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::world::World;
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::nodepool::NodePool;
use crate::cluster::caches::{KnownClaim, KnownNode, known_claim, known_node};
use crate::controllers::catalogs::{ClassTypes, KnownTypes};
use crate::model::instance_type::{CapacityType, MachineResources, Offering, Overhead};
use crate::model::testing::nodes::{at, taint};
use crate::model::testing::resource_list;
use crate::model::workload_type::WorkloadType;
use crate::model::{InstanceType, KnownPod, Requirement, Requirements};

mod carried_out;
mod claims;
mod fallback;
mod machines;
mod pools;
mod turns;
mod waiting;

/// Puts `changes` over `base`: objects are merged, everything else is replaced.
fn merged(mut base: Value, changes: &Value) -> Value {
    match (&mut base, changes) {
        (Value::Object(base), Value::Object(changes)) => {
            for (key, change) in changes {
                let before = base.remove(key).unwrap_or(Value::Null);
                base.insert(key.clone(), merged(before, change));
            }
        }
        (_, changes) => return changes.clone(),
    }
    base
}

fn read<T: serde::de::DeserializeOwned>(object: Value) -> T {
    serde_json::from_value(object).unwrap()
}

/// Pool `application` as the examples have it.
fn pool(changes: &Value) -> Arc<NodePool> {
    let base = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool",
        "metadata": { "name": "application", "uid": "pool-uid", "generation": 1 },
        "spec": {
            "template": { "spec": {
                "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
                "requirements": [{ "key": "karpenter.k8s.aws/instance-family", "operator": "In", "values": ["c7i"] }],
                "taints": [{ "key": "node-type", "value": "application", "effect": "NoSchedule" }],
                "expireAfter": "Never",
            }},
            "disruption": { "consolidationPolicy": "WhenEmpty", "consolidateAfter": "30s" },
        },
    });
    Arc::new(read(merged(base, changes)))
}

/// A class that is ready.
fn class(changes: &Value) -> Arc<Ec2NodeClass> {
    let base = json!({
        "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass",
        "metadata": { "name": "default", "generation": 2 },
        "spec": {
            "role": "node", "amiSelectorTerms": [{ "alias": "al2023@latest" }],
            "subnetSelectorTerms": [{ "id": "subnet-1" }], "securityGroupSelectorTerms": [{ "id": "sg-1" }],
        },
        "status": { "conditions": [{
            "type": "Ready", "status": "True", "observedGeneration": 2, "reason": "Ready", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]},
    });
    Arc::new(read(merged(base, changes)))
}

/// A claim of pool `application` that has no instance yet.
fn claim(name: &str, changes: &Value) -> Arc<KnownClaim> {
    let base = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
        "metadata": { "name": name, "uid": format!("{name}-uid"), "labels": { "karpenter.sh/nodepool": "application" } },
        "spec": {
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
            "requirements": [
                { "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c7i.large", "c7i.xlarge"] },
                { "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] },
            ],
            "taints": [{ "key": "node-type", "value": "application", "effect": "NoSchedule" }],
            "startupTaints": [{ "key": "example.com/starting", "effect": "NoSchedule" }],
            "resources": { "requests": { "cpu": "1500m", "pods": "3" } },
        },
    });
    Arc::new(known_claim(read(merged(base, changes))))
}

/// What the launch makes of a claim: instance `i-NAME`, and the labels of its type.
fn launched(name: &str) -> Value {
    json!({
        "metadata": { "labels": { "node.kubernetes.io/instance-type": "c7i.large" } },
        "status": {
            "providerID": format!("aws:///us-east-1a/i-{name}"),
            "capacity": { "cpu": "2", "memory": "4Gi", "pods": "29" },
            "allocatable": { "cpu": "1930m", "memory": "3Gi", "pods": "29" },
        },
    })
}

/// The Node of the instance `i-INSTANCE`, as its kubelet registers it.
fn node(name: &str, instance: &str, changes: &Value) -> Arc<KnownNode> {
    let base = json!({
        "metadata": { "name": name, "labels": { "kubernetes.io/hostname": name } },
        "spec": {
            "providerID": format!("aws:///us-east-1a/i-{instance}"),
            "taints": [
                { "key": "node-type", "value": "application", "effect": "NoSchedule" },
                { "key": "karpenter.sh/unregistered", "effect": "NoExecute" },
                { "key": "example.com/starting", "effect": "NoSchedule" },
                { "key": "node.kubernetes.io/not-ready", "effect": "NoSchedule" },
            ],
        },
        "status": { "allocatable": { "cpu": "1920m", "memory": "0", "pods": "29" } },
    });
    Arc::new(known_node(read(merged(base, changes))))
}

/// A pod of namespace `shop` that the scheduler has found no node for.
fn pod(name: &str, changes: &Value) -> Arc<KnownPod> {
    let base = json!({
        "metadata": { "name": name, "namespace": "shop", "uid": format!("{name}-uid") },
        "spec": { "containers": [{ "name": "app", "resources": { "requests": { "cpu": "500m" } } }] },
        "status": {
            "phase": "Pending",
            "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable" }],
        },
    });
    Arc::new(KnownPod::read(&read(merged(base, changes))).unwrap())
}

/// A pod that admission has put into the type.
fn admitted(name: &str, cpu: &str) -> Arc<KnownPod> {
    pod(
        name,
        &json!({ "spec": {
            "tolerations": [{ "key": "node-type", "operator": "Equal", "value": "application", "effect": "NoSchedule" }],
            "nodeSelector": { "workload-type.node-restriction.kubernetes.io/application": "" },
            "containers": [{ "name": "app", "resources": { "requests": { "cpu": cpu } } }],
        }}),
    )
}

/// A type whose status guards the taint of pool `application`.
fn workload_type(name: &str, pools: &[&str]) -> (String, WorkloadType) {
    let pools: Vec<_> = pools.iter().map(|pool| (*pool).to_owned()).collect();
    let owned = taint("node-type=application:NoSchedule");
    let recorded = [(owned, pools.iter().cloned().collect())].into();
    let workload_type = WorkloadType { name: name.to_owned(), pools, recorded, ..WorkloadType::default() };
    (name.to_owned(), workload_type)
}

/// `c7i.large` and `c7i.xlarge`, of which only the latter can be bought.
fn types() -> ClassTypes {
    ClassTypes::Known(KnownTypes::of(2, instance_types().into()))
}

fn instance_types() -> Vec<InstanceType> {
    let types = [("c7i.large", 2, false), ("c7i.xlarge", 4, true)].map(|(name, cpu, is_available)| {
        let offering = Offering {
            zone: "us-east-1a".to_owned(),
            capacity_type: CapacityType::OnDemand,
            labels: BTreeMap::new(),
            price: "0.1".parse().unwrap(),
            is_available,
        };
        let mut requirements = Requirements::from_labels([
            ("node.kubernetes.io/instance-type", name),
            ("karpenter.k8s.aws/instance-family", "c7i"),
            ("kubernetes.io/arch", "amd64"),
        ]);
        requirements.add(Requirement::one_of("topology.kubernetes.io/zone", ["us-east-1a"]));
        requirements.add(Requirement::one_of("karpenter.sh/capacity-type", ["on-demand"]));
        InstanceType {
            name: name.to_owned(),
            requirements,
            resources: MachineResources::new(
                resource_list(&format!("cpu={cpu} memory={}Gi pods=29", cpu * 2)),
                Overhead::default(),
            ),
            offerings: vec![offering],
        }
    });
    types.to_vec()
}

/// Pool, class and type `application`, and the namespace `shop` that uses it.
fn world() -> World {
    World {
        node_pools: vec![pool(&json!({}))],
        node_classes: [("default".to_owned(), class(&json!({})))].into(),
        types: [("default".to_owned(), types())].into(),
        workload_types: [workload_type("application", &["application"])].into(),
        namespaces: [("shop".to_owned(), typed_as("application"))].into(),
        ..World::default()
    }
}

fn typed_as(name: &str) -> Arc<BTreeMap<String, String>> {
    Arc::new([("treenail.dev/workload-type".to_owned(), name.to_owned())].into())
}
