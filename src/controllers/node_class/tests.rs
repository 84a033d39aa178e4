use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::api::conditions::{find, is_true};
use crate::api::ec2nodeclass::{self as api, Subnet};
use crate::cluster::testing::{Call, Calls, api_server, refusal};
use crate::controllers::testing::{FakeCloud, cluster, cluster_key, context, fill, polls};
use crate::model::event::Severity;
use crate::ports::cloud::{ClassObstacle, Resolution, ResolvedClass};
use crate::ports::error::{CloudError, ErrorClass};

fn class(extra: serde_json::Value) -> Ec2NodeClass {
    let mut object = json!({
        "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass",
        "metadata": { "name": "default", "generation": 2, "creationTimestamp": "2026-11-01T00:00:00Z" },
        "spec": {
            "role": "node", "amiSelectorTerms": [{ "alias": "al2023@latest" }],
            "subnetSelectorTerms": [{ "id": "subnet-1" }], "securityGroupSelectorTerms": [{ "id": "sg-1" }],
        },
    });
    for (key, value) in extra.as_object().unwrap() {
        object["spec"][key] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn resolved() -> ResolvedClass {
    let subnet = Subnet { id: "subnet-1".to_owned(), zone: "us-east-1a".to_owned(), zone_id: None };
    ResolvedClass {
        obstacle: None,
        subnets: Resolution::Found(vec![subnet]),
        security_groups: Resolution::Found(vec![]),
        amis: Resolution::Found(vec![]),
        instance_profile: Resolution::Found("profile".to_owned()),
    }
}

fn now() -> Timestamp {
    "2026-11-02T00:00:00Z".parse().unwrap()
}

#[test]
fn a_class_whose_selectors_all_find_something_is_ready() {
    let status = status(&class(json!({})), resolved(), now());
    assert!(is_true(&status.conditions, "Ready"), "{:?}", status.conditions);
    assert_eq!((status.subnets.len(), status.instance_profile.as_deref()), (1, Some("profile")));
}

#[test]
fn what_finds_nothing_is_named_and_a_cloud_that_does_not_answer_changes_nothing() {
    let mut class = class(json!({}));
    class.status = Some(status(&class, resolved(), now()));
    let unusable = Resolution::Unusable { reason: "SubnetsNotFound", message: "no subnet".to_owned() };
    let found = status(&class, ResolvedClass { subnets: unusable, ..resolved() }, now());
    assert!(found.subnets.is_empty());
    assert_eq!(find(&found.conditions, api::SUBNETS_READY).unwrap().reason, "SubnetsNotFound");
    assert!(!is_true(&found.conditions, "Ready"));

    let failed =
        Resolution::Failed(CloudError::new(ErrorClass::Throttled, "RequestLimitExceeded", "ask", "slow"));
    let silent = ResolvedClass { subnets: failed, ..resolved() };
    let conditions: Vec<_> = unanswered(&silent).into_iter().map(|(condition, _)| condition).collect();
    assert_eq!((conditions, unanswered(&resolved())), (vec![api::SUBNETS_READY], vec![]));
    let found = status(&class, silent, now());
    assert_eq!(Some(found), class.status);
}

#[test]
fn what_would_make_every_launch_fail_closes_the_class() {
    let obstacle = ClassObstacle { reason: "InvalidBlockDevices", message: "too large".to_owned() };
    let found = status(&class(json!({})), ResolvedClass { obstacle: Some(obstacle), ..resolved() }, now());
    let condition = find(&found.conditions, api::VALIDATION_SUCCEEDED).unwrap();
    assert_eq!((condition.reason.as_str(), condition.message.as_str()), ("InvalidBlockDevices", "too large"));
    assert!(!is_true(&found.conditions, "Ready"));
}

#[test]
fn a_class_that_is_being_deleted_is_not_ready_and_names_the_claims_that_hold_it() {
    let mut class = class(json!({}));
    class.status = Some(status(&class, resolved(), now()));
    class.metadata.generation = Some(3);
    class.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(now()));
    class.metadata.finalizers = Some(vec![EC2NODECLASS_FINALIZER.to_owned()]);
    let ClassStep::Wait(event) = step(&class, &["a", "b"]) else { panic!("it goes before its claims") };
    let found = ending(&class, &event.message, now());
    assert_eq!(found.subnets.len(), 1, "claims that are left may need it");
    let ready = find(&found.conditions, "Ready").unwrap();
    assert_eq!((ready.status.as_str(), ready.reason.as_str()), ("False", "Terminating"));
    assert_eq!(
        ready.message,
        "it is being deleted: it goes once no NodeClaim uses it: a, b; delete those, or their NodePools"
    );
    class.status = Some(found.clone());
    assert_eq!(ending(&class, &event.message, now()), found);
}

#[test]
fn a_field_that_is_not_honoured_is_named_and_closes_the_class() {
    let found = status(&class(json!({ "userData": "#!/bin/sh" })), resolved(), now());
    let condition = find(&found.conditions, api::VALIDATION_SUCCEEDED).unwrap();
    assert_eq!(condition.reason, "NotSupportedYet");
    assert!(condition.message.contains("userData"), "{}", condition.message);
    assert!(!is_true(&found.conditions, "Ready"));
}

/// A controller that knows these classes and no claims, over an API server that holds these claims and keeps what is written to classes.
struct Stage {
    controller: NodeClassController,
    cloud: Arc<FakeCloud>,
    calls: Calls,
    events: tokio::sync::mpsc::Receiver<Event>,
}

impl Stage {
    fn new(cloud: FakeCloud, classes: Vec<Ec2NodeClass>, claims: Vec<serde_json::Value>) -> Self {
        let known: Cache<Ec2NodeClass> = Cache::new("EC2NodeClass");
        known.fill(classes.into_iter().map(|class| (cluster_key(&class.name_any()), class)));
        let node_classes = known.clone();
        let (client, calls) = api_server(move |call| match call.line.split_once(' ') {
            Some(("GET", "/apis/karpenter.sh/v1/nodeclaims")) => {
                let list = json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaimList", "metadata": {}, "items": claims.clone() });
                (200, list)
            }
            Some(("PATCH", path)) => write(&known, path, call),
            _ => refusal(404, "there is none"),
        });
        let (context, cloud) = (context(client, now()), Arc::new(cloud));
        fill(&context.caches, []);
        let (sender, events) = Events::kept();
        let controller = NodeClassController {
            client: context.client,
            clock: context.clock,
            cloud: cloud.clone(),
            cluster: Arc::new(cluster()),
            node_classes,
            node_claims: context.caches.node_claims,
            events: sender,
        };
        Self { controller, cloud, calls, events }
    }

    fn class(&self, name: &str) -> Arc<Ec2NodeClass> {
        self.controller.node_classes.get("", name).unwrap()
    }

    /// Whether the class is ready, and what is said of that.
    fn ready(&self, name: &str) -> (String, String) {
        let class = self.class(name);
        let ready = find(&class.status.as_ref().unwrap().conditions, "Ready").unwrap();
        (format!("{} {}", ready.status.as_str(), ready.reason), ready.message.clone())
    }

    async fn look(&self, retries: &mut Retries) {
        self.controller.hold_or_release(&self.class("default"), retries).await;
    }
}

/// Writes a class, and lets the cache know it.
fn write(known: &Cache<Ec2NodeClass>, path: &str, call: &Call) -> (u16, serde_json::Value) {
    let name = path.trim_end_matches("/status").rsplit('/').next().unwrap();
    let mut class = Ec2NodeClass::clone(&known.get("", name).unwrap());
    if path.ends_with("/status") {
        class.status = serde_json::from_value(call.body["status"].clone()).unwrap();
    } else {
        class.metadata.finalizers =
            serde_json::from_value(call.body["metadata"]["finalizers"].clone()).unwrap();
    }
    let object = serde_json::to_value(&class).unwrap();
    let classes = known.entries().into_iter().map(|(key, object)| (key, Ec2NodeClass::clone(&object)));
    let others: Vec<_> = classes.filter(|(key, _)| key.name != name).collect();
    known.fill(others.into_iter().chain([(cluster_key(name), class)]));
    (200, object)
}

fn named(name: &str) -> Ec2NodeClass {
    let mut class = class(json!({}));
    class.metadata.name = Some(name.to_owned());
    class
}

/// A class that was ready, and is being deleted.
fn deleted() -> Ec2NodeClass {
    let mut class = class(json!({}));
    class.status = Some(status(&class, resolved(), now()));
    class.metadata.finalizers = Some(vec!["other".to_owned(), EC2NODECLASS_FINALIZER.to_owned()]);
    class.metadata.deletion_timestamp = class.metadata.creation_timestamp.clone();
    class
}

fn claim_of(class: &str) -> serde_json::Value {
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": class });
    json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim", "metadata": { "name": "a" }, "spec": { "nodeClassRef": class, "taints": 7 } })
}

const CLAIMS: &str = "GET /apis/karpenter.sh/v1/nodeclaims";
const CLASS: &str = "PATCH /apis/karpenter.k8s.aws/v1/ec2nodeclasses/default";
const STATUS: &str = "PATCH /apis/karpenter.k8s.aws/v1/ec2nodeclasses/default/status";

#[tokio::test]
async fn a_class_is_let_go_once_the_api_server_itself_knows_no_claim_of_it() {
    let stage = Stage::new(FakeCloud::default(), vec![deleted()], vec![claim_of("another")]);
    let mut retries = Retries::default();
    stage.look(&mut retries).await;
    assert_eq!((stage.cloud.take_calls(), stage.calls.lines()), (vec![], vec![STATUS.to_owned()]));
    assert_eq!(stage.ready("default").0, "False Terminating");
    stage.look(&mut retries).await;
    assert_eq!(stage.cloud.take_calls(), ["release default"]);
    assert_eq!(stage.calls.lines(), [CLAIMS, CLASS]);
    assert_eq!(stage.class("default").metadata.finalizers, Some(vec!["other".to_owned()]));
}

#[tokio::test]
async fn people_are_told_of_claims_that_hold_a_class_and_cannot_be_read() {
    let mut stage = Stage::new(FakeCloud::default(), vec![deleted()], vec![claim_of("default")]);
    let mut retries = Retries::default();
    stage.look(&mut retries).await;
    stage.look(&mut retries).await;
    assert_eq!(stage.cloud.take_calls(), Vec::<String>::new());
    assert_eq!(stage.calls.lines(), [STATUS, CLAIMS, STATUS]);
    let event = stage.events.try_recv().unwrap();
    assert_eq!((event.severity, event.reason), (Severity::Warning, "FailedTermination"));
    let why = "it cannot be let go yet, and that is tried again: the API server has NodeClaims that cannot be read here; it goes once no NodeClaim uses it: a; delete those, or their NodePools";
    assert_eq!(event.message, why);
    let ready = stage.ready("default");
    assert_eq!(ready, ("False Terminating".to_owned(), format!("it is being deleted: {why}")));
}

#[tokio::test(start_paused = true)]
async fn a_class_that_cannot_be_released_says_why_and_is_tried_again_later_and_later() {
    let mut stage = Stage::new(FakeCloud { is_out: true, ..FakeCloud::default() }, vec![deleted()], vec![]);
    let mut retries = Retries::default();
    stage.look(&mut retries).await;
    let mut tried = Vec::new();
    for seconds in [0, 1, 1, 3, 1] {
        tokio::time::advance(Duration::from_secs(seconds)).await;
        stage.look(&mut retries).await;
        tried.push(stage.cloud.take_calls().len());
    }
    assert_eq!(tried, [1, 0, 1, 0, 1]);
    let lines = stage.calls.lines();
    assert_eq!(lines, [STATUS, CLAIMS, STATUS, CLAIMS, CLAIMS], "it is not let go");
    let why = "it cannot be let go yet, and that is tried again: remove what was made for the class: ask: no";
    assert_eq!(stage.events.try_recv().unwrap().message, why);
    assert_eq!(stage.ready("default").1, format!("it is being deleted: {why}"));
}

#[tokio::test(start_paused = true)]
async fn a_class_for_which_the_cloud_is_silent_keeps_no_other_waiting() {
    let cloud = FakeCloud { silent_about: Some("default"), ..FakeCloud::default() };
    let stage = Stage::new(cloud, vec![named("another"), named("default")], vec![]);
    let (leads, leading) = watch::channel(true);
    let Stage { controller, cloud, calls, .. } = stage;
    let known = controller.node_classes.clone();
    let mut run = std::pin::pin!(controller.run(leading));
    polls(run.as_mut(), Duration::from_secs(1)).await;
    for name in ["another", "default"] {
        let class = known.get("", name).unwrap();
        assert!(class.metadata.finalizers.is_some(), "{name} is held before the cloud has answered");
        assert_eq!(class.status.is_some(), name == "another");
    }

    let mut deleted = Ec2NodeClass::clone(&known.get("", "another").unwrap());
    deleted.metadata.deletion_timestamp = deleted.metadata.creation_timestamp.clone();
    let silent = Ec2NodeClass::clone(&known.get("", "default").unwrap());
    known.fill([(cluster_key("another"), deleted), (cluster_key("default"), silent)]);
    calls.take();
    cloud.take_calls();
    polls(run.as_mut(), Duration::from_secs(1)).await;
    assert_eq!(cloud.take_calls(), ["release another"], "the other one is still waited for");
    assert_eq!(known.get("", "another").unwrap().metadata.finalizers, Some(vec![]));

    let polled = polls(run.as_mut(), Duration::from_mins(10)).await;
    assert!(polled < 100, "{polled}");
    let asked = cloud.take_calls();
    assert!(asked.len() > 5 && asked.iter().all(|call| call == "resolve default"), "{asked:?}");

    leads.send_replace(false);
    let polled = polls(run.as_mut(), Duration::from_hours(1)).await;
    assert!(
        polled < 5 && cloud.take_calls().is_empty(),
        "nothing goes on while another replica leads: {polled}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_release_that_the_cloud_does_not_answer_is_given_up_and_tried_again() {
    let cloud = FakeCloud { silent_about: Some("default"), ..FakeCloud::default() };
    let stage = Stage::new(cloud, vec![deleted()], vec![]);
    let mut retries = Retries::default();
    stage.look(&mut retries).await;
    stage.look(&mut retries).await;
    let (_, message) = stage.ready("default");
    assert!(message.ends_with("remove what was made for the class: no answer within 30 s"), "{message}");
    assert!(!retries.may_write("default", Instant::now()));
}
