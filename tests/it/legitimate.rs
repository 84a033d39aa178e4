//! What is right stays untouched.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use kube::runtime::conditions::is_pod_running;
use treenail_lab::User;

use crate::support::cluster::{
    administrator, apply, eventually, kubectl, may, namespace, node_of, node_of_type, soon,
};
use crate::support::world::{World, on_treenail};

fn deployment(namespace: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: web, namespace: {namespace}}}\nspec:\n  replicas: 2\n  \
         selector: {{matchLabels: {{app: web}}}}\n  template:\n    metadata: {{labels: {{app: web}}}}\n    spec:\n      \
         containers: [{{name: web, image: web}}]\n"
    )
}

async fn run(world: &World, arguments: &[&str]) -> String {
    let outcome = kubectl(&world.lab, &User::administrator()).run(arguments).await.unwrap();
    assert!(outcome.success, "kubectl {arguments:?}: {}{}", outcome.stdout, outcome.stderr);
    outcome.stdout
}

/// Names of the pods of a namespace that run, once there are so many.
async fn running(world: &World, name: &str, count: usize) -> Vec<Pod> {
    let pods: Api<Pod> = Api::namespaced(administrator(&world.lab).await, name);
    soon(&format!("{count} pods run in {name}"), async || {
        let found = pods.list(&ListParams::default()).await.ok()?;
        let running: Vec<Pod> = found.into_iter().filter(is_running).collect();
        (running.len() == count).then_some(running)
    })
    .await
    .unwrap()
}

fn is_running(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_none()
        && pod.status.as_ref().and_then(|status| status.phase.as_deref()) == Some("Running")
}

#[test]
fn a_deployment_without_a_word_about_nodes_lands_on_its_types_nodes_and_lives_its_life() {
    on_treenail(async |world| {
        node_of_type(&world.lab, "application", "c7i.xlarge").await.unwrap();
        node_of_type(&world.lab, "monitoring", "m5a.large").await.unwrap();
        namespace(&world.lab, "legit-web", &[("treenail.dev/workload-type", "application")]).await;
        let outcome = apply(&world.lab, &User::administrator(), &deployment("legit-web")).await;
        assert!(outcome.success, "{}", outcome.stderr);
        let nodes: Api<Node> = Api::all(administrator(&world.lab).await);
        let allowed = async |count| {
            for pod in running(world, "legit-web", count).await {
                let spec = pod.spec.unwrap();
                let node = spec.node_name.unwrap();
                assert!(spec.tolerations.unwrap().iter().any(|toleration| {
                    toleration.key.as_deref() == Some("node-type")
                        && toleration.value.as_deref() == Some("application")
                }));
                assert!(
                    spec.node_selector
                        .unwrap()
                        .contains_key("workload-type.node-restriction.kubernetes.io/application")
                );
                // Other tests have application nodes too; a monitoring node it is never.
                let node = nodes.get(&node).await.unwrap();
                assert!(
                    node.labels().contains_key("workload-type.node-restriction.kubernetes.io/application")
                );
            }
        };
        allowed(2).await;
        // The template is what its author wrote.
        let template = run(
            world,
            &["get", "deployment", "web", "-n", "legit-web", "-o", "jsonpath={.spec.template.spec}"],
        )
        .await;
        assert!(!template.contains("tolerations") && !template.contains("nodeSelector"), "{template}");
        let difference = kubectl(&world.lab, &User::administrator())
            .run_with_input(&["diff", "-f", "-"], &deployment("legit-web"))
            .await
            .unwrap();
        assert!(difference.success && difference.stdout.is_empty(), "kubectl diff: {}", difference.stdout);

        run(world, &["scale", "deployment/web", "-n", "legit-web", "--replicas=3"]).await;
        allowed(3).await;
        run(world, &["rollout", "restart", "deployment/web", "-n", "legit-web"]).await;
        run(world, &["rollout", "status", "deployment/web", "-n", "legit-web", "--timeout=30s"]).await;
        allowed(3).await;
        let applied = kubectl(&world.lab, &User::administrator())
            .run_with_input(
                &["apply", "--server-side", "--force-conflicts", "-f", "-"],
                &deployment("legit-web"),
            )
            .await
            .unwrap();
        assert!(applied.success, "{}", applied.stderr);
        run(world, &["delete", "deployment", "web", "-n", "legit-web", "--wait=true", "--timeout=30s"]).await;
    });
}

