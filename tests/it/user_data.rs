//! Nodes are what their user data makes them: a machine that is told something wrong is no node, or none that anybody can use.

use std::sync::{Arc, Mutex};

use base64::prelude::{BASE64_STANDARD, Engine};
use futures::StreamExt;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use treenail::api::conditions::find;
use treenail::api::nodeclaim::NodeClaim;
use treenail_lab::kubelet::Boot;

use crate::support::claims::{claim, create, holds, is_gone, soon_event, state, until_nothing_is_left};
use crate::support::cluster::{A_WHILE, administrator, eventually, soon, within};
use crate::support::world::{World, on_treenail};

/// Changes the node configuration in user data of this claim, and no other.
fn configuration(
    claim: &str,
    change: impl Fn(&mut Value) + Send + Sync + 'static,
) -> impl Fn(&str) -> String + Send + Sync + 'static {
    let mark = format!("example.com/claim={claim}");
    move |user_data| {
        let (Some(start), Some(end)) = (user_data.find('{'), user_data.rfind('}')) else {
            return user_data.to_owned();
        };
        if !user_data.contains(&mark) {
            return user_data.to_owned();
        }
        let mut document: Value = serde_json::from_str(&user_data[start..=end]).unwrap();
        change(&mut document);
        format!("{}{document:#}{}", &user_data[..start], &user_data[end + 1..])
    }
}

/// Launches a claim, and waits until its machine has failed to boot.
async fn machine_fails(world: &World, name: &str) -> String {
    let claims = create(world, &claim(name)).await;
    eventually(&claims, name, holds("Launched")).await.unwrap();
    let provider_id = claims.get(name).await.unwrap().status.unwrap().provider_id.unwrap();
    let (_, id) = provider_id.rsplit_once('/').unwrap();
    let why = soon("the machine fails to boot", async || match world.lab.boots().get(id) {
        Some(Boot::Failed(why)) => Some(why.clone()),
        _ => None,
    })
    .await
    .unwrap();
    let is_without_node = |claim: Option<&NodeClaim>| {
        let status = claim.and_then(|claim| claim.status.as_ref());
        let registered = status.and_then(|status| find(&status.conditions, "Registered"));
        registered.is_some_and(|condition| condition.reason == "NodeNotFound")
    };
    eventually(&claims, name, is_without_node).await.unwrap();
    let nodes: Api<Node> = Api::all(administrator(&world.lab).await);
    let nodes = nodes.list(&kube::api::ListParams::default()).await.unwrap();
    let is_its = |node: &Node| node.spec.as_ref().unwrap().provider_id.as_ref() == Some(&provider_id);
    assert!(!nodes.iter().any(is_its), "there is a Node all the same");
    claims.delete(name, &DeleteParams::default()).await.unwrap();
    until_nothing_is_left(world, &claims, name, &provider_id, "no-node").await;
    why
}

#[test]
fn a_wrong_authority_gives_no_node() {
    on_treenail(async |world| {
        let other = rcgen::generate_simple_self_signed(vec!["other".to_owned()]).unwrap().cert.pem();
        let _wrong = world.lab.front().rewrite_user_data(configuration("wrong-authority", move |document| {
            document["spec"]["cluster"]["certificateAuthority"] = BASE64_STANDARD.encode(&other).into();
        }));
        let why = machine_fails(world, "wrong-authority").await;
        assert!(why.contains("certificate"), "{why}");
    });
}

#[test]
fn a_wrong_endpoint_gives_no_node() {
    on_treenail(async |world| {
        let _wrong = world.lab.front().rewrite_user_data(configuration("wrong-endpoint", |document| {
            document["spec"]["cluster"]["apiServerEndpoint"] = "https://127.0.0.1:9".into();
        }));
        machine_fails(world, "wrong-endpoint").await;
    });
}

#[test]
fn a_broken_archive_gives_no_node() {
    on_treenail(async |world| {
        let _wrong = world.lab.front().rewrite_user_data(|user_data| {
            let is_its = user_data.contains("example.com/claim=broken-archive");
            if is_its {
                user_data.replace("boundary=\"//\"", "boundary=\"xx\"")
            } else {
                user_data.to_owned()
            }
        });
        let why = machine_fails(world, "broken-archive").await;
        assert!(why.contains("application/node.eks.aws"), "{why}");
    });
}

