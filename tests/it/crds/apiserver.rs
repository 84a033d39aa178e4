//! The tables before a real API server.
//!
//! Objects are created as a dry run. Rules about changes and about the status need an object that is there:
//! the base object of each table is created for them and deleted again, with a class that no controller
//! acts on.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use kube::core::{GroupVersionKind, Status};
use kube::runtime::wait::conditions::is_crd_established;
use kube::{Api, Client, Error};
use serde_json::{Value, json};
use treenail::api::crds;

use super::table::{Case, Table, Write};
use super::tables;
use crate::support::cluster::{eventually, soon};

/// Name of the objects that are created.
const NAME: &str = "crd-rows";

/// Applies the CRDs, and writes every object of the tables; the client must be allowed everything. Returns
/// what was judged differently than its row says: nothing, if all is well.
pub(super) async fn misjudged(client: &Client) -> Vec<String> {
    apply_crds(client).await;
    let mut wrong = Vec::new();
    for table in tables() {
        let api = api(client, &table);
        // What is established is served a moment later.
        let is_served = async || api.list(&ListParams::default().limit(1)).await.ok().map(drop);
        soon(&format!("{} is served", table.crd), is_served).await.unwrap();
        let base =
            api.create(&PostParams::default(), &named(&table.base, &table)).await.expect("the base is valid");
        for case in &table.cases {
            let result = write(&api, &base, case, &table).await;
            if let Some(problem) = problem(case, result.as_ref().err()) {
                wrong.push(format!("{}: {}\n  {problem}", table.crd, case.title));
            }
        }
        api.delete(NAME, &DeleteParams::default()).await.expect("the base can be deleted");
    }
    wrong
}

async fn apply_crds(client: &Client) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    for crd in crds::all().expect("every CRD can be made") {
        let parameters = PatchParams::apply("treenail").force();
        api.patch(crd.name(), &parameters, &Patch::Apply(crd.definition()))
            .await
            .expect("the CRD is accepted");
        eventually(&api, crd.name(), is_crd_established()).await.expect("the CRD is established");
    }
}

fn api(client: &Client, table: &Table) -> Api<DynamicObject> {
    let text = |field: &str| table.base[field].as_str().expect("every object has it");
    let (group, version) = text("apiVersion").split_once('/').expect("no kind of the core group");
    let plural = table.crd.split_once('.').expect("named <plural>.<group>").0;
    let gvk = GroupVersionKind::gvk(group, version, text("kind"));
    Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&gvk, plural))
}

/// The object under a name that no other test uses, unless its name is what the row is about.
fn named(object: &Value, table: &Table) -> DynamicObject {
    let mut object = object.clone();
    if object["metadata"]["name"] == table.base["metadata"]["name"] {
        object["metadata"]["name"] = json!(NAME);
    }
    serde_json::from_value(object).expect("every row is an object")
}

async fn write(
    api: &Api<DynamicObject>,
    base: &DynamicObject,
    case: &Case,
    table: &Table,
) -> Result<DynamicObject, Error> {
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    let mut object = named(&case.object, table);
    if case.write == Write::Create {
        // The base is there already.
        object.metadata.name =
            object.metadata.name.map(|name| if name == NAME { format!("{NAME}-new") } else { name });
        return api.create(&dry_run, &object).await;
    }
    object.metadata.resource_version = base.metadata.resource_version.clone();
    match case.write {
        Write::Status => api.replace_status(NAME, &dry_run, &object).await,
        Write::Create | Write::Update => api.replace(NAME, &dry_run, &object).await,
    }
}

/// What is wrong with the answer, if anything is.
fn problem(case: &Case, refusal: Option<&Error>) -> Option<String> {
    let Some(rejection) = &case.rejection else {
        return refusal.map(|error| format!("expected: accepted\n  found: {error}"));
    };
    let expected = format!("expected: {:?} at {:?}", rejection.message, rejection.field);
    let status: &Status = match refusal {
        None => return Some(format!("{expected}\n  found: accepted")),
        Some(Error::Api(status)) => status,
        Some(error) => return Some(format!("{expected}\n  found: {error}")),
    };
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let is_named = causes
        .clone()
        .any(|cause| cause.field == rejection.field && cause.message.contains(&rejection.message));
    (!is_named).then(|| format!("{expected}\n  found: {}", status.message))
}
