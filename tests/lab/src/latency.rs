//! How long a lone pod waits for its launch: from the moment at which it is seen that no node will do to the arrival of CreateFleet.
//!
//! Both moments are taken outside of Treenail: the first by the lab's own watch, the second by the proxy before the EC2 endpoint. Every
//! sample is shown.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::json;

use crate::demo::stage::Stage;
use crate::demo::{Options, tell};
use crate::signals::EndRequests;
use crate::timeline::{Moment, Timeline};
use crate::treenail::Treenail;

/// So many pods of each kind, one after the other, after one that finds the launch template not known yet.
const SAMPLES: usize = 12;
/// What is aimed at, for the median.
const TARGET: Duration = Duration::from_millis(150);
/// Beyond this, something is broken.
const SANE: Duration = Duration::from_secs(5);

const NAMESPACE: &str = "latency";

/// One pod's times.
struct Sample {
    pod: String,
    /// From unschedulable to the claim, by the lab's watch.
    claim: i128,
    /// From unschedulable to the arrival of CreateFleet.
    launch: i128,
    /// From unschedulable to running.
    running: i128,
}

/// Measures, and shows the samples.
pub async fn measure(treenail: Treenail) -> Result<()> {
    let mut end = EndRequests::listen()?;
    tell::title("From a lone pod that is unschedulable to the CreateFleet request");
    let stage =
        Stage::set(&Options { treenail, keep: false, without: None }).await.context("set the stage")?;
    tokio::select! {
        // What is dropped tears everything down.
        measured = take_samples(&stage) => measured,
        failure = stage.first_failure() => Err(failure),
        () = end.next() => bail!("interrupted"),
    }
}

async fn take_samples(stage: &Stage) -> Result<()> {
    let outcome = stage.kubectl.run(&["apply", "-f", &stage.examples.display().to_string()]).await?;
    ensure!(outcome.success, "kubectl apply: {}", outcome.stderr.trim());
    let is_ready = async || {
        let jsonpath = "jsonpath={range .items[*]}{.status.conditions[?(@.type==\"Ready\")].status} {end}";
        let outcome = stage.kubectl.run(&["get", "nodepools,workloadtypes", "-o", jsonpath]).await?;
        Ok((outcome.stdout.trim() == "True True True True").then_some(()))
    };
    stage.until("pools and types are ready", is_ready).await?;
    let namespace = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}, labels: {{treenail.dev/workload-type: application}}}}\n"
    );
    stage.kubectl.apply(&namespace).await?;

    let timeline = Timeline::start(&stage.client);
    let first = sample(stage, &timeline, "first", Maker::Nobody).await?;
    tell::line("from the moment at which the lab's watch sees the pod unschedulable to");
    show("the first pod", &[first])?;
    for (kind, prefix, maker) in [
        ("pods made by hand", "lone", Maker::Nobody),
        ("pods of a ReplicaSet of one", "set", Maker::ReplicaSet),
    ] {
        let mut samples = Vec::new();
        for number in 1..=SAMPLES {
            samples.push(sample(stage, &timeline, &format!("{prefix}-{number:02}"), maker).await?);
        }
        show(kind, &samples)?;
    }
    Ok(())
}

fn show(kind: &str, samples: &[Sample]) -> Result<()> {
    let milliseconds = |time: i128| format!("{time} ms");
    let row = |sample: &Sample| {
        let times = [sample.claim, sample.launch, sample.running].map(milliseconds);
        let [claim, launch, running] = times;
        [sample.pod.clone(), claim, launch, running]
    };
    tell::heading(kind);
    tell::table(["POD", "CLAIM", "CREATEFLEET", "RUNNING"], &samples.iter().map(row).collect::<Vec<_>>());
    let mut sorted: Vec<_> = samples.iter().map(|sample| sample.launch).collect();
    sorted.sort_unstable();
    let median = sorted.get(sorted.len() / 2).copied().context("there is no sample")?;
    if samples.len() > 1 {
        let aim = TARGET.as_millis();
        tell::line(&format!("median of {}: {median} ms to CreateFleet (aimed at: {aim} ms)", samples.len()));
    }
    ensure!(median < i128::try_from(SANE.as_millis())?, "a median of {median} ms: something is broken");
    Ok(())
}

/// What makes a pod.
#[derive(Clone, Copy)]
enum Maker {
    Nobody,
    ReplicaSet,
}

/// A pod that no node has room for, from its creation until it runs.
async fn sample(stage: &Stage, timeline: &Timeline, name: &str, maker: Maker) -> Result<Sample> {
    let launches = |stage: &Stage| {
        let calls = stage.lab.front().calls().into_iter();
        calls.filter(|call| call.action == "CreateFleet").map(|call| call.arrived).collect::<Vec<_>>()
    };
    let claims = |timeline: &Timeline| timeline.all(Moment::ClaimCreated, "");
    let (calls_before, claims_before) = (launches(stage).len(), claims(timeline).len());
    // Two of them do not fit on the smallest node of the pool.
    let spec = json!({ "containers": [{
        "name": "app", "image": "app", "resources": { "requests": { "cpu": "3", "memory": "256Mi" } },
    }]});
    match maker {
        Maker::Nobody => {
            let pods: Api<Pod> = Api::namespaced(stage.client.clone(), NAMESPACE);
            let pod = serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec }))?;
            pods.create(&PostParams::default(), &pod).await?;
        }
        Maker::ReplicaSet => {
            let sets: Api<ReplicaSet> = Api::namespaced(stage.client.clone(), NAMESPACE);
            let labels = json!({ "app": name });
            let set = serde_json::from_value(json!({
                "metadata": { "name": name },
                "spec": {
                    "replicas": 1,
                    "selector": { "matchLabels": labels },
                    "template": { "metadata": { "labels": labels }, "spec": spec },
                },
            }))?;
            sets.create(&PostParams::default(), &set).await?;
        }
    }
    let prefix = format!("{NAMESPACE}/{name}");
    let (key, running) = stage
        .until(&format!("pod {name} runs"), async || {
            Ok(timeline.all(Moment::PodRunning, &prefix).into_iter().next())
        })
        .await?;
    let unschedulable = timeline.at(Moment::PodUnschedulable, &key).context("it was never unschedulable")?;
    let since = |moment: Instant| milliseconds_between(unschedulable, moment);
    let launch = launches(stage).get(calls_before).copied().context("nothing was launched")?;
    let claim = claims(timeline).get(claims_before).map(|(_, at)| *at).context("no claim was seen")?;
    Ok(Sample { pod: name.to_owned(), claim: since(claim), launch: since(launch), running: since(running) })
}

/// Negative, if the watch was slower than Treenail.
fn milliseconds_between(from: Instant, to: Instant) -> i128 {
    let milliseconds = |duration: Duration| i128::try_from(duration.as_millis()).unwrap_or(i128::MAX);
    match to.checked_duration_since(from) {
        Some(later) => milliseconds(later),
        None => -milliseconds(from.duration_since(to)),
    }
}
