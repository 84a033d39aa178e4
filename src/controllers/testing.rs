//! What the tests of controllers run on: an API server and a cloud as scripts, caches that are filled by hand, a clock that stands still.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::Context;
use super::index::Index;
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::labels;
use crate::cluster::cache::Key;
use crate::cluster::caches::{Caches, KnownClaim, known_claim};
use crate::cluster::events::Events;
use crate::model::InstanceType;
use crate::model::instance_type::CapacityType;
use crate::model::testing::nodes::at;
use crate::ports::clock::Clock;
use crate::ports::cloud::{
    Answer, CloudProvider, ClusterFacts, Instance, InstanceState, LaunchRequest, Launched, ProviderId,
    Resolution, ResolvedClass,
};
use crate::ports::error::{CloudError, ErrorClass};

/// A clock that goes with the runtime's, which tests stop and move.
#[derive(Debug)]
struct RuntimeClock(Timestamp, Instant);

impl Clock for RuntimeClock {
    fn now(&self) -> Timestamp {
        self.0 + SignedDuration::try_from(self.1.elapsed()).unwrap()
    }
}

/// A context at this moment. What it tells people is lost.
pub(super) fn context(client: Client, now: Timestamp) -> Context {
    let clock = Arc::new(RuntimeClock(now, Instant::now()));
    let (events, _) = Events::new(client.clone(), "test", clock.clone());
    let caches = Caches::default();
    Context { client, clock, index: Index::of(&caches), caches, events, exempt_namespaces: Arc::default() }
}

/// How often a task is polled in this time: one that waits is polled when something happens, one that spins all the time.
pub(super) async fn polls(task: impl Future<Output = ()>, time: Duration) -> usize {
    let (mut task, mut polls) = (std::pin::pin!(task), 0);
    let counted = std::future::poll_fn(|context| {
        polls += 1;
        task.as_mut().poll(context)
    });
    assert!(tokio::time::timeout(time, counted).await.is_err(), "it does not end");
    polls
}

/// The facts of a cluster.
pub(super) fn cluster() -> ClusterFacts {
    ClusterFacts {
        name: "test".to_owned(),
        endpoint: String::new(),
        certificate_authority: String::new(),
        service_cidr: "172.20.0.0/16".to_owned(),
        dns_address: "172.20.0.10".parse().unwrap(),
        kubernetes_version: "1.36".to_owned(),
    }
}

/// Takes every cache for complete, and empty but for claims.
pub(super) fn fill(caches: &Caches, claims: impl IntoIterator<Item = (Key, KnownClaim)>) {
    caches.namespaces.fill([]);
    caches.workload_types.fill([]);
    caches.node_pools.fill([]);
    caches.node_claims.fill(claims);
    caches.node_classes.fill([]);
    caches.nodes.fill([]);
    caches.pods.fill([]);
    caches.daemons.fill([]);
    caches.attachments.fill([]);
    caches.volumes.fill([]);
}

pub(super) fn cluster_key(name: &str) -> Key {
    Key { namespace: String::new(), name: name.to_owned() }
}

/// A NodeClaim of pool `application` that registered long ago, for the caches. `extra` is merged into it.
pub(super) fn registered_claim(name: &str, provider_id: &str, extra: Value) -> (Key, KnownClaim) {
    let class = json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
    let condition = |type_: &str| json!({ "type": type_, "status": "True", "reason": type_, "message": "", "lastTransitionTime": at(0).to_string() });
    let mut claim = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodeClaim",
        "metadata": {
            "name": name, "uid": format!("{name}-uid"), "resourceVersion": "1", "creationTimestamp": at(0).to_string(),
            "labels": { "karpenter.sh/nodepool": "application" }, "finalizers": ["karpenter.sh/termination"],
        },
        "spec": { "nodeClassRef": class, "requirements": [] },
        "status": { "providerID": provider_id, "conditions": [condition("Launched"), condition("Registered"), condition("Initialized")] },
    });
    json_patch::merge(&mut claim, &extra);
    (cluster_key(name), known_claim(serde_json::from_value(claim).unwrap()))
}

/// An instance that was launched long ago for the claim of this UID.
pub(super) fn instance(provider_id: &str, claim_uid: &str) -> Instance {
    Instance {
        provider_id: ProviderId::new(provider_id),
        state: InstanceState::Running,
        instance_type: "c7i.xlarge".to_owned(),
        zone: "us-east-1a".to_owned(),
        capacity_type: CapacityType::OnDemand,
        image_id: "ami-1".to_owned(),
        launched_at: at(0),
        tags: [(labels::CLIENT_TOKEN_TAG.to_owned(), format!("{claim_uid}-0"))].into(),
    }
}

