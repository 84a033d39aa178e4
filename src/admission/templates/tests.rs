use expect_test::{Expect, expect};
use serde_json::{Value, json};

use crate::admission::review::TemplateKind;
use crate::admission::testing::{Call, World, owner, show};

const SELECTOR: &str = "workload-type.node-restriction.kubernetes.io/application";

fn check(call: &Call, expected: &str) {
    assert_eq!(World::new().outcome(call), expected, "{}", call.object);
}

fn check_text(call: &Call, expected: &Expect) {
    expected.assert_eq(&show(&World::new().validate(call)));
}

fn kinds() -> impl Iterator<Item = (TemplateKind, String)> {
    TemplateKind::ALL.into_iter().map(|kind| {
        let separator = if kind.group().is_empty() { "" } else { "/" };
        (kind, format!("{}{separator}{}", kind.group(), kind.name()))
    })
}

#[test]
fn templates_of_every_kind_are_judged_and_none_is_changed() {
    for (kind, name) in kinds() {
        let of = |spec: Value| Call::template(&name, "shop", spec);
        check(&of(json!({})), "admitted");
        assert_eq!(World::new().mutate(&of(json!({}))).patch, None, "{name}");
        check(&of(json!({ "tolerations": [{ "operator": "Exists" }] })), "ForeignToleration");
        check(&of(json!({ "nodeName": "n" })), "NodeNameSet");
        let contradiction = of(json!({ "nodeSelector": { SELECTOR: "no" } }));
        // Nobody adds a selector to daemon pods.
        check(
            &contradiction,
            if kind == TemplateKind::DaemonSet { "admitted" } else { "SelectorContradiction" },
        );
        let message = World::new().validate(&of(json!({ "nodeName": "n" }))).message();
        let path = format!("{}.spec.nodeName is \"n\"", kind.template_path().join("."));
        assert!(message.contains(&path), "{message}");
    }
}

#[test]
fn a_template_whose_pods_would_name_a_type_that_their_namespace_has_not_is_refused() {
    let labelled = |kind: &str, path: &str, namespace: &str| {
        let labels = json!({ "treenail.dev/workload-type": "monitoring" });
        Call::template(kind, namespace, json!({})).with(&format!("/{path}/metadata/labels"), labels)
    };
    for (kind, name) in kinds() {
        let path = kind.template_path().join("/");
        check(&labelled(&name, &path, "plain"), "TypeNotAllowed");
        check(&labelled(&name, &path, "shop"), "TypeNotAllowed");
        check(&labelled(&name, &path, "watch"), "admitted");
        check(&labelled(&name, &path, "kube-system"), "admitted");
        check(&labelled(&name, &path, "plain").update("/metadata/labels", json!({ "a": "b" })), "admitted");
    }
    check_text(
        &labelled("apps/Deployment", "spec/template", "plain"),
        &expect![[
            r#"TypeNotAllowed: deployment plain/web: spec.template.metadata.labels[treenail.dev/workload-type] is "monitoring", and its namespace has no workload type; remove the label, or have the namespace labelled treenail.dev/workload-type=monitoring"#
        ]],
    );
}

#[test]
fn templates_of_namespaces_without_type_are_not_judged_otherwise() {
    for (_, name) in kinds() {
        for namespace in ["plain", "kube-system"] {
            let spec = json!({ "nodeName": "n", "tolerations": [{ "operator": "Exists" }] });
            check(&Call::template(&name, namespace, spec), "admitted");
        }
    }
}

