//! `lab`: a real Kubernetes cluster with an EC2 endpoint on this machine.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use treenail_lab::signals::EndRequests;
use treenail_lab::treenail::Treenail;
use treenail_lab::{Lab, User, demo, latency};

/// A real Kubernetes cluster with an EC2 endpoint on this machine, for tests and for the demo.
///
/// Everything listens on loopback, works in one temporary folder, and is gone when this program ends.
#[derive(Parser)]
#[command(name = "lab", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a cluster, print how to reach it, and keep it until Ctrl-C.
    ///
    /// Prints shell lines: `KUBECONFIG` for kubectl, `AWS_ENDPOINT_URL` for the EC2 endpoint.
    Up,
    /// Play the demo: what Treenail does, on a real cluster.
    Demo {
        /// Leave the cluster up after the last scene, until Ctrl-C.
        #[arg(long)]
        keep: bool,
        /// Leave out a part of Treenail: the demo must notice, and name the scene.
        #[arg(long, value_name = "PART")]
        without: Option<demo::Withheld>,
        #[command(flatten)]
        treenail: Program,
    },
    /// Measure how long a lone pod waits for its launch, and print every sample.
    Latency {
        #[command(flatten)]
        treenail: Program,
    },
}

/// Where Treenail is.
#[derive(clap::Args)]
struct Program {
    /// Treenail's executable; by default the one beside this program.
    #[arg(long, value_name = "FILE")]
    treenail: Option<PathBuf>,
    /// Treenail's manifests.
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../../manifests"))]
    manifests: PathBuf,
}

impl Program {
    fn find(self) -> Result<Treenail> {
        let executable = match self.treenail {
            Some(executable) => executable,
            None => {
                std::env::current_exe().context("find the running executable")?.with_file_name("treenail")
            }
        };
        Ok(Treenail::new(&executable, &self.manifests))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(command: Command) -> Result<()> {
    match command {
        Command::Up => up().await,
        Command::Demo { keep, without, treenail } => {
            let mut end = EndRequests::listen()?;
            let options = demo::Options { treenail: treenail.find()?, keep, without };
            demo::play(options, async || end.next().await).await
        }
        Command::Latency { treenail } => latency::measure(treenail.find()?).await,
    }
}

async fn up() -> Result<()> {
    let mut end = EndRequests::listen()?;
    let stays_up = async {
        let lab = Lab::start(&[User::named("alice")]).await.context("start the lab")?;
        introduce(&lab)?;
        Err(lab.first_failure().await)
    };
    tokio::select! {
        failure = stays_up => failure,
        // Dropping the lab tears everything down.
        () = end.next() => Ok(()),
    }
}

#[expect(clippy::print_stdout, reason = "what is printed is the program's answer")]
fn introduce(lab: &Lab) -> Result<()> {
    let kubectl = lab.kubectl(&User::administrator())?;
    println!("export KUBECONFIG={}", kubectl.kubeconfig().display());
    println!("export AWS_ENDPOINT_URL={}", lab.front().url());
    println!("# kubectl is {}", kubectl.executable().display());
    println!("# logs are in {}; Ctrl-C tears everything down", lab.folder().display());
    Ok(())
}

#[expect(clippy::print_stderr, reason = "the one place where an error is shown to a person")]
fn complain(error: &anyhow::Error) {
    eprintln!("lab: {error:#}");
}
