//! Pods that are created without pause while something goes on, as a test of whether anybody notices.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use treenail_lab::wait;

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
        let answers = async {
            while self.calls.get() < wanted {
                tokio::time::sleep(PAUSE).await;
            }
        };
        wait::patiently(&format!("{more} more calls are answered"), answers).await.unwrap();
    }
}

/// Gives the webhook ten seconds for each call. As it is installed it has two to patch a pod, and one that it missed is refused: on a busy
/// machine a call may take so long, which is no failure of what goes on meanwhile.
pub(crate) async fn give_calls_time(client: &Client) {
    let mutating: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
    let validating: Api<ValidatingWebhookConfiguration> = Api::all(client.clone());
    let entries = mutating.get("treenail").await.unwrap().webhooks.unwrap().len();
    mutating.patch("treenail", &PatchParams::default(), &ten_seconds(entries)).await.unwrap();
    let entries = validating.get("treenail").await.unwrap().webhooks.unwrap().len();
    validating.patch("treenail", &PatchParams::default(), &ten_seconds(entries)).await.unwrap();
}

fn ten_seconds(entries: usize) -> Patch<()> {
    let of_entry =
        |entry| json!({ "op": "add", "path": format!("/webhooks/{entry}/timeoutSeconds"), "value": 10 });
    let operations: Vec<_> = (0..entries).map(of_entry).collect();
    Patch::Json(serde_json::from_value(operations.into()).unwrap())
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
