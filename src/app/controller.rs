//! `treenail controller`: leases, caches, controllers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::{Api, PartialObjectMeta};
use kube::runtime::watcher;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::follow_typed;
use super::supervisor::Supervisor;
use crate::api::labels::KARPENTER_LEASE;
use crate::cluster::cache::{Cache, part};
use crate::cluster::lease::{Candidate, Leadership};
use crate::config::ControllerSettings;
use crate::controllers::workload_type::WorkloadTypeController;
use crate::ports::clock::{Clock, SystemClock};
use crate::server::health::{self, Readiness};
use crate::server::listener;
use crate::server::shutdown::Shutdown;

/// The lease of Treenail's own replicas.
const LEASE: &str = "treenail-leader-election";

/// Runs the controller until the process is told to end. A leader gives its leases up, so that another need not wait.
pub async fn run(settings: ControllerSettings) -> Result<()> {
    let mut supervisor = Supervisor::start()?;
    let address = (settings.common.bind_address, settings.common.health_probe_port);
    let probes =
        TcpListener::bind(address).await.with_context(|| format!("listen on {}:{}", address.0, address.1))?;
    let client =
        Client::try_default().await.context("find the cluster: in-cluster environment or kubeconfig")?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);

    let lease = |namespace: &str, name: &str| {
        Arc::new(Candidate::new(client.clone(), namespace, name, settings.identity.clone()))
    };
    let own_lease = lease(&settings.common.system_namespace, LEASE);
    let karpenter_lease = lease(&settings.karpenter_lease_namespace, KARPENTER_LEASE);
    for candidate in [&own_lease, &karpenter_lease] {
        let (candidate, clock) = (Arc::clone(candidate), Arc::clone(&clock));
        supervisor.spawn("lease", async move { candidate.stand(|| clock.now()).await });
    }
    let leads = watch::Sender::new(false);
    supervisor.spawn("leadership", keep_leadership(own_lease.leadership(), leads.clone()));

    let namespaces = Cache::new("Namespace");
    let all: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let labels =
        part(|namespace: PartialObjectMeta<Namespace>| namespace.metadata.labels.unwrap_or_default());
    supervisor.spawn("namespace watch", namespaces.clone().follow(all, watcher::Config::default(), labels));
    let types = WorkloadTypeController {
        client: client.clone(),
        clock,
        workload_types: Cache::new("WorkloadType"),
        node_pools: Cache::new("NodePool"),
        node_claims: Cache::new("NodeClaim"),
        namespaces,
    };
    follow_typed(&mut supervisor, "workload type watch", &client, &types.workload_types);
    follow_typed(&mut supervisor, "node pool watch", &client, &types.node_pools);
    follow_typed(&mut supervisor, "node claim watch", &client, &types.node_claims);
    supervisor.spawn("workload types", types.run(leads.subscribe()));

    let shutdown = Shutdown::default();
    let readiness = Readiness::new(Vec::new(), shutdown.clone());
    let serve = tokio::spawn(listener::serve(
        probes,
        None,
        health::router(readiness),
        shutdown.clone(),
        Duration::ZERO,
    ));

    supervisor.until_told_to_end().await?;
    supervisor.stop().await;
    own_lease.resign().await;
    karpenter_lease.resign().await;
    shutdown.leave(Duration::ZERO).await;
    serve.await.context("the probes' listener failed")
}

/// Turns a lease's state into the one question that controllers ask.
async fn keep_leadership(mut leadership: watch::Receiver<Leadership>, leads: watch::Sender<bool>) {
    loop {
        leads.send_replace(*leadership.borrow_and_update() == Leadership::Ours);
        if leadership.changed().await.is_err() {
            return;
        }
    }
}
