//! Two controllers, one of which leads.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use treenail::api::workload_type::WorkloadType;
use treenail_lab::User;

use crate::support::claims::await_class;
use crate::support::cluster::{A_WHILE, administrator, apply, eventually, namespace, within};
use crate::support::world::World;

#[test]
fn when_the_leader_is_killed_the_other_takes_over_and_statuses_go_on() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::start().await.unwrap();
        let client = administrator(&world.lab).await;
        let leases: Api<Lease> = Api::namespaced(client.clone(), "treenail-system");
        let holder = |lease: &Lease| lease.spec.as_ref().and_then(|spec| spec.holder_identity.clone());
        let leader = holder(&leases.get("treenail-leader-election").await.unwrap());
        let _second = world.treenail.start_controller(&world.lab, &[]).await.unwrap();
        world.kill_controller();
        let has_changed = |lease: Option<&Lease>| lease.is_some_and(|lease| holder(lease) != leader);
        within(A_WHILE, &leases, "treenail-leader-election", has_changed).await.unwrap();
        let manifest = "apiVersion: treenail.dev/v1alpha1\nkind: WorkloadType\nmetadata: {name: late}\nspec: {pools: [{name: application}]}\n";
        let outcome = apply(&world.lab, &User::administrator(), manifest).await;
        assert!(outcome.success, "{}", outcome.stderr);
        let types: Api<WorkloadType> = Api::all(client);
        let is_published = |found: Option<&WorkloadType>| {
            found.and_then(|found| found.status.as_ref()).is_some_and(|status| !status.taints.is_empty())
        };
        eventually(&types, "late", is_published).await.unwrap();
    });
}

#[test]
fn beside_a_live_karpenter_its_pools_are_left_to_it_until_it_gives_its_lease_up() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let held = json!({
            "metadata": { "name": "karpenter-leader-election" },
            "spec": { "holderIdentity": "karpenter-7d9f", "leaseDurationSeconds": 3600 },
        });
        let world = World::start_after(async |lab| {
            let leases: Api<Lease> = Api::namespaced(administrator(lab).await, "kube-system");
            leases.create(&PostParams::default(), &serde_json::from_value(held)?).await?;
            Ok(())
        });
        let world = world.await.unwrap();
        let (lab, client) = (&world.lab, administrator(&world.lab).await);
        let types: Api<WorkloadType> = Api::all(client.clone());
        let is_left = |found: Option<&WorkloadType>| {
            let status = found.and_then(|found| found.status.as_ref());
            status.is_some_and(|status| status.pools.iter().any(|pool| pool.message.contains("karpenter-7d9f")))
        };
        eventually(&types, "application", is_left).await.unwrap();
        // Its pods would wait without a word.
        let left = types.get("application").await.unwrap().status.unwrap();
        assert!(left.pools[0].message.contains("spec.template.metadata.labels"), "{:?}", left.pools);

        // The webhook does its part all the same.
        namespace(lab, "beside", &[("treenail.dev/workload-type", "application")]).await;
        let pods: Api<Pod> = Api::namespaced(client.clone(), "beside");
        let pod = json!({
            "metadata": { "name": "waits" },
            "spec": { "containers": [{ "name": "app", "image": "app", "resources": { "requests": { "cpu": "1" } } }] },
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let created = pods.create(&PostParams::default(), &pod).await.unwrap();
        assert!(created.spec.unwrap().node_selector.is_some());
        let is_pending = |pod: Option<&Pod>| {
            let conditions = pod.and_then(|pod| pod.status.as_ref()?.conditions.as_ref());
            conditions.into_iter().flatten().any(|one| one.reason.as_deref() == Some("Unschedulable"))
        };
        eventually(&pods, "waits", is_pending).await.unwrap();
        let fleets = || lab.front().calls().iter().filter(|call| call.action == "CreateFleet").count();
        assert_eq!(fleets(), 0);

        let leases: Api<Lease> = Api::namespaced(client.clone(), "kube-system");
        let given_up = Patch::Merge(json!({ "spec": { "holderIdentity": "" } }));
        leases.patch("karpenter-leader-election", &PatchParams::default(), &given_up).await.unwrap();
        await_class(&client, "default").await;
        let runs = |pod: Option<&Pod>| {
            pod.and_then(|pod| pod.status.as_ref()).is_some_and(|it| it.phase.as_deref() == Some("Running"))
        };
        eventually(&pods, "waits", runs).await.unwrap();
        assert_eq!(fleets(), 1);
        eventually(&types, "application", |found: Option<&WorkloadType>| !is_left(found)).await.unwrap();
    });
}
