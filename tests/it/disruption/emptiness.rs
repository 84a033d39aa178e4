//! An empty node goes, and one that is needed after all stays.

use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams};
use serde_json::json;
use treenail::api::nodeclaim::NodeClaim;

use super::history::{History, State};
use super::{A_WHILE, assert_nothing_is_left, event, holds, is_disrupted, is_gone, machine, pool, run_pod};
use crate::support::cluster::{administrator, found_within, within};
use crate::support::world::on_treenail;

#[test]
fn an_empty_node_is_closed_then_marked_then_deleted_and_nothing_is_left() {
    on_treenail(async |world| {
        pool(world, "empty", "0s", "100%").await;
        let history = History::start(&administrator(&world.lab).await, "empty");
        let machine = machine(world, "empty", "empty-1").await;
        let claims: Api<NodeClaim> = Api::all(administrator(&world.lab).await);
        within(A_WHILE, &claims, "empty-1", is_gone::<NodeClaim>).await.unwrap();
        assert_nothing_is_left(world, "empty-1", &machine).await;
        let states = history.of("empty-1");
        let first = |state| states.iter().position(|seen| *seen == state);
        let order = [
            first(State::NodeUntouched),
            first(State::NodeTainted),
            first(State::ClaimMarked),
            first(State::ClaimDeleted),
            first(State::ClaimGone),
        ];
        assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{states:?}");
        assert!(event(world, "empty-1", "Disrupting").await.contains("nothing runs on it"));
        event(world, "empty-1", "DisruptionTerminating").await;
    });
}

#[test]
fn a_node_that_gets_a_pod_while_it_is_marked_is_let_off_and_goes_when_the_pod_has_gone() {
    on_treenail(async |world| {
        pool(world, "needed", "0s", "100%").await;
        let machine = machine(world, "needed", "needed-1").await;
        let client = administrator(&world.lab).await;
        let (claims, nodes) = (Api::<NodeClaim>::all(client.clone()), Api::<Node>::all(client));
        within(A_WHILE, &claims, "needed-1", holds("DisruptionReason")).await.unwrap();
        // As if the scheduler had bound it just before the taint came.
        let spec = json!({ "nodeName": machine.node });
        let pods = run_pod(world, "kube-system", "late", json!({}), spec).await;
        let is_let_off = async || {
            let claim = claims.get_opt("needed-1").await.ok()??;
            let node = nodes.get_opt(&machine.node).await.ok()??;
            assert!(claim.metadata.deletion_timestamp.is_none(), "it goes with a pod on it");
            (!is_disrupted(&node) && !holds("DisruptionReason")(Some(&claim))).then_some(())
        };
        found_within(A_WHILE, "the node is let off", is_let_off).await.unwrap();
        event(world, "needed-1", "DisruptionReleased").await;

        pods.delete("late", &DeleteParams::default()).await.unwrap();
        within(A_WHILE, &claims, "needed-1", is_gone::<NodeClaim>).await.unwrap();
        assert_nothing_is_left(world, "needed-1", &machine).await;
    });
}
