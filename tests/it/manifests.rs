//! The manifests as they are, before a real API server.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use treenail::admission::policies::Settings;
use treenail_lab::User;
use treenail_lab::shared::on_lab;

use crate::support::cluster::{kubectl, soon};
use crate::support::world::{on_treenail, treenail};

fn base_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/base")
}

/// The documents of a file of `manifests/base`.
fn base(file: &str) -> Vec<Value> {
    documents(&base_folder().join(file))
}

fn documents(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    serde_saphyr::from_multiple(&text).unwrap()
}

fn strings(list: &Value) -> BTreeSet<String> {
    list.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

/// The namespaces that each list of exempt ones has, wherever there is one in these manifests.
fn exempt_namespaces(folder: &Path) -> Vec<(String, Option<BTreeSet<String>>)> {
    let excluded = |selector: &Value| {
        let is_name =
            |term: &&Value| term["key"] == "kubernetes.io/metadata.name" && term["operator"] == "NotIn";
        selector["matchExpressions"].as_array()?.iter().find(is_name).map(|term| strings(&term["values"]))
    };
    let mut lists = Vec::new();
    for configuration in documents(&folder.join("admission-webhooks.yaml")) {
        for entry in configuration["webhooks"].as_array().unwrap() {
            let is_namespaced =
                entry["rules"].as_array().unwrap().iter().any(|rule| rule["scope"] == "Namespaced");
            if is_namespaced {
                lists.push((entry["name"].to_string(), excluded(&entry["namespaceSelector"])));
            }
        }
    }
    for policy in documents(&folder.join("admission-policies.yaml")) {
        let name = policy["metadata"]["name"].to_string();
        let constraints = &policy["spec"]["matchConstraints"];
        if constraints["resourceRules"][0]["scope"] == "Namespaced" {
            lists.push((name.clone(), excluded(&constraints["namespaceSelector"])));
        }
        // In an expression, the list that the name of the object is looked for in.
        for validation in policy["spec"]["validations"].as_array().into_iter().flatten() {
            let expression = validation["expression"].as_str().unwrap();
            if let Some((_, rest)) = expression.split_once("object.metadata.name in [") {
                let list = rest.split_once(']').unwrap().0.split(',');
                lists.push((
                    name.clone(),
                    Some(list.map(|name| name.trim().trim_matches('\'').to_owned()).collect()),
                ));
            }
        }
    }
    assert!(lists.len() >= 6, "{lists:?}");
    lists
}

/// Those that the programs know, run in the namespace of the manifests.
fn compiled_in() -> BTreeSet<String> {
    let mut exempt = Settings::default().exempt_namespaces;
    exempt.insert("treenail-system".to_owned());
    exempt
}

#[test]
fn the_exempt_namespaces_are_the_same_wherever_they_are_listed() {
    for (name, list) in exempt_namespaces(&base_folder()) {
        assert_eq!(list, Some(compiled_in()), "{name}");
    }
}

#[test]
fn what_the_native_policies_say_can_be_looked_up() {
    let read =
        |path: &str| std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let (page, policies) = (read("docs/troubleshooting.md"), read("manifests/base/admission-policies.yaml"));
    let codes = policies.lines().filter_map(|line| line.trim().strip_prefix('\'')?.split_once(": "));
    let is_code = |code: &&str| {
        code.starts_with(char::is_uppercase) && code.chars().all(|letter| letter.is_ascii_alphabetic())
    };
    let codes: BTreeSet<_> = codes.map(|(code, _)| code).filter(is_code).collect();
    let expected = ["BindingNotAllowed", "ExemptionNotGranted", "TeamNotGranted", "TypeNotGranted"];
    assert_eq!(codes, expected.into());
    for code in codes {
        assert!(page.contains(&format!("`{code}`")), "{code}");
    }
}

#[test]
fn an_exemption_as_the_docs_tell_it_reaches_every_list_and_both_programs() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/install.md");
    let docs = std::fs::read_to_string(docs).unwrap();
    let command =
        docs.lines().find_map(|line| line.strip_prefix("$ ").filter(|it| it.contains("calico-system")));
    let copy = tempfile::tempdir().unwrap();
    let folder = copy.path().join("manifests/base");
    std::fs::create_dir_all(&folder).unwrap();
    for file in std::fs::read_dir(base_folder()).unwrap().flatten() {
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let done = Command::new("sh").args(["-c", command.unwrap()]).current_dir(&copy).status().unwrap();
    assert!(done.success());
    let mut exempt = compiled_in();
    exempt.insert("calico-system".to_owned());
    for (name, list) in exempt_namespaces(&folder) {
        assert_eq!(list.as_ref(), Some(&exempt), "{name}");
    }
    for file in ["webhook.yaml", "controller.yaml"] {
        let deployment = documents(&folder.join(file)).remove(0);
        let variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
        let setting = variables.iter().find(|variable| variable["name"] == "EXEMPT_NAMESPACES").unwrap();
        assert_eq!(setting["value"], "calico-system,", "{file}");
    }
}

#[test]
fn entries_that_select_labelled_namespaces_call_the_typed_paths_and_no_other_does() {
    let mut typed = 0;
    for configuration in base("admission-webhooks.yaml") {
        for entry in configuration["webhooks"].as_array().unwrap() {
            let terms = entry["namespaceSelector"]["matchExpressions"].as_array().into_iter().flatten();
            let is_label =
                |term: &Value| term["key"] == "treenail.dev/workload-type" && term["operator"] == "Exists";
            let is_typed = terms.into_iter().any(is_label);
            let path = entry["clientConfig"]["service"]["path"].as_str().unwrap();
            assert_eq!(path.ends_with("/typed"), is_typed, "{}", entry["name"]);
            typed += usize::from(is_typed);
        }
    }
    assert_eq!(typed, 3);
}

#[test]
fn each_network_policy_opens_the_ports_of_its_deployment_and_no_other() {
    let policies = base("network-policies.yaml");
    let deployments = ["webhook.yaml", "controller.yaml"].map(|file| base(file).remove(0));
    assert_eq!(policies.len(), deployments.len());
    for (policy, deployment) in policies.iter().zip(&deployments) {
        let template = &deployment["spec"]["template"];
        assert_eq!(policy["spec"]["podSelector"]["matchLabels"], template["metadata"]["labels"]);
        assert_eq!(policy["spec"]["policyTypes"], json!(["Ingress"]));
        let named = |ports: &Value, key: &str| {
            ports.as_array().unwrap().iter().map(|port| port[key].to_string()).collect::<BTreeSet<_>>()
        };
        let served = named(&template["spec"]["containers"][0]["ports"], "name");
        assert_eq!(named(&policy["spec"]["ingress"][0]["ports"], "port"), served);
    }
}

#[test]
fn everything_below_manifests_is_accepted_by_the_api_server() {
    // Where Treenail is not installed: there the configurations have a URL in the Service's place.
    on_lab(async |lab| {
        treenail().install_crds(lab).await.unwrap();
        treenail().install_roles(lab).await.unwrap();
        for folder in ["crds", "base", "examples"] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests").join(folder);
            let arguments = ["apply", "--dry-run=server", "-f", path.to_str().unwrap()];
            let outcome = kubectl(lab, &User::administrator()).run(&arguments).await.unwrap();
            assert!(outcome.success, "{folder}: {}", outcome.stderr);
        }
    });
}

#[test]
fn the_native_policies_have_no_type_errors() {
    on_treenail(async |world| {
        let jsonpath = "jsonpath={range .items[*]}{.metadata.name} {.status.typeChecking}{\"\\n\"}{end}";
        let arguments = ["get", "validatingadmissionpolicies", "-o", jsonpath];
        // A controller checks the types a moment after the policies are written.
        let expected = "treenail-bindings {}\ntreenail-namespace-guard {}\n";
        let kubectl = kubectl(&world.lab, &User::administrator());
        let mut found = String::new();
        let checked = soon("the policies are checked", async || {
            found = kubectl.run(&arguments).await.ok()?.stdout;
            (found == expected).then_some(())
        });
        let is_checked = checked.await.is_ok();
        assert!(is_checked, "{found}");
    });
}
