use serde_json::json;

use super::*;
use crate::cluster::testing::{Calls, api_server, refusal};
use crate::controllers::testing::{cluster_key, context, fill, polls};
use crate::model::testing::nodes::at;

const STATUS: &str = "PATCH /apis/karpenter.sh/v1/nodepools/p/status";

fn pool() -> NodePool {
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
    let template = json!({ "nodeClassRef": class, "requirements": [], "expireAfter": "Never" });
    let object = json!({
        "metadata": { "name": "p", "generation": 1, "creationTimestamp": at(0).to_string() },
        "spec": { "template": { "spec": template }, "disruption": { "consolidationPolicy": "WhenEmpty" } },
    });
    serde_json::from_value(object).unwrap()
}

/// A controller that knows a pool, over an API server that refuses to write its status; `takes_effect` says whether it does so all the same.
fn controller(takes_effect: bool) -> (NodePoolController, Calls) {
    let known: Cache<NodePool> = Cache::new("NodePool");
    known.fill([(cluster_key("p"), pool())]);
    let node_pools = known.clone();
    let (client, calls) = api_server(move |call| {
        if takes_effect {
            let status = serde_json::from_value(call.body["status"].clone()).unwrap();
            known.fill([(cluster_key("p"), NodePool { status, ..pool() })]);
        }
        refusal(500, "etcd has lost its leader")
    });
    let context = context(client, at(100));
    fill(&context.caches, []);
    let controller = NodePoolController {
        client: context.client,
        clock: context.clock,
        node_pools,
        node_classes: context.caches.node_classes,
        catalogs: Catalogs::default(),
        node_claims: context.caches.node_claims,
        events: context.events,
    };
    (controller, calls)
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_but_took_effect_is_not_looked_at_again_and_again() {
    let (controller, calls) = controller(true);
    let (_leads, leading) = watch::channel(true);
    let polled = polls(controller.run(leading), Duration::from_hours(1)).await;
    assert_eq!(calls.lines(), [STATUS]);
    assert!(polled < 20, "{polled}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_due_while_another_replica_leads() {
    let (controller, calls) = controller(false);
    let (leads, leading) = watch::channel(true);
    let mut run = std::pin::pin!(controller.run(leading));
    polls(run.as_mut(), Duration::from_secs(10)).await;
    assert!(calls.take().len() > 1, "it is tried again");
    leads.send_replace(false);
    let polled = polls(run.as_mut(), Duration::from_hours(1)).await;
    assert_eq!(calls.lines(), Vec::<String>::new());
    assert!(polled < 10, "{polled}");
}
