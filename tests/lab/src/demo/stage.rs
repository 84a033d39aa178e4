//! The cluster that the scenes are played on.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};

use super::{Options, Withheld};
use crate::balancer::Balancer;
use crate::kubectl::{Kubectl, Outcome};
use crate::lab::Lab;
use crate::process::Process;
use crate::timeline::Timeline;
use crate::treenail::WebhookReplica;
use crate::users::User;

/// How long a scene waits for what it expects.
const PATIENCE: Duration = Duration::from_secs(30);

/// A lab with Treenail in it.
pub(crate) struct Stage {
    pub(crate) webhook: Option<WebhookReplica>,
    pub(crate) controller: Option<Process>,
    pub(crate) lab: Lab,
    pub(crate) client: Client,
    pub(crate) kubectl: Kubectl,
    pub(crate) webhook_ready_in: Option<Duration>,
    pub(crate) examples: PathBuf,
    /// When the cluster was there.
    pub(crate) started: Instant,
    pub(crate) timeline: Timeline,
    _balancer: Balancer,
}

impl Stage {
    pub(crate) async fn set(options: &Options) -> Result<Self> {
        let lab = Lab::start(&[User::named("alice")]).await.context("start the lab")?;
        let treenail = &options.treenail;
        let balancer = Balancer::start().await?;
        treenail.install(&lab, &balancer).await.context("apply Treenail's manifests")?;
        let controller = match options.without {
            Some(Withheld::Controller) => None,
            _ => Some(treenail.start_controller(&lab, &[]).await?),
        };
        let started = Instant::now();
        let webhook = match options.without {
            Some(Withheld::Webhook) => None,
            _ => Some(treenail.start_webhook(&lab, &balancer, &[]).await?),
        };
        let mut webhook_ready_in = None;
        if let Some(webhook) = &webhook {
            webhook.await_ready().await?;
            webhook_ready_in = Some(started.elapsed());
        }
        let client = lab.client(&User::administrator()).await?;
        let kubectl = lab.kubectl(&User::administrator())?;
        let timeline = Timeline::start(&client);
        Ok(Self {
            webhook,
            controller,
            lab,
            client,
            kubectl,
            webhook_ready_in,
            examples: treenail.examples(),
            started: Instant::now(),
            timeline,
            _balancer: balancer,
        })
    }

    /// NodeClaims, whatever is in them.
    pub(crate) fn claims(&self) -> Api<DynamicObject> {
        let claims = ApiResource::from_gvk(&GroupVersionKind::gvk("karpenter.sh", "v1", "NodeClaim"));
        Api::all_with(self.client.clone(), &claims)
    }

    /// Treenail's own processes.
    pub(crate) fn treenail_processes(&self) -> Vec<&Process> {
        self.webhook.iter().map(|webhook| &webhook.process).chain(&self.controller).collect()
    }

    /// Waits until a process ends by itself, and says which.
    pub(crate) async fn first_failure(&self) -> anyhow::Error {
        let ours = async {
            loop {
                for process in self.treenail_processes() {
                    if let Err(error) = process.ensure_running() {
                        return error;
                    }
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::select! {
            error = ours => error,
            error = self.lab.first_failure() => error,
        }
    }

    /// Applies a manifest as this user.
    pub(crate) async fn apply_as(&self, user: &User, manifest: &str) -> Result<Outcome> {
        self.lab.kubectl(user)?.run_with_input(&["apply", "-f", "-"], manifest).await
    }

    /// Looks again and again until something is there.
    pub(crate) async fn until<T>(
        &self,
        what: &str,
        look: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        self.until_within(PATIENCE, what, look).await
    }

    /// The same, with other patience.
    pub(crate) async fn until_within<T>(
        &self,
        patience: Duration,
        what: &str,
        mut look: impl AsyncFnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(found) = look().await? {
                return Ok(found);
            }
            if Instant::now() > deadline {
                bail!("{what}: not within {} s", patience.as_secs());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
