//! What the platform engineer does.

use anyhow::{Result, ensure};

use crate::demo::stage::Stage;
use crate::demo::tell::{self, seconds};

/// Two pools, a class, two types.
pub(crate) async fn pools(stage: &Stage) -> Result<()> {
    tell::heading("1. The platform engineer writes two pools, a node class and two workload types");
    tell::good(&format!("Kubernetes {} with Treenail beside it", stage.lab.kubernetes_version()));
    if let Some(duration) = stage.webhook_ready_in {
        tell::good(&format!("the webhook was ready {} after its start", seconds(duration)));
    }
    let mebibytes = |bytes: u64| format!("{} MiB", bytes / 1024 / 1024);
    let rows: Vec<_> = stage
        .treenail_processes()
        .into_iter()
        .chain(stage.lab.processes())
        .map(|process| {
            [process.name().to_owned(), process.resident_bytes().map_or("gone".to_owned(), mebibytes)]
        })
        .collect();
    tell::table(["PROCESS", "MEMORY"], &rows);

    let examples = stage.examples.display().to_string();
    let outcome = stage.kubectl.run(&["apply", "-f", &examples]).await?;
    ensure!(outcome.success, "kubectl apply: {}", outcome.stderr.trim());
    tell::line("$ kubectl apply -f manifests/examples");
    tell::lines(&outcome.stdout);
    tell::lines(&outcome.stderr);

    let is_ready = async || {
        let jsonpath = "jsonpath={range .items[*]}{.status.conditions[?(@.type==\"Ready\")].status} {end}";
        let outcome = stage.kubectl.run(&["get", "workloadtypes", "-o", jsonpath]).await?;
        Ok((outcome.stdout.trim() == "True True").then_some(()))
    };
    stage.until("both workload types are ready", is_ready).await?;
    let is_known = async || {
        let jsonpath = "jsonpath={range .items[*]}{.status.envelope.vectors[0].pool} {end}";
        let outcome = stage.kubectl.run(&["get", "workloadtypes", "-o", jsonpath]).await?;
        Ok((outcome.stdout.trim() == "application monitoring").then_some(()))
    };
    stage.until("the instance types of both pools are known", is_known).await?;
    let types = stage.kubectl.run(&["get", "workloadtypes", "-o", "wide"]).await?;
    tell::line("$ kubectl get workloadtypes -o wide");
    tell::lines(&types.stdout);
    Ok(())
}

/// Two namespaces, each with a label.
pub(crate) async fn namespaces(stage: &Stage) -> Result<()> {
    tell::heading("2. and labels namespaces: that is all");
    for (name, workload_type) in [("shop", "application"), ("metrics", "monitoring")] {
        let manifest = format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}, labels: {{treenail.dev/workload-type: {workload_type}}}}}\n"
        );
        stage.kubectl.apply(&manifest).await?;
        tell::good(&format!("namespace {name}: treenail.dev/workload-type={workload_type}"));
    }
    Ok(())
}