#[test]
fn a_bare_pod_can_be_applied_again_labelled_and_freed_of_its_finalizer() {
    on_treenail(async |world| {
        node_of_type(&world.lab, "application", "c7i.xlarge").await.unwrap();
        namespace(&world.lab, "legit-bare", &[("treenail.dev/workload-type", "application")]).await;
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: bare, namespace: legit-bare, finalizers: [example.com/hold]}\n\
                   spec:\n  containers: [{name: app, image: app}]\n  \
                   tolerations: [{key: example.com/nobodys, operator: Exists, effect: NoSchedule}]\n";
        for _ in 0..2 {
            let outcome = apply(&world.lab, &User::administrator(), pod).await;
            assert!(outcome.success, "{}", outcome.stderr);
        }
        let pods: Api<Pod> = Api::namespaced(administrator(&world.lab).await, "legit-bare");
        eventually(&pods, "bare", is_pod_running()).await.unwrap();
        run(world, &["label", "pod", "bare", "-n", "legit-bare", "team=blue"]).await;
        run(world, &["delete", "pod", "bare", "-n", "legit-bare", "--wait=false"]).await;
        let patch = r#"{"metadata":{"finalizers":null}}"#;
        run(world, &["patch", "pod", "bare", "-n", "legit-bare", "--type=merge", "-p", patch]).await;
        eventually(&pods, "bare", |pod: Option<&Pod>| pod.is_none()).await.unwrap();
    });
}

#[test]
fn who_holds_the_verb_use_may_give_and_take_that_type_and_that_team_and_no_other() {
    const ROLE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: legit-bob}
rules:
- {apiGroups: [''], resources: [namespaces], verbs: [get, create, patch]}
- {apiGroups: [treenail.dev], resources: [workloadtypes], resourceNames: [application], verbs: [use]}
- {apiGroups: [treenail.dev], resources: [teams], resourceNames: [blue], verbs: [use]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: legit-bob}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: legit-bob}
subjects: [{kind: User, name: bob, apiGroup: rbac.authorization.k8s.io}]
";
    on_treenail(async |world| {
        let outcome = apply(&world.lab, &User::administrator(), ROLE).await;
        assert!(outcome.success, "{}", outcome.stderr);
        may(&world.lab, "bob", "create", "namespaces", None).await;
        run(world, &["create", "namespace", "legit-granted", "--as=bob"]).await;
        let label = async |label: &str| {
            let arguments = ["label", "--overwrite", "namespace", "legit-granted", label, "--as=bob"];
            kubectl(&world.lab, &User::administrator()).run(&arguments).await.unwrap()
        };
        let steps = [
            ("treenail.dev/workload-type=monitoring", Some("TypeNotGranted")),
            ("treenail.dev/workload-type=application", None),
            ("treenail.dev/workload-type=monitoring", Some("TypeNotGranted")),
            ("treenail.dev/team=red", Some("TeamNotGranted")),
            ("treenail.dev/team=blue", None),
            ("treenail.dev/team=red", Some("TeamNotGranted")),
            ("treenail.dev/team-", None),
            ("treenail.dev/workload-type-", None),
        ];
        for (change, code) in steps {
            let outcome = label(change).await;
            let refusal =
                outcome.refusal().and_then(|message| message.split_once(": ")).map(|(code, _)| code);
            assert_eq!((outcome.success, refusal), (code.is_none(), code), "{change}: {}", outcome.stderr);
        }
    });
}

#[test]
fn a_wildcard_daemonset_of_kube_system_runs_on_every_node() {
    on_treenail(async |world| {
        let node = node_of_type(&world.lab, "monitoring", "m5a.large").await.unwrap();
        let agent = "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: legit-agent, namespace: kube-system}\nspec:\n  \
                     selector: {matchLabels: {app: legit-agent}}\n  template:\n    metadata: {labels: {app: legit-agent}}\n    \
                     spec:\n      tolerations: [{operator: Exists}]\n      containers: [{name: agent, image: agent, \
                     resources: {requests: {cpu: 1m, memory: 1Mi}}}]\n";
        let outcome = apply(&world.lab, &User::administrator(), agent).await;
        assert!(outcome.success, "{}", outcome.stderr);
        let pods: Api<Pod> = Api::namespaced(administrator(&world.lab).await, "kube-system");
        soon("an agent runs on the node", async || {
            let pods = pods.list(&ListParams::default().labels("app=legit-agent")).await.ok()?;
            pods.iter()
                .any(|pod| {
                    is_running(pod)
                        && pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref()) == Some(&node)
                })
                .then_some(())
        })
        .await
        .unwrap();
        run(world, &["delete", "daemonset", "legit-agent", "-n", "kube-system", "--wait=false"]).await;
    });
}

#[test]
fn a_pod_of_an_unlabelled_namespace_may_tolerate_what_nobody_owns() {
    on_treenail(async |world| {
        namespace(&world.lab, "legit-free", &[]).await;
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: free, namespace: legit-free}\nspec:\n  \
                   containers: [{name: app, image: app}]\n  tolerations:\n  \
                   - {key: example.com/nobodys, operator: Exists}\n  - {key: node.kubernetes.io/not-ready, operator: Exists}\n";
        let outcome = apply(&world.lab, &User::administrator(), pod).await;
        assert!(outcome.success, "{}", outcome.stderr);
        let pods: Api<Pod> = Api::namespaced(administrator(&world.lab).await, "legit-free");
        assert_eq!(node_of(&pods, "free").await, None);
        let spec = pods.get("free").await.unwrap().spec.unwrap();
        assert!(spec.node_selector.is_none());
        run(world, &["delete", "pod", "free", "-n", "legit-free", "--wait=false"]).await;
    });
}
