//! etcd, kube-apiserver, kube-controller-manager and kube-scheduler: the real ones, on loopback.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use kube::config::Kubeconfig;

use crate::certificates::Certificates;
use crate::parts::Parts;
use crate::ports::Port;
use crate::process::{Process, Program};
use crate::scratch::Scratch;
use crate::users::{Endpoint, User, client, token_file};

/// The cluster's Service network, one of the two that EKS gives.
pub const SERVICE_CIDR: &str = "172.20.0.0/16";
/// The address that EKS gives to the cluster's DNS service.
pub const DNS_ADDRESS: &str = "172.20.0.10";

const ISSUER: &str = "https://kubernetes.default.svc";

/// The processes of one control plane.
#[derive(Debug)]
pub struct ControlPlane {
    endpoint: Endpoint,
    scheduler: Process,
    controller_manager: Process,
    api_server: Process,
    etcd: Process,
}

impl ControlPlane {
    /// Starts all four and waits until the API server is ready.
    ///
    /// `users` may speak to it besides the administrator and the control plane's own parts.
    pub async fn start(parts: &Parts, scratch: &Scratch, users: &[User]) -> Result<Self> {
        let [api, etcd_client, etcd_peer] = [Port::reserve()?, Port::reserve()?, Port::reserve()?];
        let files = Files::write(scratch, users)?;
        let endpoint = Endpoint {
            url: format!("https://127.0.0.1:{}", api.number()),
            authority: files.certificates.authority.clone(),
        };

        let start = |name: &str, arguments: Vec<String>, ports: Vec<Port>| {
            let mut command = vec![parts.control_plane.display().to_string(), name.to_owned()];
            command.extend(arguments);
            let folder = scratch.path().to_owned();
            Process::start(Program { name: name.to_owned(), command, environment: Vec::new(), folder, ports })
        };
        let etcd_url = format!("http://127.0.0.1:{}", etcd_client.number());
        let arguments = etcd_arguments(scratch.path(), &etcd_url, etcd_peer.number());
        let etcd = start("etcd", arguments, vec![etcd_client, etcd_peer])?;
        let arguments = files.api_server_arguments(&etcd_url, api.number());
        let api_server = start("kube-apiserver", arguments, vec![api])?;
        await_ready(&endpoint, &[&etcd, &api_server]).await?;

        let kubeconfig = |component: &str| -> Result<String> {
            let config = endpoint.kubeconfig(&User::named(&format!("system:{component}")))?;
            write_kubeconfig(scratch, component, &config)
        };
        let controller_manager = start(
            "kube-controller-manager",
            files.controller_manager_arguments(&kubeconfig("kube-controller-manager")?),
            Vec::new(),
        )?;
        let scheduler = start(
            "kube-scheduler",
            vec![
                format!("--kubeconfig={}", kubeconfig("kube-scheduler")?),
                "--leader-elect=false".to_owned(),
                "--secure-port=0".to_owned(),
            ],
            Vec::new(),
        )?;
        Ok(Self { endpoint, scheduler, controller_manager, api_server, etcd })
    }

    /// Where the API server is and whom to trust.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The four processes.
    #[must_use]
    pub fn processes(&self) -> [&Process; 4] {
        [&self.etcd, &self.api_server, &self.controller_manager, &self.scheduler]
    }

    /// Kills the API server, starts it again and waits until it is ready.
    ///
    /// The controllers are at work before: kube-controller-manager ends for good if it is refused anything while it starts, and an API
    /// server that has just come back does not know all roles yet.
    pub async fn restart_api_server(&self) -> Result<()> {
        self.await_controllers().await?;
        self.api_server.restart()?;
        await_ready(&self.endpoint, &self.processes()).await
    }

    /// Waits until kube-controller-manager has started all of its controllers: the first thing that they make is a service account.
    async fn await_controllers(&self) -> Result<()> {
        const MADE_FIRST: &str = "/api/v1/namespaces/default/serviceaccounts/default";
        await_answer(&self.endpoint, &self.processes(), MADE_FIRST, |_| true).await
    }
}

/// What the processes read from disk.
struct Files {
    certificates: Certificates,
    authority: String,
    server: String,
    server_key: String,
    service_account_key: String,
    service_account_public_key: String,
    tokens: String,
}

