//! `treenail controller`: leases, caches, controllers.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::supervisor::Supervisor;
use super::{cluster_facts, exempt_namespaces};
use crate::api::labels::{KARPENTER_LEASE, TREENAIL_LEASE};
use crate::cloud::ec2::Ec2;
use crate::cloud::ec2::cache::INSTANCE_TYPES;
use crate::cloud::ec2::catalog::Assumptions;
use crate::cloud::ec2::sdk::Sdk;
use crate::cluster::caches::Caches;
use crate::cluster::client;
use crate::cluster::events::Events;
use crate::cluster::lease::{Candidate, Leadership};
use crate::config::ControllerSettings;
use crate::controllers;
use crate::controllers::catalogs::Catalogs;
use crate::controllers::disruption::DisruptionController;
use crate::controllers::garbage::GarbageController;
use crate::controllers::index::Index;
use crate::controllers::node_claim::NodeClaimController;
use crate::controllers::node_class::NodeClassController;
use crate::controllers::node_pool::NodePoolController;
use crate::controllers::provisioning::ProvisioningController;
use crate::controllers::provisioning::nominations::SharedNominations;
use crate::controllers::workload_type::WorkloadTypeController;
use crate::ports::clock::{Clock, WallClock};
use crate::server::health::{self, Readiness};
use crate::server::listener;
use crate::server::shutdown::Shutdown;

/// Runs the controller until the process is told to end. A leader gives its leases up, so that another need not wait.
pub async fn run(settings: ControllerSettings) -> Result<()> {
    let mut supervisor = Supervisor::start()?;
    let address = (settings.common.bind_address, settings.common.health_probe_port);
    let probes = TcpListener::bind(address).await;
    let probes = probes.with_context(|| format!("listen on {}:{}", address.0, address.1))?;
    let config = super::find_cluster().await?;
    let client = client::connect(config.clone()).context("make a client of the API server")?;
    let clock: Arc<dyn Clock> = Arc::new(WallClock);

    let sdk = Sdk::from_environment().await.context("configure the AWS SDK")?;
    let region = sdk.region().to_owned();
    let ec2 = Ec2::new(sdk, Arc::clone(&clock), &region, Assumptions::default());
    if let Some(notice) = ec2.notice() {
        tracing::warn!(region, notice, "prices");
    }
    let network = ec2.cluster_network(&settings.cluster_name).await;
    let network = network.with_context(|| format!("ask EKS in AWS region {region} (AWS_REGION)"))?;
    let cluster = Arc::new(cluster_facts::read(&settings, &config, &client, network).await?);

    let leases = Leases::stand(&settings, &client, &clock, &mut supervisor);
    let caches = Caches::default();
    let (events, telling) = Events::new(client.clone(), &settings.identity, Arc::clone(&clock));
    supervisor.spawn("events", telling);
    let ec2 = Arc::new(ec2);
    let context = controllers::Context {
        client: client.clone(),
        clock: Arc::clone(&clock),
        // Before anybody else follows the caches, and before they are filled.
        index: Index::of(&caches),
        caches: caches.clone(),
        events: events.clone(),
        exempt_namespaces: Arc::new(exempt_namespaces(&settings.common)),
    };
    // Before the caches are filled, of whose changes it is told.
    let claims =
        NodeClaimController::new(context.clone(), Arc::<Ec2<Sdk>>::clone(&ec2), Arc::clone(&cluster));
    supervisor.spawn("node claims", claims.run(leases.leads_karpenters.subscribe()));
    let catalogs = Catalogs::default();
    let nominations = SharedNominations::default();
    let provisioning = ProvisioningController::new(
        context.clone(),
        Arc::<Ec2<Sdk>>::clone(&ec2),
        catalogs.clone(),
        nominations.clone(),
    );
    supervisor.spawn("provisioning", provisioning.run(leases.leads_karpenters.subscribe()));
    let nominated_until = Arc::new(move |name: &str| nominations.nominated_until(name));
    let disruption = DisruptionController { context: context.clone(), nominated_until };
    supervisor.spawn("disruption", disruption.run(leases.leads_karpenters.subscribe()));
    let garbage = GarbageController {
        context: context.clone(),
        cloud: Arc::<Ec2<Sdk>>::clone(&ec2),
        cluster_name: cluster.name.clone(),
        every: settings.garbage_collection_interval,
    };
    supervisor.spawn("garbage collection", garbage.run(leases.leads_karpenters.subscribe()));
    supervisor.spawn("instance types", keep_instance_types(Arc::clone(&ec2)));
    let types =
        WorkloadTypeController::new(context.clone(), catalogs.clone(), leases.karpenters.leadership());
    supervisor.spawn(
        "catalogues",
        catalogs.clone().keep(
            Arc::<Ec2<Sdk>>::clone(&ec2),
            caches.node_classes.clone(),
            leases.leads.subscribe(),
        ),
    );
    caches.follow(&client, |name, task| supervisor.spawn(name, task));
    supervisor.spawn("workload types", types.run(leases.leads.subscribe()));
    let pools = NodePoolController {
        client: client.clone(),
        clock: Arc::clone(&clock),
        node_pools: caches.node_pools.clone(),
        node_classes: caches.node_classes.clone(),
        catalogs,
        node_claims: caches.node_claims.clone(),
        events: events.clone(),
    };
    supervisor.spawn("node pools", pools.run(leases.leads_karpenters.subscribe()));
    let classes = NodeClassController {
        client: client.clone(),
        clock,
        cloud: ec2,
        cluster,
        node_classes: caches.node_classes.clone(),
        node_claims: caches.node_claims.clone(),
        events: events.clone(),
    };
    supervisor.spawn("node classes", classes.run(leases.leads_karpenters.subscribe()));

    let shutdown = Shutdown::default();
    let readiness = Readiness::with_notes(caches.checks(), caches.notes(), shutdown.clone());
    supervisor.serve(
        "probe listener",
        listener::serve(probes, None, health::router(readiness), shutdown.clone(), Duration::ZERO),
    );

    let ended = supervisor.until_told_to_end().await;
    supervisor.stop().await;
    leases.resign().await;
    shutdown.leave(Duration::ZERO).await;
    supervisor.drain().await;
    ended
}

