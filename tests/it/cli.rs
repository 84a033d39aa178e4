//! What people are told on the command line when something is missing or wrong.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
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
fn certificates_go_into_a_folder_and_replace_nothing_unasked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let message = complaint(&treenail(&["certs", "--directory", file.to_str().unwrap()], &[]));
    assert_eq!(
        message,
        format!(
            "error: --directory {} is a file; name a folder, or one that is to be made\n",
            file.display()
        )
    );

    let made = folder.path().join("made");
    let certs = || treenail(&["certs", "--directory", made.to_str().unwrap()], &[]);
    assert!(certs().status.success());
    let refused = |ending: &str| {
        let output = certs();
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(message.ends_with(ending), "{message}");
    };
    refused("tls.key exist; --force replaces them\n");
    for name in ["ca.crt", "ca.key", "tls.key"] {
        std::fs::remove_file(made.join(name)).unwrap();
    }
    refused("tls.crt exists; --force replaces it\n");
}

#[test]
fn a_log_level_that_is_none_is_refused_with_those_that_are() {
    for command in ["webhook", "controller"] {
        let message = complaint(&treenail(&[command], &[("LOG_LEVEL", "loud"), ("CLUSTER_NAME", "lab")]));
        assert!(
            message.contains("\"loud\" has no level; use off, error, warn, info, debug, trace"),
            "{message}"
        );
    }
}

/// A kubeconfig of an API server that is not there.
fn nobody_answers(folder: &Path) -> PathBuf {
    let kubeconfig = folder.join("kubeconfig");
    let nobody = "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c, user: u}}]\n\
                  clusters: [{name: c, cluster: {server: 'http://127.0.0.1:9'}}]\nusers: [{name: u, user: {}}]\n";
    std::fs::write(&kubeconfig, nobody).unwrap();
    kubeconfig
}

/// Whoever reads the log may go, and the disk that it is on may fill up.
#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let mut webhook = Command::new(env!("CARGO_BIN_EXE_treenail"))
        .args(["webhook", "--webhook-port=0", "--log-level=trace", "--shutdown-delay=0s"])
        .args(ANY_PORTS)
        .env("KUBECONFIG", nobody_answers(folder.path()))
        .stderr(full)
        .spawn()
        .unwrap();
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !catches_sigterm(webhook.id()) {
        assert_eq!(webhook.try_wait().unwrap(), None, "it ended");
        assert!(std::time::Instant::now() < deadline, "it does not listen for SIGTERM");
        std::thread::sleep(Duration::from_millis(10));
    }
    // It writes a good deal until it has ended as it should.
    let told = Command::new("kill").args(["-TERM", &webhook.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert_eq!(ended(&mut webhook).code(), Some(0));
}

/// How the process ended, which it does by itself.
fn ended(process: &mut Child) -> ExitStatus {
    let deadline = std::time::Instant::now() + Duration::from_mins(2);
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status;
        }
        if std::time::Instant::now() > deadline {
            process.kill().unwrap();
            panic!("it does not end");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn catches_sigterm(process: u32) -> bool {
    const SIGTERM: u64 = 1 << (15 - 1);
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & SIGTERM != 0)
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
    // That nobody answers does not keep the webhook from looking at its files.
    let kubeconfig = nobody_answers(folder.path());
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
    assert!(logged().contains("the API server that is worked for url=http://127.0.0.1:9/"), "{}", logged());
}
