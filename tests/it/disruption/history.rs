//! Every state that claims and Nodes of a pool were in, in the order in which the API server stored them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt};
use tokio::task::JoinSet;
use treenail::api::nodeclaim::NodeClaim;

use super::is_disrupted;
use crate::support::claims::holds;
use crate::support::cluster::{A_WHILE, found_within};

/// A state of one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    NodeUntouched,
    NodeTainted,
    ClaimThere,
    ClaimMarked,
    ClaimDeleted,
    ClaimGone,
}

/// What was seen: the version of the store, the claim, the state.
type Seen = (u64, String, State);

/// A running observation of one pool.
pub(super) struct History {
    seen: Arc<Mutex<Vec<Seen>>>,
    // Ends the watches when the history goes.
    _watching: JoinSet<()>,
}

impl History {
    /// Starts watching.
    pub(super) fn start(client: &Client, pool: &str) -> Self {
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let mut watching = JoinSet::new();
        let claim = |claim: &NodeClaim, is_gone| {
            let state = if is_gone {
                State::ClaimGone
            } else if claim.metadata.deletion_timestamp.is_some() {
                State::ClaimDeleted
            } else if holds("DisruptionReason")(Some(claim)) {
                State::ClaimMarked
            } else {
                State::ClaimThere
            };
            Some((claim.name_any(), state))
        };
        let node = |node: &Node, _is_gone| {
            let owner = node.owner_references().first()?.name.clone();
            Some((owner, if is_disrupted(node) { State::NodeTainted } else { State::NodeUntouched }))
        };
        watching.spawn(watch(
            Api::<NodeClaim>::all(client.clone()),
            pool.to_owned(),
            Arc::clone(&seen),
            claim,
        ));
        watching.spawn(watch(Api::<Node>::all(client.clone()), pool.to_owned(), Arc::clone(&seen), node));
        Self { seen, _watching: watching }
    }

    /// Everything so far, in order.
    pub(super) fn all(&self) -> Vec<(String, State)> {
        let mut seen = self.seen.lock().unwrap().clone();
        seen.sort();
        seen.dedup();
        seen.into_iter().map(|(_, claim, state)| (claim, state)).collect()
    }

    /// The states of one claim and its Node, each once where it changed.
    pub(super) fn of(&self, claim: &str) -> Vec<State> {
        let mut states: Vec<_> =
            self.all().into_iter().filter(|(name, _)| name == claim).map(|(_, state)| state).collect();
        states.dedup();
        states
    }

    /// Waits until it is seen here, too, that the claim is gone: whoever else saw it may have been earlier.
    pub(super) async fn until_gone(&self, claim: &str) {
        let what = format!("the end of {claim} is seen");
        let is_seen = async || (self.of(claim).last() == Some(&State::ClaimGone)).then_some(());
        found_within(A_WHILE, &what, is_seen).await.unwrap();
    }

    /// The most claims that were disrupted at once: marked, or on their way out.
    pub(super) fn most_disrupted(&self) -> usize {
        let mut states: BTreeMap<String, (bool, bool)> = BTreeMap::new();
        let mut most = 0;
        for (claim, state) in self.all() {
            let (is_tainted, is_out) = states.entry(claim).or_default();
            match state {
                State::NodeUntouched => *is_tainted = false,
                State::NodeTainted => *is_tainted = true,
                State::ClaimThere => *is_out = false,
                State::ClaimMarked | State::ClaimDeleted => *is_out = true,
                State::ClaimGone => (*is_tainted, *is_out) = (false, false),
            }
            most = most.max(states.values().filter(|(is_tainted, is_out)| *is_tainted || *is_out).count());
        }
        most
    }
}

async fn watch<K>(
    api: Api<K>,
    pool: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    state: fn(&K, bool) -> Option<(String, State)>,
) where
    K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let scope = watcher::Config::default().labels(&format!("karpenter.sh/nodepool={pool}"));
    let mut events = watcher(api, scope).boxed();
    while let Some(event) = events.next().await {
        let (object, is_gone) = match event {
            Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => (object, false),
            Ok(watcher::Event::Delete(object)) => (object, true),
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => continue,
        };
        let version = object.resource_version().and_then(|version| version.parse().ok()).unwrap_or(0);
        if let Some((claim, state)) = state(&object, is_gone) {
            seen.lock().unwrap().push((version, claim, state));
        }
    }
}
