//! `treenail controller`.

use anyhow::Result;
use clap::Args;

use super::{Outcome, runtime};
use crate::config::ControllerSettings;
use crate::{app, telemetry};

/// Run the provisioning controller.
///
/// Launches nodes for pods that stay pending, from the NodePools of their workload type, terminates those that are empty, and
/// keeps the statuses of WorkloadTypes, NodePools and EC2NodeClasses. Replicas elect a leader by the lease treenail-leader-election; pools and
/// classes of karpenter.k8s.aws are acted on only while Karpenter's own lease is held too, so that a live Karpenter is left alone.
#[derive(Args, Debug)]
#[command(after_long_help = "\
AWS, as in every AWS program (nothing of it is needed where the instance's or the pod's own metadata say it):
  AWS_REGION                              the region; required in a pod unless a webhook of EKS puts it there
  AWS_ENDPOINT_URL                        another endpoint for all of AWS
  AWS_ROLE_ARN, AWS_WEB_IDENTITY_TOKEN_FILE
                                          credentials by a ServiceAccount's role (IRSA)
  AWS_CONTAINER_CREDENTIALS_FULL_URI      credentials by EKS Pod Identity
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_PROFILE
                                          credentials by key or by profile
What the role must be allowed to do is in docs/install.md.")]
pub struct Controller {
    #[command(flatten)]
    settings: ControllerSettings,
}

impl Controller {
    /// Runs until the process is told to end.
    pub(super) fn run(self) -> Result<Outcome> {
        telemetry::start(&self.settings.common)?;
        runtime()?.block_on(app::controller::run(self.settings))?;
        Ok(Outcome::Done)
    }
}
