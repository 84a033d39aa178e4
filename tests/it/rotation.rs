//! Certificates and authorities are replaced while the webhook is asked, and no call fails.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use treenail_lab::treenail::WebhookReplica;

use crate::support::cluster::{administrator, found_within, namespace};
use crate::support::load::{give_calls_time, while_pods_are_created};
use crate::support::tell;
use crate::support::world::World;

/// API servers get a minute to take up a new bundle, and files are looked at every half minute.
const PATIENCE: Duration = Duration::from_mins(3);

#[test]
fn no_call_fails_while_the_authority_is_replaced() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::start().await.unwrap();
        let lab = &world.lab;
        let other = world.treenail.start_webhook(lab, &world.balancer, &[]).await.unwrap();
        other.await_ready().await.unwrap();
        world.balancer.serves(other.backend()).await.unwrap();
        namespace(lab, "rotated", &[("treenail.dev/workload-type", "application")]).await;
        let client = administrator(lab).await;
        give_calls_time(&client).await;
        let pods: Api<Pod> = Api::namespaced(client.clone(), "rotated");
        let secrets: Api<Secret> = Api::namespaced(client.clone(), "treenail-system");
        let secret = secrets.get("treenail-webhook-authority").await.unwrap();
        let former = String::from_utf8(secret.data.unwrap()["ca.crt"].0.clone()).unwrap();
        let made = tempfile::tempdir().unwrap();
        make(made.path());
        let of_new = |name: &str| std::fs::read_to_string(made.path().join(name)).unwrap();
        let store = async |bundle: &str| {
            let data = json!({ "stringData": { "ca.crt": bundle, "ca.key": of_new("ca.key") } });
            let name = "treenail-webhook-authority";
            secrets.patch(name, &PatchParams::default(), &Patch::Merge(data)).await.unwrap();
            found_within(PATIENCE, "the bundle is published", async || {
                bundles(&client).await.iter().all(|published| published == bundle).then_some(())
            })
            .await
            .unwrap();
        };

        let calls = while_pods_are_created(&pods, async |load| {
            load.await_calls(50).await;
            store(&(of_new("ca.crt") + &former)).await;
            for replica in [&world.webhook, &other] {
                serves_for_the(2, replica).await;
            }
            load.await_calls(50).await;
            // From here on nobody who still served by the former authority would be believed.
            store(&of_new("ca.crt")).await;
            load.await_calls(200).await;
        })
        .await;
        tell(&format!("an authority that is replaced: {calls} pods created meanwhile, none refused"));
    });
}

#[test]
fn no_call_fails_while_the_files_of_a_certificate_are_replaced() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::start().await.unwrap();
        let lab = &world.lab;
        namespace(lab, "files", &[("treenail.dev/workload-type", "application")]).await;
        let client = administrator(lab).await;
        give_calls_time(&client).await;
        let pods: Api<Pod> = Api::namespaced(client.clone(), "files");
        // Who publishes bundles by itself would undo what is published by hand.
        world.webhook.process.kill();
        world.balancer.remove(world.webhook.backend());

        let folder = tempfile::tempdir().unwrap();
        let first = swap(folder.path(), "..1");
        for name in ["tls.crt", "tls.key"] {
            symlink(Path::new("..data").join(name), folder.path().join(name)).unwrap();
        }
        publish(&client, &first).await;
        let flag = format!("--tls-directory={}", folder.path().display());
        let replica = world.treenail.start_webhook(lab, &world.balancer, &[&flag]).await.unwrap();
        replica.await_ready().await.unwrap();
        world.balancer.serves(replica.backend()).await.unwrap();
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        let pod: Pod = serde_json::from_value(
            json!({ "metadata": { "name": "first" }, "spec": { "containers": [{ "name": "app", "image": "app" }] } }),
        )
        .unwrap();
        found_within(PATIENCE, "the API server has taken up the bundle", async || {
            pods.create(&dry_run, &pod).await.ok()?.spec?.node_selector.map(|_| ())
        })
        .await
        .unwrap();

        let calls = while_pods_are_created(&pods, async |load| {
            load.await_calls(50).await;
            // The next authority is trusted before anything is served that only it vouches for.
            let made = tempfile::tempdir().unwrap();
            make(made.path());
            let next = std::fs::read_to_string(made.path().join("ca.crt")).unwrap();
            publish(&client, &(next.clone() + &first)).await;
            load.await_calls(200).await;
            put(folder.path(), "..2", made.path());
            serves_for_the(2, &replica).await;
            publish(&client, &next).await;
            load.await_calls(200).await;
        })
        .await;
        tell(&format!("files of a certificate that are replaced: {calls} pods created meanwhile, none refused"));
    });
}

