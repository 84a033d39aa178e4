//! Treenail in the lab: its manifests applied, its processes started as its ServiceAccounts.
//!
//! A program like any other: all that is known of it is the executable's path, its flags and its manifests.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use tokio::time::Instant;

use crate::CLUSTER_NAME;
use crate::balancer::{Backend, Balancer, readiness};
use crate::control_plane::write_kubeconfig;
use crate::lab::Lab;
use crate::ports::Port;
use crate::process::{Process, Program};
use crate::users::User;

/// The namespace of Treenail's ServiceAccounts.
pub const NAMESPACE: &str = "treenail-system";

/// Where Treenail's executable and manifests are.
#[derive(Clone, Debug)]
pub struct Treenail {
    executable: PathBuf,
    manifests: PathBuf,
}

/// One running replica of the webhook.
#[derive(Debug)]
pub struct WebhookReplica {
    /// The process.
    pub process: Process,
    backend: Backend,
}

impl Treenail {
    /// Treenail by its executable and its `manifests` folder.
    #[must_use]
    pub fn new(executable: &Path, manifests: &Path) -> Self {
        Self { executable: executable.to_owned(), manifests: manifests.to_owned() }
    }

    /// The folder of the example pools, class and types.
    #[must_use]
    pub fn examples(&self) -> PathBuf {
        self.manifests.join("examples")
    }

    /// Applies the custom resource definitions.
    pub async fn install_crds(&self, lab: &Lab) -> Result<()> {
        let kubectl = lab.kubectl(&User::administrator())?;
        // Server-side: tests that share a lab may install them at once.
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        let applied =
            kubectl.run_with_input(&arguments, &read(&self.manifests.join("crds"), |_| true)?).await?;
        ensure!(applied.success, "kubectl apply: {}", applied.stderr.trim());
        let established =
            kubectl.run(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=30s"]).await?;
        ensure!(established.success, "the CRDs were not established: {}", established.stderr.trim());
        Ok(())
    }

    /// Applies everything that Treenail needs in the cluster, with the balancer in the Service's place.
    ///
    /// Deployments are left out: here the processes are started by hand.
    pub async fn install(&self, lab: &Lab, webhook: &Balancer) -> Result<()> {
        self.install_crds(lab).await?;
        self.install_roles(lab).await?;
        self.install_admission(lab, webhook).await
    }

    /// Applies the namespace, the ServiceAccounts and their roles.
    pub async fn install_roles(&self, lab: &Lab) -> Result<()> {
        let kubectl = lab.kubectl(&User::administrator())?;
        kubectl.apply(&read(&self.manifests.join("base"), |file| file == "0-namespace.yaml")?).await?;
        kubectl
            .apply(&read(&self.manifests.join("base"), |file| {
                file.ends_with("role.yaml") || file.ends_with("rbac.yaml")
            })?)
            .await?;
        Ok(())
    }

    /// Applies the webhook configurations and the admission policies.
    pub async fn install_admission(&self, lab: &Lab, webhook: &Balancer) -> Result<()> {
        let kubectl = lab.kubectl(&User::administrator())?;
        let manifests = read(&self.manifests.join("base"), |file| file.starts_with("admission-"))?;
        kubectl.apply(&with_urls(&manifests, webhook.address())).await?;
        Ok(())
    }

    /// Starts a replica of the webhook as its ServiceAccount and puts it behind the balancer.
    pub async fn start_webhook(
        &self,
        lab: &Lab,
        balancer: &Balancer,
        flags: &[&str],
    ) -> Result<WebhookReplica> {
        let ports = [Port::reserve()?, Port::reserve()?];
        let [calls, probes] = ports.each_ref().map(Port::number);
        let name = format!("webhook-{calls}");
        let mut arguments = vec![
            "webhook".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--webhook-port={calls}"),
            format!("--health-probe-port={probes}"),
            "--hostnames=127.0.0.1".to_owned(),
            "--log-format=text".to_owned(),
        ];
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        let process = self.start(lab, &name, "treenail-webhook", arguments, ports.into()).await?;
        let at = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
        let backend = Backend { serves: at(calls), probed: at(probes) };
        balancer.add(backend);
        Ok(WebhookReplica { process, backend })
    }

    /// Starts the controller as its ServiceAccount.
    pub async fn start_controller(&self, lab: &Lab, flags: &[&str]) -> Result<Process> {
        let probes = Port::reserve()?;
        let name = format!("controller-{}", probes.number());
        let mut arguments = vec![
            "controller".to_owned(),
            "--bind-address=127.0.0.1".to_owned(),
            format!("--health-probe-port={}", probes.number()),
            format!("--cluster-name={CLUSTER_NAME}"),
            // The EC2 endpoint's EKS names one that does not exist.
            format!("--cluster-endpoint={}", lab.endpoint().url),
            "--log-format=text".to_owned(),
        ];
        arguments.extend(flags.iter().map(|flag| (*flag).to_owned()));
        self.start(lab, &name, "treenail-controller", arguments, vec![probes]).await
    }

    async fn start(
        &self,
        lab: &Lab,
        name: &str,
        service_account: &str,
        arguments: Vec<String>,
        ports: Vec<Port>,
    ) -> Result<Process> {
        let token = token(lab, service_account).await?;
        let kubeconfig = lab.endpoint().kubeconfig_with_token(service_account, &token)?;
        let mut environment = aws_environment(lab);
        environment.push(("KUBECONFIG".to_owned(), write_kubeconfig(lab.scratch(), name, &kubeconfig)?));
        let mut command = vec![self.executable.display().to_string()];
        command.extend(arguments);
        Process::start(Program {
            name: name.to_owned(),
            command,
            environment,
            folder: lab.folder().to_owned(),
            ports,
        })
    }
}

impl WebhookReplica {
    /// Waits until the replica says that it is ready.
    pub async fn await_ready(&self) -> Result<()> {
        await_ready(&self.process, self.backend.probed).await
    }

