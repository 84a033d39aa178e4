//! The demo: scenes played on a real cluster, told as a story.

mod scenes;
mod tell;

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::lab::Lab;
use crate::signals::EndRequests;
use crate::users::User;
use tell::seconds;

/// Plays every scene. `keep` leaves the cluster up afterwards until Ctrl-C.
pub async fn play(keep: bool) -> Result<()> {
    let mut end = EndRequests::listen()?;
    tokio::select! {
        // An interrupted story drops the lab, which tears everything down.
        told = tell_story() => {
            let (lab, took) = told?;
            if keep {
                stay_up(&lab, &mut end).await?;
            }
            drop(lab);
            tell::line(&format!("everything is torn down; the story took {}", seconds(took)));
            Ok(())
        }
        () = end.next() => bail!("interrupted"),
    }
}

async fn tell_story() -> Result<(Lab, Duration)> {
    let started = Instant::now();
    tell::title("Treenail: a node for every workload type");
    tell::line(
        "starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler and an EC2 endpoint …",
    );
    let lab = Lab::start(&[User::named("alice")]).await.context("start the lab")?;
    tokio::select! {
        played = scenes::play(&lab) => played?,
        // A part that dies ends the story at once, with its last words.
        failure = lab.first_failure() => return Err(failure),
    }
    Ok((lab, started.elapsed()))
}

async fn stay_up(lab: &Lab, end: &mut EndRequests) -> Result<()> {
    let kubectl = lab.kubectl(&User::administrator())?;
    tell::heading("The cluster stays up");
    tell::line(&format!("export KUBECONFIG={}", kubectl.kubeconfig().display()));
    tell::line("Ctrl-C tears it down");
    tokio::select! {
        () = end.next() => Ok(()),
        failure = lab.first_failure() => Err(failure),
    }
}
