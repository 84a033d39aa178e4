//! What the developer does, and what admission makes of it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Pod, Toleration};
use kube::ResourceExt;
use kube::api::{Api, ListParams};

use crate::demo::stage::Stage;
use crate::demo::tell;

/// A deployment in each namespace, without a word about nodes.
pub(crate) async fn play(stage: &Stage) -> Result<()> {
    tell::heading("3. Developers deploy without a toleration and without a selector");
    for (namespace, name) in [("shop", "web"), ("metrics", "prometheus")] {
        stage.kubectl.apply(&deployment(namespace, name, 1)).await?;
        tell::line(&format!("$ kubectl apply -f {name}.yaml   # one replica, in namespace {namespace}"));
        let pod = first_pod(stage, namespace, name).await?;
        show_difference(&pod)?;
        let deployments: Api<Deployment> = Api::namespaced(stage.client.clone(), namespace);
        let template =
            deployments.get(name).await?.spec.and_then(|spec| spec.template.spec).context("no template")?;
        ensure!(
            template.tolerations.is_none() && template.node_selector.is_none(),
            "the template of {name} was changed"
        );
        tell::good(&format!("the Deployment {name} is as it was written"));
    }
    Ok(())
}

/// A Deployment of so many replicas, each of 500m CPU and 256Mi memory, that says nothing about nodes.
pub(crate) fn deployment(namespace: &str, name: &str, replicas: usize) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: {namespace}}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec:
      containers:
      - name: {name}
        image: {name}
        resources: {{requests: {{cpu: 500m, memory: 256Mi}}}}
"
    )
}

async fn first_pod(stage: &Stage, namespace: &str, app: &str) -> Result<Pod> {
    let pods: Api<Pod> = Api::namespaced(stage.client.clone(), namespace);
    let params = ListParams::default().labels(&format!("app={app}"));
    stage
        .until(&format!("the first pod of {app} is there"), async || {
            Ok(pods.list(&params).await?.items.into_iter().next())
        })
        .await
}

/// What the pod has that its template has not, besides what Kubernetes itself gives to every pod.
fn show_difference(pod: &Pod) -> Result<()> {
    let spec = pod.spec.as_ref().context("the pod has no spec")?;
    let ours = |toleration: &&Toleration| {
        !toleration.key.as_deref().unwrap_or("").starts_with("node.kubernetes.io/")
    };
    let tolerations: Vec<_> = spec.tolerations.iter().flatten().filter(ours).collect();
    let nothing = BTreeMap::new();
    let selector = spec.node_selector.as_ref().unwrap_or(&nothing);
    ensure!(!tolerations.is_empty() && !selector.is_empty(), "pod {} was not patched", pod.name_any());

    tell::line(&format!("pod {}, against its template:", pod.name_any()));
    tell::added("metadata:");
    tell::added("  annotations:");
    for (key, value) in pod.annotations().iter().filter(|(key, _)| key.starts_with("treenail.dev/")) {
        tell::added(&format!("    {key}: '{value}'"));
    }
    tell::added("spec:");
    tell::added("  nodeSelector:");
    for (key, value) in selector {
        tell::added(&format!("    {key}: \"{value}\""));
    }
    tell::added("  tolerations:");
    for toleration in tolerations {
        let field = |value: &Option<String>| value.clone().unwrap_or_default();
        tell::added(&format!(
            "  - {{key: {}, operator: {}, value: {}, effect: {}}}",
            field(&toleration.key),
            field(&toleration.operator),
            field(&toleration.value),
            field(&toleration.effect)
        ));
    }
    Ok(())
}
