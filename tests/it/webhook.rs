//! The webhook as a server: ready when it should be, gone without a dropped call, and what happens while it is dead.

use std::time::{Duration, Instant};

use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use treenail_lab::User;
use treenail_lab::balancer::readiness;

use crate::support::cluster::{
    administrator, alice, apply, await_event, empower_alice, eventually, namespace, node_of_type, soon,
};
use crate::support::load::give_calls_time;
use crate::support::tell;
use crate::support::world::{World, on_treenail};

/// A cluster of its own for a test that disturbs it.
fn on_own_cluster(test: impl AsyncFnOnce(World)) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async { test(World::start().await.unwrap()).await });
}

fn pod(name: &str, spec: Value) -> Pod {
    let mut pod = json!({ "metadata": { "name": name }, "spec": { "containers": [{ "name": "app", "image": "app" }] } });
    for (key, value) in spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    serde_json::from_value(pod).unwrap()
}

#[test]
fn no_call_fails_while_replicas_come_and_go() {
    const CALLERS: usize = 8;
    on_own_cluster(async |world| {
        let lab = &world.lab;
        namespace(lab, "rolling", &[("treenail.dev/workload-type", "application")]).await;
        give_calls_time(&administrator(lab).await).await;
        let (calls, failures) = (std::cell::Cell::new(0), std::cell::RefCell::new(Vec::new()));
        let pods: Api<Pod> = Api::namespaced(administrator(lab).await, "rolling");
        let caller = async || {
            let dry_run = PostParams { dry_run: true, ..PostParams::default() };
            loop {
                match pods.create(&dry_run, &pod("rolling", json!({}))).await {
                    Ok(created) => {
                        assert!(created.spec.unwrap().node_selector.is_some(), "a pod was not patched");
                    }
                    Err(error) => failures.borrow_mut().push(error.to_string()),
                }
                calls.set(calls.get() + 1);
            }
        };
        let load = futures::future::join_all((0..CALLERS).map(|_| caller()));
        let roll = async {
            // From here on no replica of before is there: every call goes to those that come and go.
            // Within that time the balancer has to take up that a replica is about to go.
            let flags = ["--shutdown-delay=5s"];
            let mut current = world.treenail.start_webhook(lab, &world.balancer, &flags).await.unwrap();
            current.await_ready().await.unwrap();
            // As a rollout does, which waits for the endpoint of the new before it ends the old.
            world.balancer.serves(current.backend()).await.unwrap();
            world.balancer.remove(world.webhook.backend());
            world.webhook.process.terminate();
            assert!(world.webhook.process.wait().await.unwrap().success());
            for _ in 0..3 {
                let before = calls.get();
                let next = world.treenail.start_webhook(lab, &world.balancer, &flags).await.unwrap();
                next.await_ready().await.unwrap();
                world.balancer.serves(next.backend()).await.unwrap();
                current.process.terminate();
                assert!(current.process.wait().await.unwrap().success());
                world.balancer.remove(current.backend());
                current = next;
                assert!(calls.get() > before + 20, "only {} calls during a change", calls.get() - before);
            }
            current
        };
        let rolled = tokio::select! {
            rolled = roll => rolled,
            _ = load => unreachable!("the load goes on until it is dropped"),
        };
        assert_eq!(*failures.borrow(), Vec::<String>::new(), "of {} calls", calls.get());
        drop(rolled);
    });
}

