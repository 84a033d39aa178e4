use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

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
    let lookups = Lookups {
        namespace: lookup,
        object: Box::new(|_| unreachable!("a pod names nothing that is looked up")),
    };
    let policies = Arc::new(ArcSwapOption::from(policies.map(Arc::new)));
    let judge = Arc::new(PolicyJudge::new(policies, namespaces, lookups, Arc::new(WallClock)));
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
    let unknown = Cache::new("Namespace");
    let (judged, _) = judge_by(unknown, Some(no_types()), "shop", Ok(Some(&[TYPE])), true).await;
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

#[tokio::test]
async fn a_pod_that_came_by_a_typeless_path_is_never_taken_for_one_of_the_type_that_its_namespace_had() {
    let stale = || knows("shop", &[TYPE]);
    let judged = async |cache, found| {
        let (judged, asked) = judge_by(cache, Some(no_types()), "shop", found, false).await;
        (judged.map(|judged| judged.answer.refusal.unwrap_or_default()), asked.len())
    };
    assert!(matches!(judged(stale(), Ok(Some(&[]))).await, (Ok(refusal), 1) if refusal.is_empty()));
    assert!(matches!(judged(stale(), Err("down")).await, (Err(JudgeError::Lookup(_)), 1)));
    let (behind, _) = judged(stale(), Ok(Some(&[TYPE]))).await;
    assert_eq!(
        behind.unwrap_err().to_string(),
        "namespace shop was not labelled treenail.dev/workload-type when the call was made and is now; try again"
    );
}

#[tokio::test(start_paused = true)]
async fn of_namespaces_only_so_many_are_looked_up_at_a_time() {
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let noted = Arc::clone(&most);
    let lookups = Lookups {
        namespace: Box::new(move |_| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&noted));
            async move {
                most.fetch_max(running.fetch_add(1, SeqCst) + 1, SeqCst);
                tokio::time::sleep(NAMESPACE_WITHIN * 2 / 5).await;
                running.fetch_sub(1, SeqCst);
                Ok(Some(Labels::new()))
            }
            .boxed()
        }),
        object: Box::new(|_| unreachable!("a pod names nothing that is looked up")),
    };
    let policies = Arc::new(ArcSwapOption::from(Some(Arc::new(no_types()))));
    let judge = PolicyJudge::new(policies, Cache::new("Namespace"), lookups, Arc::new(WallClock));
    let names: Vec<_> = (0..3 * NAMESPACES_AT_ONCE).map(|number| format!("shop-{number}")).collect();
    let found = futures::future::join_all(names.iter().map(|name| judge.labels(name, false))).await;
    assert_eq!(most.load(SeqCst), NAMESPACES_AT_ONCE);
    // Those whose turn comes too late are failed calls, no typeless namespaces.
    let (in_time, late) = found.split_at(2 * NAMESPACES_AT_ONCE);
    assert!(in_time.iter().all(|found| matches!(found, Ok(Some(_)))));
    assert!(late.iter().all(|found| matches!(found, Err(JudgeError::Lookup(_)))));
}

/// The answer to the creation of the object, if the API server says this about what it names, or never answers.
async fn created(
    (group, kind): (&str, &str),
    object: serde_json::Value,
    found: Option<Result<Inventory, String>>,
) -> (String, Vec<Reference>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&asked);
    let lookups = Lookups {
        namespace: Box::new(|_| unreachable!("these are judged by themselves")),
        object: Box::new(move |reference| {
            notes.lock().unwrap().push(reference);
            let found = found.clone();
            async move {
                match found {
                    Some(found) => found,
                    None => std::future::pending().await,
                }
            }
            .boxed()
        }),
    };
    let policies = Arc::new(ArcSwapOption::from(Some(Arc::new(no_types()))));
    let judge = PolicyJudge::new(policies, Cache::new("Namespace"), lookups, Arc::new(WallClock));
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u", "operation": "CREATE", "namespace": "", "name": "shop",
            "kind": { "group": group, "version": "v1", "kind": kind },
            "userInfo": { "username": "alice" }, "object": object,
        },
    });
    let route = Route { endpoint: Endpoint::Validate, is_typed: false };
    let judged = Arc::new(judge).judge(route, Bytes::from(review.to_string())).await.unwrap().answer;
    let answer = judged.refusal.unwrap_or_else(|| format!("admitted {}", judged.warnings.join("; ")));
    let asked = asked.lock().unwrap().clone();
    (answer.trim().to_owned(), asked)
}

fn of_type(name: &str) -> serde_json::Value {
    json!({ "metadata": { "name": "shop", "labels": { "treenail.dev/workload-type": name } } })
}

