//! Two controllers, one of which leads.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::Api;
use treenail::api::workload_type::WorkloadType;
use treenail_lab::User;

use crate::support::cluster::{administrator, apply, eventually};
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
        eventually(&leases, "treenail-leader-election", has_changed).await.unwrap();
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
