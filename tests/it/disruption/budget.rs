//! Budgets hold while many nodes are empty.

use futures::future::join_all;
use kube::api::{Api, ListParams};
use treenail::api::nodeclaim::NodeClaim;

use super::history::History;
use super::{event, instance_state, machine, pool};
use crate::support::cluster::{A_WHILE, administrator, found_within};
use crate::support::world::on_treenail;

#[test]
fn of_ten_empty_nodes_never_more_than_two_are_disrupted_at_once() {
    on_treenail(async |world| {
        // All are there, and empty, before the first may go.
        pool(world, "ten", "Never", "2").await;
        let history = History::start(&administrator(&world.lab).await, "ten");
        let names: Vec<String> = (0..10).map(|number| format!("ten-{number}")).collect();
        let machines = join_all(names.iter().map(|name| machine(world, "ten", name))).await;
        pool(world, "ten", "0s", "2").await;
        let claims: Api<NodeClaim> = Api::all(administrator(&world.lab).await);
        let of_pool = ListParams::default().labels("karpenter.sh/nodepool=ten");
        found_within(A_WHILE, "all ten are gone", async || {
            claims.list(&of_pool).await.ok()?.items.is_empty().then_some(())
        })
        .await
        .unwrap();
        for name in &names {
            history.until_gone(name).await;
        }
        assert_eq!(history.most_disrupted(), 2, "{:?}", history.all());
        assert!(
            event(world, "ten", "DisruptionBlocked")
                .await
                .contains("spec.disruption.budgets[0] allows 2 at once")
        );
        for machine in machines {
            assert_eq!(instance_state(world, &machine.instance).await, "terminated", "{}", machine.instance);
        }
    });
}
