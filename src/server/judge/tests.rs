use std::sync::Mutex;

use serde_json::json;

use super::*;
use crate::admission::policies::{Inventory, Settings};
use crate::cluster::cache::Key;
use crate::ports::clock::WallClock;

const TYPE: (&str, &str) = ("treenail.dev/workload-type", "nosuch");

/// What the API server answers when it is asked for the namespace.
type Found<'a> = Result<Option<&'a [(&'a str, &'a str)]>, &'a str>;

fn labels(labels: &[(&str, &str)]) -> Labels {
    labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Judges a pod created in `namespace`, with a cache that knows nothing.
async fn judge(
    policies: Option<Policies>,
    namespace: &str,
    found: Found<'_>,
) -> (Result<Judgement, JudgeError>, Vec<String>) {
    judge_by(Cache::new("Namespace"), policies, namespace, found, false).await
}

/// Returns the answer and the namespaces that were looked up.
async fn judge_by(
    namespaces: Cache<Labels>,
    policies: Option<Policies>,
    namespace: &str,
    found: Found<'_>,
    is_typed: bool,
) -> (Result<Judgement, JudgeError>, Vec<String>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let found = found.map(|found| found.map(labels)).map_err(str::to_owned);
    let lookup: NamespaceLookup = {
        let asked = Arc::clone(&asked);
        Box::new(move |name| {
            asked.lock().unwrap().push(name);
            let found = found.clone();
            async move { found }.boxed()
        })
    };
    let policies = Arc::new(ArcSwapOption::from(policies.map(Arc::new)));
    let judge = Arc::new(PolicyJudge::new(policies, namespaces, lookup, Arc::new(WallClock)));
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
    let route = Route { endpoint: Endpoint::Validate, is_typed };
    let judged = judge.judge(route, Bytes::from(review.to_string())).await;
    let asked = asked.lock().unwrap().clone();
    (judged, asked)
}

/// A cache that a watch has filled with this one namespace.
fn knows(namespace: &str, of: &[(&str, &str)]) -> Cache<Labels> {
    let cache = Cache::new("Namespace");
    cache.fill([(Key { namespace: String::new(), name: namespace.to_owned() }, labels(of))]);
    cache
}

fn no_types() -> Policies {
    Policies::new(Settings::default()).next(Inventory::default(), WallClock.now())
}

#[tokio::test]
async fn there_is_no_answer_before_there_are_policies() {
    let (judged, asked) = judge(None, "shop", Ok(Some(&[]))).await;
    assert!(matches!(judged, Err(JudgeError::NotReady(_))), "{judged:?}");
    assert!(asked.is_empty());
}

#[tokio::test]
async fn a_namespace_that_the_cache_does_not_know_is_asked_for_and_its_label_counts() {
    let (judged, asked) = judge(Some(no_types()), "shop", Ok(Some(&[]))).await;
    assert_eq!((judged.unwrap().answer.refusal, asked), (None, vec!["shop".to_owned()]));
    let (judged, _) = judge(Some(no_types()), "shop", Ok(Some(&[TYPE]))).await;
    assert!(judged.unwrap().answer.refusal.unwrap().starts_with("NamespaceClosed: "));
}

#[tokio::test]
async fn a_namespace_that_nobody_knows_is_no_typeless_one() {
    let (judged, _) = judge(Some(no_types()), "shop", Ok(None)).await;
    assert!(judged.unwrap().answer.refusal.unwrap().starts_with("NamespaceNotKnown: "));
}

#[tokio::test]
async fn what_cannot_be_a_name_is_not_asked_for() {
    for namespace in ["shop?watch=true", "../secrets", "Shop", "-shop", "", &"a".repeat(64)] {
        let (_, asked) = judge(Some(no_types()), namespace, Ok(Some(&[]))).await;
        assert_eq!(asked, Vec::<String>::new(), "{namespace}");
    }
}

#[tokio::test]
async fn a_namespace_that_could_not_be_looked_up_is_a_failed_call_and_says_so() {
    for is_typed in [false, true] {
        let cache = Cache::new("Namespace");
        let (judged, _) =
            judge_by(cache, Some(no_types()), "shop", Err("no answer within 1 s"), is_typed).await;
        let error = judged.unwrap_err();
        assert!(matches!(error, JudgeError::Lookup(_)));
        assert_eq!(
            error.to_string(),
            "namespace shop could not be looked up: no answer within 1 s; try again"
        );
    }
}

#[tokio::test]
async fn a_pod_that_came_by_a_typed_path_is_never_taken_for_a_typeless_one() {
    let stale = || knows("shop", &[("treenail.dev/team", "a")]);
    let judged = async |cache, found, is_typed| {
        let (judged, asked) = judge_by(cache, Some(no_types()), "shop", found, is_typed).await;
        (judged.map(|judged| judged.answer.refusal.unwrap_or_default()), asked.len())
    };
    // By the other path the cache is right: the API server saw no label either.
    assert!(matches!(judged(stale(), Err("down"), false).await, (Ok(refusal), 0) if refusal.is_empty()));
    // The cache is behind: the API server is asked, once.
    let (refusal, asked) = judged(stale(), Ok(Some(&[TYPE])), true).await;
    assert!(refusal.unwrap().starts_with("NamespaceClosed: "));
    assert_eq!(asked, 1);
    // It does not answer, or it answers what the cache says.
    assert!(matches!(judged(stale(), Err("down"), true).await, (Err(JudgeError::Lookup(_)), 1)));
    let (behind, _) = judged(stale(), Ok(Some(&[])), true).await;
    assert_eq!(
        behind.unwrap_err().to_string(),
        "namespace shop was labelled treenail.dev/workload-type when the call was made and is not any more; try again"
    );
    // A cache that agrees is enough.
    assert!(matches!(judged(knows("shop", &[TYPE]), Err("down"), true).await, (Ok(_), 0)));
}
