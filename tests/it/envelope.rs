//! The envelope that a type publishes is true: what it holds runs, and what is larger is refused where it is written.

use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::conditions::is_pod_running;
use serde_json::json;
use treenail::api::nodeclaim::NodeClaim;
use treenail::api::workload_type::{Envelope, WorkloadType};
use treenail::model::{Quantity, ResourceList};
use treenail_lab::User;
use treenail_lab::kubectl::Outcome;

use crate::support::claims::{await_class, holds};
use crate::support::cluster::{administrator, apply, eventually, kubectl, namespace, soon};
use crate::support::world::{World, on_treenail};

const TYPE: &str = "sized";

/// Lets the type's only pool use these instance types.
async fn use_types(world: &World, instance_types: &[&str]) {
    let requirement =
        json!({ "key": "node.kubernetes.io/instance-type", "operator": "In", "values": instance_types });
    let manifest = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": TYPE },
        "spec": {
            "template": { "spec": {
                "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
                "requirements": [requirement],
                "taints": [{ "key": TYPE, "effect": "NoSchedule" }],
                "expireAfter": "Never",
            } },
            "disruption": { "consolidationPolicy": "WhenEmpty", "consolidateAfter": "Never" },
        },
    });
    let outcome = apply(&world.lab, &User::administrator(), &manifest.to_string()).await;
    assert!(outcome.success, "{}", outcome.stderr);
}

async fn envelope(world: &World) -> Option<Envelope> {
    let types: Api<WorkloadType> = Api::all(administrator(&world.lab).await);
    types.get(TYPE).await.ok()?.status?.envelope
}

/// A manifest of a Deployment or a pod that requests so much.
fn manifest(kind: &str, name: &str, requests: &ResourceList) -> String {
    let mut requests = requests.to_api();
    requests.retain(|name, _| ["cpu", "memory"].contains(&name.as_str()));
    let container = json!({ "name": "app", "image": "app", "resources": { "requests": requests } });
    let metadata = json!({ "name": name, "namespace": TYPE });
    let pod = json!({ "containers": [container] });
    let manifest = match kind {
        "Pod" => json!({ "apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": pod }),
        _ => json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": metadata,
            "spec": {
                "replicas": 0, "selector": { "matchLabels": { "app": "web" } },
                "template": { "metadata": { "labels": { "app": "web" } }, "spec": pod },
            },
        }),
    };
    manifest.to_string()
}

async fn dry_run(world: &World, kind: &str, requests: &ResourceList) -> Outcome {
    let kubectl = kubectl(&world.lab, &User::administrator());
    let arguments = ["apply", "--dry-run=server", "-f", "-"];
    kubectl.run_with_input(&arguments, &manifest(kind, "web", requests)).await.unwrap()
}

/// Waits until the type says that the instance type is its largest, and what that holds is admitted while a mebibyte more is refused.
/// Other tests have daemons for a moment, so the envelope is read anew each time.
async fn check(world: &World, instance_type: &str) -> ResourceList {
    let what = format!("the envelope of {instance_type} is true");
    let mut last = String::new();
    let found = soon(&what, async || {
        let vectors = envelope(world).await?.vectors;
        let [vector] = vectors.as_slice() else {
            last = format!("{vectors:?}");
            return None;
        };
        let exactly = ResourceList::from_api(&vector.allocatable).ok()?;
        let memory = exactly.amount("memory") + Quantity::from_bytes(1 << 20);
        let larger = exactly.clone().with("memory", memory);
        for kind in ["Pod", "Deployment"] {
            let admitted = dry_run(world, kind, &exactly).await;
            let refused = dry_run(world, kind, &larger).await;
            let is_named = refused.stderr.contains("NeverSchedulable")
                && refused.stderr.contains(&format!("{instance_type}, which comes closest"));
            if !admitted.success || refused.success || !is_named {
                last = format!("{kind}: {}{}", admitted.stderr, refused.stderr);
                return None;
            }
        }
        Some(exactly)
    })
    .await;
    found.unwrap_or_else(|error| panic!("{error}: {last}"))
}

#[test]
fn what_the_envelope_holds_is_admitted_and_runs_and_a_mebibyte_more_is_refused() {
    on_treenail(async |world| {
        use_types(world, &["c7i.xlarge"]).await;
        let workload_type = json!({
            "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType", "metadata": { "name": TYPE },
            "spec": { "pools": [{ "name": TYPE }] },
        });
        let outcome = apply(&world.lab, &User::administrator(), &workload_type.to_string()).await;
        assert!(outcome.success, "{}", outcome.stderr);
        namespace(&world.lab, TYPE, &[("treenail.dev/workload-type", TYPE)]).await;
        let exactly = check(world, "c7i.xlarge").await;

        // The pool moves both, in either direction.
        use_types(world, &["c7i.xlarge", "c7i.2xlarge"]).await;
        check(world, "c7i.2xlarge").await;
        use_types(world, &["c7i.large"]).await;
        check(world, "c7i.large").await;
        use_types(world, &["c7i.xlarge"]).await;
        check(world, "c7i.xlarge").await;

        let client = administrator(&world.lab).await;
        await_class(&client, "default").await;
        let claim = json!({
            "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
            "metadata": { "name": TYPE, "labels": { "karpenter.sh/nodepool": TYPE } },
            "spec": {
                "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
                "requirements": [{ "key": "node.kubernetes.io/instance-type", "operator": "In", "values": ["c7i.xlarge"] }],
                "taints": [{ "key": TYPE, "effect": "NoSchedule" }],
            },
        });
        let outcome = apply(&world.lab, &User::administrator(), &claim.to_string()).await;
        assert!(outcome.success, "{}", outcome.stderr);
        // Before, nobody knows how much room it has, and the pod would get a second one.
        let claims: Api<NodeClaim> = Api::all(client.clone());
        eventually(&claims, TYPE, holds("Initialized")).await.unwrap();
        let outcome = apply(&world.lab, &User::administrator(), &manifest("Pod", "largest", &exactly)).await;
        assert!(outcome.success, "{}", outcome.stderr);
        let pods: Api<Pod> = Api::namespaced(client.clone(), TYPE);
        eventually(&pods, "largest", is_pod_running()).await.unwrap();
        let types: Api<WorkloadType> = Api::all(client);
        let costs = |workload_type: Option<&WorkloadType>| {
            let status = workload_type.and_then(|workload_type| workload_type.status.as_ref());
            status.is_some_and(|status| status.hourly_cost.as_deref() == Some("0.1785"))
        };
        eventually(&types, TYPE, costs).await.unwrap();
    });
}
