//! Writes to the API server, each as a patch under Treenail's name, so that fields that others know survive.

use std::time::Duration;

use jiff::SignedDuration;
use kube::api::{Api, ObjectMeta, Patch, PatchParams};
use kube::{Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::FIELD_MANAGER;
use super::unread::Unread;

/// A write that has no answer by then has failed, as far as anybody can tell. API servers answer within their webhooks' deadlines.
pub const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// A write whose answer was lost has taken effect by then, or never will: API servers end every request after a minute.
pub const SETTLED_AFTER: SignedDuration = SignedDuration::from_mins(1);

/// The outcome of a write, or an error that says that there was none within [`WRITE_WITHIN`]. It may have taken effect then.
pub async fn within<T>(write: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    let late = || format!("no answer within {} s", WRITE_WITHIN.as_secs());
    tokio::time::timeout(WRITE_WITHIN, write)
        .await
        .unwrap_or_else(|_| Err(kube::Error::Service(late().into())))
}

/// Writes the status of a cluster-scoped object. What Treenail said before and no longer says goes; an object that is gone is
/// no error.
pub async fn apply_status<K>(client: &Client, name: &str, status: &impl Serialize) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = ()>,
{
    let api: Api<Unread<K>> = Api::all(client.clone());
    let patch = Patch::Apply(json!({
        "apiVersion": K::api_version(&()), "kind": K::kind(&()), "metadata": { "name": name }, "status": status,
    }));
    match within(api.patch_status(name, &PatchParams::apply(FIELD_MANAGER).force(), &patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Replaces the finalizers of a cluster-scoped object, if it is still the one that was looked at, and returns it as it is then. Nothing if it is
/// gone or has changed: what is there now is to be looked at.
pub async fn set_finalizers<K>(
    client: &Client,
    object: &ObjectMeta,
    finalizers: &[String],
) -> Result<Option<K>, kube::Error>
where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned,
{
    let api: Api<K> = Api::all(client.clone());
    let body = json!({ "metadata": {
        "uid": object.uid, "resourceVersion": object.resource_version, "finalizers": finalizers,
    } });
    let parameters = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    let name = object.name.as_deref().unwrap_or_default();
    match within(api.patch(name, &parameters, &Patch::Merge(body))).await {
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(None),
        other => other.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;

    use super::*;
    use crate::cluster::testing::{api_server, refusal};

    #[tokio::test]
    async fn finalizers_are_replaced_on_the_condition_that_the_object_has_not_changed() {
        let object = ObjectMeta {
            name: Some("n1".to_owned()),
            uid: Some("u".to_owned()),
            resource_version: Some("7".to_owned()),
            ..ObjectMeta::default()
        };
        for (code, expected) in [(200, Ok(true)), (404, Ok(false)), (409, Ok(false)), (403, Err(()))] {
            let (client, calls) = api_server(move |_| match code {
                200 => (200, json!({ "metadata": { "name": "n1", "resourceVersion": "8" } })),
                code => refusal(code, "no"),
            });
            let set = set_finalizers::<Node>(&client, &object, &["other".to_owned()]).await;
            assert_eq!(set.map(|object| object.is_some()).map_err(drop), expected, "{code}");
            let [call] = calls.take().try_into().unwrap();
            assert_eq!(call.line, "PATCH /api/v1/nodes/n1");
            let metadata = json!({ "uid": "u", "resourceVersion": "7", "finalizers": ["other"] });
            assert_eq!(call.body, json!({ "metadata": metadata }));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_without_an_answer_is_an_error_that_says_so() {
        let error = within(std::future::pending::<Result<(), kube::Error>>()).await.unwrap_err();
        assert!(error.to_string().contains("no answer within 10 s"), "{error}");
        assert_eq!(within(async { Ok(7) }).await.unwrap(), 7);
    }
}
