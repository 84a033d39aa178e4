//! What `docs/install.md` says is what works.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use treenail_lab::{Lab, User};

use crate::support::cluster::soon;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// The kubectl commands of a section, as lists of arguments.
fn commands(section: &str) -> Vec<Vec<String>> {
    let text = read("docs/install.md");
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).unwrap();
    let section = rest.split("\n## ").next().unwrap();
    let commands = section.lines().filter_map(|line| line.strip_prefix("$ kubectl "));
    let words = |line: &str| {
        let line = line.split(" #").next().unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    commands.map(words).collect()
}

/// Files are named as seen from the repository.
fn absolute(argument: &str) -> String {
    let is_file = argument.starts_with("manifests/");
    if is_file { format!("{}/{argument}", env!("CARGO_MANIFEST_DIR")) } else { argument.to_owned() }
}

/// There are no nodes that Treenail's own pods could run on, so what waits for them is left out.
#[test]
fn the_steps_can_be_taken_in_their_order_on_a_cluster_without_treenail_and_taken_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let lab = Lab::start(&[]).await.unwrap();
        let kubectl = lab.kubectl(&User::administrator()).unwrap();
        let take = async |command: &[String]| {
            let arguments: Vec<_> = command.iter().map(|argument| absolute(argument)).collect();
            let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
            // What was applied a moment ago may not be served yet.
            let mut told = String::new();
            let taken = soon("the step can be taken", async || {
                let outcome = kubectl.run(&arguments).await.unwrap();
                told = outcome.stderr;
                outcome.success.then_some(())
            });
            let taken = taken.await;
            assert!(taken.is_ok(), "kubectl {}: {told}", command.join(" "));
        };
        let steps: Vec<_> = commands("Apply").into_iter().filter(|command| command[0] != "rollout").collect();
        assert!(steps.len() >= 8, "{steps:?}");
        for step in &steps {
            take(step).await;
        }
        let steps = commands("Uninstall");
        assert!(steps.len() >= 8, "{steps:?}");
        for step in &steps {
            take(step).await;
        }
        let left = kubectl.run(&["get", "namespaces", "treenail-system"]).await.unwrap();
        assert!(left.stderr.contains("NotFound"), "{left:?}");
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
