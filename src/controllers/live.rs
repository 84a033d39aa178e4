//! What the API server itself says, where a cache is not enough: it may be behind, and leaves out what cannot be read.

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::{ApiResource, Resource};

use crate::api::nodeclaim::NodeClaim;
use crate::cluster::pods::known_pod;
use crate::cluster::unread::Unread;
use crate::cluster::write::within;
use crate::model::BoundPod;

/// So many objects are asked for at once.
const PAGE: u32 = 500;

/// Every NodeClaim that there is now, also such as cannot be read.
pub(super) async fn node_claims(client: &Client) -> Result<Vec<DynamicObject>, kube::Error> {
    let claims = Api::all_with(client.clone(), &ApiResource::erase::<NodeClaim>(&()));
    let found = all(&claims, ListParams::default()).await?;
    found.iter().map(Unread::read).collect::<Result<_, _>>().map_err(kube::Error::SerdeError)
}

/// Every pod that is on one of these Nodes now.
pub(super) async fn pods_on(client: &Client, nodes: &[String]) -> Result<Vec<BoundPod>, kube::Error> {
    let pods: Api<Unread<Pod>> = Api::all(client.clone());
    let mut found = Vec::new();
    for node in nodes {
        let on_it = all(&pods, ListParams::default().fields(&format!("spec.nodeName={node}"))).await?;
        for pod in &on_it {
            let pod = known_pod(pod).map_err(|error| kube::Error::Service(error.into()))?;
            found.extend(pod.bound().cloned());
        }
    }
    Ok(found)
}

async fn all<K: Resource>(
    objects: &Api<Unread<K>>,
    which: ListParams,
) -> Result<Vec<Unread<K>>, kube::Error> {
    let mut found = Vec::new();
    let mut page = which.limit(PAGE);
    loop {
        let list = within(objects.list(&page)).await?;
        found.extend(list.items);
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page.continue_token = Some(next),
            None => return Ok(found),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cluster::testing::api_server;

    /// The last page decides as much as the first: whether an instance has an owner, and whether a Node is empty.
    #[tokio::test]
    async fn a_list_is_read_to_its_last_page() {
        let object = |name: &str| json!({ "metadata": { "name": name, "namespace": "shop", "uid": name }, "spec": { "containers": [], "nodeName": "n1" } });
        let (client, calls) = api_server(move |call| {
            let (next, name) = match call.query.split_once("continue=") {
                None => ("2", "a"),
                Some((_, rest)) if rest.starts_with('2') => ("3", "b"),
                Some(_) => ("", "c"),
            };
            let metadata = json!({ "resourceVersion": "1", "continue": next });
            (
                200,
                json!({ "apiVersion": "v1", "kind": "List", "metadata": metadata, "items": [object(name)] }),
            )
        });
        let claims = node_claims(&client).await.unwrap();
        let names: Vec<_> = claims.iter().filter_map(|claim| claim.metadata.name.as_deref()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        calls.take();
        let pods = pods_on(&client, &["n1".to_owned()]).await.unwrap();
        let names: Vec<_> = pods.iter().map(|pod| pod.key.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        for call in calls.take() {
            assert!(call.query.contains("fieldSelector=spec.nodeName%3Dn1"), "{}", call.query);
        }
    }
}
