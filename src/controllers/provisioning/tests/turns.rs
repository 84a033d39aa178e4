//! The loop around the plans: what is launched when, and what keeps it from being launched twice.

use std::time::Duration;

use self::stage::{Answered, Stage, waiting};
use super::*;
use crate::cluster::cache::Key;
use crate::controllers::testing::cluster_key;

mod stage;

#[tokio::test(start_paused = true)]
async fn a_lone_pod_gets_one_claim_at_once_however_long_the_cache_does_not_show_it() {
    let mut stage = Stage::new();
    stage.lead(1).await;
    assert_eq!(
        stage.server.with(|state| state.lists),
        1,
        "what there is is asked for at the start of a term"
    );
    stage.wait(&["a"]);
    stage.run(300).await;
    let (creations, lists) = stage.server.with(|state| (state.creations.clone(), state.lists));
    assert_eq!(creations.len(), 1);
    assert!(creations[0] < Duration::from_millis(1200), "{creations:?}");
    assert_eq!(stage.promised("a").as_deref(), Some("application-1"));
    assert!((20..=32).contains(&lists), "it is asked for every ten seconds: {lists}");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_came_and_went_unseen_is_missed_by_the_list() {
    let mut stage = Stage::new();
    stage.wait(&["a"]);
    stage.run(5).await;
    stage.server.with(|state| state.claims.clear());
    stage.run(4).await;
    assert_eq!(stage.server.created(), 1, "it may only be late");
    stage.run(5).await;
    assert_eq!(stage.server.created(), 2);
    assert_eq!(stage.promised("a").as_deref(), Some("application-2"));
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_creation_was_not_answered_is_found_before_another_is_made() {
    let mut stage = Stage::new();
    stage.server.with(|state| state.answers = vec![Answered::Lost]);
    stage.wait(&["a"]);
    stage.run(9).await;
    assert!(stage.promised("a").is_some_and(|place| place.starts_with('?')), "{:?}", stage.promised("a"));
    stage.server.with(|state| state.lists_fail = true);
    stage.run(60).await;
    assert_eq!(stage.server.created(), 1, "nobody has said that it does not exist");
    stage.server.with(|state| state.lists_fail = false);
    stage.run(30).await;
    assert_eq!(stage.server.created(), 1);
    assert_eq!(stage.promised("a").as_deref(), Some("application-1"));

    let mut stage = Stage::new();
    stage.server.with(|state| state.answers = vec![Answered::Failed]);
    stage.wait(&["a"]);
    stage.run(30).await;
    assert_eq!(stage.server.created(), 2, "it does not exist");
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_refused_is_tried_again_after_longer_and_longer() {
    let mut stage = Stage::new();
    stage.server.with(|state| state.answers = vec![Answered::Forbidden; 4]);
    stage.wait(&["a"]);
    stage.run(40).await;
    let times = stage.server.with(|state| state.creations.clone());
    let waits: Vec<_> = times.windows(2).map(|pair| pair[1].saturating_sub(pair[0]).as_secs()).collect();
    assert_eq!(waits, [1, 2, 4, 8]);
    assert_eq!(stage.promised("a").as_deref(), Some("application-5"));
}

#[tokio::test(start_paused = true)]
async fn what_the_leader_before_has_launched_is_used_though_the_cache_does_not_show_it() {
    let mut stage = Stage::new();
    stage.wait(&["a"]);
    stage.run(5).await;
    stage.provisioner.forget();
    assert_eq!(stage.promised("a"), None);
    stage.server.with(|state| state.lists_fail = true);
    stage.lead(60).await;
    assert_eq!(stage.promised("a"), None, "nothing is planned before it is known what there is");
    stage.server.with(|state| state.lists_fail = false);
    stage.lead(60).await;
    assert_eq!(stage.promised("a").as_deref(), Some("application-1"));
    assert_eq!(stage.server.created(), 1);
}

#[tokio::test(start_paused = true)]
async fn claims_that_are_given_up_at_once_are_made_again_ever_more_rarely() {
    let mut stage = Stage::new();
    stage.wait(&["a"]);
    for _ in 0..600 {
        stage.run(1).await;
        // Whoever launches gives up at once, and the cache is told.
        stage.server.with(|state| state.claims.clear());
        stage.caches.node_claims.fill([]);
        if let Some(name) = stage.promised("a") {
            let gone = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
            stage.caches.node_claims.fill([(cluster_key(&name), Arc::unwrap_or_clone(claim(&name, &gone)))]);
        }
    }
    let created = stage.server.created();
    assert!((8..=12).contains(&created), "{created} claims in ten minutes");
}

/// A pod that was left out is looked at again soon after a change, and that must not cut a burst into pieces.
#[tokio::test(start_paused = true)]
async fn a_burst_is_planned_for_as_one_though_others_were_left_out() {
    let mut stage = Stage::new();
    let large = || waiting("large", "64");
    stage.caches.pods.fill([large()]);
    stage.run(5).await;
    assert!(!stage.provisioner.left_out.is_empty());
    for count in 1..=10 {
        let pods = (0..count).map(|number| waiting(&format!("pod-{number}"), "350m"));
        stage.caches.pods.fill(pods.chain([large()]));
        // Something else changes, too.
        stage.caches.nodes.fill([]);
        stage.run_for(Duration::from_millis(20)).await;
    }
    stage.run(5).await;
    assert_eq!(stage.server.created(), 1, "ten pods fit on one node");
    assert!((0..10).all(|number| stage.promised(&format!("pod-{number}")).is_some()));
}

/// A startup taint that nobody takes off, or a device that never appears.
#[tokio::test(start_paused = true)]
async fn a_pod_does_not_wait_for_ever_for_a_node_that_is_never_ready() {
    let mut stage = Stage::new();
    stage.wait(&["a"]);
    stage.run(5).await;
    let name = stage.promised("a").unwrap();
    let registered = json!({ "status": { "providerID": "aws:///us-east-1a/i-1", "conditions": [{
        "type": "Registered", "status": "True", "reason": "Registered", "message": "", "lastTransitionTime": "2026-01-01T00:00:05Z",
    }]}});
    stage.caches.node_claims.fill([(cluster_key(&name), Arc::unwrap_or_clone(claim(&name, &registered)))]);
    stage.run(14 * 60).await;
    assert_eq!(stage.server.created(), 1);
    stage.run(2 * 60).await;
    assert_eq!(stage.server.created(), 2);
    assert_eq!(stage.promised("a").as_deref(), Some("application-2"));
}

/// Every call to a webhook fails, and no node was ever there.
#[tokio::test(start_paused = true)]
async fn an_api_server_that_fails_is_asked_again_steadily() {
    let mut stage = Stage::new();
    stage.server.with(|state| state.answers = vec![Answered::Failed; 9]);
    stage.wait(&["a"]);
    stage.run(150).await;
    let times = stage.server.with(|state| state.creations.clone());
    assert_eq!(times.len(), 10);
    assert!(
        times.windows(2).all(|pair| pair[1].saturating_sub(pair[0]) < Duration::from_secs(21)),
        "{times:?}"
    );
    assert_eq!(stage.promised("a").as_deref(), Some("application-10"));
}

/// They wait for what is not to be had, and a plan for all of them may take long.
#[tokio::test(start_paused = true)]
async fn pods_that_come_later_are_planned_for_without_those_that_are_left_out() {
    let mut stage = Stage::new();
    let large = || waiting("large", "64");
    stage.caches.pods.fill([large()]);
    stage.run(1).await;
    let (for_all, _) = stage.provisioner.planned;
    stage.caches.pods.fill([large(), waiting("small", "1")]);
    stage.run(1).await;
    assert_eq!(stage.promised("small").as_deref(), Some("application-1"));
    assert_eq!(stage.provisioner.planned.0, for_all, "it was planned for alone");
    assert_eq!(stage.provisioner.left_out.len(), 1);
    stage.run(10).await;
    assert!(stage.provisioner.planned.0 > for_all, "nobody is forgotten");
    assert_eq!(stage.provisioner.left_out.len(), 1);
}

/// The API server refuses it, and goes on to.
#[tokio::test(start_paused = true)]
async fn pods_that_come_later_do_not_have_a_refused_claim_tried_again() {
    let mut stage = Stage::new();
    stage.server.with(|state| state.answers = vec![Answered::Forbidden; 2]);
    stage.wait(&["refused"]);
    stage.run(2).await;
    assert_eq!(stage.server.created(), 2, "at once, and after a second");
    stage.wait(&["refused", "a"]);
    stage.run(1).await;
    stage.caches.nodes.fill([]);
    stage.run(0).await;
    assert_eq!(stage.server.created(), 3, "one for the new pod");
    stage.run(10).await;
    assert!(stage.promised("refused").is_some(), "it is not forgotten");
}

/// The scheduler does not know of promises.
#[tokio::test(start_paused = true)]
async fn a_pod_whose_place_another_has_taken_is_planned_for_anew_at_once() {
    let mut stage = Stage::new();
    stage.wait(&["a"]);
    stage.run(5).await;
    let condition = |type_: &str| json!({ "type": type_, "status": "True", "reason": type_, "message": "", "lastTransitionTime": "2026-01-01T00:00:05Z" });
    let ready = json!({ "status": { "nodeName": "n1", "conditions": [condition("Registered"), condition("Initialized")] } });
    let ready = claim("application-1", &merged(launched("1"), &ready));
    stage.caches.nodes.fill([(cluster_key("n1"), Arc::unwrap_or_clone(node("n1", "1", &json!({}))))]);
    stage.caches.node_claims.fill([(cluster_key("application-1"), Arc::unwrap_or_clone(ready))]);
    let cases = [
        ("n1", "Succeeded", "application-1"),
        ("n2", "Running", "application-1"),
        ("n1", "Running", "application-2"),
    ];
    for (on, phase, promised) in cases {
        let spec = json!({
            "nodeName": on, "containers": [{ "name": "app", "resources": { "requests": { "cpu": "1500m" } } }],
        });
        let other = pod("other", &json!({ "spec": spec, "status": { "phase": phase } }));
        let pods = [("a", admitted("a", "500m")), ("other", other)].map(|(name, pod)| {
            (Key { namespace: "shop".to_owned(), name: name.to_owned() }, Arc::unwrap_or_clone(pod))
        });
        stage.caches.pods.fill(pods);
        stage.run(2).await;
        assert_eq!(stage.promised("a").as_deref(), Some(promised), "{phase} on {on}");
    }
}
