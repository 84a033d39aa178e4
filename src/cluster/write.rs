//! Writes to the API server, each as a patch under Treenail's name, so that fields that others know survive.

use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::FIELD_MANAGER;

/// Writes the status of a cluster-scoped object. What Treenail said before and no longer says goes; an object that is gone is
/// no error.
pub async fn apply_status<K>(client: &Client, name: &str, status: &impl Serialize) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let patch = Patch::Apply(json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": { "name": name }, "status": status,
    }));
    match api.patch_status(name, &PatchParams::apply(FIELD_MANAGER).force(), &patch).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Replaces the finalizers of a cluster-scoped object, if it is still the one that was looked at. An object that is gone is no error, nor
/// is one that has changed: it is looked at again.
pub async fn set_finalizers<K>(
    client: &Client,
    object: &ObjectMeta,
    finalizers: &[String],
) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let body = json!({ "metadata": {
        "uid": object.uid, "resourceVersion": object.resource_version, "finalizers": finalizers,
    } });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let name = object.name.as_deref().unwrap_or_default();
    match api.patch(name, &parameters, &Patch::Merge(body)).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
        other => other.map(|_| ()),
    }
}
