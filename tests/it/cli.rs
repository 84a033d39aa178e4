//! What people are told on the command line when something is missing or wrong.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn treenail(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_treenail"))
        .args(arguments)
        // Nothing of what the tests run in.
        .env_clear()
        .envs(environment.iter().copied())
        .output()
        .expect("treenail can be run")
}

fn complaint(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(output.stdout.is_empty(), "a complaint is no data");
    String::from_utf8(output.stderr.clone()).unwrap()
}

const ANY_PORTS: [&str; 2] = ["--bind-address=127.0.0.1", "--health-probe-port=0"];

#[test]
fn a_cluster_that_cannot_be_found_is_told_once_and_with_what_to_do() {
    let webhook = [&["webhook", "--webhook-port=0"][..], &ANY_PORTS].concat();
    let controller = [&["controller", "--cluster-name=lab"][..], &ANY_PORTS].concat();
    for arguments in [webhook, controller] {
        let message = complaint(&treenail(&arguments, &[("KUBECONFIG", "/nowhere/kubeconfig")]));
        assert_eq!(message.matches("/nowhere/kubeconfig").count(), 1, "{message}");
        assert!(message.contains("set KUBECONFIG to a file that can be read"), "{message}");
    }
}

#[test]
fn a_cluster_without_a_name_is_refused() {
    for (arguments, environment) in [
        (&["controller", "--cluster-name="][..], &[][..]),
        (&["controller"], &[("CLUSTER_NAME", "")]),
        (&["controller"], &[]),
    ] {
        let message = complaint(&treenail(arguments, environment));
        assert!(message.contains("--cluster-name"), "{message}");
    }
}

#[test]
fn a_certificate_for_what_is_no_name_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().to_str().unwrap();
    for name in ["a_b", "", "a b"] {
        let message = complaint(&treenail(
            &["certs", "--directory", directory, "--name", "localhost", "--name", name],
            &[],
        ));
        assert!(message.contains("neither an address nor a DNS name"), "{message}");
        let hostnames = format!("--hostnames={name}");
        let message = complaint(&treenail(&["webhook", &hostnames], &[]));
        assert!(message.contains("neither an address nor a DNS name"), "{message}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_help_of_the_controller_names_the_settings_of_aws() {
    let output = treenail(&["controller", "--help"], &[]);
    assert!(output.status.success());
    let help = String::from_utf8(output.stdout).unwrap();
    for setting in [
        "AWS_REGION",
        "AWS_ENDPOINT_URL",
        "AWS_ACCESS_KEY_ID",
        "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    ] {
        assert!(help.contains(setting), "{setting} is not in\n{help}");
    }
}

/// Every second it is looked whether the files are there by now; that they are not is told once.
#[test]
fn files_that_are_not_there_yet_are_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    // Nobody answers there, which does not keep the webhook from looking at its files.
    let nobody = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n\
                  clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\nusers: [{name: u, user: {}}]\n";
    std::fs::write(&kubeconfig, nobody).unwrap();
    let log = folder.path().join("log");
    let mut webhook = Command::new(env!("CARGO_BIN_EXE_treenail"))
        .args(["webhook", "--webhook-port=0", "--log-format=text", "--log-level=treenail=debug"])
        .args(ANY_PORTS)
        .arg(format!("--tls-directory={}", folder.path().display()))
        .env("KUBECONFIG", &kubeconfig)
        .stderr(std::fs::File::create(&log).unwrap())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let logged = || std::fs::read_to_string(&log).unwrap();
    let looks = || logged().matches("the problem with the files stays").count();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while looks() < 2 && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(50));
    }
    webhook.kill().unwrap();
    webhook.wait().unwrap();
    let (looks, told) = (looks(), logged().matches("the files are not served").count());
    assert!(looks >= 2 && told == 1, "{}", logged());
}
