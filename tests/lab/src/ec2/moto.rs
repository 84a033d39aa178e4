//! moto's server as a process: an AWS account with a network, a role, images and a cluster in it.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::CLUSTER_NAME;
use crate::control_plane::SERVICE_CIDR;
use crate::parts::Parts;
use crate::ports::Port;
use crate::process::{Process, Program};
use crate::scratch::Scratch;

/// A running moto server.
#[derive(Debug)]
pub struct Moto {
    process: Process,
    address: String,
}

impl Moto {
    /// Starts the server; [`Moto::await_filled`] tells when its account is complete.
    pub fn start(parts: &Parts, scratch: &Scratch, kubernetes_version: &str) -> Result<Self> {
        let port = Port::reserve()?;
        let address = format!("127.0.0.1:{}", port.number());
        let arguments = [
            parts.moto_python.display().to_string(),
            // Nothing of this run stays beside the sources.
            "-B".to_owned(),
            parts.moto_server.display().to_string(),
            format!("--port={}", port.number()),
            format!("--cluster={CLUSTER_NAME}"),
            format!("--kubernetes-version={kubernetes_version}"),
            format!("--service-cidr={SERVICE_CIDR}"),
        ];
        let process = Process::start(Program {
            name: "moto".to_owned(),
            command: arguments.into(),
            environment: Vec::new(),
            folder: scratch.path().to_owned(),
            ports: vec![port],
        })?;
        Ok(Self { process, address })
    }

    /// `127.0.0.1:PORT`
    #[must_use]
    pub fn address(&self) -> String {
        self.address.clone()
    }

    /// The process.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Waits until the account is complete: the cluster is the last thing put in it.
    pub async fn await_filled(&self, query: &crate::ec2::Query) -> Result<()> {
        let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
        while !query.has_cluster(CLUSTER_NAME).await {
            self.process.ensure_running()?;
            if tokio::time::Instant::now() > deadline {
                bail!("moto was not ready after 60 s; the end of its log:\n{}", self.process.log_tail());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }
}
