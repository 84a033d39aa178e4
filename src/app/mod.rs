//! The composition root: builds adapters, supervises every task, shuts down in order.

#[cfg(feature = "ec2")]
mod cluster_facts;
#[cfg(feature = "ec2")]
pub mod controller;
pub mod supervisor;
pub mod webhook;

use crate::cluster::client;

/// The cluster that this process is to work for, or what was tried and what to do.
async fn find_cluster() -> anyhow::Result<kube::Config> {
    // Its text holds those of its causes; as a source it would repeat them.
    client::find().await.map_err(|error| {
        anyhow::anyhow!(
            "find the cluster: {error}; set KUBECONFIG to a file that can be read, or run in a pod with a ServiceAccount token"
        )
    })
}
