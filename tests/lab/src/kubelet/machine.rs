//! One machine: it boots, registers, and keeps its node alive until it is switched off.

use std::time::Duration;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use super::capacity::Resources;
use super::node;
use super::user_data::Bootstrap;
use crate::ec2::{Instance, Query};
use crate::users::{Endpoint, client};

/// Between the kubelet's first word and its being ready to run pods.
const BECOMES_READY_AFTER: Duration = Duration::from_millis(200);
/// As the kubelet renews its Lease.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A machine whose node is registered.
#[derive(Clone)]
pub(crate) struct Machine {
    /// The node's name.
    pub(crate) name: String,
    /// Speaks as the node.
    pub(crate) client: Client,
    /// The machine's address, which its pods report as their host's.
    pub(crate) ip: String,
    uid: String,
}

/// What the machine knows of itself before it speaks to the cluster.
pub(crate) struct Setup {
    instance: Instance,
    bootstrap: Bootstrap,
    architecture: String,
    resources: Resources,
}

/// Why a machine does not know itself.
pub(crate) enum Unknown {
    /// The user data is wrong, and stays so.
    Wrong(anyhow::Error),
    /// EC2 has not told, and may when it is asked again.
    Untold(anyhow::Error),
}

impl Setup {
    /// Reads the user data and looks at the hardware.
    pub(crate) async fn read(query: &Query, instance: &Instance) -> Result<Self, Unknown> {
        let user_data = query.user_data(&instance.id).await.map_err(Unknown::Untold)?;
        let user_data = BASE64_STANDARD.decode(user_data).context("the user data is not base64");
        let user_data = user_data.map_err(Unknown::Wrong)?;
        let bootstrap = Bootstrap::read(&user_data).map_err(|error| Unknown::Wrong(error.into()))?;
        let size = query.instance_size(&instance.instance_type).await.map_err(Unknown::Untold)?;
        let root = query.root_volume_gibibytes(&instance.id).await.map_err(Unknown::Untold)?;
        let resources = Resources::of(&size, root, &bootstrap.kubelet);
        Ok(Self { instance: instance.clone(), bootstrap, architecture: size.architecture, resources })
    }
}

impl Machine {
    /// Connects to the cluster that the user data names, registers the node and makes it ready.
    pub(crate) async fn join(setup: &Setup) -> Result<Self> {
        let instance = &setup.instance;
        let name = instance.private_dns_name.clone();
        let client = connect(&setup.bootstrap, &name).await?;
        let nodes: Api<Node> = Api::all(client.clone());
        let node = node::registered(instance, &setup.architecture, &setup.bootstrap, &setup.resources);
        let node = match nodes.create(&PostParams::default(), &node).await {
            Err(kube::Error::Api(status)) if status.code == 409 => nodes.get(&name).await,
            other => other,
        };
        let uid = node.context("register the node")?.uid().context("the node has no uid")?;
        let machine = Self { name, client, ip: instance.private_ip.clone(), uid };
        machine.beat().await?;

        tokio::time::sleep(BECOMES_READY_AFTER).await;
        machine.report_ready().await?;
        Ok(machine)
    }

    /// Keeps the node alive; ends only by being dropped. A failed heartbeat is tried again at the next one.
    pub(crate) async fn keep_alive(&self) {
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            let _ = self.beat().await;
        }
    }

    async fn beat(&self) -> Result<()> {
        let leases: Api<Lease> = Api::namespaced(self.client.clone(), "kube-node-lease");
        let lease = node::lease(&self.name, &self.uid);
        let renewed = Patch::Merge(json!({ "spec": lease.spec }));
        match leases.patch(&self.name, &PatchParams::default(), &renewed).await {
            Err(kube::Error::Api(status)) if status.code == 404 => {
                leases.create(&PostParams::default(), &lease).await
            }
            other => other,
        }
        .context("renew the lease")
        .map(|_| ())
    }

    async fn report_ready(&self) -> Result<()> {
        let nodes: Api<Node> = Api::all(self.client.clone());
        let ready =
            Patch::Strategic(json!({ "status": { "conditions": node::conditions("True", "KubeletReady") } }));
        nodes
            .patch_status(&self.name, &PatchParams::default(), &ready)
            .await
            .context("report the node ready")?;
        Ok(())
    }
}

/// Connects to the cluster that the user data names, trusting only the authority in it.
///
/// A real kubelet gets its credentials from the instance's IAM role, which the cluster maps to the node's user; here the
/// lab's administrator acts as that user, so that the API server applies the node's own rights.
async fn connect(bootstrap: &Bootstrap, name: &str) -> Result<Client> {
    let authority =
        BASE64_STANDARD.decode(&bootstrap.authority).context("the certificate authority is not base64")?;
    let endpoint = Endpoint {
        url: bootstrap.endpoint.clone(),
        authority: String::from_utf8(authority).context("the certificate authority is not text")?,
    };
    let client = client(endpoint.kubeconfig_as(&format!("system:node:{name}"), &["system:nodes"])?).await?;
    client.apiserver_version().await.context("reach the API server that the user data names")?;
    Ok(client)
}
