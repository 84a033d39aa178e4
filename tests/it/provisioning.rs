//! Pods that stay pending get nodes: of the right pool, at the right price, in few plans; and who gets none is told why.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use treenail::api::nodeclaim::NodeClaim;
use treenail::api::nodepool::NodePool;
use treenail::api::workload_type::WorkloadType;
use treenail::api::{conditions, labels};
use treenail_lab::{Lab, User};

use crate::support::claims::await_class;
use crate::support::cluster::{
    A_WHILE, administrator, apply, eventually, found_within, namespace, soon, within,
};
use crate::support::world::{World, on_treenail};

fn pod(name: &str, requests: &Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "app", "image": "app", "resources": { "requests": requests } }] },
    }))
    .unwrap()
}

fn is_running(pod: Option<&Pod>) -> bool {
    let phase = pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref());
    phase == Some("Running")
}

/// Whether the scheduler has looked at the pod: it has a node, or there is none for it.
fn is_looked_at(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut conditions = conditions.into_iter().flatten();
    pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_some())
        || conditions.any(|condition| condition.reason.as_deref() == Some("Unschedulable"))
}

/// The nodes that the pods of a namespace are on, by name.
async fn nodes_of(lab: &Lab, namespace: &str) -> BTreeMap<String, Node> {
    let client = administrator(lab).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let nodes: Api<Node> = Api::all(client);
    let mut found = BTreeMap::new();
    for pod in pods.list(&ListParams::default()).await.unwrap() {
        let name = pod.spec.unwrap().node_name.unwrap();
        if !found.contains_key(&name) {
            found.insert(name.clone(), nodes.get(&name).await.unwrap());
        }
    }
    found
}

fn label<'n>(node: &'n Node, key: &str) -> &'n str {
    node.labels().get(key).map_or("", String::as_str)
}

/// The taints of a node, without those that Kubernetes puts on and off as it starts.
fn taints(node: &Node) -> Vec<String> {
    let taints = node.spec.as_ref().unwrap().taints.iter().flatten();
    let taints = taints.filter(|taint| !taint.key.starts_with("node.kubernetes.io/"));
    taints
        .map(|taint| format!("{}={}:{}", taint.key, taint.value.as_deref().unwrap_or(""), taint.effect))
        .collect()
}

/// What the event of this reason on this object says, once there is one.
async fn event(lab: &Lab, kind: &str, name: &str, reason: &str) -> String {
    event_with(lab, kind, name, reason, |note| Some(note.to_owned())).await
}

/// What `look` finds in an event of this reason on this object, once there is one with that.
async fn event_with(
    lab: &Lab,
    kind: &str,
    name: &str,
    reason: &str,
    look: impl Fn(&str) -> Option<String>,
) -> String {
    let events: Api<Event> = Api::all(administrator(lab).await);
    let what = format!("event {reason} on {kind} {name}");
    let is_ours = |event: &Event| {
        let regarding = event.regarding.as_ref();
        event.reason.as_deref() == Some(reason)
            && event.reporting_controller.as_deref() == Some("treenail")
            && regarding.is_some_and(|object| {
                object.kind.as_deref() == Some(kind) && object.name.as_deref() == Some(name)
            })
    };
    let found = soon(&what, async || {
        let events = events.list(&ListParams::default()).await.ok()?.items;
        events.iter().filter(|event| is_ours(event)).find_map(|event| look(event.note.as_deref()?))
    });
    found.await.unwrap()
}

/// The lines about plans in the controller's log.
fn plans(world: &World) -> Vec<String> {
    let log = fs::read_to_string(world.controller.log()).unwrap();
    log.lines().filter(|line| line.contains(" planned ")).map(str::to_owned).collect()
}

#[test]
fn pods_get_nodes_of_their_type_whatever_is_wrong_elsewhere() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::start().await.unwrap();
        lone_pods_get_the_cheapest_node_of_their_type(&world).await;
        fifty_pods_are_planned_together(&world).await;
        a_claim_that_is_refused_is_told_on_its_pool_and_tried_again(&world).await;
        what_is_wrong_is_told_where_it_is_and_keeps_nobody_back(&world).await;
    });
}

