//! What is played, in order.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::Api;
use kube::runtime::wait::{Condition, await_condition};

use super::tell::{self, seconds};
use crate::lab::Lab;
use crate::user_data::UserData;
use crate::users::User;

/// Plays them all; the first that does not come out as it should is named.
pub(crate) async fn play(lab: &Lab) -> Result<()> {
    cluster(lab).await.context("scene 1, the cluster, did not come out as it should")?;
    instance(lab).await.context("scene 2, an instance becomes a node, did not come out as it should")
}

async fn cluster(lab: &Lab) -> Result<()> {
    tell::heading("1. A cluster on this machine");
    let client = lab.client(&User::administrator()).await?;
    let version = client.apiserver_version().await.context("ask for the version")?.git_version;
    tell::good(&format!("Kubernetes {version} answers at {}", lab.endpoint().url));
    for (part, duration) in lab.started_in() {
        tell::good(&format!("{part} ready after {}", seconds(*duration)));
    }
    let mebibytes = |bytes: u64| format!("{} MiB", bytes / 1024 / 1024);
    let rows: Vec<_> = lab
        .processes()
        .iter()
        .map(|process| {
            [process.name().to_owned(), process.resident_bytes().map_or("gone".to_owned(), mebibytes)]
        })
        .collect();
    tell::table(["PROCESS", "MEMORY"], &rows);
    Ok(())
}

const POD: &str = "
apiVersion: v1
kind: Pod
metadata: {name: first, namespace: default}
spec:
  nodeSelector: {lab.treenail.dev/by-hand: 'true'}
  tolerations: [{key: by-hand, operator: Exists, effect: NoSchedule}]
  containers: [{name: app, image: app}]
";

async fn instance(lab: &Lab) -> Result<()> {
    tell::heading("2. An instance becomes a node");
    let client = lab.client(&User::administrator()).await?;
    let (nodes, pods): (Api<Node>, Api<Pod>) = (Api::all(client.clone()), Api::default_namespaced(client));

    let (subnet, zone) =
        lab.ec2().discovery_subnets().await?.into_iter().next().context("there is no subnet")?;
    let user_data = UserData::of(lab.endpoint()).label("lab.treenail.dev/by-hand=true").taint(
        "by-hand",
        "",
        "NoSchedule",
    );
    let launched = Instant::now();
    let id = lab.ec2().run_instance("c7i.xlarge", &subnet, &user_data.archive()).await?;
    tell::good(&format!("instance {id} launched by hand: c7i.xlarge in {zone}"));

    let node = lab.registered_node(&id).await?;
    tell::good(&format!(
        "its machine read the user data and registered node {node} after {}",
        seconds(launched.elapsed())
    ));
    within(await_condition(nodes.clone(), &node, is_ready()))
        .await
        .context("the node did not become ready")?;
    tell::good(&format!("the node is ready after {}", seconds(launched.elapsed())));

    let applied = Instant::now();
    let printed = lab.kubectl(&User::administrator())?.apply(POD).await?;
    tell::line(&format!("$ kubectl apply -f pod.yaml → {}", printed.trim()));
    within(await_condition(pods.clone(), "first", kube::runtime::conditions::is_pod_running()))
        .await
        .context("the pod did not run")?;
    let bound = pods.get("first").await?.spec.and_then(|spec| spec.node_name).unwrap_or_default();
    if bound != node {
        bail!("the pod runs on {bound}, not on {node}");
    }
    tell::good(&format!("the pod runs on {bound} after {}", seconds(applied.elapsed())));
    let rows: Vec<_> = nodes.list(&kube::api::ListParams::default()).await?.iter().map(node_row).collect();
    tell::table(["NODE", "TYPE", "ZONE", "TAINTS"], &rows);
    Ok(())
}

fn node_row(node: &Node) -> [String; 4] {
    let label = |key: &str| node.labels().get(key).cloned().unwrap_or_default();
    let taints = node.spec.as_ref().and_then(|spec| spec.taints.clone()).unwrap_or_default();
    let taints: Vec<_> = taints
        .iter()
        .map(|taint| format!("{}={}:{}", taint.key, taint.value.as_deref().unwrap_or_default(), taint.effect))
        .collect();
    [
        node.name_any(),
        label("node.kubernetes.io/instance-type"),
        label("topology.kubernetes.io/zone"),
        taints.join(","),
    ]
}

fn is_ready() -> impl Condition<Node> {
    |node: Option<&Node>| {
        let conditions =
            node.and_then(|node| node.status.as_ref()).and_then(|status| status.conditions.as_ref());
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    }
}

async fn within<T, E>(wait: impl Future<Output = Result<T, E>>) -> Result<T>
where
    E: std::error::Error + Send + Sync + 'static,
{
    Ok(tokio::time::timeout(Duration::from_secs(30), wait).await.context("not within 30 s")??)
}
