//! A claim whose pool gives it a `terminationGracePeriod` ends by then, whatever protects its pods.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::conditions::is_pod_running;
use serde_json::json;
use treenail::api::nodeclaim::NodeClaim;
use treenail::ports::clock::{Clock, WallClock};

use super::termination::{delete_by_hand, forbid_evictions};
use super::{assert_nothing_is_left, event, instance_state, machine_of, on_pool, pool_with, run_pod};
use crate::support::claims::is_gone;
use crate::support::cluster::{A_WHILE, administrator, found_within, namespace, soon, within};
use crate::support::world::on_treenail;

/// What the pool gives a node.
const PERIOD: SignedDuration = SignedDuration::from_secs(20);
/// Pods' timestamps are whole seconds, and machines are busy.
const SLACK: SignedDuration = SignedDuration::from_secs(3);

/// When a pod was told to go, and the grace that it got, in seconds.
type Told = (Timestamp, i64);

/// Nobody but the kubelet gives a grace of zero: that a pod has stopped. The API server may show it so for a moment before it is gone.
fn told(pod: &Pod) -> Option<Told> {
    let grace = pod.metadata.deletion_grace_period_seconds.filter(|seconds| *seconds > 0)?;
    let gone_by = pod.metadata.deletion_timestamp.as_ref()?.0;
    Some((gone_by - SignedDuration::from_secs(grace), grace))
}

#[test]
fn at_the_deadline_pods_go_that_nothing_else_moves_each_with_its_grace_and_then_the_node() {
    on_treenail(async |world| {
        pool_with(world, "deadline", "Never", "100%", json!({ "terminationGracePeriod": "20s" })).await;
        namespace(&world.lab, "deadline", &[]).await;
        let client = administrator(&world.lab).await;
        let claims: Api<NodeClaim> = Api::all(client);
        // All of them would take a minute to stop. The budget allows nothing; the second asks to be left alone; the third asks for more than there is.
        for (name, grace, own) in [
            ("guarded", 10, json!({ "labels": { "app": "guarded" } })),
            ("kept", 5, json!({ "annotations": { "karpenter.sh/do-not-disrupt": "true" } })),
            ("greedy", 60, json!({ "annotations": { "karpenter.sh/do-not-disrupt": "true" } })),
        ] {
            let mut metadata = own;
            metadata["annotations"]["lab.treenail.dev/stops-after"] = json!("60s");
            let mut spec = on_pool("deadline");
            spec["terminationGracePeriodSeconds"] = json!(grace);
            let pods = run_pod(world, "deadline", name, metadata, spec).await;
            // The first one gets the node launched, the others find it.
            within(A_WHILE, &pods, name, is_pod_running()).await.unwrap();
        }
        forbid_evictions(world, "deadline", "guarded").await;
        let of_pool = ListParams::default().labels("karpenter.sh/nodepool=deadline");
        let launched = claims.list(&of_pool).await.unwrap().items;
        let [claim] = launched.as_slice() else { panic!("{launched:?}") };
        let (name, period) = (claim.name_any(), claim.spec.termination_grace_period.as_ref());
        assert_eq!(serde_json::to_value(period).unwrap(), "20s");
        let machine = machine_of(&claims, &name, "Initialized").await;

        delete_by_hand(world, &name).await;
        let noted = soon("the deadline is noted", async || {
            let claim = claims.get(&name).await.ok()?;
            let deleted = claim.metadata.deletion_timestamp.as_ref()?.0;
            let noted = claim.annotations().get("karpenter.sh/nodeclaim-termination-timestamp")?;
            Some((deleted, noted.parse::<Timestamp>().unwrap()))
        });
        let (deleted, deadline) = noted.await.unwrap();
        assert_eq!(deadline, deleted + PERIOD);
        event(world, &name, "TerminationGracePeriodExpiring").await;

        let pods: Api<Pod> = Api::namespaced(administrator(&world.lab).await, "deadline");
        let mut seen: BTreeMap<String, Told> = BTreeMap::new();
        found_within(A_WHILE, "the pods are gone", async || {
            // Asked before the pods are looked for: while there is one, the instance was running.
            let state = instance_state(world, &machine.instance).await;
            let left = pods.list(&ListParams::default()).await.unwrap().items;
            if left.is_empty() {
                return Some(());
            }
            assert_eq!(state, "running", "the instance went before the pods");
            seen.extend(left.iter().filter_map(|pod| Some((pod.name_any(), told(pod)?))));
            None
        })
        .await
        .unwrap();
        // Each is told when its grace is all that is left, or later, and then gets what is left: by the deadline it has to be gone.
        for (name, asked) in [("guarded", 10), ("kept", 5), ("greedy", 60)] {
            let (told, grace) = seen[name];
            assert!(grace <= asked, "{name} gets {grace} s: {seen:?}");
            let least = asked.min(PERIOD.as_secs()) - SLACK.as_secs();
            assert!(grace >= least, "{name} gets {grace} s: {seen:?}");
            let earliest = deadline - SignedDuration::from_secs(asked + 1);
            assert!(told >= earliest, "{name} is told before {earliest}: {seen:?}");
            let gone_by = told + SignedDuration::from_secs(grace);
            let off = gone_by.duration_since(deadline).abs();
            assert!(off <= SLACK, "{name} has until {gone_by}, the deadline is {deadline}: {seen:?}");
        }
        assert!(seen["greedy"].0 < seen["guarded"].0, "who asks for the most is told first: {seen:?}");

        found_within(A_WHILE, "the instance ends", async || {
            (instance_state(world, &machine.instance).await != "running").then_some(())
        })
        .await
        .unwrap();
        let late = WallClock.now().duration_since(deadline);
        assert!(late < SignedDuration::from_secs(15), "the instance ended {late:#} after the deadline");
        within(A_WHILE, &claims, &name, is_gone::<NodeClaim>).await.unwrap();
        assert_nothing_is_left(world, &name, &machine).await;
    });
}
