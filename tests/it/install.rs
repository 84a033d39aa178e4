//! What `docs/install.md` says is what works.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use serde_json::{Value, json};
use treenail::api::labels;
use treenail_lab::kubectl::Kubectl;
use treenail_lab::{Lab, User, wait};

use crate::support::cluster::soon;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The commands of a section that are kubectl's.
fn commands(heading: &str) -> Vec<String> {
    let text = read("docs/install.md");
    let (_, rest) = text.split_once(&format!("\n{heading}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap().split("\n### ").next().unwrap();
    let commands = section.lines().filter_map(|line| line.strip_prefix("$ "));
    commands.filter(|command| command.starts_with("kubectl ")).map(str::to_owned).collect()
}

/// A cluster without Treenail, and a shell in the repository as its administrator has one.
struct Machine {
    lab: Lab,
    search: OsString,
}

impl Machine {
    async fn start() -> Self {
        let lab = Lab::start(&[]).await.unwrap();
        let kubectl = lab.kubectl(&User::administrator()).unwrap();
        let mut search = kubectl.executable().parent().unwrap().as_os_str().to_owned();
        search.push(":");
        search.push(std::env::var_os("PATH").unwrap());
        Self { lab, search }
    }

    fn kubectl(&self) -> Kubectl {
        self.lab.kubectl(&User::administrator()).unwrap()
    }

    /// Runs a line of the docs, and again for a while: what was applied a moment ago may not be served yet. Returns what it printed.
    async fn take(&self, step: &str) -> String {
        let mut told = String::new();
        let taken = soon("the step can be taken", async || {
            let shell = tokio::process::Command::new("sh")
                .args(["-c", step])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .env("PATH", &self.search)
                .env("KUBECONFIG", self.kubectl().kubeconfig())
                .kill_on_drop(true)
                .output();
            let output = wait::patiently(step, shell).await.unwrap().unwrap();
            told = String::from_utf8_lossy(&output.stderr).into_owned();
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        });
        let taken = taken.await;
        taken.unwrap_or_else(|_| panic!("{step}: {told}"))
    }

    /// Takes the steps of a section in their order. There are no nodes that Treenail's own pods could run on, so what waits for them is left
    /// out.
    async fn take_all(&self, heading: &str) {
        let steps = commands(heading);
        assert!(steps.len() >= 8, "{steps:?}");
        for step in steps.iter().filter(|step| !step.starts_with("kubectl rollout")) {
            self.take(step).await;
        }
    }

    async fn is_gone(&self, kind: &str, name: &str) -> bool {
        let found = self.kubectl().run(&["get", kind, name]).await.unwrap();
        found.stderr.contains("NotFound") || found.stderr.contains("the server doesn't have a resource type")
    }
}

#[test]
fn the_steps_can_be_taken_in_their_order_on_a_cluster_without_treenail_and_taken_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let machine = Machine::start().await;
        machine.take_all("## Apply").await;
        machine.take_all("## Uninstall").await;
        assert!(machine.is_gone("namespace", "treenail-system").await);
        assert!(machine.is_gone("nodepool", "application").await);
    });
}

#[test]
fn beside_karpenter_treenail_goes_and_leaves_pools_and_classes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let machine = Machine::start().await;
        machine.take_all("## Apply").await;
        // As the controller leaves it while nodes of the type run.
        let held = json!({ "metadata": { "finalizers": [labels::WORKLOAD_TYPE_FINALIZER] } }).to_string();
        machine.take(&format!("kubectl patch workloadtype application --type=merge -p '{held}'")).await;
        machine.take_all("### Uninstall beside Karpenter").await;
        assert!(machine.is_gone("workloadtype", "application").await);
        assert!(machine.is_gone("namespace", "treenail-system").await);
        assert!(!machine.is_gone("nodepool", "application").await);
        assert!(!machine.is_gone("ec2nodeclass", "default").await);
    });
}

#[test]
fn daemon_sets_that_tolerate_everything_are_found_before_they_are_refused() {
    const AGENTS: &str = r#"[
        { "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "agents" } },
        { "metadata": { "name": "everywhere" }, "tolerations": [{ "operator": "Exists" }] },
        { "metadata": { "name": "two-effects" }, "tolerations": [{ "key": "a", "operator": "Exists" }, { "operator": "Exists", "effect": "NoExecute" }] },
        { "metadata": { "name": "by-key" }, "tolerations": [{ "key": "a", "operator": "Exists" }] },
        { "metadata": { "name": "nowhere" }, "tolerations": [] }
    ]"#;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let machine = Machine::start().await;
        let mut objects: Vec<Value> = serde_json::from_str(AGENTS).unwrap();
        for object in objects.iter_mut().skip(1) {
            let labels = json!({ "app": object["metadata"]["name"] });
            let tolerations = object["tolerations"].take();
            *object = json!({
                "apiVersion": "apps/v1", "kind": "DaemonSet",
                "metadata": { "name": object["metadata"]["name"], "namespace": "agents" },
                "spec": { "selector": { "matchLabels": labels }, "template": {
                    "metadata": { "labels": labels },
                    "spec": { "tolerations": tolerations, "containers": [{ "name": "agent", "image": "agent" }] },
                } },
            });
        }
        let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
        machine.kubectl().apply(&list.to_string()).await.unwrap();
        let search = commands("## Agents that run on every node").remove(0);
        assert_eq!(machine.take(&search).await, "agents/everywhere\nagents/two-effects\n");
    });
}

/// Every call to AWS, as IAM names it, found in the one place where there are any.
fn called() -> BTreeSet<String> {
    let source = read("src/cloud/ec2/sdk/mod.rs");
    let (_, calls) = source.split_once("impl Api for Sdk").unwrap();
    let methods = calls.split("async fn ").skip(1);
    let actions = methods.map(|method| {
        let service = ["ec2", "ssm", "iam", "eks"].into_iter().find(|service| {
            let client = method.split("self").skip(1).map(str::trim_start);
            client.into_iter().any(|rest| rest.starts_with(&format!(".{service}")))
        });
        let (_, operation) = method.split_once("failed(\"").unwrap();
        format!("{}:{}", service.unwrap(), operation.split('"').next().unwrap())
    });
    actions.collect()
}

#[test]
fn the_policy_of_the_controller_allows_what_it_calls_and_nothing_else() {
    let mut needed = called();
    assert!(needed.len() >= 15, "{needed:?}");
    // Asked for by AWS with these: a fleet runs instances with tags and a role, a profile is created with tags.
    for implied in ["ec2:CreateTags", "ec2:RunInstances", "iam:PassRole", "iam:TagInstanceProfile"] {
        needed.insert(implied.to_owned());
    }
    let policy: Value = serde_json::from_str(&read("docs/iam/controller-policy.json")).unwrap();
    let mut allowed = BTreeSet::new();
    for statement in policy["Statement"].as_array().unwrap() {
        assert_eq!(statement["Effect"], "Allow");
        let actions = &statement["Action"];
        let one = actions.as_str().map(str::to_owned);
        let several =
            actions.as_array().into_iter().flatten().map(|action| action.as_str().unwrap().to_owned());
        allowed.extend(one.into_iter().chain(several));
    }
    assert_eq!(allowed, needed);
}
