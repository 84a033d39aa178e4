//! One lab with Treenail in it, shared by the tests of this executable.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::json;
use tokio::runtime::Runtime;
use treenail::api::conditions;
use treenail::api::workload_type::WorkloadType;
use treenail_lab::balancer::Balancer;
use treenail_lab::process::Process;
use treenail_lab::treenail::{Treenail, WebhookReplica};
use treenail_lab::{Lab, User};

use super::cluster::{administrator, alice, empower_alice, eventually, namespace, soon};

/// A cluster with Treenail and two workload types, `application` and `monitoring`.
pub(crate) struct World {
    pub(crate) lab: Lab,
    pub(crate) balancer: Balancer,
    pub(crate) treenail: Treenail,
    pub(crate) webhook: WebhookReplica,
    pub(crate) controller: Process,
}

/// The cluster, or why there is none: every test is to say that, and not only the first.
static WORLD: LazyLock<Result<(Runtime, World), String>> = LazyLock::new(|| {
    let runtime = Runtime::new().expect("a runtime can be made where tests run");
    let start = AssertUnwindSafe(|| runtime.block_on(World::start()));
    match catch_unwind(start) {
        Ok(Ok(world)) => Ok((runtime, world)),
        Ok(Err(error)) => Err(format!("{error:#}")),
        Err(_) => Err("something was not as expected; the first panic of this run says what".to_owned()),
    }
});

/// Runs a test on the shared cluster. Tests run at once: each uses names and namespaces of its own.
pub(crate) fn on_treenail<T>(test: impl AsyncFnOnce(&'static World) -> T) -> T {
    let started = WORLD.as_ref();
    let (runtime, world) =
        started.unwrap_or_else(|why| panic!("start the cluster that the tests share: {why}"));
    runtime.block_on(test(world))
}

/// Treenail as it was built for these tests.
pub(crate) fn treenail() -> Treenail {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests");
    Treenail::new(Path::new(env!("CARGO_BIN_EXE_treenail")), &manifests)
}

impl World {
    /// A cluster of one's own, for tests that disturb it.
    pub(crate) async fn start() -> Result<Self> {
        Self::start_after(async |_| Ok(())).await
    }

    /// The same, with something done in the cluster before Treenail comes.
    pub(crate) async fn start_after(prepare: impl AsyncFnOnce(&Lab) -> Result<()>) -> Result<Self> {
        let lab = Lab::start(&[User::named("alice")]).await?;
        prepare(&lab).await?;
        let (treenail, balancer) = (treenail(), Balancer::start().await?);
        treenail.install_crds(&lab).await?;
        treenail.install_roles(&lab).await?;
        // Nobody waits for minutes here.
        let flags = ["--garbage-collection-interval=2s"];
        let controller = treenail.start_controller(&lab, &flags).await?;
        let webhook = treenail.start_webhook(&lab, &balancer, &[]).await?;
        treenail.install_admission(&lab, &balancer).await?;
        webhook.await_ready().await?;
        let world = Self { lab, balancer, treenail, webhook, controller };
        world.create_types().await?;
        world.await_policies().await?;
        Ok(world)
    }

    /// Kills webhook and controller.
    pub(crate) fn kill(&self) {
        self.webhook.process.kill();
        self.controller.kill();
        self.balancer.remove(self.webhook.backend());
    }

    /// Kills the controller, and nothing else.
    pub(crate) fn kill_controller(&self) {
        self.controller.kill();
    }

    async fn create_types(&self) -> Result<()> {
        let kubectl = self.lab.kubectl(&User::administrator())?;
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/examples");
        let outcome = kubectl.run(&["apply", "-f", &examples.display().to_string()]).await?;
        anyhow::ensure!(outcome.success, "kubectl apply: {}", outcome.stderr);
        let types: Api<WorkloadType> = Api::all(administrator(&self.lab).await);
        for name in ["application", "monitoring"] {
            let is_published = |found: Option<&WorkloadType>| {
                let status = found.and_then(|found| found.status.as_ref());
                status.is_some_and(|status| {
                    !status.taints.is_empty()
                        && conditions::is_true(&status.conditions, "ValidationSucceeded")
                })
            };
            eventually(&types, name, is_published).await.context("the controller publishes the type")?;
        }
        Ok(())
    }

    /// Native policies, and configurations of webhooks, are taken up by the API server a moment after they are written.
    async fn await_policies(&self) -> Result<()> {
        let lab = &self.lab;
        let kubectl = lab.kubectl(&User::administrator())?;
        let labels = json!({ "treenail.dev/workload-type": "application" });
        let probe = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "probe", "labels": labels } });
        let probe = probe.to_string();
        soon("the webhook knows the types", async || {
            let arguments = ["create", "--dry-run=server", "-f", "-"];
            kubectl.run_with_input(&arguments, &probe).await.ok()?.success.then_some(())
        })
        .await?;
        namespace(lab, "probe", &[("treenail.dev/workload-type", "application")]).await;
        let pods: Api<Pod> = Api::namespaced(administrator(lab).await, "probe");
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "probe" },
            "spec": { "containers": [{ "name": "app", "image": "app" }], "tolerations": [{ "operator": "Exists" }] },
        }))?;
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        soon("the webhook judges", async || {
            let error = pods.create(&dry_run, &pod).await.err()?.to_string();
            error.contains("ForeignToleration").then_some(())
        })
        .await?;
        let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "nobody" }, "target": { "name": "n" } });
        let binding = binding.to_string();
        soon("the policies judge", async || {
            let arguments = ["create", "--raw", "/api/v1/namespaces/probe/bindings", "-f", "-"];
            let refused = kubectl.run_with_input(&arguments, &binding).await.ok()?;
            refused.stderr.contains("BindingNotAllowed").then_some(())
        })
        .await?;
        // Alice may create namespaces, and nothing else yet.
        empower_alice(lab, &[]).await;
        let labels = json!({ "treenail.dev/workload-type": "application" });
        let guarded = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "probe-guard", "labels": labels } });
        let (alice, guarded) = (lab.kubectl(&alice())?, guarded.to_string());
        soon("the namespace guard judges", async || {
            let outcome =
                alice.run_with_input(&["create", "--dry-run=server", "-f", "-"], &guarded).await.ok()?;
            outcome.stderr.contains("TypeNotGranted").then_some(())
        })
        .await
    }
}
