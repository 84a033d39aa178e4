//! The demo notices what is missing, and names the scene; and tests that play it can be ended like any others.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use treenail_lab::demo::{Options, Withheld, play};

use crate::support::world::treenail;

fn without(part: Withheld) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = Options { treenail: treenail(), keep: false, without: Some(part) };
    format!(
        "{:#}",
        runtime
            .block_on(play(options, async || std::future::pending().await))
            .expect_err("the demo went well without a part of Treenail")
    )
}

#[test]
fn without_the_webhook_the_pods_are_not_patched() {
    let error = without(Withheld::Webhook);
    assert!(error.starts_with("scene 3 (pods are patched)"), "{error}");
}

#[test]
fn without_the_controller_the_types_are_not_ready() {
    let error = without(Withheld::Controller);
    assert!(error.starts_with("scene 1 (pools and types)"), "{error}");
}

/// Whoever listens for a signal takes away what it does to the process; a test that did would make Ctrl-C end nothing.
/// SIGTERM stands for both: a shell has its background jobs ignore SIGINT.
#[test]
fn an_interrupted_test_run_ends_at_once_and_leaves_nothing_behind() {
    const SIGTERM: i32 = 15;
    let temporary = tempfile::tempdir().unwrap();
    let mut run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "demo::without_the_webhook_the_pods_are_not_patched", "--nocapture"])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut story = BufReader::new(run.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(
        story.any(|line| line.contains("with Treenail beside it")),
        "the story tells how the stage was set"
    );
    assert_ne!(processes_in(temporary.path()), Vec::<PathBuf>::new());

    let interrupted = Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let asked = Instant::now();
    assert_eq!(run.wait().unwrap().signal(), Some(SIGTERM));
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    let deadline = asked + Duration::from_secs(20);
    loop {
        let processes = processes_in(temporary.path());
        let files: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().flatten().collect();
        if processes.is_empty() && files.is_empty() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {processes:?}, {files:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The processes that work somewhere in the folder.
fn processes_in(folder: &Path) -> Vec<PathBuf> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let works_there = |process: &PathBuf| {
        std::fs::read_link(process.join("cwd"))
            .is_ok_and(|working_directory| working_directory.starts_with(folder))
    };
    processes.filter(works_there).collect()
}
