//! A controller with an API server that answers as it is told, and caches that show what they are told.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::*;
use crate::cluster::cache::Key;
use crate::cluster::caches::Caches;
use crate::cluster::testing::{Call, api_server, refusal};
use crate::controllers::catalogs::Catalogs;
use crate::controllers::provisioning::Provisioner;
use crate::controllers::provisioning::nominations::SharedNominations;
use crate::controllers::testing::{FakeCloud, cluster_key, context, fill};

/// An API server that has claims, and a cache that need not show them.
#[derive(Clone, Default)]
pub(super) struct Server(Arc<Mutex<State>>);

#[derive(Default)]
pub(super) struct State {
    /// The claims that exist, by name.
    pub(super) claims: BTreeMap<String, Value>,
    /// When a claim was created, or was tried to be.
    pub(super) creations: Vec<Duration>,
    /// How the next creations are answered; those after them, with the claim.
    pub(super) answers: Vec<Answered>,
    pub(super) lists: usize,
    pub(super) lists_fail: bool,
}

/// How a creation is answered.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Answered {
    Forbidden,
    /// It has taken effect, and the answer is lost.
    Lost,
    /// It has not taken effect, and the answer is lost.
    Failed,
}

impl Server {
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    pub(super) fn created(&self) -> usize {
        self.with(|state| state.creations.len())
    }

    fn answer(&self, call: &Call, start: Instant) -> (u16, Value) {
        self.with(|state| match call.line.as_str() {
            "GET /apis/karpenter.sh/v1/nodeclaims" => {
                state.lists += 1;
                state.list()
            }
            "POST /apis/karpenter.sh/v1/nodeclaims" => {
                state.creations.push(start.elapsed());
                state.create(call.body.clone())
            }
            other => panic!("{other}"),
        })
    }
}

impl State {
    fn list(&self) -> (u16, Value) {
        if self.lists_fail {
            return refusal(503, "no");
        }
        let items: Vec<_> = self.claims.values().cloned().collect();
        let list = json!({ "apiVersion": "karpenter.sh/v1", "kind": "NodeClaimList", "metadata": {}, "items": items });
        (200, list)
    }

    fn create(&mut self, mut claim: Value) -> (u16, Value) {
        let how = (!self.answers.is_empty()).then(|| self.answers.remove(0));
        if how == Some(Answered::Forbidden) {
            return refusal(403, "no");
        }
        if how != Some(Answered::Failed) {
            let name = format!("application-{}", self.creations.len());
            claim["metadata"]["uid"] = format!("{name}-uid").into();
            claim["metadata"]["name"] = name.clone().into();
            self.claims.insert(name, claim.clone());
        }
        if how.is_some() { refusal(500, "no") } else { (201, claim) }
    }
}

pub(super) struct Stage {
    pub(super) server: Server,
    pub(super) caches: Caches,
    pub(super) provisioner: Provisioner,
}

impl Stage {
    pub(super) fn new() -> Self {
        let start = Instant::now();
        let server = Server::default();
        let answers = server.clone();
        let (client, _) = api_server(move |call| answers.answer(call, start));
        let context = context(client, at(0));
        let caches = context.caches.clone();
        let cloud = Arc::new(FakeCloud { types: instance_types(), ..FakeCloud::default() });
        let provisioner = Provisioner::new(context, cloud, Catalogs::default(), SharedNominations::default());
        fill(&caches, []);
        caches.node_pools.fill([(cluster_key("application"), (*pool(&json!({}))).clone())]);
        caches.node_classes.fill([(cluster_key("default"), (*class(&json!({}))).clone())]);
        caches.workload_types.fill([(cluster_key("application"), owning_type())]);
        caches.namespaces.fill([(cluster_key("shop"), (*typed_as("application")).clone())]);
        Self { server, caches, provisioner }
    }

    /// These pods wait from now on, and no others.
    pub(super) fn wait(&self, names: &[&str]) {
        self.caches.pods.fill(names.iter().map(|name| waiting(name, "500m")));
    }

    /// Lets the controller work for so long.
    pub(super) async fn run(&mut self, seconds: u64) {
        self.run_for(Duration::from_secs(seconds)).await;
    }

    pub(super) async fn run_for(&mut self, time: Duration) {
        let work = async {
            loop {
                self.provisioner.turn().await;
            }
        };
        assert!(timeout(time, work).await.is_err(), "it works for ever");
    }

    /// Lets the controller begin a term of leadership and work for so long.
    pub(super) async fn lead(&mut self, seconds: u64) {
        assert!(timeout(Duration::from_secs(seconds), self.provisioner.lead()).await.is_err());
    }

    pub(super) fn promised(&self, name: &str) -> Option<String> {
        let key = crate::model::pod::PodKey { namespace: "shop".to_owned(), name: name.to_owned() };
        self.provisioner.nominations.now().of(&key, &format!("{name}-uid")).map(str::to_owned)
    }
}

/// A pod that admission has put into the type and that waits, as the cache has it.
pub(super) fn waiting(name: &str, cpu: &str) -> (Key, KnownPod) {
    let key = Key { namespace: "shop".to_owned(), name: name.to_owned() };
    (key, Arc::unwrap_or_clone(admitted(name, cpu)))
}

/// Type `application`, whose status guards the taint of its pool.
fn owning_type() -> crate::api::workload_type::WorkloadType {
    read(json!({
        "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType",
        "metadata": { "name": "application", "generation": 1 },
        "spec": { "pools": [{ "name": "application" }] },
        "status": { "taints": [
            { "key": "node-type", "value": "application", "effect": "NoSchedule", "pools": ["application"] },
        ]},
    }))
}