/// Waits until the replica has begun to serve a certificate for so many times.
async fn serves_for_the(times: usize, replica: &WebhookReplica) {
    found_within(PATIENCE, "the new certificate is served", async || {
        let log = std::fs::read_to_string(replica.process.log()).ok()?;
        (log.matches("a new certificate is served").count() >= times).then_some(())
    })
    .await
    .unwrap();
}

/// An authority and a certificate of it, as `treenail certs` makes them.
fn make(folder: &Path) {
    let made = Command::new(env!("CARGO_BIN_EXE_treenail"))
        .args(["certs", "--directory", folder.to_str().unwrap(), "--force"])
        .args(["--name", "treenail-webhook.treenail-system.svc", "--name", "127.0.0.1"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

/// Puts a certificate of a new authority into the folder, and returns the authority's own.
fn swap(folder: &Path, version: &str) -> String {
    let made = tempfile::tempdir().unwrap();
    make(made.path());
    put(folder, version, made.path());
    std::fs::read_to_string(made.path().join("ca.crt")).unwrap()
}

/// Puts what was made there as a kubelet does: a new folder, and a link that is renamed over the former.
fn put(folder: &Path, version: &str, made: &Path) {
    let versioned = folder.join(version);
    std::fs::create_dir(&versioned).unwrap();
    for name in ["tls.crt", "tls.key"] {
        std::fs::copy(made.join(name), versioned.join(name)).unwrap();
    }
    symlink(version, folder.join("..data_tmp")).unwrap();
    std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
}

/// Writes the bundle into every entry of both configurations, as cert-manager's injector does.
async fn publish(client: &kube::Client, bundle: &str) {
    let (mutating, validating) = configurations(client);
    let bundle = Some(ByteString(bundle.as_bytes().to_vec()));
    let mut found = mutating.get("treenail").await.unwrap();
    for entry in found.webhooks.iter_mut().flatten() {
        entry.client_config.ca_bundle = bundle.clone();
    }
    mutating.replace("treenail", &PostParams::default(), &found).await.unwrap();
    let mut found = validating.get("treenail").await.unwrap();
    for entry in found.webhooks.iter_mut().flatten() {
        entry.client_config.ca_bundle = bundle.clone();
    }
    validating.replace("treenail", &PostParams::default(), &found).await.unwrap();
}

/// The bundles of all entries.
async fn bundles(client: &kube::Client) -> Vec<String> {
    let (mutating, validating) = configurations(client);
    let (mutating, validating) =
        (mutating.get("treenail").await.unwrap(), validating.get("treenail").await.unwrap());
    let mutating = mutating.webhooks.into_iter().flatten().map(|entry| entry.client_config.ca_bundle);
    let validating = validating.webhooks.into_iter().flatten().map(|entry| entry.client_config.ca_bundle);
    let text = |bundle: Option<ByteString>| String::from_utf8(bundle.unwrap().0).unwrap();
    mutating.chain(validating).map(text).collect()
}

fn configurations(
    client: &kube::Client,
) -> (Api<MutatingWebhookConfiguration>, Api<ValidatingWebhookConfiguration>) {
    (Api::all(client.clone()), Api::all(client.clone()))
}