/// A cloud that holds instances, and launches none.
#[derive(Debug, Default)]
pub(super) struct FakeCloud {
    /// What could be launched.
    pub(super) types: Vec<InstanceType>,
    /// What it shows to whoever asks for all.
    pub(super) listed: Vec<Instance>,
    /// What it shows only to whoever asks for it, as if it had lost its tags.
    pub(super) unlisted: Vec<Instance>,
    /// Whether questions about one instance fail.
    pub(super) is_out: bool,
    /// Whether it never answers questions about one instance, nor orders.
    pub(super) hangs: bool,
    /// The node class about which it never answers.
    pub(super) silent_about: Option<&'static str>,
    /// What it was asked.
    pub(super) calls: Mutex<Vec<String>>,
}

impl FakeCloud {
    /// What was asked since the last time.
    pub(super) fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    fn called(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }

    async fn answer(&self) {
        if self.hangs {
            std::future::pending::<()>().await;
        }
    }

    async fn answer_about(&self, class: &Ec2NodeClass) {
        if class.metadata.name.as_deref() == self.silent_about {
            std::future::pending::<()>().await;
        }
    }

    fn find(&self, id: &ProviderId) -> Result<Instance, CloudError> {
        if self.is_out {
            return Err(error(ErrorClass::Throttled));
        }
        let found = self.listed.iter().chain(&self.unlisted).find(|instance| instance.provider_id == *id);
        found.cloned().ok_or_else(|| error(ErrorClass::NotFound))
    }
}

fn error(class: ErrorClass) -> CloudError {
    CloudError::new(class, class.name(), "ask", "no")
}

impl CloudProvider for FakeCloud {
    fn instance_types<'a>(
        &'a self,
        _: &'a Ec2NodeClass,
    ) -> Answer<'a, Result<Arc<[InstanceType]>, CloudError>> {
        Box::pin(async { Ok(self.types.clone().into()) })
    }

    fn resolve_class<'a>(
        &'a self,
        class: &'a Ec2NodeClass,
        _: &'a ClusterFacts,
    ) -> Answer<'a, ResolvedClass> {
        self.called(format!("resolve {}", class.metadata.name.as_deref().unwrap_or_default()));
        Box::pin(async {
            self.answer_about(class).await;
            ResolvedClass {
                obstacle: None,
                subnets: Resolution::Found(vec![]),
                security_groups: Resolution::Found(vec![]),
                amis: Resolution::Found(vec![]),
                instance_profile: Resolution::Found("profile".to_owned()),
            }
        })
    }

    fn launch<'a>(&'a self, request: LaunchRequest<'a>) -> Answer<'a, Result<Launched, CloudError>> {
        self.called(format!("launch {}", request.claim.name));
        Box::pin(async {
            self.answer().await;
            Err(error(ErrorClass::Other))
        })
    }

    fn get<'a>(&'a self, id: &'a ProviderId) -> Answer<'a, Result<Instance, CloudError>> {
        self.called(format!("get {id}"));
        Box::pin(async move {
            self.answer().await;
            self.find(id)
        })
    }

    fn list<'a>(&'a self, _: &'a str) -> Answer<'a, Result<Vec<Instance>, CloudError>> {
        Box::pin(async { Ok(self.listed.clone()) })
    }

    fn find_of_claim<'a>(
        &'a self,
        _: &'a str,
        claim_uid: &'a str,
    ) -> Answer<'a, Result<Option<Instance>, CloudError>> {
        let its = self.listed.iter().find(|instance| instance.claim_uid() == Some(claim_uid));
        Box::pin(async move { Ok(its.cloned()) })
    }

    fn terminate<'a>(&'a self, _: &'a str, id: &'a ProviderId) -> Answer<'a, Result<(), CloudError>> {
        self.called(format!("terminate {id}"));
        Box::pin(async move {
            self.answer().await;
            self.find(id).map(drop)
        })
    }

    fn release_class<'a>(
        &'a self,
        class: &'a Ec2NodeClass,
        _: &'a ClusterFacts,
    ) -> Answer<'a, Result<(), CloudError>> {
        self.called(format!("release {}", class.metadata.name.as_deref().unwrap_or_default()));
        Box::pin(async {
            self.answer_about(class).await;
            if self.is_out { Err(error(ErrorClass::Throttled)) } else { Ok(()) }
        })
    }
}
