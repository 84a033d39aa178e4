//! Every task has an owner: one that ends before it is told to ends the process, by name.

use std::collections::BTreeMap;
use std::future::Future;

use anyhow::{Context, Result, bail};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{Id, JoinError, JoinSet};

/// The tasks of one process.
pub struct Supervisor {
    tasks: JoinSet<&'static str>,
    listeners: JoinSet<&'static str>,
    names: BTreeMap<Id, &'static str>,
    told_to_end: BoxFuture<'static, ()>,
}

impl Supervisor {
    /// A supervisor that hears Ctrl-C and SIGTERM from now on. For the rest of its life they do not end the process by themselves.
    pub fn start() -> Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
        let signals = async move {
            tokio::select! {
                // Both only wait.
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        };
        Ok(Self::told_by(signals.boxed()))
    }

    fn told_by(told_to_end: BoxFuture<'static, ()>) -> Self {
        Self { tasks: JoinSet::new(), listeners: JoinSet::new(), names: BTreeMap::new(), told_to_end }
    }

    /// Runs a task that is not meant to end.
    pub fn spawn(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(async move {
            task.await;
            name
        });
        self.names.insert(task.id(), name);
    }

    /// Runs a listener, which ends by itself once it is drained.
    pub fn serve(&mut self, name: &'static str, listener: impl Future<Output = ()> + Send + 'static) {
        let task = self.listeners.spawn(async move {
            listener.await;
            name
        });
        self.names.insert(task.id(), name);
    }

    /// Waits until the listeners have drained.
    pub async fn drain(&mut self) {
        while self.listeners.join_next().await.is_some() {}
    }

    /// Ends all tasks and waits until they are gone.
    pub async fn stop(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Waits until the process is told to end. A task that ends first is an error that names it.
    pub async fn until_told_to_end(&mut self) -> Result<()> {
        tokio::select! {
            // All arms only wait: the same future is waited for again, and a task that has ended stays in the set.
            () = &mut self.told_to_end => Ok(()),
            Some(ended) = self.tasks.join_next() => bail!("{}", self.obituary(ended)),
            Some(ended) = self.listeners.join_next() => bail!("{}", self.obituary(ended)),
        }
    }

    fn obituary(&self, ended: Result<&'static str, JoinError>) -> String {
        match ended {
            Ok(name) => format!("the task {name:?} ended"),
            Err(error) => {
                let name = self.names.get(&error.id()).copied().unwrap_or("unnamed");
                format!("the task {name:?} failed: {error}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Told by nobody: to listen for signals would change what Ctrl-C does to all tests of this executable.
    fn supervisor() -> Supervisor {
        Supervisor::told_by(std::future::pending().boxed())
    }

    #[tokio::test]
    async fn a_task_that_ends_ends_the_process_by_name() {
        let mut supervisor = supervisor();
        supervisor.spawn("goes on", std::future::pending());
        supervisor.spawn("ends", async {});
        let error = supervisor.until_told_to_end().await.unwrap_err();
        assert_eq!(error.to_string(), "the task \"ends\" ended");
    }

    #[tokio::test]
    async fn a_task_that_panics_ends_the_process() {
        let mut supervisor = supervisor();
        supervisor.spawn("goes on", std::future::pending());
        supervisor.serve("panics", async { panic!("on purpose") });
        let error = supervisor.until_told_to_end().await.unwrap_err().to_string();
        assert!(error.starts_with("the task \"panics\" failed"), "{error}");
    }
}
