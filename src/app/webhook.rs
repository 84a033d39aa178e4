//! `treenail webhook`: caches → policies → answers over TLS.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use arc_swap::ArcSwapOption;
use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::Resource;
use kube::api::{Api, PartialObjectMeta};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use super::exempt_namespaces;
use super::supervisor::Supervisor;
use crate::admission::policies::{Inventory, Policies, Settings};
use crate::admission::reference::Reference;
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::nodepool::NodePool;
use crate::api::workload_type::WorkloadType;
use crate::cloud::ec2::pricing::Prices;
use crate::cluster::cache::Cache;
use crate::cluster::caches::{follow_namespaces, follow_typed, follow_workload_types};
use crate::cluster::client;
use crate::cluster::unread::Unread;
use crate::config::{CommonSettings, WebhookSettings};
use crate::controllers::certificate::CertificateKeeper;
use crate::ports::clock::{Clock, WallClock};
use crate::server::health::{self, Check, Readiness};
use crate::server::judge::{Labels, Lookups, NamespaceLookup, ObjectLookup, PolicyJudge};
use crate::server::shutdown::Shutdown;
use crate::server::{listener, webhook};
use crate::tls::serving::Serving;

/// Runs the webhook until the process is told to end and the calls that it accepted are answered.
pub async fn run(settings: WebhookSettings) -> Result<()> {
    let mut supervisor = Supervisor::start()?;
    let address = settings.common.bind_address;
    let calls = TcpListener::bind((address, settings.webhook_port)).await;
    let calls = calls.with_context(|| format!("listen on {address}:{}", settings.webhook_port))?;
    let probes = TcpListener::bind((address, settings.common.health_probe_port)).await;
    let probes =
        probes.with_context(|| format!("listen on {address}:{}", settings.common.health_probe_port))?;
    let config = super::find_cluster().await?;
    let client = client::connect(config).context("make a client of the API server")?;
    let clock: Arc<dyn Clock> = Arc::new(WallClock);

    let caches = Caches::new();
    caches.follow(&mut supervisor, &client);
    let policies = Arc::new(ArcSwapOption::empty());
    supervisor.spawn(
        "policies",
        keep_policies(
            caches.clone(),
            admission_settings(&settings.common),
            Arc::clone(&policies),
            Arc::clone(&clock),
        ),
    );

    let serving = Arc::new(Serving::default());
    let keeper = Arc::new(CertificateKeeper::new(
        client.clone(),
        settings.clone(),
        Arc::clone(&serving),
        Arc::clone(&clock),
    ));
    supervisor.spawn("certificate watches", Arc::clone(&keeper).follow());
    supervisor.spawn("certificate", Arc::clone(&keeper).keep());

    let shutdown = Shutdown::default();
    let notes = caches.notes(Arc::clone(&keeper));
    let checks = caches.checks(keeper, Arc::clone(&policies));
    let readiness = Readiness::with_notes(checks, notes, shutdown.clone());
    let lookups = Lookups { namespace: lookup(client.clone()), object: object_lookup(client) };
    let judge = PolicyJudge::new(policies, caches.namespaces.clone(), lookups, clock);
    let tls = Arc::new(serving.tls_settings()?);
    let router = webhook::router(Arc::new(judge), shutdown.clone());
    let (delay, within) = (settings.shutdown_delay, settings.shutdown_timeout);
    let calls = listener::serve(calls, Some(tls), router, shutdown.clone(), within);
    let probes = listener::serve(probes, None, health::router(readiness), shutdown.clone(), Duration::ZERO);
    supervisor.serve("webhook listener", calls);
    supervisor.serve("probe listener", probes);

    let ended = supervisor.until_told_to_end().await;
    tracing::info!(delay_seconds = delay.as_secs(), "ending; still accepting calls");
    // Also after a failure: what was accepted is answered.
    shutdown.leave(delay).await;
    supervisor.drain().await;
    ended
}

#[derive(Clone)]
struct Caches {
    namespaces: Cache<Labels>,
    workload_types: Cache<WorkloadType>,
    node_pools: Cache<NodePool>,
    node_classes: Cache<Ec2NodeClass>,
}

impl Caches {
    fn new() -> Self {
        Self {
            namespaces: Cache::new("Namespace"),
            workload_types: Cache::new("WorkloadType"),
            node_pools: Cache::new("NodePool"),
            node_classes: Cache::new("EC2NodeClass"),
        }
    }

    fn follow(&self, supervisor: &mut Supervisor, client: &Client) {
        supervisor.spawn("namespace watch", follow_namespaces(client, &self.namespaces));
        supervisor.spawn("workload type watch", follow_workload_types(client, &self.workload_types));
        supervisor.spawn("node pool watch", follow_typed(client, &self.node_pools));
        supervisor.spawn("node class watch", follow_typed(client, &self.node_classes));
    }

