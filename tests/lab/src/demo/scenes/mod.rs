//! What is played, in order.

mod cost;
mod launched;
mod patched;
mod platform;
mod refused;
mod scaled;

use anyhow::{Context, Result};

use super::stage::Stage;

/// Plays them all; the first that does not come out as it should is named.
pub(crate) async fn play(stage: &Stage) -> Result<()> {
    platform::pools(stage).await.context("scene 1 (pools and types) did not come out as it should")?;
    platform::namespaces(stage).await.context("scene 2 (namespaces) did not come out as it should")?;
    patched::play(stage).await.context("scene 3 (pods are patched) did not come out as it should")?;
    launched::play(stage).await.context("scene 4 (nodes for pods) did not come out as it should")?;
    refused::play(stage)
        .await
        .context("scene 5 (what cannot work is refused) did not come out as it should")?;
    scaled::play(stage).await.context("scene 6 (up, and down to nothing) did not come out as it should")?;
    cost::play(stage).context("scene 7 (what it cost) did not come out as it should")
}