async fn lone_pods_get_the_cheapest_node_of_their_type(world: &World) {
    let lab = &world.lab;
    await_class(&administrator(lab).await, "default").await;
    let cases = [("shop", "application", "c7i.xlarge"), ("metrics", "monitoring", "m5a.large")];
    for (name, workload_type, instance_type) in cases {
        namespace(lab, name, &[(labels::WORKLOAD_TYPE, workload_type)]).await;
        let pods: Api<Pod> = Api::namespaced(administrator(lab).await, name);
        let lone = pod("lone", &json!({ "cpu": "500m", "memory": "256Mi" }));
        pods.create(&PostParams::default(), &lone).await.unwrap();
        eventually(&pods, "lone", is_running).await.unwrap();
        let nodes = nodes_of(lab, name).await;
        let node = nodes.values().next().unwrap();
        assert_eq!(label(node, labels::INSTANCE_TYPE), instance_type);
        assert_eq!(label(node, labels::NODEPOOL), workload_type);
        assert_eq!(taints(node), [format!("node-type={workload_type}:NoSchedule")]);
        let claims: Api<NodeClaim> = Api::all(administrator(lab).await);
        let of_pool = ListParams::default().labels(&format!("{}={workload_type}", labels::NODEPOOL));
        let claims = claims.list(&of_pool).await.unwrap().items;
        assert_eq!(claims.len(), 1, "{claims:?}");
        let told = event(lab, "Pod", "lone", "Nominated").await;
        assert!(told.starts_with("Pod should schedule on: nodeclaim/"), "{told}");
    }
}

async fn fifty_pods_are_planned_together(world: &World) {
    const PODS: usize = 50;
    let lab = &world.lab;
    namespace(lab, "burst", &[(labels::WORKLOAD_TYPE, "application")]).await;
    let client = administrator(lab).await;
    let deployment: Deployment = serde_json::from_value(json!({
        "metadata": { "name": "web" },
        "spec": {
            "replicas": PODS,
            "selector": { "matchLabels": { "app": "web" } },
            "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "containers": [{
                    "name": "web", "image": "web", "resources": { "requests": { "cpu": "500m", "memory": "64Mi" } },
                }] },
            },
        },
    }))
    .unwrap();
    // It hears of all of them at once: how quickly a busy machine makes them, and has the scheduler look at them, is not what is asked here.
    // Should its leases run out meanwhile, nobody else is there to take them, and it leads again within seconds.
    world.controller.pause();
    let before = plans(world).len();
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), "burst");
    deployments.create(&PostParams::default(), &deployment).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "burst");
    found_within(A_WHILE, "the scheduler has looked at all fifty", async || {
        let pods = pods.list(&ListParams::default()).await.ok()?.items;
        (pods.len() == PODS && pods.iter().all(is_looked_at)).then_some(())
    })
    .await
    .unwrap();
    world.controller.resume();
    found_within(A_WHILE, "all fifty run", async || {
        let pods = pods.list(&ListParams::default()).await.ok()?.items;
        (pods.len() == PODS && pods.iter().all(|pod| is_running(Some(pod)))).then_some(())
    })
    .await
    .unwrap();

    let nodes = nodes_of(lab, "burst").await;
    let pools: BTreeSet<_> = nodes.values().map(|node| label(node, labels::NODEPOOL)).collect();
    assert_eq!(pools, BTreeSet::from(["application"]));
    // Vcpus tell the price of a c7i, whichever size: $0.1785 for four.
    let vcpus: f64 =
        nodes.values().map(|node| label(node, labels::INSTANCE_CPU).parse::<f64>().unwrap()).sum();
    assert!(nodes.values().all(|node| label(node, labels::INSTANCE_FAMILY) == "c7i"));
    let hourly = vcpus / 4.0 * 0.1785;
    assert!(hourly <= 1.43, "${hourly}/h for {} nodes", nodes.len());
    let mut plans = plans(world).split_off(before);
    // On a busy machine kube-scheduler, which places pods by a rule of its own, is still at it when some are promised other places.
    plans.retain(|plan| !plan.contains(" claims=0 "));
    assert!((1..=2).contains(&plans.len()), "{plans:#?}");
}

