//! One lab: a control plane, an EC2 endpoint and hollow kubelets, started together and gone together.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::Service;
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::control_plane::{ControlPlane, DNS_ADDRESS, write_kubeconfig};
use crate::ec2::{Front, Moto, Query};
use crate::kubectl::Kubectl;
use crate::kubelet::{Boot, Kubelets};
use crate::parts::Parts;
use crate::process::Process;
use crate::scratch::Scratch;
use crate::users::{Endpoint, User, client};

/// A running lab. Dropping it ends every process and removes every file.
///
/// The fields go in this order: who calls before who answers, processes before the folder.
#[derive(Debug)]
pub struct Lab {
    kubelets: Kubelets,
    front: Front,
    moto: Moto,
    control_plane: ControlPlane,
    query: Query,
    kubernetes_version: String,
    started_in: BTreeMap<&'static str, Duration>,
    scratch: Scratch,
    parts: Parts,
}

impl Lab {
    /// Starts a lab in which these users may speak to the API server, besides the administrator.
    ///
    /// Must be called on a runtime that lives as long as the lab.
    pub async fn start(users: &[User]) -> Result<Self> {
        let started = Instant::now();
        let parts = Parts::find()?;
        let scratch = Scratch::create()?;
        let mut started_in = BTreeMap::new();

        let kubernetes_version = kubernetes_version(&parts).await?;
        let minor =
            kubernetes_version.trim_start_matches('v').rsplit_once('.').map_or("", |(minor, _)| minor);
        let moto = Moto::start(&parts, &scratch, minor)?;
        let front = Front::start(moto.address()).await?;
        let query = Query::new(front.address().to_owned());

        let control_plane = ControlPlane::start(&parts, &scratch, users).await?;
        started_in.insert("control plane", started.elapsed());
        moto.await_filled(&Query::new(moto.address())).await?;
        started_in.insert("EC2 endpoint", started.elapsed());

        let administrator = client(control_plane.endpoint().kubeconfig(&User::administrator())?).await?;
        let kubelets = Kubelets::start(query.clone(), administrator.clone(), front.instances_changed());
        create_dns_service(&administrator).await?;
        Ok(Self {
            kubelets,
            front,
            moto,
            control_plane,
            query,
            kubernetes_version,
            started_in,
            scratch,
            parts,
        })
    }

    /// A client that speaks as this user.
    pub async fn client(&self, user: &User) -> Result<Client> {
        client(self.endpoint().kubeconfig(user)?).await
    }

    /// kubectl as this user.
    pub fn kubectl(&self, user: &User) -> Result<Kubectl> {
        let kubeconfig = self.endpoint().kubeconfig(user)?;
        let path = write_kubeconfig(&self.scratch, user.name(), &kubeconfig)?;
        Ok(Kubectl::new(&self.parts.kubectl, path.into(), self.scratch.path().to_owned()))
    }

    /// Where the API server is and whom to trust.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        self.control_plane.endpoint()
    }

    /// The lab's own hands in EC2.
    #[must_use]
    pub fn ec2(&self) -> &Query {
        &self.query
    }

    /// The proxy that every EC2 call passes.
    #[must_use]
    pub fn front(&self) -> &Front {
        &self.front
    }

    /// How the boot of each instance's machine went, by instance id.
    #[must_use]
    pub fn boots(&self) -> BTreeMap<String, Boot> {
        self.kubelets.boots()
    }

    /// Waits until the instance's machine has registered its node, and returns the node's name.
    pub async fn registered_node(&self, instance: &str) -> Result<String> {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let boot = self.boots().remove(instance);
            match boot {
                Some(Boot::Registered(node)) => return Ok(node),
                boot if Instant::now() > deadline => bail!("{instance} has no node after 30 s: {boot:?}"),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// The control plane, to restart parts of it.
    #[must_use]
    pub fn control_plane(&self) -> &ControlPlane {
        &self.control_plane
    }

    /// `v1.36.3`
    #[must_use]
    pub fn kubernetes_version(&self) -> &str {
        &self.kubernetes_version
    }

    /// How long after the start each part was ready.
    #[must_use]
    pub fn started_in(&self) -> &BTreeMap<&'static str, Duration> {
        &self.started_in
    }

    /// Every process of the lab.
    #[must_use]
    pub fn processes(&self) -> Vec<&Process> {
        let mut processes = self.control_plane.processes().to_vec();
        processes.push(self.moto.process());
        processes
    }

    /// The lab's folder: logs, keys, kubeconfigs.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.scratch.path()
    }

    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Waits until a process of the lab ends by itself, and says which.
    pub async fn first_failure(&self) -> anyhow::Error {
        loop {
            for process in self.processes() {
                if let Err(error) = process.ensure_running() {
                    return error;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn kubernetes_version(parts: &Parts) -> Result<String> {
    let output = tokio::process::Command::new(&parts.control_plane)
        .args(["kube-apiserver", "--version"])
        .output()
        .await
        .context("ask kube-apiserver for its version")?;
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.trim().strip_prefix("Kubernetes ") {
        Some(version) => Ok(version.to_owned()),
        None => bail!("kube-apiserver --version printed {output:?}"),
    }
}

/// The cluster's DNS service: nobody answers there, but its address is where nodes are told to ask.
async fn create_dns_service(client: &Client) -> Result<()> {
    let service: Service = serde_json::from_value(json!({
        "metadata": { "name": "kube-dns" },
        "spec": {
            "clusterIP": DNS_ADDRESS,
            "selector": { "k8s-app": "kube-dns" },
            "ports": [{ "name": "dns", "port": 53, "protocol": "UDP" }],
        },
    }))
    .context("describe the DNS service")?;
    let services: Api<Service> = Api::namespaced(client.clone(), "kube-system");
    services.create(&PostParams::default(), &service).await.context("create the DNS service")?;
    Ok(())
}
