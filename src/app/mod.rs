//! The composition root: builds adapters, supervises every task, shuts down in order.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Namespace;
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::core::ApiResource;
use kube::runtime::watcher;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use crate::api::labels;
use crate::cluster::cache::{Cache, part, typed};
use supervisor::Supervisor;

mod cluster_facts;
#[cfg(feature = "ec2")]
pub mod controller;
pub mod supervisor;
pub mod webhook;

/// Fills a cache of the labels of namespaces, as far as they are ours: anybody may give a namespace any number of others.
fn follow_namespaces(supervisor: &mut Supervisor, client: &Client, cache: &Cache<BTreeMap<String, String>>) {
    let namespaces: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let ours = part(|namespace: PartialObjectMeta<Namespace>| {
        let mut labels = namespace.metadata.labels.unwrap_or_default();
        labels.retain(|key, _| key.starts_with(labels::OWN_PREFIX));
        labels
    });
    // Small pages: what is not kept is still read.
    let scope = watcher::Config::default().page_size(50);
    supervisor.spawn("namespace watch", cache.clone().follow(namespaces, scope, ours));
}

/// Fills a cache of custom resources. They are read one by one, so that one that cannot be read does not hide the others.
fn follow_typed<K>(supervisor: &mut Supervisor, name: &'static str, client: &Client, cache: &Cache<K>)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
{
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::erase::<K>(&()));
    supervisor.spawn(name, cache.clone().follow(api, watcher::Config::default(), typed::<K>));
}
