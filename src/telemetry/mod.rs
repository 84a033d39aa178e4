//! Logs: one line an event on standard error, readable alone, with fields for search.

use anyhow::{Context, Result};
use tracing_subscriber::EnvFilter;

use crate::config::{CommonSettings, LogFormat};

/// Starts logging; once per process.
pub fn start(settings: &CommonSettings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.log_level).with_context(|| {
        format!("--log-level {:?}: expected levels such as `info,treenail=debug`", settings.log_level)
    })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Lines that cannot be written are lost. To say so there, too, would panic.
        .log_internal_errors(false);
    let started = match settings.log_format {
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
        LogFormat::Text => builder.with_ansi(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("start logging: {error}"))
}
