//! Two teams' nodes and an unprivileged user, on any lab: with Treenail, and without it for comparison.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{Event, Namespace, Node, Pod};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::wait::Condition;
use kube::{Client, ResourceExt};
use serde_json::json;
use treenail_lab::kubectl::{Kubectl, Outcome};
use treenail_lab::{Lab, User, UserData, wait};

/// How long anything may take that is expected to happen.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// How long anything may take on whose way there are waits of a fixed length: for a dead leader's lease to run out, for a claim to end (ten
/// seconds of quiet, five of being marked, ten until a Node that is gone is known to stay so), for a process to be started.
pub(crate) const A_WHILE: Duration = Duration::from_mins(2);

/// The unprivileged user.
pub(crate) fn alice() -> User {
    User::named("alice")
}

/// The administrator's client.
pub(crate) async fn administrator(lab: &Lab) -> Client {
    lab.client(&User::administrator()).await.expect("the administrator has a client")
}

/// kubectl as this user.
pub(crate) fn kubectl(lab: &Lab, user: &User) -> Kubectl {
    lab.kubectl(user).expect("a kubeconfig can be written")
}

/// Applies a manifest as this user and says how it went.
pub(crate) async fn apply(lab: &Lab, user: &User, manifest: &str) -> Outcome {
    kubectl(lab, user).run_with_input(&["apply", "-f", "-"], manifest).await.expect("kubectl runs")
}

/// Creates a namespace with these labels, as the administrator.
pub(crate) async fn namespace(lab: &Lab, name: &str, labels: &[(&str, &str)]) {
    let labels: serde_json::Map<_, _> =
        labels.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    let manifest =
        json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name, "labels": labels } });
    let outcome = apply(lab, &User::administrator(), &manifest.to_string()).await;
    assert!(outcome.success, "{}", outcome.stderr);
    // The service account is made by a controller; pods need it.
    let accounts = Api::namespaced(administrator(lab).await, name);
    let is_there = |account: Option<&k8s_openapi::api::core::v1::ServiceAccount>| account.is_some();
    eventually(&accounts, "default", is_there).await.expect("the namespace has its service account");
}

/// Launches a node of a type by hand: tainted `node-type=TYPE`, labelled as the controller would label it.
pub(crate) async fn node_of_type(lab: &Lab, workload_type: &str, instance_type: &str) -> Result<String> {
    let (subnet, _) =
        lab.ec2().discovery_subnets().await?.into_iter().next().context("there is no subnet")?;
    let user_data = UserData::of(lab.endpoint())
        .label(&format!("karpenter.sh/nodepool={workload_type}"))
        .taint("node-type", workload_type, "NoSchedule");
    let instance = lab.ec2().run_instance(instance_type, &subnet, &user_data.archive()).await?;
    let name = lab.registered_node(&instance).await?;
    let nodes: Api<Node> = Api::all(administrator(lab).await);
    let label = format!("workload-type.node-restriction.kubernetes.io/{workload_type}");
    let labels = Patch::Merge(json!({ "metadata": { "labels": { label: "" } } }));
    nodes.patch(&name, &PatchParams::default(), &labels).await?;
    Ok(name)
}

/// Waits for a condition of an object.
pub(crate) async fn eventually<K>(api: &Api<K>, name: &str, condition: impl Condition<K>) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    within(SOON, api, name, condition).await
}

/// Waits for a condition of an object that takes its time.
pub(crate) async fn within<K>(
    limit: Duration,
    api: &Api<K>,
    name: &str,
    condition: impl Condition<K>,
) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    wait::until(limit, api, name, condition).await
}

/// Polls until `look` finds something.
pub(crate) async fn soon<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> Result<T> {
    found_within(SOON, what, look).await
}

/// Polls until `look` finds something that takes its time.
pub(crate) async fn found_within<T>(
    limit: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let deadline = tokio::time::Instant::now() + limit;
    loop {
        if let Some(found) = look().await {
            return Ok(found);
        }
        ensure!(tokio::time::Instant::now() < deadline, "{what}: not within {limit:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Waits until there is an event for this reason in the namespace.
pub(crate) async fn await_event(lab: &Lab, namespace: &str, reason: &str) {
    let events: Api<Event> = Api::namespaced(administrator(lab).await, namespace);
    let wanted = ListParams::default().fields(&format!("reason={reason}")).limit(1);
    soon(&format!("an event {reason}"), async || {
        (!events.list_metadata(&wanted).await.ok()?.items.is_empty()).then_some(())
    })
    .await
    .unwrap();
}

/// The node that a pod is on; nothing while it is on none.
pub(crate) async fn node_of(pods: &Api<Pod>, name: &str) -> Option<String> {
    pods.get_opt(name).await.ok().flatten()?.spec?.node_name
}

/// Makes `alice` the administrator of these namespaces, who may bind pods there besides, and create and patch namespaces: more than
/// most clusters grant, so that what stops her is Treenail.
pub(crate) async fn empower_alice(lab: &Lab, namespaces: &[&str]) {
    let binding = |namespace: &&str| {
        ["admin", "alice-at-home"].map(|role| {
            format!(
                "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: {role}, namespace: {namespace}}}\n\
                 roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {role}}}\n\
                 subjects: [{{kind: User, name: alice, apiGroup: rbac.authorization.k8s.io}}]\n"
            )
        })
    };
    let manifest: String =
        [ALICE.to_owned()].into_iter().chain(namespaces.iter().flat_map(binding)).collect();
    let outcome = apply(lab, &User::administrator(), &manifest).await;
    assert!(outcome.success, "{}", outcome.stderr);
    may(lab, "alice", "create", "namespaces", None).await;
    for namespace in namespaces {
        for resource in ["pods", "bindings"] {
            may(lab, "alice", "create", resource, Some(namespace)).await;
        }
    }
}

/// Waits until the user may do this: the API server takes up roles and bindings a moment after they are written.
pub(crate) async fn may(lab: &Lab, user: &str, verb: &str, resource: &str, namespace: Option<&str>) {
    let reviews: Api<SubjectAccessReview> = Api::all(administrator(lab).await);
    let attributes = json!({ "verb": verb, "resource": resource, "namespace": namespace });
    let review = json!({ "spec": { "user": user, "resourceAttributes": attributes } });
    let review = serde_json::from_value(review).expect("a review");
    soon(&format!("{user} may {verb} {resource}"), async || {
        let judged = reviews.create(&PostParams::default(), &review).await.ok()?;
        judged.status?.allowed.then_some(())
    })
    .await
    .unwrap();
}

const ALICE: &str = "
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: alice}
rules:
- {apiGroups: [''], resources: [namespaces, namespaces/status, namespaces/finalize], verbs: [get, list, create, patch, update]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: alice-at-home}
rules:
- {apiGroups: [''], resources: [pods/binding, bindings], verbs: [create]}
- {apiGroups: [''], resources: [podtemplates], verbs: ['*']}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: alice}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: alice}
subjects: [{kind: User, name: alice, apiGroup: rbac.authorization.k8s.io}]
";

/// Whether the namespace carries a label with this value.
pub(crate) async fn has_label(lab: &Lab, namespace: &str, key: &str, value: &str) -> bool {
    let namespaces: Api<Namespace> = Api::all(administrator(lab).await);
    let found = namespaces.get_opt(namespace).await.ok().flatten();
    found.is_some_and(|namespace| namespace.labels().get(key).is_some_and(|found| found == value))
}
