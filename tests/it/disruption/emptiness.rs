//! An empty node goes, whether it ever got ready or not, and one that is needed after all stays.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::Client;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::conditions::is_pod_running;
use kube::runtime::wait::Condition;
use serde_json::json;
use treenail::api::conditions::find;
use treenail::api::nodeclaim::NodeClaim;
use treenail::disruption::emptiness::{INITIALIZATION_TIMEOUT, LEAST_QUIET};

use super::history::{History, State};
use super::{
    Machine, assert_nothing_is_left, claim_with, event, is_disrupted, machine, machine_of, on_pool, pool,
};
use crate::support::claims::{holds, is_gone};
use crate::support::cluster::{A_WHILE, administrator, found_within, soon, within};
use crate::support::world::on_treenail;

/// Asserts that the node was closed, then marked, then deleted.
fn assert_in_order(states: &[State]) {
    let first = |state| states.iter().position(|seen| *seen == state);
    let order = [
        first(State::NodeUntouched),
        first(State::NodeTainted),
        first(State::ClaimMarked),
        first(State::ClaimDeleted),
        first(State::ClaimGone),
    ];
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{states:?}");
}

#[test]
fn an_empty_node_is_closed_then_marked_then_deleted_and_nothing_is_left() {
    on_treenail(async |world| {
        pool(world, "empty", "0s", "100%").await;
        let history = History::start(&administrator(&world.lab).await, "empty");
        let machine = machine(world, "empty", "empty-1").await;
        let claims: Api<NodeClaim> = Api::all(administrator(&world.lab).await);
        within(A_WHILE, &claims, "empty-1", is_gone::<NodeClaim>).await.unwrap();
        assert_nothing_is_left(world, "empty-1", &machine).await;
        history.until_gone("empty-1").await;
        assert_in_order(&history.of("empty-1"));
        assert!(event(world, "empty-1", "Disrupting").await.contains("nothing runs on it"));
        event(world, "empty-1", "DisruptionTerminating").await;
    });
}

#[test]
fn a_node_that_gets_a_pod_while_it_is_marked_is_let_off_and_goes_when_the_pod_has_gone() {
    on_treenail(async |world| {
        pool(world, "needed", "0s", "100%").await;
        let client = administrator(&world.lab).await;
        let claims = Api::<NodeClaim>::all(client.clone());
        let pods = Api::<Pod>::namespaced(client.clone(), "kube-system");
        let mut number = 0;
        let (name, machine) = loop {
            number += 1;
            assert!(number <= 5, "every pod came too late");
            let name = format!("needed-{number}");
            let machine = machine(world, "needed", &name).await;
            if is_let_off(&client, &pods, &name, &machine).await {
                break (name, machine);
            }
        };
        event(world, &name, "DisruptionReleased").await;

        pods.delete(&name, &DeleteParams::default()).await.unwrap();
        within(A_WHILE, &claims, &name, is_gone::<NodeClaim>).await.unwrap();
        assert_nothing_is_left(world, &name, &machine).await;
    });
}

/// Puts a pod of the claim's name on its node as soon as that is marked, and waits until the node is let off. False if the claim was deleted
/// before the pod came: this machine was too slow, which says nothing of Treenail.
async fn is_let_off(client: &Client, pods: &Api<Pod>, name: &str, machine: &Machine) -> bool {
    let (claims, nodes) = (Api::<NodeClaim>::all(client.clone()), Api::<Node>::all(client.clone()));
    let late = json!({
        "metadata": { "name": name },
        "spec": { "nodeName": machine.node, "containers": [{ "name": "app", "image": "app" }] },
    });
    let late: Pod = serde_json::from_value(late).unwrap();
    within(A_WHILE, &nodes, &machine.node, |node: Option<&Node>| node.is_some_and(is_disrupted))
        .await
        .unwrap();
    // As if the scheduler had bound it just before the taint came.
    let late = pods.create(&PostParams::default(), &late).await.unwrap();
    // Both moments are whole seconds.
    let came = late.metadata.creation_timestamp.unwrap().0 + SignedDuration::from_secs(1);
    found_within(A_WHILE, "the node is let off", async || {
        let Some(claim) = claims.get_opt(name).await.ok()? else { return Some(false) };
        if let Some(deleted) = claim.metadata.deletion_timestamp {
            assert!(deleted.0 <= came, "it goes with a pod on it");
            return Some(false);
        }
        let node = nodes.get_opt(&machine.node).await.ok()??;
        (!is_disrupted(&node) && !holds("DisruptionReason")(Some(&claim))).then_some(true)
    })
    .await
    .unwrap()
}

