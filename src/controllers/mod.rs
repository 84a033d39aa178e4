//! The drivers: each reads state, asks a decider, and carries out what it answers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::watch;

use self::index::Index;
use crate::cluster::caches::Caches;
use crate::cluster::events::Events;
use crate::model::Namespace;
use crate::ports::clock::Clock;

pub mod catalogs;
pub mod certificate;
mod daemons;
pub mod disruption;
pub mod garbage;
pub mod index;
mod live;
pub mod node_claim;
pub mod node_class;
pub mod node_pool;
pub mod provisioning;
pub mod retries;
#[cfg(test)]
mod testing;
mod told;
mod unhealthy;
pub mod workload_type;
mod writes;

/// What controllers of the provisioning half share. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// What is known of the cluster.
    pub caches: Caches,
    /// What of it belongs together.
    pub index: Index,
    /// Tells people.
    pub events: Events,
    /// The namespaces whose pods admission does not judge.
    pub exempt_namespaces: Arc<BTreeSet<String>>,
}

impl Context {
    /// What a namespace is, as far as is known.
    fn namespace(&self, name: &str) -> Namespace {
        Namespace::of(name, &self.exempt_namespaces, self.caches.namespaces.get("", name).as_deref())
    }

    /// How long it is until then; nothing if that has passed.
    fn until(&self, then: Timestamp) -> Duration {
        Duration::try_from(then.duration_since(self.clock.now())).unwrap_or_default()
    }
}

/// One term of leadership: waits until `leads` says so, and then does `lead` until it no longer does. `lead` is dropped then: what it had
/// begun may have taken effect, and whoever leads next finds that out. Says whether there can be another term.
async fn one_term(leads: &mut watch::Receiver<bool>, lead: impl Future<Output = ()>) -> bool {
    // The channel's sender outlives every controller: it is kept by the leases.
    if leads.wait_for(|leads| *leads).await.is_err() {
        return false;
    }
    tokio::select! {
        () = lead => true,
        ended = leads.wait_for(|leads| !*leads) => ended.is_ok(),
    }
}