#[test]
fn a_bundle_that_was_emptied_or_a_secret_that_was_deleted_is_mended() {
    on_own_cluster(async |world| {
        let lab = &world.lab;
        let client = administrator(lab).await;
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(client.clone());
        let bundle = async || {
            let found = configurations.get("treenail").await.ok()?;
            let bundle = found.webhooks?.first()?.client_config.ca_bundle.clone()?.0;
            (!bundle.is_empty()).then_some(bundle)
        };
        let before = bundle().await.unwrap();
        let emptied = Patch::Json::<()>(
            serde_json::from_value(json!([{ "op": "remove", "path": "/webhooks/0/clientConfig/caBundle" }]))
                .unwrap(),
        );
        configurations.patch("treenail", &PatchParams::default(), &emptied).await.unwrap();
        assert_eq!(soon("the bundle is published again", bundle).await.unwrap(), before);

        let secrets: Api<Secret> = Api::namespaced(client, "treenail-system");
        secrets.delete("treenail-webhook-authority", &DeleteParams::default()).await.unwrap();
        eventually(&secrets, "treenail-webhook-authority", |secret: Option<&Secret>| secret.is_some())
            .await
            .unwrap();
        soon("the new bundle is published", async || bundle().await.filter(|bundle| *bundle != before))
            .await
            .unwrap();
        // And what it vouches for is served at once: nobody waits a minute for the former authority to be forgotten.
        namespace(lab, "mended", &[("treenail.dev/workload-type", "application")]).await;
        let pods: Api<Pod> = Api::namespaced(administrator(lab).await, "mended");
        let since = Instant::now();
        soon("pods are judged again", async || {
            pods.create(&PostParams::default(), &pod("mended", json!({}))).await.ok()
        })
        .await
        .unwrap();
        assert!(since.elapsed() < Duration::from_secs(15), "pods were refused for {:?}", since.elapsed());
    });
}

/// Without one of the two configurations, the calls of the other are still owed an answer: a replica that were not ready would have every pod
/// of a labelled namespace refused. Without both nobody calls, and readiness tells whoever installs what is left to do.
#[test]
fn a_missing_configuration_is_named_and_only_without_both_is_the_webhook_unready() {
    on_own_cluster(async |world| {
        let lab = &world.lab;
        let delete = async |kind: &str| {
            let kubectl = lab.kubectl(&User::administrator()).unwrap();
            let outcome = kubectl.run(&["delete", kind, "treenail"]).await.unwrap();
            assert!(outcome.success, "{}", outcome.stderr);
        };
        let says = async |replica: &treenail_lab::treenail::WebhookReplica, wanted: &str| {
            soon(&format!("readiness says {wanted}"), async || {
                readiness(replica.backend().probed).await.ok().filter(|answer| answer.contains(wanted))
            })
            .await
            .unwrap()
        };
        delete("mutatingwebhookconfiguration").await;
        let fresh = world.treenail.start_webhook(lab, &world.balancer, &[]).await.unwrap();
        for replica in [&world.webhook, &fresh] {
            says(replica, "there is no MutatingWebhookConfiguration treenail: apply").await;
            replica.await_ready().await.unwrap();
        }
        delete("validatingwebhookconfiguration").await;
        let both = "no MutatingWebhookConfiguration treenail and no ValidatingWebhookConfiguration treenail";
        assert!(says(&fresh, both).await.starts_with("HTTP/1.1 503"));
    });
}

#[test]
fn a_secret_that_holds_no_authority_is_named_and_mended_by_deleting_it() {
    on_own_cluster(async |world| {
        let lab = &world.lab;
        let secrets: Api<Secret> = Api::namespaced(administrator(lab).await, "treenail-system");
        let emptied = Patch::Json::<()>(
            serde_json::from_value(json!([{ "op": "remove", "path": "/data/ca.key" }])).unwrap(),
        );
        secrets.patch("treenail-webhook-authority", &PatchParams::default(), &emptied).await.unwrap();
        // What is served stays; a new replica cannot begin, and says why.
        let fresh = world.treenail.start_webhook(lab, &world.balancer, &[]).await.unwrap();
        let unready = soon("readiness names the Secret", async || {
            let answer = readiness(fresh.backend().probed).await.ok()?;
            answer.contains("Secret treenail-webhook-authority: it needs ca.crt and ca.key").then_some(answer)
        });
        assert!(unready.await.unwrap().starts_with("HTTP/1.1 503"));
        world.webhook.await_ready().await.unwrap();
        secrets.delete("treenail-webhook-authority", &DeleteParams::default()).await.unwrap();
        fresh.await_ready().await.unwrap();
    });
}

