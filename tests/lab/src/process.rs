//! Child processes that end with the lab, whatever ends the lab.
//!
//! The kernel's parent-death signal follows the *thread* that started a child, so every child is started from one
//! thread that lives as long as the process.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::ports::Port;
use crate::wait;

type Spawned = std::io::Result<Child>;

static SPAWNER: LazyLock<Sender<(Command, Sender<Spawned>)>> = LazyLock::new(|| {
    let (sender, requests) = channel::<(Command, Sender<Spawned>)>();
    std::thread::Builder::new()
        .name("spawner".to_owned())
        .spawn(move || {
            for (mut command, reply) in requests {
                let _ = reply.send(command.spawn());
            }
        })
        .expect("a thread can be started while the process starts");
    sender
});

fn spawn(command: Command) -> Spawned {
    let (reply, answer) = channel();
    let gone = || std::io::Error::other("the thread that starts processes is gone");
    SPAWNER.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

/// What to run.
#[derive(Debug)]
pub struct Program {
    /// The name in messages and of the log file.
    pub name: String,
    /// The executable and its arguments.
    pub command: Vec<String>,
    /// Variables added to an otherwise inherited environment.
    pub environment: Vec<(String, String)>,
    /// The working directory, below the lab's folder; the log file is made there.
    pub folder: PathBuf,
    /// Ports that it listens on: nobody else gets them while it is there.
    pub ports: Vec<Port>,
}

/// A running program; it is killed when this value goes.
#[derive(Debug)]
pub struct Process {
    program: Program,
    log: PathBuf,
    child: Mutex<Child>,
}

impl Process {
    /// Starts the program. Its output goes to a log file in its folder.
    pub fn start(program: Program) -> Result<Self> {
        let log = program.folder.join(format!("{}.log", program.name));
        let child = launch(&program, &log)?;
        Ok(Self { program, log, child: Mutex::new(child) })
    }

    /// The name given to it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.program.name
    }

    /// The file that its output goes to.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The process id of the current run.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.lock().id()
    }

    /// How the current run ended; nothing while it runs.
    pub fn exited(&self) -> Option<ExitStatus> {
        self.lock().try_wait().ok().flatten()
    }

    /// Fails, with the end of the log, when the process is no longer running.
    pub fn ensure_running(&self) -> Result<()> {
        match self.exited() {
            None => Ok(()),
            Some(status) => {
                bail!("{} ended ({status}); the end of its log:\n{}", self.name(), self.log_tail())
            }
        }
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&self) {
        let mut child = self.lock();
        let _ = child.kill();
        let _ = child.wait();
    }

    /// Sends SIGTERM; the process may take its time.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGSTOP: the process stands still until it is told to go on.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Sends SIGCONT: a process that was paused goes on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let mut child = self.lock();
        // Not yet waited for, so the id cannot belong to another process.
        if let (Ok(None), Some(pid)) =
            (child.try_wait(), i32::try_from(child.id()).ok().and_then(Pid::from_raw))
        {
            let _ = kill_process(pid, signal);
        }
    }

    /// Waits for the end of the current run.
    pub async fn wait(&self) -> Result<ExitStatus> {
        let end = async {
            loop {
                if let Some(status) = self.exited() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let ended = wait::patiently(&format!("{} ends", self.name()), end).await;
        ended.with_context(|| format!("the end of its log:\n{}", self.log_tail()))
    }

    /// Kills the current run and starts the same program again.
    pub fn restart(&self) -> Result<()> {
        self.kill();
        *self.lock() = launch(&self.program, &self.log)?;
        Ok(())
    }

    /// The memory that the process holds now, in bytes; nothing when it has ended.
    #[must_use]
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        let kibibytes =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?.split_whitespace().next()?;
        Some(kibibytes.parse::<u64>().ok()? * 1024)
    }

    /// The last lines of the log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn launch(program: &Program, log: &Path) -> Result<Child> {
    let output = File::options().create(true).append(true).open(log);
    let output = output.with_context(|| format!("open {}", log.display()))?;
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL", "--"])
        .args(&program.command)
        .envs(program.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&program.folder)
        .stdin(Stdio::null())
        .stdout(output.try_clone().context("share the log file")?)
        .stderr(output)
        // A group of its own: Ctrl-C is for the lab, which ends its children in order.
        .process_group(0);
    spawn(command).with_context(|| format!("start {}", program.name))
}