#[tokio::test(start_paused = true)]
async fn a_type_that_the_cache_does_not_know_yet_is_looked_up_for_a_namespace() {
    const DOUBTFUL: &str = "WorkloadTypeNotKnown: namespace shop: metadata.labels[treenail.dev/workload-type] is \"application\", and whether there is such a workload type could not be looked up; try again";
    const UNKNOWN: &str = "UnknownWorkloadType: namespace shop: metadata.labels[treenail.dev/workload-type] is \"application\", and there is no such workload type; use one that exists (there are none)";
    let inventory = |metadata| {
        let object = json!({ "metadata": metadata, "spec": { "pools": [{ "name": "a" }] } });
        let mut inventory = Inventory::default();
        inventory.add_workload_type(&serde_json::from_value(object).unwrap());
        inventory
    };
    let made = inventory(json!({ "name": "application" }));
    let deleted = inventory(json!({ "name": "application", "deletionTimestamp": "2026-01-01T00:00:00Z" }));
    let labelled = async |found| created(("", "Namespace"), of_type("application"), found).await.0;
    assert_eq!(labelled(Some(Ok(made.clone()))).await, "admitted");
    assert!(labelled(Some(Ok(deleted))).await.starts_with("TypeBeingDeleted: "));
    assert_eq!(labelled(Some(Ok(Inventory::default()))).await, UNKNOWN);
    // It fails closed, and nobody is told that the type is not there.
    assert_eq!(labelled(Some(Err("connection refused".to_owned()))).await, DOUBTFUL);
    assert_eq!(labelled(None).await, DOUBTFUL, "no answer in time");
    // What cannot be a name never becomes part of a request.
    let (answer, asked) = created(("", "Namespace"), of_type("../namespaces/x"), Some(Ok(made))).await;
    assert!(answer.starts_with("UnknownWorkloadType: ") && asked.is_empty(), "{answer} {asked:?}");
}

#[tokio::test(start_paused = true)]
async fn pools_and_classes_that_the_cache_does_not_know_yet_are_looked_up_before_anybody_is_warned() {
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
    let taints = json!([{ "key": "a", "value": "b", "effect": "NoSchedule" }]);
    let pool = |name: &str| json!({ "metadata": { "name": name }, "spec": { "template": { "spec": { "nodeClassRef": class, "requirements": [], "taints": taints } } } });
    let mut known = Inventory::default();
    known.add_node_pool(&serde_json::from_value(pool("a")).unwrap());
    let pools: Vec<_> = ["a", "b", "c", "d", "e"].map(|name| json!({ "name": name })).to_vec();
    let one = json!({ "metadata": { "name": "t" }, "spec": { "pools": [{ "name": "a" }] } });
    let many = json!({ "metadata": { "name": "t" }, "spec": { "pools": pools } });
    let kind = ("treenail.dev", "WorkloadType");
    let warning = "admitted workloadtype shop: NodePool a does not exist yet; it is used as soon as it does";
    let (answer, asked) = created(kind, one.clone(), Some(Ok(known.clone()))).await;
    assert_eq!((answer.as_str(), asked), ("admitted", vec![Reference::NodePool("a".to_owned())]));
    assert_eq!(created(kind, one.clone(), Some(Ok(Inventory::default()))).await.0, warning);
    // What could not be looked up, or was not, is not said to be missing.
    assert_eq!(created(kind, one.clone(), None).await.0, "admitted");
    assert_eq!(created(kind, one, Some(Err("forbidden".to_owned()))).await.0, "admitted");
    let (answer, asked) = created(kind, many, Some(Ok(known))).await;
    assert_eq!(asked.len(), OBJECTS_AT_ONCE);
    let missing = ["b", "c", "d"].map(|name| {
        format!("workloadtype shop: NodePool {name} does not exist yet; it is used as soon as it does")
    });
    assert_eq!(answer, format!("admitted {}", missing.join("; ")));

    let kind = ("karpenter.sh", "NodePool");
    let (answer, asked) = created(kind, pool("p"), Some(Ok(Inventory::default()))).await;
    assert_eq!(asked, [Reference::NodeClass("default".to_owned())]);
    assert!(answer.contains("EC2NodeClass default does not exist yet"), "{answer}");

    // A type whose label the pool gives, and that does not name it or is not there.
    let mut labelled = pool("p");
    let labels = json!({ crate::api::labels::node_type_label("t"): "" });
    labelled["spec"]["template"]["metadata"] = json!({ "labels": labels });
    let mut known = Inventory::default();
    let object = json!({ "metadata": { "name": "t" }, "spec": { "pools": [{ "name": "p" }] } });
    known.add_workload_type(&serde_json::from_value(object).unwrap());
    for (found, is_told) in [(Some(Ok(known)), false), (Some(Ok(Inventory::default())), true), (None, false)]
    {
        let (answer, asked) = created(kind, labelled.clone(), found).await;
        assert!(asked.contains(&Reference::WorkloadType("t".to_owned())), "{asked:?}");
        assert_eq!(answer.contains("WorkloadType t does not exist yet"), is_told, "{answer}");
    }
    let mut required = pool("p");
    let key = crate::api::labels::node_type_label("t");
    required["spec"]["template"]["spec"]["requirements"] =
        json!([{ "key": key, "operator": "In", "values": [""] }]);
    let (answer, asked) = created(kind, required, Some(Ok(Inventory::default()))).await;
    assert!(asked.contains(&Reference::WorkloadType("t".to_owned())), "{asked:?}");
    assert!(answer.contains("WorkloadType t does not exist yet"), "{answer}");
}

#[test]
fn a_body_is_taken_for_text_of_the_same_length_whatever_bytes_it_has() {
    assert_eq!(as_text(b"a\xffb\xe2\x82 \xc3"), "a?b?? ?");
    assert!(matches!(as_text("ä".as_bytes()), Cow::Borrowed("ä")));
}