#[test]
fn a_pod_that_no_node_can_hold_is_told_what_is_missing() {
    on_treenail(async |world| {
        let lab = &world.lab;
        // A pool that no type uses: admission does not know what its nodes can hold.
        let outcome = apply(lab, &User::administrator(), SMALL).await;
        assert!(outcome.success, "{}", outcome.stderr);
        namespace(lab, "too-large", &[]).await;
        let pods: Api<Pod> = Api::namespaced(administrator(lab).await, "too-large");
        let mut large = pod("too-large", &json!({ "cpu": "500m", "memory": "9Gi" }));
        let toleration = json!([{ "key": "example.com/small", "operator": "Exists" }]);
        large.spec.as_mut().unwrap().tolerations = Some(serde_json::from_value(toleration).unwrap());
        pods.create(&PostParams::default(), &large).await.unwrap();
        // The pools of other tests that run meanwhile have lines of their own, and at first this one's class may not be ready.
        let why = "pool small: spec.containers[*].resources.requests: 9Gi memory requested, and m5a.large";
        let line = |note: &str| note.lines().find(|line| line.starts_with(why)).map(str::to_owned);
        let told = event_with(lab, "Pod", "too-large", "FailedScheduling", line).await;
        assert!(told.ends_with("request less, or let the NodePool use larger instance types"), "{told}");
        pods.delete("too-large", &DeleteParams::default().grace_period(0)).await.unwrap();
    });
}

/// Without a webhook, as in an outage, nobody refuses what is wrong.
async fn what_is_wrong_is_told_where_it_is_and_keeps_nobody_back(world: &World) {
    let lab = &world.lab;
    world.webhook.process.kill();
    world.balancer.remove(world.webhook.backend());
    let outcome = apply(lab, &User::administrator(), BROKEN).await;
    assert!(outcome.success, "{}", outcome.stderr);
    let webhook = world.treenail.start_webhook(lab, &world.balancer, &[]).await.unwrap();
    webhook.await_ready().await.unwrap();
    let client = administrator(lab).await;
    let pools: Api<NodePool> = Api::all(client.clone());
    let is_refused = |pool: Option<&NodePool>| {
        let status = pool.and_then(|pool| pool.status.as_ref());
        let found = status.and_then(|status| conditions::find(&status.conditions, "ValidationSucceeded"));
        found.is_some_and(|found| found.message.contains("contradict"))
    };
    eventually(&pools, "impossible", is_refused).await.unwrap();
    let told = event(lab, "NodePool", "impossible", "NodePoolValidationFailed").await;
    assert!(told.contains("kubernetes.io/arch contradict each other"), "{told}");
    let types: Api<WorkloadType> = Api::all(client.clone());
    let names_it = |found: Option<&WorkloadType>| {
        let status = found.and_then(|found| found.status.as_ref());
        let found = status.and_then(|status| conditions::find(&status.conditions, "PoolsReady"));
        found.is_some_and(|found| found.message.contains("NodePool nowhere: does not exist"))
    };
    eventually(&types, "lost", names_it).await.unwrap();
    let told = event(lab, "WorkloadType", "lost", "PoolsNotReady").await;
    assert!(told.contains("NodePool nowhere: does not exist; create it"), "{told}");

    // A pod of the lost type is told, too; one of another type runs.
    namespace(lab, "lost", &[(labels::WORKLOAD_TYPE, "lost")]).await;
    namespace(lab, "found", &[(labels::WORKLOAD_TYPE, "monitoring")]).await;
    let requests = json!({ "cpu": "100m", "memory": "64Mi" });
    let lost: Api<Pod> = Api::namespaced(client.clone(), "lost");
    // A connection to the webhook that died may still be tried once.
    let create = async |pods: &Api<Pod>, name: &str| {
        let pod = pod(name, &requests);
        let created =
            soon("a pod is accepted", async || pods.create(&PostParams::default(), &pod).await.ok());
        created.await.unwrap();
    };
    create(&lost, "lost").await;
    let found: Api<Pod> = Api::namespaced(client, "found");
    create(&found, "found").await;
    eventually(&found, "found", is_running).await.unwrap();
    let told = event(lab, "Pod", "lost", "FailedScheduling").await;
    assert_eq!(
        told,
        "pool nowhere: spec.pools: there is no such NodePool; create it, or take it out of the workload type"
    );
    let told = event(lab, "NodePool", "barren", "NodePoolValidationFailed").await;
    assert!(told.contains("spec.template.spec.requirements"), "{told}");
}

