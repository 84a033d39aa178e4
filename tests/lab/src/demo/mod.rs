//! The demo: scenes played on a real cluster with Treenail in it, told as a story.
//!
//! Every scene checks what it shows. One that does not come out as it should ends the story, by its name.

mod prices;
mod scenes;
pub(crate) mod stage;
pub(crate) mod tell;

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::treenail::Treenail;
use crate::users::User;
use stage::Stage;
use tell::seconds;

/// A part of Treenail that is left out, to show that the demo notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Withheld {
    /// No webhook is started.
    Webhook,
    /// No controller is started.
    Controller,
}

/// How the demo is played.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is shown.
    pub treenail: Treenail,
    /// Leave the cluster up after the last scene, until Ctrl-C.
    pub keep: bool,
    /// Leave out a part of Treenail.
    pub without: Option<Withheld>,
}

/// Plays every scene, until `asked_to_end` says that it is enough.
///
/// Signals are the caller's affair: to listen for them changes what they do to the whole process, for as long as it lives.
pub async fn play(options: Options, mut asked_to_end: impl AsyncFnMut()) -> Result<()> {
    tokio::select! {
        // An interrupted story drops the stage, which tears everything down.
        told = tell_story(&options) => {
            let (stage, took) = told?;
            if options.keep {
                stay_up(&stage, &mut asked_to_end).await?;
            }
            drop(stage);
            tell::line(&format!("everything is torn down; the story took {}", seconds(took)));
            Ok(())
        }
        () = asked_to_end() => bail!("interrupted"),
    }
}

async fn tell_story(options: &Options) -> Result<(Stage, Duration)> {
    let started = Instant::now();
    tell::title("Treenail: a node for every workload type");
    tell::line(
        "starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler, an EC2 endpoint, and Treenail …",
    );
    let stage = Stage::set(options).await.context("set the stage")?;
    tokio::select! {
        played = scenes::play(&stage) => played?,
        // A part that dies ends the story at once, with its last words.
        failure = stage.first_failure() => return Err(failure),
    }
    Ok((stage, started.elapsed()))
}

/// The folder that a file is in.
fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(file)
}

async fn stay_up(stage: &Stage, asked_to_end: &mut impl AsyncFnMut()) -> Result<()> {
    let kubectl = stage.lab.kubectl(&User::administrator())?;
    tell::heading("The cluster stays up");
    tell::line(&format!("export KUBECONFIG={}", kubectl.kubeconfig().display()));
    tell::line(&format!("export PATH={}:$PATH   # kubectl", folder_of(kubectl.executable()).display()));
    tell::line(&format!("logs are in {}, one file for each process", stage.lab.folder().display()));
    tell::line(
        "the pools are still patched as scene 6 needed it: an empty node goes after 10 s, all at once",
    );
    tell::line("Ctrl-C tears everything down");
    tokio::select! {
        () = asked_to_end() => Ok(()),
        failure = stage.first_failure() => Err(failure),
    }
}
