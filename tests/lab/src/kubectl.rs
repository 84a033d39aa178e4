//! The real kubectl, as one of the users.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::wait;

/// kubectl with the kubeconfig of one user.
#[derive(Clone, Debug)]
pub struct Kubectl {
    executable: PathBuf,
    kubeconfig: PathBuf,
    folder: PathBuf,
}

/// How a run of kubectl ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Whether it exited 0.
    pub success: bool,
    /// What it printed.
    pub stdout: String,
    /// What it complained of: errors and warnings.
    pub stderr: String,
}

impl Outcome {
    /// What a webhook or a policy said when it refused, without the API server's own words before it; nothing if neither did.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        let said = ["denied the request: ", "denied request: "].into_iter();
        said.filter_map(|words| self.stderr.split_once(words)).map(|(_, ours)| ours.trim()).next()
    }
}

impl Kubectl {
    pub(crate) fn new(executable: &Path, kubeconfig: PathBuf, folder: PathBuf) -> Self {
        Self { executable: executable.to_owned(), kubeconfig, folder }
    }

    /// Where kubectl itself is.
    #[must_use]
    pub fn executable(&self) -> &Path {
        &self.executable
    }

    /// The kubeconfig's path.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Runs kubectl; only a failure to run it is an error.
    pub async fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        self.run_with_input(arguments, "").await
    }

    /// Runs kubectl with this standard input, such as a manifest for `apply -f -`.
    pub async fn run_with_input(&self, arguments: &[&str], input: &str) -> Result<Outcome> {
        let mut child = Command::new(&self.executable)
            .args(arguments)
            .env("KUBECONFIG", &self.kubeconfig)
            .env("KUBECACHEDIR", self.folder.join("kubectl-cache"))
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("start kubectl")?;
        if let Some(mut stdin) = child.stdin.take() {
            // kubectl may refuse its arguments before it reads; its own words say so.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        // What it waits for may never come: the end of an object that somebody holds.
        let end = format!("kubectl {} ends", arguments.join(" "));
        let output = wait::patiently(&end, child.wait_with_output()).await?.context("wait for kubectl")?;
        Ok(Outcome {
            success: output.status.success(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        })
    }

    /// Applies a manifest and fails, with kubectl's words, when it is refused.
    pub async fn apply(&self, manifest: &str) -> Result<String> {
        let outcome = self.run_with_input(&["apply", "-f", "-"], manifest).await?;
        if !outcome.success {
            bail!("kubectl apply: {}", outcome.stderr.trim());
        }
        Ok(outcome.stdout)
    }
}