async fn a_claim_that_is_refused_is_told_on_its_pool_and_tried_again(world: &World) {
    let lab = &world.lab;
    let kubectl = lab.kubectl(&User::administrator()).unwrap();
    kubectl.apply(REFUSAL).await.unwrap();
    let client = administrator(lab).await;
    let claims: Api<NodeClaim> = Api::all(client.clone());
    let probe: NodeClaim = serde_json::from_value(json!({
        "metadata": { "name": "probe", "labels": { labels::NODEPOOL: "monitoring" } },
        "spec": {
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" }, "requirements": [],
        },
    }))
    .unwrap();
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    soon("claims are refused", async || claims.create(&dry_run, &probe).await.err().map(drop)).await.unwrap();

    namespace(lab, "refused", &[(labels::WORKLOAD_TYPE, "monitoring")]).await;
    let pods: Api<Pod> = Api::namespaced(client, "refused");
    let requests = json!({ "cpu": "1900m", "memory": "64Mi" });
    pods.create(&PostParams::default(), &pod("refused", &requests)).await.unwrap();
    let told = event(lab, "NodePool", "monitoring", "NodeClaimNotCreated").await;
    assert!(told.contains("no machines on Sundays"), "{told}");
    let outcome = kubectl.run_with_input(&["delete", "-f", "-"], REFUSAL).await.unwrap();
    assert!(outcome.success, "{}", outcome.stderr);
    within(A_WHILE, &pods, "refused", is_running).await.unwrap();
}

const SMALL: &str = "
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: small}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: default}
      requirements:
      - {key: node.kubernetes.io/instance-type, operator: In, values: [m5a.large]}
      taints: [{key: example.com/small, effect: NoSchedule}]
      expireAfter: Never
  disruption: {consolidationPolicy: WhenEmpty, consolidateAfter: 30s}
";

const REFUSAL: &str = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: no-machines}
spec:
  failurePolicy: Fail
  matchConstraints:
    resourceRules:
    - {apiGroups: [karpenter.sh], apiVersions: [v1], operations: [CREATE], resources: [nodeclaims]}
  validations:
  - expression: \"object.metadata.labels['karpenter.sh/nodepool'] != 'monitoring'\"
    message: no machines on Sundays
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: no-machines}
spec: {policyName: no-machines, validationActions: [Deny]}
";

const BROKEN: &str = "
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: impossible}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: default}
      requirements:
      - {key: kubernetes.io/arch, operator: In, values: [amd64]}
      - {key: kubernetes.io/arch, operator: In, values: [arm64]}
---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: barren}
spec:
  template:
    spec:
      nodeClassRef: {group: karpenter.k8s.aws, kind: EC2NodeClass, name: default}
      requirements:
      - {key: karpenter.k8s.aws/instance-family, operator: In, values: [none]}
      expireAfter: Never
  disruption: {consolidationPolicy: WhenEmpty, consolidateAfter: 30s}
---
apiVersion: treenail.dev/v1alpha1
kind: WorkloadType
metadata: {name: lost}
spec:
  pools: [{name: nowhere}]
";