#[test]
fn with_treenail_dead_nothing_leaks_and_what_is_not_concerned_goes_on() {
    on_own_cluster(async |world| {
        let lab = &world.lab;
        node_of_type(lab, "application", "c7i.xlarge").await.unwrap();
        for (name, labels) in
            [("dead-typed", &[("treenail.dev/workload-type", "application")][..]), ("dead-free", &[])]
        {
            namespace(lab, name, labels).await;
        }
        let client = administrator(lab).await;
        let typed: Api<Pod> = Api::namespaced(client.clone(), "dead-typed");
        let free: Api<Pod> = Api::namespaced(client.clone(), "dead-free");
        // Somebody's own node, without a taint, for the pods of unlabelled namespaces.
        let (subnet, _) = lab.ec2().discovery_subnets().await.unwrap().remove(0);
        let user_data = treenail_lab::UserData::of(lab.endpoint()).label("own=node").archive();
        let instance = lab.ec2().run_instance("m5a.large", &subnet, &user_data).await.unwrap();
        lab.registered_node(&instance).await.unwrap();
        free.create(&PostParams::default(), &pod("before", json!({ "nodeSelector": { "own": "node" } })))
            .await
            .unwrap();
        eventually(&free, "before", kube::runtime::conditions::is_pod_running()).await.unwrap();
        typed.create(&PostParams::default(), &pod("before", json!({}))).await.unwrap();
        eventually(&typed, "before", kube::runtime::conditions::is_pod_running()).await.unwrap();

        world.kill();

        // Typed pods are refused, never leaked; typeless ones that could reach a foreign node too.
        let refused = async |pods: &Api<Pod>, pod: Pod| {
            pods.create(&PostParams::default(), &pod).await.unwrap_err().to_string()
        };
        assert!(refused(&typed, pod("after", json!({}))).await.contains("validate.treenail.dev"));
        let wildcard = pod("wildcard", json!({ "tolerations": [{ "operator": "Exists" }] }));
        assert!(refused(&free, wildcard).await.contains("validate.treenail.dev"));
        // The native policies stand.
        let stolen = "apiVersion: v1\nkind: Namespace\nmetadata: {name: dead-free, labels: {treenail.dev/workload-type: application}}\n";
        let outcome = apply(lab, &alice(), stolen).await;
        assert!(outcome.stderr.contains("TypeNotGranted"), "{}", outcome.stderr);

        // Everything else goes on: of unlabelled namespaces, and metadata of pods that are there.
        free.create(&PostParams::default(), &pod("after", json!({ "nodeSelector": { "own": "node" } })))
            .await
            .unwrap();
        eventually(&free, "after", kube::runtime::conditions::is_pod_running()).await.unwrap();
        let label = Patch::Merge(json!({ "metadata": { "labels": { "team": "blue" } } }));
        for pods in [&free, &typed] {
            pods.patch("before", &PatchParams::default(), &label).await.unwrap();
            pods.delete("before", &DeleteParams::default()).await.unwrap();
            eventually(pods, "before", |pod: Option<&Pod>| pod.is_none()).await.unwrap();
        }
        let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: dead-free}\nspec:\n  replicas: 1\n  \
                          selector: {matchLabels: {app: web}}\n  template:\n    metadata: {labels: {app: web}}\n    spec:\n      \
                          nodeSelector: {own: node}\n      containers: [{name: web, image: web}]\n";
        let outcome = apply(lab, &User::administrator(), deployment).await;
        assert!(outcome.success, "{}", outcome.stderr);
        let kubectl = lab.kubectl(&User::administrator()).unwrap();
        let scaled =
            kubectl.run(&["scale", "deployment/web", "-n", "dead-free", "--replicas=3"]).await.unwrap();
        assert!(scaled.success, "{}", scaled.stderr);
        let status = ["rollout", "status", "deployment/web", "-n", "dead-free", "--timeout=30s"];
        assert!(kubectl.run(&status).await.unwrap().success);
    });
}

