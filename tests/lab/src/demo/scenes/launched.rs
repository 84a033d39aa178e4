//! Pods that find no node get one.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::Value;

use crate::demo::prices::dollars_per_hour;
use crate::demo::stage::Stage;
use crate::demo::tell::{self, milliseconds, seconds};
use crate::ec2::Call;
use crate::timeline::Moment;

/// So many pods come at once.
const BURST: usize = 50;

/// The first pods' way, then a burst, then who is where.
pub(crate) async fn play(stage: &Stage) -> Result<()> {
    tell::heading("4. Pods that find no node get one, and nobody wrote a word about nodes");
    for (namespace, app) in [("shop", "web"), ("metrics", "prometheus")] {
        let pod = running(stage, namespace, app, 1).await?.remove(0);
        tell_the_way(stage, &pod).await?;
    }
    burst(stage).await?;
    nodes(stage).await
}

/// Waits until so many pods of the app run.
pub(crate) async fn running(stage: &Stage, namespace: &str, app: &str, count: usize) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), namespace);
    let scope = ListParams::default().labels(&format!("app={app}"));
    let is_running =
        |pod: &Pod| pod.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Running"));
    let all_run = async || {
        let found = pods.list(&scope).await?.items;
        Ok((found.len() == count && found.iter().all(is_running)).then_some(found))
    };
    match stage.until(&format!("{count} pods of {app} run"), all_run).await {
        Ok(found) => Ok(found),
        Err(error) => Err(error.context(why_not(stage, namespace).await)),
    }
}

/// What the events of a namespace say about pods that do not run.
async fn why_not(stage: &Stage, namespace: &str) -> String {
    let columns =
        "custom-columns=WHO:.reportingComponent,WHAT:.reason,WHICH:.involvedObject.name,WHY:.message";
    let arguments =
        ["get", "events", "-n", namespace, "--sort-by=.metadata.creationTimestamp", "-o", columns];
    let pods = stage.kubectl.run(&["get", "pods", "-n", namespace, "-o", "wide"]).await;
    let events = stage.kubectl.run(&arguments).await;
    let text = |outcome: Result<crate::kubectl::Outcome>| outcome.map(|it| it.stdout).unwrap_or_default();
    let (pods, events) = (text(pods), text(events));
    let pods: Vec<_> = pods.lines().filter(|line| !line.contains("Running")).collect();
    let events: Vec<_> = events.lines().rev().take(40).collect();
    format!("pods that do not run:\n{}\nlast events, newest first:\n{}", pods.join("\n"), events.join("\n"))
}

/// The timeline of one pod, from its creation until it runs.
async fn tell_the_way(stage: &Stage, pod: &Pod) -> Result<()> {
    let namespace = pod.namespace().unwrap_or_default();
    let key = format!("{namespace}/{}", pod.name_any());
    let node = pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).context("the pod has no node")?;
    let claim = claim_of(stage, &node).await?;
    let fleet = launch_of(stage, &claim).context("no CreateFleet has the claim's token")?;
    let claim = claim.name_any();
    // The timeline's watches are not those by which the pod was seen to run.
    let seen = async |moment, key: &str| {
        let what = format!("{moment:?} of {key} is seen");
        stage.until(&what, async || Ok(stage.timeline.at(moment, key))).await
    };
    let created = seen(Moment::PodCreated, &key).await?;
    let running = fleet.arrived + fleet.took.unwrap_or_default();
    let moments = [
        ("pod created, and patched by the webhook in the same call", created, String::new()),
        ("pending: no node will do", seen(Moment::PodUnschedulable, &key).await?, String::new()),
        ("NodeClaim", seen(Moment::ClaimCreated, &claim).await?, claim.clone()),
        (
            "CreateFleet arrives at EC2",
            fleet.arrived,
            fleet.parameters.get("ClientToken").cloned().unwrap_or_default(),
        ),
        (
            "instance running",
            running,
            fleet.launched.first().map(|it| format!("{}, {}", it.id, it.instance_type)).unwrap_or_default(),
        ),
        ("node registered, closed to all", seen(Moment::NodeRegistered, &node).await?, node.clone()),
        ("node open: labels and taints are on it", seen(Moment::NodeAdopted, &node).await?, String::new()),
        ("node ready", seen(Moment::NodeReady, &node).await?, String::new()),
        ("pod bound", seen(Moment::PodBound, &key).await?, String::new()),
        ("pod running", seen(Moment::PodRunning, &key).await?, String::new()),
    ];
    let mut moments = moments.to_vec();
    moments.sort_by_key(|(_, at, _)| *at);
    let rows: Vec<_> = moments
        .into_iter()
        .map(|(what, at, detail)| {
            [milliseconds(at.saturating_duration_since(created)), what.to_owned(), detail]
        })
        .collect();
    tell::line(&format!("the way of pod {key}:"));
    tell::table(["AFTER", "WHAT", "WHICH"], &rows);
    Ok(())
}