#[test]
fn what_was_there_before_a_fence_neither_gets_behind_it_nor_takes_room_there() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let world = World::start().await.unwrap();
        let (lab, client) = (&world.lab, administrator(&world.lab).await);
        // Nobody owns the taint yet, so anybody may tolerate it.
        namespace(lab, "planter", &[]).await;
        let spec = "tolerations: [{key: node-type, value: secret, effect: NoSchedule}], containers: [{name: app, image: app}]";
        let planted = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: alone, namespace: planter}}\nspec: {{{spec}}}\n---\n\
             apiVersion: batch/v1\nkind: Job\nmetadata: {{name: made, namespace: planter}}\nspec: {{template: {{spec: {{restartPolicy: Never, {spec}}}}}}}\n"
        );
        let outcome = apply(lab, &User::administrator(), &planted).await;
        assert!(outcome.success, "{}", outcome.stderr);
        // Beside it the rightful pod would fit on no node of the pool.
        let greedy = json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": { "name": "greedy", "namespace": "planter" },
            "spec": {
                "selector": { "matchLabels": { "app": "greedy" } },
                "template": { "metadata": { "labels": { "app": "greedy" } }, "spec": {
                    "tolerations": [{ "key": "node-type", "value": "secret", "effect": "NoSchedule" }],
                    "containers": [{ "name": "app", "image": "app", "resources": { "requests": { "cpu": "2" } } }],
                }},
            },
        });
        let outcome = apply(lab, &User::administrator(), &greedy.to_string()).await;
        assert!(outcome.success, "{}", outcome.stderr);
        let pods: Api<Pod> = Api::namespaced(client.clone(), "planter");
        soon("both wait", async || (pods.list(&ListParams::default()).await.ok()?.items.len() == 2).then_some(()))
            .await
            .unwrap();

        let example = std::fs::read_to_string("manifests/examples/2-application.yaml").unwrap();
        let secret = example.replace("application", "secret");
        let outcome = apply(lab, &User::administrator(), &secret).await;
        assert!(outcome.success, "{}", outcome.stderr);
        let types: Api<WorkloadType> = Api::all(client.clone());
        let is_published = |found: Option<&WorkloadType>| {
            found.and_then(|found| found.status.as_ref()).is_some_and(|status| !status.taints.is_empty())
        };
        eventually(&types, "secret", is_published).await.unwrap();
        await_class(&client, "default").await;
        soon("the webhook knows the type", async || {
            let probe = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": {
                "name": "secrets", "labels": { "treenail.dev/workload-type": "secret" },
            } });
            apply(lab, &User::administrator(), &probe.to_string()).await.success.then_some(())
        })
        .await
        .unwrap();
        let rightful = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "rightful", "namespace": "secrets" },
            "spec": {
                // The pool has larger machines, too.
                "nodeSelector": { "node.kubernetes.io/instance-type": "c7i.xlarge" },
                "containers": [{ "name": "app", "image": "app", "resources": { "requests": { "cpu": "3" } } }],
            },
        });
        soon("the pod is admitted", async || {
            apply(lab, &User::administrator(), &rightful.to_string()).await.success.then_some(())
        })
        .await
        .unwrap();

        // What nobody makes again holds the launch, by name; what is made again is judged and does not come back.
        let claims: Api<NodeClaim> = Api::all(client.clone());
        soon("the launch waits", async || {
            let claims = claims.list(&ListParams::default()).await.ok()?.items;
            let status = claims.first()?.status.clone()?;
            let launched = conditions::find(&status.conditions, "Launched")?.clone();
            (launched.reason == "ForeignPodsWait" && launched.message.contains("planter/alone")).then_some(())
        })
        .await
        .unwrap();
        soon("the Job's pod is gone", async || {
            let left = pods.list(&ListParams::default()).await.ok()?.items;
            (left.len() == 1 && left[0].name_any() == "alone").then_some(())
        })
        .await
        .unwrap();
        assert!(lab.front().lifetimes().is_empty(), "launched while a pod waited that has no right to it");

        pods.delete("alone", &DeleteParams::default()).await.unwrap();
        let of_type: Api<Pod> = Api::namespaced(client.clone(), "secrets");
        eventually(&of_type, "rightful", is_running).await.unwrap();
        assert!(pods.list(&ListParams::default()).await.unwrap().items.is_empty());
    });
}