#[test]
fn a_missing_pool_taint_is_put_on_before_the_node_is_opened() {
    on_treenail(async |world| {
        let _wrong = world.lab.front().rewrite_user_data(configuration("no-pool-taint", |document| {
            let taints = document["spec"]["kubelet"]["config"]["registerWithTaints"].as_array_mut().unwrap();
            taints.retain(|taint| taint["key"] != "node-type");
            assert!(!taints.is_empty(), "the taint unregistered stays");
        }));
        let versions = watched(world, "no-pool-taint").await;
        let claims = create(world, &claim("no-pool-taint")).await;
        eventually(&claims, "no-pool-taint", holds("Registered")).await.unwrap();
        let keys = |node: &Node| -> Vec<String> {
            let taints = node.spec.as_ref().unwrap().taints.as_deref().unwrap_or_default();
            taints.iter().map(|taint| taint.key.clone()).collect()
        };
        let has = |keys: &[String], key: &str| keys.iter().any(|other| other == key);
        // The watch of the Nodes may be behind that of the claim.
        let seen = soon("the open node is seen", async || {
            let seen: Vec<_> = versions.lock().unwrap().iter().map(keys).collect();
            (!has(seen.last()?, "karpenter.sh/unregistered")).then_some(seen)
        });
        let seen = seen.await.unwrap();
        assert!(seen.iter().any(|keys| !has(keys, "node-type")), "it registered with the taint: {seen:?}");
        for keys in &seen {
            assert!(has(keys, "karpenter.sh/unregistered") || has(keys, "node-type"), "open: {seen:?}");
        }
        claims.delete("no-pool-taint", &DeleteParams::default()).await.unwrap();
        within(A_WHILE, &claims, "no-pool-taint", is_gone::<NodeClaim>).await.unwrap();
    });
}

#[test]
fn a_node_that_registers_open_is_never_registered_and_is_terminated() {
    on_treenail(async |world| {
        let _wrong = world.lab.front().rewrite_user_data(configuration("open", |document| {
            let taints = document["spec"]["kubelet"]["config"]["registerWithTaints"].as_array_mut().unwrap();
            taints.retain(|taint| taint["key"] != "karpenter.sh/unregistered");
        }));
        let versions = watched(world, "open").await;
        let claims = create(world, &claim("open")).await;
        soon_event(&administrator(&world.lab).await, "open", "UnregisteredTaintMissing").await;
        within(A_WHILE, &claims, "open", is_gone::<NodeClaim>).await.unwrap();
        let versions = versions.lock().unwrap().clone();
        assert!(!versions.is_empty(), "it was there");
        let registered = |node: &Node| {
            node.metadata.labels.iter().flatten().any(|(key, _)| {
                key == "karpenter.sh/registered" || key.starts_with("workload-type.node-restriction")
            })
        };
        assert!(!versions.iter().any(registered), "it was registered");
        let provider_id = versions[0].spec.clone().unwrap().provider_id.unwrap();
        let left = state(world, &provider_id).await;
        assert!(left.as_deref().is_none_or(|state| state == "terminated"), "the instance is {left:?}");
    });
}

/// Every version of the Node of this claim, from now on.
async fn watched(world: &World, claim: &str) -> Arc<Mutex<Vec<Node>>> {
    let nodes: Api<Node> = Api::all(administrator(&world.lab).await);
    let scope = watcher::Config::default().labels(&format!("example.com/claim={claim}"));
    let versions = Arc::<Mutex<Vec<Node>>>::default();
    let seen = Arc::clone(&versions);
    // Ends with the runtime that the tests share; a test that is over keeps nothing but its own notes.
    tokio::spawn(async move {
        let mut nodes = watcher(nodes, scope).default_backoff().touched_objects().boxed();
        while let Some(node) = nodes.next().await {
            if let Ok(node) = node {
                seen.lock().unwrap().push(node);
            }
        }
    });
    versions
}
