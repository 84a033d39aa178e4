//! `treenail webhook`.

use anyhow::Result;
use clap::Args;

use super::{Outcome, runtime};
use crate::config::WebhookSettings;
use crate::{app, telemetry};

/// Run the admission webhook.
///
/// Gives pods of labelled namespaces the tolerations and the selector of their workload type, and refuses what would break
/// the isolation or could never run. Needs the custom resource definitions (`treenail crds`) and manifests/base in the
/// cluster. Ready (`/readyz`) once everything is listed and API servers trust its certificate; says what is missing until then.
#[derive(Args, Debug)]
pub struct Webhook {
    #[command(flatten)]
    settings: WebhookSettings,
}

impl Webhook {
    /// Runs until the process is told to end.
    pub(super) fn run(self) -> Result<Outcome> {
        telemetry::start(&self.settings.common)?;
        runtime()?.block_on(app::webhook::run(self.settings))?;
        Ok(Outcome::Done)
    }
}
