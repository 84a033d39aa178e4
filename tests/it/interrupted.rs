//! A test run can be ended like any other process, and leaves nothing behind.

use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Whoever listens for a signal takes away what it does to the process; a test that did would make Ctrl-C end nothing.
/// SIGTERM stands for both: a shell has its background jobs ignore SIGINT.
#[test]
fn an_interrupted_test_run_ends_at_once_and_leaves_nothing_behind() {
    const SIGTERM: i32 = 15;
    let temporary = tempfile::tempdir().unwrap();
    let mut run = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "type_deletion::a_deleted_type_keeps_its_rules_until_no_namespace_names_it"])
        .env("TMPDIR", temporary.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // The scheduler is among the last that are started.
    eventually("the cluster comes up", Duration::from_mins(2), || {
        assert_eq!(run.try_wait().unwrap(), None, "the test ended before it could be interrupted");
        let processes = processes_in(temporary.path());
        processes.iter().any(|process| command_line(process).contains("kube-scheduler"))
    });

    let interrupted = Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap();
    assert!(interrupted.success());
    let asked = Instant::now();
    eventually("the run ends", Duration::from_mins(2), || run.try_wait().unwrap().is_some());
    assert_eq!(run.wait().unwrap().signal(), Some(SIGTERM));
    assert!(asked.elapsed() < Duration::from_secs(5), "it took {:?}", asked.elapsed());
    eventually("nothing is left", Duration::from_secs(20), || {
        let files: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().flatten().collect();
        processes_in(temporary.path()).is_empty() && files.is_empty()
    });
}

fn eventually(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + within;
    while !holds() {
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
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

fn command_line(process: &Path) -> String {
    std::fs::read_to_string(process.join("cmdline")).unwrap_or_default()
}
