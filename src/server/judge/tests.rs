use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::admission::policies::{Inventory, Settings};
use crate::ports::clock::WallClock;

/// Judges a pod created in `namespace`, with a cache that knows nothing and a lookup that finds these labels. Returns the answer and
/// the namespaces that were looked up.
async fn judge(
    policies: Option<Policies>,
    namespace: &str,
    found: Option<&[(&str, &str)]>,
) -> (Result<Judgement, JudgeError>, Vec<String>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let labels: Option<Labels> = found
        .map(|labels| labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect());
    let lookup: NamespaceLookup = {
        let asked = Arc::clone(&asked);
        Box::new(move |name| {
            asked.lock().unwrap().push(name);
            let labels = labels.clone();
            async move { labels }.boxed()
        })
    };
    let policies = Arc::new(ArcSwapOption::from(policies.map(Arc::new)));
    let judge = Arc::new(PolicyJudge::new(policies, Cache::new("Namespace"), lookup, Arc::new(WallClock)));
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": namespace, "name": "web",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "userInfo": { "username": "alice" },
            "object": { "metadata": { "name": "web" }, "spec": { "containers": [] } },
        },
    });
    let judged = judge.judge(Endpoint::Validate, Bytes::from(review.to_string())).await;
    let asked = asked.lock().unwrap().clone();
    (judged, asked)
}

fn no_types() -> Policies {
    Policies::new(Settings::default()).next(Inventory::default(), WallClock.now())
}

#[tokio::test]
async fn there_is_no_answer_before_there_are_policies() {
    let (judged, asked) = judge(None, "shop", Some(&[])).await;
    assert!(matches!(judged, Err(JudgeError::NotReady(_))), "{judged:?}");
    assert!(asked.is_empty());
}

#[tokio::test]
async fn a_namespace_that_the_cache_does_not_know_is_asked_for_and_its_label_counts() {
    let (judged, asked) = judge(Some(no_types()), "shop", Some(&[])).await;
    assert_eq!((judged.unwrap().answer.refusal, asked), (None, vec!["shop".to_owned()]));
    let labels = [("treenail.dev/workload-type", "nosuch")];
    let (judged, _) = judge(Some(no_types()), "shop", Some(&labels)).await;
    assert!(judged.unwrap().answer.refusal.unwrap().starts_with("NamespaceClosed: "));
}

#[tokio::test]
async fn a_namespace_that_nobody_knows_is_no_typeless_one() {
    let (judged, _) = judge(Some(no_types()), "shop", None).await;
    assert!(judged.unwrap().answer.refusal.unwrap().starts_with("NamespaceNotKnown: "));
}

#[tokio::test]
async fn what_cannot_be_a_name_is_not_asked_for() {
    for namespace in ["shop?watch=true", "../secrets", "Shop", "-shop", "", &"a".repeat(64)] {
        let (_, asked) = judge(Some(no_types()), namespace, Some(&[])).await;
        assert_eq!(asked, Vec::<String>::new(), "{namespace}");
    }
}
