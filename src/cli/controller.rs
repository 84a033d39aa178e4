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
