use serde_json::json;

use super::*;
use crate::cluster::testing::{api_server, refusal};
use crate::controllers::testing::{cluster_key, context, fill, polls};
use crate::model::ProviderId;
use crate::model::testing::nodes::{at, claim, object, registered_node};

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

#[test]
fn an_instance_that_two_claims_name_is_counted_once_as_the_node_of_its_owner() {
    let of = |name: &str, second, provider_id: Option<&str>| NodeClaim {
        object: object(name),
        created: at(second),
        provider_id: provider_id.map(ProviderId::new),
        ..claim()
    };
    let claims = [
        of("older", 0, Some("aws:///us-east-1a/i-1")),
        of("younger", 5, Some("aws:///us-east-1a/i-1")),
        of("other", 5, Some("aws:///us-east-1a/i-2")),
        of("on-its-way", 5, None),
        of("on-its-way-too", 5, None),
    ];
    let names = |nodes: &[Node]| {
        let mut names: Vec<_> =
            owners(&claims, nodes).iter().map(|claim| claim.object.name.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&[]), ["older", "on-its-way", "on-its-way-too", "other"]);
    let node = Node {
        provider_id: Some(ProviderId::new("aws:///us-east-1a/i-1")),
        owner_uids: vec!["younger-uid".to_owned()],
        ..registered_node()
    };
    assert_eq!(names(&[node]), ["on-its-way", "on-its-way-too", "other", "younger"]);
}