async fn claim_of(stage: &Stage, node: &str) -> Result<DynamicObject> {
    let is_its =
        |claim: &DynamicObject| claim.data.pointer("/status/nodeName").and_then(Value::as_str) == Some(node);
    // The node is opened a moment before its claim says which it is.
    let find = async || Ok(stage.claims().list(&ListParams::default()).await?.into_iter().find(is_its));
    stage.until(&format!("a claim has node {node}"), find).await
}

fn launch_of(stage: &Stage, claim: &DynamicObject) -> Option<Call> {
    let uid = claim.uid()?;
    let is_its = |call: &Call| {
        call.action == "CreateFleet"
            && call.parameters.get("ClientToken").is_some_and(|token| token.starts_with(&uid))
    };
    stage.lab.front().calls().into_iter().find(is_its)
}

async fn burst(stage: &Stage) -> Result<()> {
    let before = stage.lab.front().lifetimes().len();
    let manifest = super::patched::deployment("shop", "burst", BURST);
    let started = Instant::now();
    stage.kubectl.apply(&manifest).await?;
    tell::line(&format!("$ kubectl apply -f burst.yaml   # {BURST} replicas of 500m CPU, in namespace shop"));
    running(stage, "shop", "burst", BURST).await?;
    let first = stage.timeline.all(Moment::PodCreated, "shop/burst-").into_iter().map(|(_, at)| at).min();
    let last = stage.timeline.all(Moment::PodRunning, "shop/burst-").into_iter().map(|(_, at)| at).max();
    let took = match (first, last) {
        (Some(first), Some(last)) => last.saturating_duration_since(first),
        _ => started.elapsed(),
    };
    let launched = stage.lab.front().lifetimes().split_off(before);
    let price: f64 = launched.iter().filter_map(|it| dollars_per_hour(&it.instance_type)).sum();
    let first_call = launched.iter().map(|it| it.launched).min();
    let until_call = first.zip(first_call).map(|(pod, call)| call.saturating_duration_since(pod));
    tell::good(&format!(
        "{BURST} pods run {} after the first of them was created; {} nodes, ${price:.4}/h{}",
        seconds(took),
        launched.len(),
        until_call
            .map_or(String::new(), |it| format!("; the first CreateFleet came after {}", milliseconds(it))),
    ));
    ensure!(price <= 1.43, "the nodes for {BURST} pods cost ${price:.4}/h");
    Ok(())
}

/// Who is where: pods of a type only on its nodes.
async fn nodes(stage: &Stage) -> Result<()> {
    let nodes: Api<Node> = Api::all(stage.client.clone());
    let mut rows = Vec::new();
    for node in nodes.list(&ListParams::default()).await? {
        let label = |key: &str| node.labels().get(key).cloned().unwrap_or_default();
        let instance_type = label("node.kubernetes.io/instance-type");
        let taints = node.spec.as_ref().and_then(|spec| spec.taints.as_ref()).into_iter().flatten();
        // Those that come and go with the node's health are not what it is for.
        let lasting = taints.filter(|taint| !taint.key.starts_with("node.kubernetes.io/"));
        let taints: Vec<_> = lasting
            .map(|taint| {
                format!("{}={}:{}", taint.key, taint.value.as_deref().unwrap_or_default(), taint.effect)
            })
            .collect();
        let pods = pods_on(stage, &node.name_any()).await?;
        for (namespace, family) in [("shop", "c7i."), ("metrics", "m5a.large")] {
            let is_foreign =
                pods.iter().any(|other| other == namespace) && !instance_type.starts_with(family);
            ensure!(
                !is_foreign,
                "a pod of {namespace} is on node {} of type {instance_type}",
                node.name_any()
            );
        }
        let price = dollars_per_hour(&instance_type).context("a type without a price")?;
        rows.push([
            node.name_any(),
            instance_type,
            label("topology.kubernetes.io/zone"),
            taints.join(" "),
            pods.len().to_string(),
            format!("{price:.4}"),
        ]);
    }
    rows.sort_by(|a, b| (&a[1], &a[0]).cmp(&(&b[1], &b[0])));
    tell::line("$ kubectl get nodes   # with what they are for, and what they cost");
    tell::table(["NODE", "TYPE", "ZONE", "TAINT", "PODS", "$/H"], &rows);
    tell::good("pods of shop are on c7i only, pods of metrics on m5a.large only");
    Ok(())
}

/// The namespaces of the pods on a node.
async fn pods_on(stage: &Stage, node: &str) -> Result<Vec<String>> {
    let pods: Api<Pod> = Api::all(stage.client.clone());
    let scope = ListParams::default().fields(&format!("spec.nodeName={node}"));
    Ok(pods.list(&scope).await?.iter().filter_map(ResourceExt::namespace).collect())
}