impl Files {
    fn write(scratch: &Scratch, users: &[User]) -> Result<Self> {
        let names = ["127.0.0.1", "localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
        let certificates = Certificates::generate(&names.map(str::to_owned))?;
        let mut everyone = vec![
            User::administrator(),
            User::named("system:kube-controller-manager"),
            User::named("system:kube-scheduler"),
        ];
        everyone.extend_from_slice(users);
        let file = |name: &str, content: &str| -> Result<String> {
            Ok(scratch.file(name, content)?.display().to_string())
        };
        Ok(Self {
            authority: file("authority.pem", &certificates.authority)?,
            server: file("server.pem", &certificates.server)?,
            server_key: file("server.key", &certificates.server_key)?,
            service_account_key: file("service-accounts.key", &certificates.service_account_key)?,
            service_account_public_key: file(
                "service-accounts.pem",
                &certificates.service_account_public_key,
            )?,
            tokens: file("tokens.csv", &token_file(&everyone))?,
            certificates,
        })
    }

    fn api_server_arguments(&self, etcd_url: &str, port: u16) -> Vec<String> {
        vec![
            format!("--etcd-servers={etcd_url}"),
            "--bind-address=127.0.0.1".to_owned(),
            "--advertise-address=127.0.0.1".to_owned(),
            format!("--secure-port={port}"),
            format!("--tls-cert-file={}", self.server),
            format!("--tls-private-key-file={}", self.server_key),
            format!("--token-auth-file={}", self.tokens),
            format!("--service-account-issuer={ISSUER}"),
            format!("--service-account-key-file={}", self.service_account_public_key),
            format!("--service-account-signing-key-file={}", self.service_account_key),
            format!("--service-cluster-ip-range={SERVICE_CIDR}"),
            // As on EKS: kubelets may touch what is theirs, and nothing else.
            "--authorization-mode=Node,RBAC".to_owned(),
            "--enable-admission-plugins=NodeRestriction".to_owned(),
            "--allow-privileged=true".to_owned(),
            // There is one API server, at a loopback address that Endpoints may not hold.
            "--endpoint-reconciler-type=none".to_owned(),
        ]
    }

    fn controller_manager_arguments(&self, kubeconfig: &str) -> Vec<String> {
        vec![
            format!("--kubeconfig={kubeconfig}"),
            // Each controller as its own service account: with one shared identity RBAC refuses most of them.
            "--use-service-account-credentials=true".to_owned(),
            format!("--service-account-private-key-file={}", self.service_account_key),
            format!("--root-ca-file={}", self.authority),
            format!("--cluster-name={}", crate::CLUSTER_NAME),
            "--controllers=*,-node-ipam-controller,-service-lb-controller,-node-route-controller".to_owned(),
            "--leader-elect=false".to_owned(),
            "--secure-port=0".to_owned(),
            // The default of 20 requests a second is for shared masters; fifty replicas should not queue here.
            "--kube-api-qps=200".to_owned(),
            "--kube-api-burst=400".to_owned(),
        ]
    }
}

fn etcd_arguments(scratch: &Path, client_url: &str, peer_port: u16) -> Vec<String> {
    let peer_url = format!("http://127.0.0.1:{peer_port}");
    vec![
        format!("--data-dir={}", scratch.join("etcd").display()),
        format!("--listen-client-urls={client_url}"),
        format!("--advertise-client-urls={client_url}"),
        format!("--listen-peer-urls={peer_url}"),
        format!("--initial-advertise-peer-urls={peer_url}"),
        format!("--initial-cluster=default={peer_url}"),
        // The data goes with the lab; no disk has to be waited for.
        "--unsafe-no-fsync=true".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

/// Writes a kubeconfig and returns its path.
pub fn write_kubeconfig(scratch: &Scratch, name: &str, config: &Kubeconfig) -> Result<String> {
    let text = serde_json::to_string_pretty(config).context("write the kubeconfig")?;
    Ok(scratch.file(&format!("{name}.kubeconfig"), text)?.display().to_string())
}

async fn await_ready(endpoint: &Endpoint, processes: &[&Process]) -> Result<()> {
    await_answer(endpoint, processes, "/readyz", |answer| answer == "ok").await
}

/// Asks the API server for this path until it gives such an answer.
async fn await_answer(
    endpoint: &Endpoint,
    processes: &[&Process],
    path: &str,
    is_awaited: impl Fn(&str) -> bool,
) -> Result<()> {
    let client = client(endpoint.kubeconfig(&User::administrator())?).await?;
    let deadline = tokio::time::Instant::now() + Duration::from_mins(1);
    loop {
        for process in processes {
            process.ensure_running()?;
        }
        let request = http::Request::get(path).body(Vec::new()).context("ask the API server")?;
        if client.request_text(request).await.is_ok_and(|answer| is_awaited(&answer)) {
            return Ok(());
        }
        if tokio::time::Instant::now() > deadline {
            let logs: Vec<_> = processes
                .iter()
                .map(|process| format!("{}:\n{}", process.name(), process.log_tail()))
                .collect();
            bail!("the API server did not answer {path} as awaited within 60 s\n{}", logs.join("\n"));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
