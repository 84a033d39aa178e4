//! The composition root: builds adapters, supervises every task, shuts down in order.

use kube::api::{Api, DynamicObject};
use kube::core::ApiResource;
use kube::runtime::watcher;
use kube::{Client, Resource};
use serde::de::DeserializeOwned;

use crate::cluster::cache::{Cache, typed};
use supervisor::Supervisor;

mod cluster_facts;
#[cfg(feature = "ec2")]
pub mod controller;
pub mod supervisor;
pub mod webhook;

/// Fills a cache of custom resources. They are read one by one, so that one that cannot be read does not hide the others.
fn follow_typed<K>(supervisor: &mut Supervisor, name: &'static str, client: &Client, cache: &Cache<K>)
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
{
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::erase::<K>(&()));
    supervisor.spawn(name, cache.clone().follow(api, watcher::Config::default(), typed::<K>));
}
