//! A workload type that is deleted while it is in use.

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::json;
use treenail::api::conditions;
use treenail::api::workload_type::WorkloadType;
use treenail_lab::User;

use crate::support::cluster::{administrator, apply, eventually, namespace, soon};
use crate::support::world::on_treenail;

const TYPE: &str = "departing";

fn pod(spec: serde_json::Value) -> Pod {
    let mut pod =
        json!({ "metadata": { "name": "p" }, "spec": { "containers": [{ "name": "app", "image": "app" }] } });
    pod["spec"]["tolerations"] = spec;
    serde_json::from_value(pod).unwrap()
}

#[test]
fn a_deleted_type_keeps_its_rules_until_no_namespace_names_it() {
    on_treenail(async |world| {
        let lab = &world.lab;
        let manifest = json!({ "apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": TYPE },
                "spec": { "template": { "spec": {
                    "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" },
                    "requirements": [],
                    "taints": [{ "key": "node-type", "value": TYPE, "effect": "NoSchedule" }],
                    "expireAfter": "Never",
                } } },
            },
            {
                "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType", "metadata": { "name": TYPE },
                "spec": { "pools": [{ "name": TYPE }] },
            },
        ] });
        let outcome = apply(lab, &User::administrator(), &manifest.to_string()).await;
        assert!(outcome.success, "{}", outcome.stderr);
        let client = administrator(lab).await;
        let types: Api<WorkloadType> = Api::all(client.clone());
        let is_held = |found: Option<&WorkloadType>| {
            let metadata = found.map(|found| &found.metadata);
            metadata.is_some_and(|metadata| {
                metadata.finalizers.iter().flatten().any(|held| held.starts_with("treenail.dev/"))
            })
        };
        eventually(&types, TYPE, is_held).await.unwrap();
        namespace(lab, TYPE, &[("treenail.dev/workload-type", TYPE)]).await;
        namespace(lab, "staying", &[("treenail.dev/workload-type", "application")]).await;
        let own: Api<Pod> = Api::namespaced(client.clone(), TYPE);
        let others: Api<Pod> = Api::namespaced(client.clone(), "staying");
        let dry_run = PostParams { dry_run: true, ..PostParams::default() };
        soon("pods of the type are changed", async || {
            own.create(&dry_run, &pod(json!([]))).await.ok()?.spec?.node_selector
        })
        .await
        .unwrap();

        types.delete(TYPE, &DeleteParams::default()).await.unwrap();
        let waits = |found: Option<&WorkloadType>| {
            let conditions = found.and_then(|found| found.status.as_ref()).map(|status| &status.conditions);
            conditions.and_then(|all| conditions::find(all, "DeletionBlocked")).is_some_and(|condition| {
                condition.status == conditions::ConditionStatus::True
                    && condition.message.contains("from namespaces departing")
            })
        };
        eventually(&types, TYPE, waits).await.unwrap();
        let trespasser = pod(json!([{ "key": "node-type", "value": TYPE, "effect": "NoSchedule" }]));
        let refusal = others.create(&dry_run, &trespasser).await.unwrap_err().to_string();
        assert!(refusal.contains("ForeignToleration: "), "{refusal}");
        let created = own.create(&dry_run, &pod(json!([]))).await.unwrap();
        assert!(created.spec.unwrap().node_selector.is_some());

        let unlabelled =
            Patch::Merge(json!({ "metadata": { "labels": { "treenail.dev/workload-type": null } } }));
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(client.clone());
        namespaces.patch(TYPE, &PatchParams::default(), &unlabelled).await.unwrap();
        eventually(&types, TYPE, |found: Option<&WorkloadType>| found.is_none()).await.unwrap();
        soon("its taint is nobody's", async || others.create(&dry_run, &trespasser).await.ok())
            .await
            .unwrap();
    });
}