    /// Where it serves and is probed.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }
}

async fn await_ready(process: &Process, probed: SocketAddr) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        process.ensure_running()?;
        let answer = readiness(probed).await.unwrap_or_else(|error| error.to_string());
        if answer.starts_with("HTTP/1.1 200") {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("{} is not ready after 30 s: {answer}\n{}", process.name(), process.log_tail());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The AWS SDK's own variables: where the endpoint is, and credentials that it does not check.
fn aws_environment(lab: &Lab) -> Vec<(String, String)> {
    let variables = [
        ("AWS_ENDPOINT_URL", lab.front().url()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_ACCESS_KEY_ID", "lab".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "lab".to_owned()),
    ];
    variables.map(|(name, value)| (name.to_owned(), value)).into()
}

async fn token(lab: &Lab, service_account: &str) -> Result<String> {
    let accounts: Api<ServiceAccount> = Api::namespaced(lab.client(&User::administrator()).await?, NAMESPACE);
    let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
    let granted = accounts.create_token_request(service_account, &PostParams::default(), &request).await;
    let granted = granted.with_context(|| format!("ask for a token of {service_account}"))?;
    Ok(granted.status.context("the token request has no answer")?.token)
}

/// The manifests of a folder as one text, without Deployments and what belongs to them.
fn read(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .with_context(|| format!("list {}", folder.display()))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|file| {
            Path::new(file).extension().is_some_and(|extension| extension == "yaml") && wanted(file)
        })
        .collect();
    files.sort();
    let texts: Result<Vec<_>> = files
        .iter()
        .map(|file| fs::read_to_string(folder.join(file)).with_context(|| format!("read {file}")))
        .collect();
    Ok(texts?.join("\n---\n"))
}

/// Puts `url:` in the place of `service:`, since there is no Service network here.
fn with_urls(manifests: &str, webhook: SocketAddr) -> String {
    let line = |line: &str| match line
        .trim()
        .strip_prefix("service: {namespace: treenail-system, name: treenail-webhook, path: ")
    {
        Some(path) => format!("    url: https://{webhook}{}\n", path.trim_end_matches('}')),
        None => format!("{line}\n"),
    };
    manifests.lines().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_is_replaced_by_a_url() {
        let manifest = "  clientConfig:\n    service: {namespace: treenail-system, name: treenail-webhook, path: /mutate}\n";
        let expected = "  clientConfig:\n    url: https://127.0.0.1:7/mutate\n";
        assert_eq!(with_urls(manifest, SocketAddr::from(([127, 0, 0, 1], 7))), expected);
    }
}