#[test]
fn a_refusal_has_every_problem_its_path_and_the_corrected_yaml() {
    let call = Call::deployment(
        "shop",
        json!({
            "nodeName": "node-1",
            "nodeSelector": { SELECTOR: "no", "kubernetes.io/arch": "arm64" },
            "tolerations": [
                { "key": "node-type", "operator": "Equal", "value": "monitoring", "effect": "NoSchedule" },
                { "key": "spot", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60 },
            ],
        }),
    );
    let pointer = "/spec/template/metadata/labels/treenail.dev~1workload-type";
    check_text(
        &call.with(pointer, json!("monitoring")),
        &expect![[r#"
        TypeNotAllowed: deployment shop/web: spec.template.metadata.labels[treenail.dev/workload-type] is "monitoring", and its namespace may use workload type application only; remove the label, or make it application
        NodeNameSet: deployment shop/web: spec.template.spec.nodeName is "node-1", which bypasses the scheduler, and so every taint; remove it and let the scheduler choose; to debug a node: kubectl debug node/NAME -n kube-system
        ForeignToleration: deployment shop/web: spec.template.spec.tolerations[0] (key node-type, value monitoring, effect NoSchedule) would match the taint node-type=monitoring:NoSchedule of workload type monitoring; remove it: what pods of workload type application need is added to them
        SelectorContradiction: deployment shop/web: spec.template.spec.nodeSelector[workload-type.node-restriction.kubernetes.io/application] is "no", and on nodes of workload type application it is ""; remove the key: the right value is added
        This would be right:
        spec:
          template:
            metadata:
              labels:
                app: web
                treenail.dev/workload-type: application
            spec:
              nodeName: ""
              nodeSelector:
                kubernetes.io/arch: arm64
              tolerations:
              - key: spot
                operator: Exists
                effect: NoExecute
                tolerationSeconds: 60"#]],
    );
}

#[test]
fn what_is_to_be_removed_altogether_is_shown_empty() {
    let spec = json!({ "nodeSelector": { SELECTOR: "no" }, "tolerations": [{ "operator": "Exists" }] });
    check_text(
        &Call::template("batch/CronJob", "shop", spec),
        &expect![[r#"
            ForeignToleration: cronjob shop/web: spec.jobTemplate.spec.template.spec.tolerations[0] (operator Exists) tolerates every taint, those of workload type monitoring included; remove it: what pods of workload type application need is added to them
            SelectorContradiction: cronjob shop/web: spec.jobTemplate.spec.template.spec.nodeSelector[workload-type.node-restriction.kubernetes.io/application] is "no", and on nodes of workload type application it is ""; remove the key: the right value is added
            This would be right:
            spec:
              jobTemplate:
                spec:
                  template:
                    spec:
                      nodeSelector: {}
                      tolerations: []"#]],
    );
}

/// Replaces each field of the template that the advice has.
fn paste(object: &mut Value, path: &[&str], advice: &Value) {
    let template = path.iter().fold(object, |object, part| &mut object[*part]);
    let advice = path.iter().fold(advice, |advice, part| &advice[*part]);
    for part in ["metadata", "spec"] {
        for (field, value) in advice[part].as_object().into_iter().flatten() {
            template[part][field] = value.clone();
        }
    }
}

#[test]
fn the_corrected_template_is_admitted() {
    let spec = json!({
        "nodeName": "n",
        "nodeSelector": { SELECTOR: "no", "a": "yes" },
        "tolerations": [{ "operator": "Exists" }, { "key": "true", "value": "1", "effect": "NoSchedule" }],
    });
    for (kind, name) in kinds() {
        let mut call = Call::template(&name, "shop", spec.clone());
        let advice = World::new().validate(&call).advice.unwrap();
        let advice: Value = serde_saphyr::from_str(&advice).unwrap();
        paste(&mut call.object, kind.template_path(), &advice);
        check(&call, "admitted");
        let template = kind.template_path().iter().fold(&call.object, |object, part| &object[*part]);
        assert_eq!(
            template["spec"]["tolerations"],
            json!([{ "key": "true", "value": "1", "effect": "NoSchedule" }]),
            "{name}"
        );
        assert_eq!(template["metadata"]["labels"], json!({ "app": "web" }), "{name}");
    }
}

#[test]
fn an_update_is_judged_by_what_it_changes() {
    let bad = json!({ "nodeName": "n", "tolerations": [{ "operator": "Exists" }], "nodeSelector": { SELECTOR: "no" } });
    let old = Call::deployment("shop", bad);
    // Scaled, restarted, another image, a finalizer removed: none of this is refused.
    for (pointer, value) in [
        ("/spec/replicas", json!(0)),
        ("/spec/template/metadata/annotations", json!({ "kubectl.kubernetes.io/restartedAt": "now" })),
        ("/spec/template/spec/containers", json!([{ "image": "new" }])),
        ("/metadata/finalizers", json!([])),
        ("/spec/template/spec/tolerations", json!([])),
    ] {
        check(&old.clone().update(pointer, value), "admitted");
    }
    check(
        &old.clone()
            .update("/spec/template/spec/tolerations/1", json!({ "key": "node-type", "operator": "Exists" })),
        "ForeignToleration",
    );
    check(&old.clone().update("/spec/template/spec/nodeName", json!("m")), "NodeNameSet");
    check(
        &old.update("/spec/template/spec/nodeSelector", json!({ SELECTOR: "other" })),
        "SelectorContradiction",
    );
}

#[test]
fn what_a_controller_made_is_not_judged_and_its_pods_are() {
    let bad = json!({ "tolerations": [{ "operator": "Exists" }] });
    let owned = |kind: &str| {
        Call::template(kind, "shop", bad.clone())
            .with("/metadata/ownerReferences", json!([owner("apps/v1", "Deployment", "web")]))
    };
    check(&owned("apps/ReplicaSet"), "admitted");
    check(&owned("batch/Job"), "admitted");
    check(&owned("apps/Deployment"), "ForeignToleration");
    check(&owned("apps/StatefulSet"), "ForeignToleration");
    let not_its_controller =
        owned("apps/ReplicaSet").with("/metadata/ownerReferences/0/controller", json!(false));
    check(&not_its_controller, "ForeignToleration");
    check(
        &Call::pod("shop", bad.clone())
            .with("/metadata/ownerReferences", json!([owner("apps/v1", "ReplicaSet", "web")])),
        "ForeignToleration",
    );
}

#[test]
fn a_suspended_job_is_judged_when_it_is_made_and_when_its_directives_change() {
    let job = Call::template("batch/Job", "shop", json!({})).with("/spec/suspend", json!(true));
    check(&job, "admitted");
    check(
        &job.clone().update("/spec/template/spec/nodeSelector", json!({ SELECTOR: "no" })),
        "SelectorContradiction",
    );
    check(&job.update("/spec/suspend", json!(false)), "admitted");
}

#[test]
fn an_object_without_template_has_nothing_to_judge() {
    let call = Call::create(
        "ReplicationController",
        "shop",
        json!({ "metadata": { "name": "web" }, "spec": { "template": null } }),
    );
    check(&call, "admitted");
}

#[test]
fn a_daemon_set_that_nobody_injects_is_told_what_it_lacks_once() {
    let daemon_set = |spec: Value| Call::template("apps/DaemonSet", "shop", spec);
    check_text(
        &daemon_set(json!({})),
        &expect![[r#"
            admitted
            Warning: daemonset shop/web: not on nodes of workload type application: its template does not tolerate node-type=application:NoSchedule; tolerate it there if it belongs on them"#]],
    );
    let tolerant =
        json!({ "tolerations": [{ "key": "node-type", "value": "application", "effect": "NoSchedule" }] });
    check_text(&daemon_set(tolerant), &expect!["admitted"]);
    check_text(&daemon_set(json!({})).update("/metadata/labels", json!({ "a": "b" })), &expect!["admitted"]);
}
