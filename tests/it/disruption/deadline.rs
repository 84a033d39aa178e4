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
use super::{
    A_WHILE, assert_nothing_is_left, event, instance_state, is_gone, machine_of, on_pool, pool_with, run_pod,
};
use crate::support::cluster::{administrator, eventually, found_within, namespace, soon, within};
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
        let is_about = |at: Timestamp, expected: Timestamp| at.duration_since(expected).abs() <= SLACK;
        let [(greedy, all_there_is), (guarded, ten), (kept, five)] =
            ["greedy", "guarded", "kept"].map(|name| seen[name]);
        assert!(
            is_about(greedy, deleted) && is_about(greedy + SignedDuration::from_secs(all_there_is), deadline),
            "{seen:?}"
        );
        assert_eq!((ten, five), (10, 5), "{seen:?}");
        assert!(is_about(guarded, deadline - SignedDuration::from_secs(10)), "{seen:?}, deadline {deadline}");
        assert!(is_about(kept, deadline - SignedDuration::from_secs(5)), "{seen:?}, deadline {deadline}");

        found_within(A_WHILE, "the instance ends", async || {
            (instance_state(world, &machine.instance).await != "running").then_some(())
        })
        .await
        .unwrap();
        let late = WallClock.now().duration_since(deadline);
        assert!(late < SignedDuration::from_secs(15), "the instance ended {late:#} after the deadline");
        eventually(&claims, &name, is_gone::<NodeClaim>).await.unwrap();
        assert_nothing_is_left(world, &name, &machine).await;
    });
}
