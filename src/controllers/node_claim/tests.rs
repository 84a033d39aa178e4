use std::time::Duration;

use serde_json::json;

use super::*;
use crate::cluster::testing::{api_server, refusal};
use crate::controllers::testing::{FakeCloud, cluster, context, fill, registered_claim};
use crate::model::testing::nodes::at;

#[tokio::test(start_paused = true)]
async fn a_claim_whose_write_is_refused_for_good_is_tried_again_later_and_later_whatever_changes() {
    let (client, calls) = api_server(|_| refusal(403, "not allowed"));
    let context = context(client, at(0));
    let caches = context.caches.clone();
    let controller = NodeClaimController::new(context, Arc::new(FakeCloud::default()), Arc::new(cluster()));
    let leads = watch::Sender::new(true);
    let bare = |version: u64| {
        let metadata = json!({ "finalizers": null, "resourceVersion": version.to_string() });
        registered_claim("a", "", json!({ "metadata": metadata, "status": null }))
    };
    fill(&caches, [bare(1)]);
    let changes = async {
        for second in 1..=300 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            caches.node_claims.fill([bare(second)]);
        }
    };
    tokio::select! {
        () = controller.run(leads.subscribe()) => panic!("it ends while it leads"),
        () = changes => {}
    }
    // At 0, 2, 6, 14, 30, 62 s and then each minute.
    let tried = calls.lines();
    assert!((8..=9).contains(&tried.len()), "{tried:?}");
}
