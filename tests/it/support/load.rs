//! Pods that are created without pause while something goes on, as a test of whether anybody notices.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, PostParams};
use serde_json::json;

/// Calls at once, and the pause of each caller: enough that no moment passes without one, and little enough to leave others their share.
const CALLERS: usize = 4;
const PAUSE: Duration = Duration::from_millis(20);

/// How it went so far.
#[derive(Debug, Default)]
pub(crate) struct Load {
    calls: Cell<usize>,
    failures: RefCell<Vec<String>>,
}

impl Load {
    /// Waits until so many more calls have been answered.
    pub(crate) async fn await_calls(&self, more: usize) {
        let wanted = self.calls.get() + more;
        while self.calls.get() < wanted {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Creates pods (as a dry run) in a namespace of a workload type for as long as `work` takes. Each must be patched, and none refused. Says
/// how many there were.
pub(crate) async fn while_pods_are_created(pods: &Api<Pod>, work: impl AsyncFnOnce(&Load)) -> usize {
    let load = Load::default();
    let caller = async || {
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let pod: Pod = serde_json::from_value(
            json!({ "metadata": { "name": "load" }, "spec": { "containers": [{ "name": "app", "image": "app" }] } }),
        )
        .unwrap();
        loop {
            match pods.create(&dry_run, &pod).await {
                Ok(created) if created.spec.as_ref().is_some_and(|spec| spec.node_selector.is_some()) => {}
                Ok(_) => load.failures.borrow_mut().push("a pod was not patched".to_owned()),
                Err(error) => load.failures.borrow_mut().push(error.to_string()),
            }
            load.calls.set(load.calls.get() + 1);
            tokio::time::sleep(PAUSE).await;
        }
    };
    let callers = futures::future::join_all((0..CALLERS).map(|_| caller()));
    tokio::select! {
        () = work(&load) => {}
        _ = callers => unreachable!("the load goes on until it is dropped"),
    }
    assert_eq!(*load.failures.borrow(), Vec::<String>::new(), "of {} calls", load.calls.get());
    load.calls.get()
}
