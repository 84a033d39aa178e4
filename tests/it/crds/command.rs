//! `treenail crds` as it is run.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use treenail::api::crds;

fn treenail(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_treenail")).args(arguments).output().expect("treenail can be run")
}

fn check(directory: &Path) -> (Option<i32>, String) {
    let output = treenail(&["crds", "--check", directory.to_str().expect("a readable path")]);
    assert!(output.stdout.is_empty(), "what differs is no data");
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn the_committed_crds_are_those_of_the_types() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/crds");
    assert_eq!(check(&directory), (Some(0), String::new()));
}

#[test]
fn a_file_that_differs_is_named_and_so_is_the_command_that_writes_it() {
    let directory = tempfile::tempdir().expect("a temporary folder");
    let path = directory.path().join("crds");
    let text = path.to_str().expect("a readable path");
    let advice = format!("run: treenail crds --write {text}\n");

    let (code, message) = check(&path);
    assert_eq!(code, Some(1));
    assert_eq!(message.matches("is missing\n").count(), 4, "{message}");
    assert!(message.ends_with(&advice), "{message}");

    assert_eq!(treenail(&["crds", "--write", text]).status.code(), Some(0));
    assert_eq!(check(&path), (Some(0), String::new()));

    fs::write(path.join("karpenter.sh_nodepools.yaml"), "other").expect("writable");
    fs::write(path.join("old.yaml"), "left over").expect("writable");
    fs::write(path.join("README.md"), "no CRD, and none of our business").expect("writable");
    let expected = format!(
        "{text}/karpenter.sh_nodepools.yaml differs from the types in src/api\n{text}/old.yaml belongs to no CRD\n{advice}"
    );
    assert_eq!(check(&path), (Some(1), expected));

    assert_eq!(treenail(&["crds", "--write", text]).status.code(), Some(0));
    assert_eq!(check(&path), (Some(0), String::new()));
    assert!(path.join("README.md").exists() && !path.join("old.yaml").exists());
}

#[test]
fn without_a_folder_all_crds_are_printed_as_yaml_documents() {
    let output = treenail(&["crds"]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).expect("text");
    let documents: Vec<serde_json::Value> = serde_saphyr::from_multiple(&text).expect("YAML");
    let printed: Vec<_> = documents.iter().map(|document| document["metadata"]["name"].as_str()).collect();
    let crds = crds::all().expect("every CRD can be made");
    assert_eq!(printed, crds.iter().map(|crd| Some(crd.name())).collect::<Vec<_>>());
}

#[test]
fn a_folder_that_cannot_be_used_is_an_error_and_no_answer() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let path = file.path().to_str().expect("a readable path");
    for flag in ["--check", "--write"] {
        let output = treenail(&["crds", flag, path]);
        assert_eq!(output.status.code(), Some(2), "{flag}");
        let message = String::from_utf8(output.stderr).expect("text");
        assert!(message.starts_with("error: ") && message.contains(path), "{message}");
    }
    assert_eq!(treenail(&["crds", "--check", path, "--write", path]).status.code(), Some(2));
}