#[test]
fn a_webhook_that_dies_while_pods_are_made_loses_none_and_lets_none_astray() {
    const DEPLOYMENTS: usize = 20;
    const REPLICAS: usize = 10;
    const PODS: usize = DEPLOYMENTS * REPLICAS;
    on_own_cluster(async |world| {
        let lab = &world.lab;
        namespace(lab, "burst", &[("treenail.dev/workload-type", "application")]).await;
        let deployments: Vec<_> = (0..DEPLOYMENTS).map(|number| format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: burst-{number}, namespace: burst}}\nspec:\n  \
             replicas: {REPLICAS}\n  selector: {{matchLabels: {{app: burst-{number}}}}}\n  template:\n    \
             metadata: {{labels: {{app: burst-{number}}}}}\n    spec:\n      containers: [{{name: app, image: app}}]\n"
        )).collect();
        let pods: Api<Pod> = Api::namespaced(administrator(lab).await, "burst");
        let started = Instant::now();
        let manifest = deployments.join("---\n");
        let kill = async {
            soon("some pods are made", async || {
                let made = pods.list_metadata(&ListParams::default()).await.ok()?.items.len();
                (made >= 10).then_some(())
            })
            .await
            .unwrap();
            world.kill();
        };
        let administrator = User::administrator();
        let (outcome, ()) = tokio::join!(apply(lab, &administrator, &manifest), kill);
        assert!(outcome.success, "{}", outcome.stderr);
        let made = pods.list_metadata(&ListParams::default()).await.unwrap().items.len();
        assert!(made < PODS, "all pods were made before the webhook was killed");
        // Without the webhook, Kubernetes' controllers have tried in vain.
        await_event(lab, "burst", "FailedCreate").await;
        let replica = world.treenail.start_webhook(lab, &world.balancer, &[]).await.unwrap();
        replica.await_ready().await.unwrap();
        let restarted = Instant::now();
        // Each ReplicaSet is tried again after a pause that doubles with every failure: Kubernetes' own doing.
        let deadline = restarted + Duration::from_mins(3);
        let all = loop {
            let found = pods.list(&ListParams::default()).await.unwrap().items;
            if found.len() == PODS {
                break found;
            }
            assert!(Instant::now() < deadline, "{} of {PODS} pods exist", found.len());
            tokio::time::sleep(Duration::from_millis(100)).await;
        };
        tell(&format!(
            "a killed webhook: all {PODS} pods exist {:.1} s after the restart and {:.1} s after the first apply; {made} were there at the kill",
            restarted.elapsed().as_secs_f64(),
            started.elapsed().as_secs_f64()
        ));
        for pod in all {
            let spec = pod.spec.unwrap();
            assert!(spec.node_selector.is_some_and(|selector| selector.len() == 1));
            assert!(
                spec.tolerations
                    .unwrap()
                    .iter()
                    .any(|toleration| toleration.value.as_deref() == Some("application"))
            );
            assert_eq!(spec.node_name, None, "there is no node of the type");
        }
    });
}