    fn is_synced(&self) -> bool {
        self.namespaces.is_synced()
            && self.workload_types.is_synced()
            && self.node_pools.is_synced()
            && self.node_classes.is_synced()
    }

    /// A broken watch keeps no replica from being ready: docs/adr/0004.
    fn notes(&self, keeper: Arc<CertificateKeeper>) -> Vec<Check> {
        vec![
            Box::new(move || keeper.note()),
            self.namespaces.note(),
            self.workload_types.note(),
            self.node_pools.note(),
            self.node_classes.note(),
        ]
    }

    fn checks(&self, keeper: Arc<CertificateKeeper>, policies: Arc<ArcSwapOption<Policies>>) -> Vec<Check> {
        vec![
            self.namespaces.check(),
            self.workload_types.check(),
            self.node_pools.check(),
            self.node_classes.check(),
            Box::new(move || policies.load().is_none().then(|| "the policies are not made yet".to_owned())),
            Box::new(move || keeper.missing()),
        ]
    }
}

/// The choices for the whole cluster, as they are compiled in.
fn admission_settings(common: &CommonSettings) -> Settings {
    Settings {
        exempt_namespaces: exempt_namespaces(common),
        instance_types: Arc::new(Prices::instance_types().map(str::to_owned).collect()),
        ..Settings::default()
    }
}

/// Makes the policies anew whenever an object that they depend on changes. There are none before everything is listed: an answer by
/// half of the objects could let a pod through.
async fn keep_policies(
    caches: Caches,
    settings: Settings,
    policies: Arc<ArcSwapOption<Policies>>,
    clock: Arc<dyn Clock>,
) {
    let (mut types, mut pools) = (caches.workload_types.changes(), caches.node_pools.changes());
    let (mut classes, mut namespaces) = (caches.node_classes.changes(), caches.namespaces.changes());
    loop {
        for change in [&mut types, &mut pools, &mut classes] {
            change.mark_unchanged();
        }
        let is_synced = caches.is_synced();
        if is_synced {
            let mut inventory = Inventory::default();
            for object in caches.workload_types.all() {
                inventory.add_workload_type(&object);
            }
            for object in caches.node_pools.all() {
                inventory.add_node_pool(&object);
            }
            for object in caches.node_classes.all() {
                inventory.add_node_class(&object);
            }
            let before = policies.load_full();
            let next = match &before {
                Some(before) => before.next(inventory, clock.now()),
                None => Policies::new(settings.clone()).next(inventory, clock.now()),
            };
            policies.store(Some(Arc::new(next)));
        }
        tokio::select! {
            // All arms only wait; whatever changed, everything is read again.
            _ = types.changed() => {}
            _ = pools.changed() => {}
            _ = classes.changed() => {}
            _ = namespaces.changed(), if !is_synced => {}
        }
    }
}

/// The judge bounds the time.
fn lookup(client: Client) -> NamespaceLookup {
    let namespaces: Api<Unread<PartialObjectMeta<Namespace>>> = Api::all(client);
    Box::new(move |name| {
        let namespaces = namespaces.clone();
        async move {
            let found = get(&namespaces, &name).await.map_err(|error| error.to_string())?;
            Ok(found.map(|found| found.metadata.labels.unwrap_or_default()))
        }
        .boxed()
    })
}

/// The judge bounds the time.
fn object_lookup(client: Client) -> ObjectLookup {
    let types: Api<Unread<WorkloadType>> = Api::all(client.clone());
    let pools: Api<Unread<NodePool>> = Api::all(client.clone());
    let classes: Api<Unread<Ec2NodeClass>> = Api::all(client);
    Box::new(move |reference| {
        let (types, pools, classes) = (types.clone(), pools.clone(), classes.clone());
        async move {
            let mut found = Inventory::default();
            match &reference {
                Reference::WorkloadType(name) => get(&types, name)
                    .await
                    .map(|object| object.iter().for_each(|object| found.add_workload_type(object))),
                Reference::NodePool(name) => get(&pools, name)
                    .await
                    .map(|object| object.iter().for_each(|object| found.add_node_pool(object))),
                Reference::NodeClass(name) => get(&classes, name)
                    .await
                    .map(|object| object.iter().for_each(|object| found.add_node_class(object))),
            }
            .map_err(|error| error.to_string())?;
            Ok(found)
        }
        .boxed()
    })
}

async fn get<K>(objects: &Api<Unread<K>>, name: &str) -> Result<Option<K>, kube::Error>
where
    K: Resource + DeserializeOwned,
{
    let found = objects.get_opt(name).await?;
    found.map(|object| object.read()).transpose().map_err(kube::Error::SerdeError)
}
