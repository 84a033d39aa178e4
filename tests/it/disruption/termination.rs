//! A claim that a person deletes is drained with care.

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::{Api, DeleteParams, PostParams};
use kube::runtime::conditions::is_pod_running;
use serde_json::json;
use treenail::api::nodeclaim::NodeClaim;
use treenail_lab::User;

use super::{assert_nothing_is_left, event, instance_state, machine, on_pool, pool, run_pod};
use crate::support::claims::is_gone;
use crate::support::cluster::{A_WHILE, administrator, eventually, found_within, kubectl, namespace, within};
use crate::support::world::{World, on_treenail};

pub(super) async fn delete_by_hand(world: &World, claim: &str) {
    let kubectl = kubectl(&world.lab, &User::administrator());
    let outcome = kubectl.run(&["delete", "nodeclaim", claim, "--wait=false"]).await.unwrap();
    assert!(outcome.success, "{}", outcome.stderr);
}

/// Makes a budget that allows no eviction of the running pod with this label `app`, and waits until it counts.
pub(super) async fn forbid_evictions(world: &World, namespace: &str, app: &str) -> Api<PodDisruptionBudget> {
    let budgets: Api<PodDisruptionBudget> = Api::namespaced(administrator(&world.lab).await, namespace);
    let budget = json!({
        "metadata": { "name": app }, "spec": { "minAvailable": 1, "selector": { "matchLabels": { "app": app } } },
    });
    budgets.create(&PostParams::default(), &serde_json::from_value(budget).unwrap()).await.unwrap();
    let is_counted = |budget: Option<&PodDisruptionBudget>| {
        let status = budget.and_then(|budget| budget.status.as_ref());
        status.is_some_and(|status| status.current_healthy == 1)
    };
    eventually(&budgets, app, is_counted).await.unwrap();
    budgets
}

#[test]
fn a_budget_that_forbids_it_holds_the_drain_until_it_is_gone() {
    on_treenail(async |world| {
        pool(world, "held", "Never", "100%").await;
        namespace(&world.lab, "held", &[]).await;
        let machine = machine(world, "held", "held-1").await;
        let pods =
            run_pod(world, "held", "web", json!({ "labels": { "app": "web" } }), on_pool("held")).await;
        eventually(&pods, "web", is_pod_running()).await.unwrap();
        let budgets = forbid_evictions(world, "held", "web").await;

        delete_by_hand(world, "held-1").await;
        let told = event(world, &machine.node, "FailedDraining").await;
        assert!(told.contains("held/web"), "{told}");
        assert_eq!(instance_state(world, &machine.instance).await, "running");
        let pod = pods.get("web").await.unwrap();
        assert!(pod.metadata.deletion_timestamp.is_none(), "it was evicted against its budget");

        budgets.delete("web", &DeleteParams::default()).await.unwrap();
        let claims: Api<NodeClaim> = Api::all(administrator(&world.lab).await);
        within(A_WHILE, &claims, "held-1", is_gone::<NodeClaim>).await.unwrap();
        assert_nothing_is_left(world, "held-1", &machine).await;
    });
}

#[test]
fn a_pod_gets_its_grace_before_its_instance_is_terminated() {
    on_treenail(async |world| {
        pool(world, "grace", "Never", "100%").await;
        namespace(&world.lab, "grace", &[]).await;
        let machine = machine(world, "grace", "grace-1").await;
        // It would take a minute to stop, and has twenty seconds.
        let metadata = json!({ "annotations": { "lab.treenail.dev/stops-after": "60s" } });
        let mut spec = on_pool("grace");
        spec["terminationGracePeriodSeconds"] = json!(20);
        let pods = run_pod(world, "grace", "slow", metadata, spec).await;
        eventually(&pods, "slow", is_pod_running()).await.unwrap();

        delete_by_hand(world, "grace-1").await;
        let (mut evicted, mut looks) = (None, 0);
        found_within(A_WHILE, "the pod is gone", async || {
            // Asked before the pod is looked for: while the pod is there, the instance was running.
            let state = instance_state(world, &machine.instance).await;
            let pod = pods.get_opt("slow").await.unwrap();
            let Some(pod) = pod else { return Some(()) };
            assert_eq!(state, "running", "the instance went before the pod");
            if let Some(gone_by) = pod.metadata.deletion_timestamp {
                evicted.get_or_insert((gone_by.0, pod.metadata.deletion_grace_period_seconds));
                looks += 1;
            }
            None
        })
        .await
        .unwrap();
        assert!(matches!(evicted, Some((_, Some(20)))), "{evicted:?}");
        assert!(looks > 1, "the pod was not waited for");
        let claims: Api<NodeClaim> = Api::all(administrator(&world.lab).await);
        within(A_WHILE, &claims, "grace-1", is_gone::<NodeClaim>).await.unwrap();
        assert_nothing_is_left(world, "grace-1", &machine).await;
    });
}
