//! More pods, more nodes; no pods, no nodes.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::demo::stage::Stage;
use crate::demo::tell::{self, seconds};
use crate::timeline::Moment;

/// Draining, terminating and seeing that an instance is gone takes several polls.
const PATIENCE: Duration = Duration::from_mins(2);

/// The example pools let a node rest for half a minute, and two go at once. The story is shorter.
const HURRY: &str = r#"{"spec":{"disruption":{"consolidateAfter":"10s","budgets":[{"nodes":"100%"}]}}}"#;

/// Up, then down to nothing.
pub(crate) async fn play(stage: &Stage) -> Result<()> {
    tell::heading("6. More pods, more nodes; no pods, no nodes");
    let before = stage.lab.front().lifetimes().len();
    scale(stage, "metrics", "prometheus", 8).await?;
    super::launched::running(stage, "metrics", "prometheus", 8).await?;
    let more = stage.lab.front().lifetimes().split_off(before);
    ensure!(!more.is_empty(), "no node was launched");
    ensure!(more.iter().all(|it| it.instance_type == "m5a.large"), "launched {more:?}");
    tell::good(&format!("8 pods of prometheus run; {} more m5a.large", more.len()));

    for pool in ["application", "monitoring"] {
        stage.kubectl.run(&["patch", "nodepool", pool, "--type=merge", "-p", HURRY]).await?;
    }
    tell::line(
        "(for this story the pools let an empty node go after 10 s, all at once, instead of after 30 s, two at once)",
    );
    let started = Instant::now();
    for (namespace, app) in [("shop", "web"), ("shop", "burst"), ("metrics", "prometheus")] {
        scale(stage, namespace, app, 0).await?;
    }
    let is_empty = async || {
        let claims = stage.claims().list(&ListParams::default()).await?;
        Ok(claims.items.is_empty().then_some(()))
    };
    stage.until_within(PATIENCE, "no NodeClaim is left", is_empty).await?;
    let took = started.elapsed();

    let nodes: Api<Node> = Api::all(stage.client.clone());
    let nodes: Vec<_> = nodes.list(&ListParams::default()).await?.iter().map(ResourceExt::name_any).collect();
    ensure!(nodes.is_empty(), "nodes are left: {nodes:?}");
    let instances = stage.lab.ec2().instances().await?;
    let left: Vec<_> = instances.iter().filter(|instance| instance.state != "terminated").collect();
    ensure!(left.is_empty(), "instances are left: {left:?}");
    let lifetimes = stage.lab.front().lifetimes();
    ensure!(lifetimes.iter().all(|it| it.terminated.is_some()), "an instance ended by itself: {lifetimes:?}");

    let after =
        |at: Option<Instant>| at.map_or("?".to_owned(), |at| seconds(at.saturating_duration_since(started)));
    let seen =
        |moment| stage.timeline.all(moment, "").into_iter().map(|(_, at)| at).filter(|at| *at >= started);
    let terminations = || lifetimes.iter().filter_map(|it| it.terminated).filter(|at| *at >= started);
    let rows = [
        (
            "nodes tainted, closed to new pods",
            seen(Moment::NodeDisrupted).min(),
            seen(Moment::NodeDisrupted).max(),
        ),
        ("claims deleted, nodes drained", seen(Moment::ClaimDeleted).min(), seen(Moment::ClaimDeleted).max()),
        ("TerminateInstances", terminations().min(), terminations().max()),
    ];
    let rows: Vec<_> =
        rows.into_iter().map(|(what, first, last)| [after(first), after(last), what.to_owned()]).collect();
    tell::table(["FIRST", "LAST", "WHAT"], &rows);
    tell::good(&format!(
        "{} after the last pod was asked to go: no NodeClaim, no Node, and nothing runs in EC2 ({} instances terminated)",
        seconds(took),
        lifetimes.len(),
    ));
    Ok(())
}

async fn scale(stage: &Stage, namespace: &str, name: &str, replicas: usize) -> Result<()> {
    let replicas = format!("--replicas={replicas}");
    let arguments = ["scale", "-n", namespace, "deployment", name, &replicas];
    let outcome = stage.kubectl.run(&arguments).await?;
    ensure!(outcome.success, "kubectl scale: {}", outcome.stderr.trim());
    tell::line(&format!("$ kubectl {}", arguments.join(" ")));
    Ok(())
}
