use serde_json::json;

use super::*;
use crate::cluster::testing::{api_server, refusal};
use crate::controllers::testing::{cluster_key, context, fill, polls};
use crate::model::testing::nodes::at;

#[tokio::test(start_paused = true)]
async fn nothing_is_due_while_another_replica_leads() {
    let (client, calls) = api_server(|_| refusal(500, "etcd has lost its leader"));
    let context = context(client, at(100));
    let (caches, (_lease, lease)) = (context.caches.clone(), watch::channel(Leadership::Nobody));
    let controller = WorkloadTypeController::new(context, Catalogs::default(), lease);
    fill(&caches, []);
    let object = json!({
        "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType",
        "metadata": { "name": "t", "generation": 1, "creationTimestamp": at(0).to_string() },
        "spec": { "pools": [{ "name": "p" }] },
    });
    caches.workload_types.fill([(cluster_key("t"), serde_json::from_value(object).unwrap())]);

    let (leads, leading) = watch::channel(true);
    let mut run = std::pin::pin!(controller.run(leading));
    polls(run.as_mut(), Duration::from_secs(10)).await;
    let lines = calls.lines();
    let status = "PATCH /apis/treenail.dev/v1alpha1/workloadtypes/t/status";
    assert!(lines.len() > 1 && lines.iter().all(|line| line == status), "{lines:?}");

    // What envelopes depend on goes on changing up to the end of the term, so that one is awaited then.
    for _ in 0..4 {
        caches.node_pools.fill([]);
        polls(run.as_mut(), Duration::from_millis(100)).await;
    }
    calls.take();
    leads.send_replace(false);
    let polled = polls(run.as_mut(), Duration::from_hours(1)).await;
    assert_eq!(calls.lines(), Vec::<String>::new());
    assert!(polled < 10, "{polled}");
}