/// Since when the claim's condition is as it is, in whole seconds.
fn since(claim: &NodeClaim, condition: &str) -> Timestamp {
    let conditions = claim.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    find(conditions, condition).unwrap().last_transition_time.0
}

/// Lets the claim be registered since another moment, as if so much time had passed.
async fn register_since(claims: &Api<NodeClaim>, name: &str, since: Timestamp) {
    let write = async || {
        let claim = claims.get(name).await.ok()?;
        let mut conditions = claim.status?.conditions;
        let registered = conditions.iter_mut().find(|condition| condition.type_ == "Registered")?;
        registered.last_transition_time.0 = since;
        // The controller writes there, too.
        let version = json!({ "resourceVersion": claim.metadata.resource_version });
        let patch = Patch::Merge(json!({ "metadata": version, "status": { "conditions": conditions } }));
        claims.patch_status(name, &PatchParams::default(), &patch).await.ok()
    };
    soon("the claim is registered since another moment", write).await.unwrap();
}

/// Runs an agent on the nodes of the pool, from their start on. Returns the name of its first pod, once it is bound.
async fn agent(client: &Client, pool: &str) -> String {
    let labels = json!({ "agent-of": pool });
    let mut spec = on_pool(pool);
    spec["tolerations"] = json!([
        { "key": "example.com/of-test", "operator": "Exists" },
        { "key": STARTING, "operator": "Exists" },
    ]);
    spec["containers"] = json!([{ "name": "agent", "image": "agent" }]);
    let set = json!({
        "metadata": { "name": format!("agent-of-{pool}") },
        "spec": {
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    });
    let sets: Api<DaemonSet> = Api::namespaced(client.clone(), "default");
    sets.create(&PostParams::default(), &serde_json::from_value(set).unwrap()).await.unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), "default");
    let of_agent = ListParams::default().labels(&format!("agent-of={pool}"));
    let look = async || {
        let found = pods.list(&of_agent).await.ok()?.items;
        let bound = found.into_iter().find(|pod| is_pod_running().matches_object(Some(pod)))?;
        bound.metadata.name
    };
    soon("the agent runs", look).await.unwrap()
}

/// The taint that nobody takes off.
const STARTING: &str = "example.com/starting";

#[test]
fn a_node_that_never_gets_ready_is_drained_and_goes_when_its_time_for_that_is_over() {
    on_treenail(async |world| {
        pool(world, "stuck", "0s", "100%").await;
        let client = administrator(&world.lab).await;
        let history = History::start(&client, "stuck");
        let starting = json!([{ "key": STARTING, "effect": "NoSchedule" }]);
        let claims = claim_with(world, "stuck", "stuck-1", starting).await;
        let machine = machine_of(&claims, "stuck-1", "Registered").await;
        let agent = agent(&client, "stuck").await;
        let registered = since(&claims.get("stuck-1").await.unwrap(), "Registered");
        let deadline = registered + SignedDuration::from_secs(30);
        register_since(&claims, "stuck-1", deadline - INITIALIZATION_TIMEOUT).await;

        within(A_WHILE, &claims, "stuck-1", holds("DisruptionReason")).await.unwrap();
        let claim = claims.get("stuck-1").await.unwrap();
        assert!(!holds("Initialized")(Some(&claim)), "it has got ready");
        let marked = since(&claim, "DisruptionReason");
        assert!(marked >= deadline + LEAST_QUIET, "marked at {marked}, and had until {deadline}");
        within(A_WHILE, &claims, "stuck-1", is_gone::<NodeClaim>).await.unwrap();
        assert_nothing_is_left(world, "stuck-1", &machine).await;
        history.until_gone("stuck-1").await;
        assert_in_order(&history.of("stuck-1"));
        event(world, &agent, "Evicted").await;
    });
}
