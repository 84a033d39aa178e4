//! Whatever ends the lab, nothing of it stays: no process, no file.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

struct Up {
    lab: Child,
    folder: PathBuf,
    processes: BTreeMap<String, u32>,
}

/// Starts `lab up` and looks at what runs in its folder once it says that it is up.
fn up() -> Up {
    let mut lab = Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("up")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start lab up");
    let lines = BufReader::new(lab.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut up = Up { lab, folder: PathBuf::new(), processes: BTreeMap::new() };
    up.folder = lines
        .take(4)
        .find_map(|line| {
            line.strip_prefix("# logs are in ")?.split_once(';').map(|(folder, _)| PathBuf::from(folder))
        })
        .expect("lab up prints its folder");
    // The last that was started may not have become what it is to be yet.
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        up.processes = processes_in(&up.folder);
        let names: Vec<_> = up.processes.keys().map(String::as_str).collect();
        if names == ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "python"] {
            return up;
        }
        assert!(Instant::now() < deadline, "not all of the lab's processes are there: {names:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

impl Up {
    /// How the lab ended, which it does by itself.
    fn ended(&mut self) -> ExitStatus {
        let deadline = Instant::now() + Duration::from_mins(2);
        loop {
            if let Some(status) = self.lab.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the lab does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A test that fails leaves no lab behind either.
impl Drop for Up {
    fn drop(&mut self) {
        let _ = self.lab.kill();
        let _ = self.lab.wait();
    }
}

/// The processes that work in the folder, by name.
fn processes_in(folder: &Path) -> BTreeMap<String, u32> {
    let numbers =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let here = numbers.filter(|id: &u32| {
        fs::read_link(format!("/proc/{id}/cwd"))
            .is_ok_and(|working_directory| working_directory.starts_with(folder))
    });
    here.filter_map(|id| {
        let line = fs::read_to_string(format!("/proc/{id}/cmdline")).ok()?;
        let mut words = line.split('\0').map(|word| word.rsplit('/').next().unwrap_or(word).to_owned());
        let name = words.find(|word| word != "control-plane")?;
        Some((name, id))
    })
    .collect()
}

fn assert_nothing_is_left(up: &Up) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left = processes_in(&up.folder);
        let alive: Vec<_> =
            up.processes.iter().filter(|(_, id)| Path::new(&format!("/proc/{id}")).exists()).collect();
        if left.is_empty() && alive.is_empty() && !up.folder.exists() {
            return;
        }
        assert!(Instant::now() < deadline, "left behind: {alive:?} {left:?}, folder: {}", up.folder.exists());
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn kill(id: u32, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(id.try_into().unwrap()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

#[test]
fn a_killed_lab_leaves_nothing_behind() {
    let mut up = up();
    up.lab.kill().unwrap();
    up.ended();
    assert_nothing_is_left(&up);
}

#[test]
fn an_interrupted_lab_ends_well_and_leaves_nothing_behind() {
    let mut up = up();
    kill(up.lab.id(), rustix::process::Signal::INT);
    assert!(up.ended().success());
    assert_nothing_is_left(&up);
}

#[test]
fn a_lab_that_loses_any_of_its_processes_names_it_and_leaves_nothing_behind() {
    for name in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "python"] {
        let mut up = up();
        kill(up.processes[name], rustix::process::Signal::KILL);
        assert!(!up.ended().success(), "the lab ended well without its {name}");
        let mut complaint = String::new();
        std::io::Read::read_to_string(&mut up.lab.stderr.take().unwrap(), &mut complaint).unwrap();
        let expected = if name == "python" { "moto ended" } else { &format!("{name} ended") };
        assert!(complaint.contains(expected), "{name}: {complaint}");
        assert_nothing_is_left(&up);
    }
}