/// Reads the instance types anew from time to time: new ones come, and zones get them. What was known before stands if that fails.
async fn keep_instance_types(ec2: Arc<Ec2<Sdk>>) {
    loop {
        tokio::time::sleep(INSTANCE_TYPES).await;
        if let Err(error) = ec2.refresh().await {
            tracing::warn!(%error, "the instance types could not be read anew; those known before stand");
        }
    }
}

/// The two leases, and the questions that controllers ask about them.
struct Leases {
    own: Arc<Candidate>,
    karpenters: Arc<Candidate>,
    /// Whether this replica leads Treenail.
    leads: watch::Sender<bool>,
    /// Whether it holds Karpenter's lease too, and so may act on pools of Karpenter's classes.
    leads_karpenters: watch::Sender<bool>,
}

impl Leases {
    fn stand(
        settings: &ControllerSettings,
        client: &Client,
        clock: &Arc<dyn Clock>,
        supervisor: &mut Supervisor,
    ) -> Self {
        let candidate = |namespace: &str, name: &str| {
            Arc::new(Candidate::new(client.clone(), namespace, name, settings.identity.clone()))
        };
        let leases = Self {
            own: candidate(&settings.common.system_namespace, TREENAIL_LEASE),
            karpenters: candidate(&settings.karpenter_lease_namespace, KARPENTER_LEASE),
            leads: watch::Sender::new(false),
            leads_karpenters: watch::Sender::new(false),
        };
        let (own, time) = (Arc::clone(&leases.own), Arc::clone(clock));
        let always = watch::Sender::new(true);
        supervisor.spawn("lease", async move { own.stand(|| time.now(), always.subscribe()).await });
        // Only who leads Treenail may hold Karpenter's lease: held by another replica it would keep everybody from acting.
        let (leads, karpenters, time) =
            (leases.leads.subscribe(), Arc::clone(&leases.karpenters), Arc::clone(clock));
        supervisor.spawn("karpenter's lease", async move { karpenters.stand(|| time.now(), leads).await });
        let leadership = (leases.own.leadership(), leases.karpenters.leadership());
        supervisor
            .spawn("leadership", keep(leadership, leases.leads.clone(), leases.leads_karpenters.clone()));
        leases
    }

    async fn resign(&self) {
        self.own.resign().await;
        self.karpenters.resign().await;
    }
}

/// Turns the state of the leases into the questions that controllers ask.
async fn keep(
    (mut own, mut karpenters): (watch::Receiver<Leadership>, watch::Receiver<Leadership>),
    leads: watch::Sender<bool>,
    leads_karpenters: watch::Sender<bool>,
) {
    loop {
        let is_leader = *own.borrow_and_update() == Leadership::Ours;
        let holds_karpenters = *karpenters.borrow_and_update() == Leadership::Ours;
        leads.send_if_modified(|current| std::mem::replace(current, is_leader) != is_leader);
        let both = is_leader && holds_karpenters;
        leads_karpenters.send_if_modified(|current| std::mem::replace(current, both) != both);
        let changed = tokio::select! {
            // Both arms only wait; both leases are read again.
            changed = own.changed() => changed,
            changed = karpenters.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
    }
}
