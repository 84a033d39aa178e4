//! The command line: its tree, and the rules that every command follows.
//!
//! Data goes to stdout, everything else to stderr. Exit codes: 0 done, 1 refused (or different, or not
//! schedulable), 2 error. One file per command; no command knows another.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

pub mod certs;
#[cfg(feature = "ec2")]
pub mod controller;
pub mod crds;
pub mod webhook;

/// Gives each team's pods nodes of their own: injects and checks tolerations and node selectors, and
/// launches the matching EC2 nodes.
#[derive(Debug, Parser)]
#[command(name = "treenail", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Certs(certs::Certs),
    #[cfg(feature = "ec2")]
    Controller(controller::Controller),
    Crds(crds::Crds),
    Webhook(webhook::Webhook),
}

/// How a command that did its work ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Done,
    /// The answer is no: refused, different, or not schedulable.
    Refused,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::Refused => Self::from(1),
        }
    }
}

impl Cli {
    /// Carries out the command. An error is one that kept it from giving an answer.
    pub fn run(self) -> Result<Outcome> {
        match self.command {
            Command::Certs(command) => command.run(),
            #[cfg(feature = "ec2")]
            Command::Controller(command) => command.run(),
            Command::Crds(command) => command.run(),
            Command::Webhook(command) => command.run(),
        }
    }
}

/// Tells the person what a command did, or why it did not.
fn explain(text: &str) {
    // Nothing is left to be done if stderr is closed.
    let _ = writeln!(io::stderr(), "{text}");
}

/// The runtime of long-running commands.
fn runtime() -> Result<Runtime> {
    Runtime::new().context("start the runtime")
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_tree_is_consistent() {
        Cli::command().debug_assert();
    }
}