/// The webhook's watch is a few milliseconds behind what one `kubectl apply` makes in a row.
#[test]
fn a_type_and_namespaces_of_it_can_be_applied_together() {
    on_treenail(async |world| {
        let lab = &world.lab;
        let namespace = |name: &str, workload_type: &str| {
            json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": name, "labels": { "treenail.dev/workload-type": workload_type },
            } })
        };
        for round in 0..5 {
            let name = format!("together-{round}");
            let items = json!([
                {
                    "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType", "metadata": { "name": name },
                    "spec": { "pools": [{ "name": "application" }] },
                },
                namespace(&name, &name),
            ]);
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": items });
            let outcome = apply(lab, &User::administrator(), &list.to_string()).await;
            assert!(outcome.success, "round {round}: {}", outcome.stderr);
            assert!(!outcome.stderr.contains("is closed"), "{}", outcome.stderr);
        }
        let unknown =
            apply(lab, &User::administrator(), &namespace("astray", "togetherr-1").to_string()).await;
        assert!(!unknown.success);
        let expected =
            "there is no such workload type; use one that exists (did you mean together-1? there are:";
        assert!(unknown.stderr.contains(expected), "{}", unknown.stderr);
        // They share a pool with `application`, which is alone again for the other tests.
        let kubectl = lab.kubectl(&User::administrator()).unwrap();
        for round in 0..5 {
            let name = format!("together-{round}");
            let outcome = kubectl.run(&["delete", "namespace", &name, "--wait=false"]).await.unwrap();
            assert!(outcome.success, "{}", outcome.stderr);
            let outcome = kubectl.run(&["delete", "workloadtype", &name, "--wait=false"]).await.unwrap();
            assert!(outcome.success, "{}", outcome.stderr);
        }
    });
}

#[test]
fn whoever_takes_the_label_off_a_namespace_is_told_that_its_pods_stay() {
    const TOLD: &str = "Warning: namespace unlabelled: pods that run already keep tolerations and nodes of workload type application";
    on_treenail(async |world| {
        let lab = &world.lab;
        empower_alice(lab, &[]).await;
        namespace(lab, "unlabelled", &[("treenail.dev/workload-type", "application")]).await;
        let label = async |user: &User, label: &str| {
            lab.kubectl(user)
                .unwrap()
                .run(&["label", "--overwrite", "namespace", "unlabelled", label])
                .await
                .unwrap()
        };
        let (removal, administrator) = ("treenail.dev/workload-type-", User::administrator());
        for (user, label_of, why) in [
            (&alice(), removal, "TypeNotGranted"),
            (&administrator, "treenail.dev/workload-type=nosuch", "UnknownWorkloadType"),
        ] {
            let refused = label(user, label_of).await;
            assert!(!refused.success && refused.stderr.contains(why), "{}", refused.stderr);
            assert!(!refused.stderr.contains("Warning: "), "{}", refused.stderr);
        }
        let removed = label(&administrator, removal).await;
        assert!(removed.success && removed.stderr.contains(TOLD), "{}", removed.stderr);
        // The label of somebody else says nothing about pods.
        let other = label(&administrator, "team=red").await;
        assert!(other.success && !other.stderr.contains("Warning: "), "{}", other.stderr);
    });
}

#[test]
fn a_template_of_a_namespace_without_a_type_may_not_name_one() {
    on_treenail(async |world| {
        let lab = &world.lab;
        namespace(lab, "labels-alone", &[]).await;
        let pod = |workload_type: &str| {
            json!({
                "metadata": { "labels": { "app": "web", "treenail.dev/workload-type": workload_type } },
                "spec": { "restartPolicy": "OnFailure", "containers": [{ "name": "app", "image": "app" }] },
            })
        };
        let cron_job = json!({
            "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "web", "namespace": "labels-alone" },
            "spec": { "schedule": "0 0 1 1 *", "jobTemplate": { "spec": { "template": pod("aplication") } } },
        });
        let pod_template = json!({
            "apiVersion": "v1", "kind": "PodTemplate", "metadata": { "name": "web", "namespace": "labels-alone" },
            "template": pod("application"),
        });
        let job = json!({
            "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": "web", "namespace": "labels-alone" },
            "spec": { "template": pod("application") },
        });
        for template in [cron_job, pod_template, job] {
            let outcome = apply(lab, &User::administrator(), &template.to_string()).await;
            assert!(!outcome.success && outcome.stderr.contains("TypeNotAllowed: "), "{}", outcome.stderr);
        }
    });
}
