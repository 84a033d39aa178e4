//! Whatever is sent: an answer, never a panic, and the same one each time.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use crate::admission::decide::decide;
use crate::admission::question::{Endpoint, Question};
use crate::admission::review::{Review, TemplateKind};
use crate::admission::standing::NamespaceLabels;
use crate::admission::testing::{Call, World};
use crate::admission::verdict::Verdict;

static WORLD: LazyLock<World> = LazyLock::new(World::new);

fn json_values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[a-z\\PC]{0,6}".prop_map(Value::from),
        prop::sample::select(vec!["Exists", "Equal", "node-type", "monitoring", "NoSchedule"])
            .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "metadata",
        "spec",
        "template",
        "jobTemplate",
        "tolerations",
        "nodeSelector",
        "nodeName",
        "key",
        "operator",
        "value",
        "effect",
        "tolerationSeconds",
        "labels",
        "annotations",
        "ownerReferences",
        "schedulingGates",
        "affinity",
        "pools",
        "name",
        "nodeAffinity",
        "treenail.dev/workload-type",
        "x",
    ]);
    leaf.prop_recursive(6, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| {
                let fields = fields.into_iter().map(|(key, value)| (key.to_owned(), value));
                Value::Object(fields.collect::<Map<_, _>>())
            }),
        ]
    })
}

fn kinds() -> Vec<String> {
    let templates = TemplateKind::ALL.into_iter().map(|kind| format!("{}/{}", kind.group(), kind.name()));
    let others = [
        "Pod",
        "Namespace",
        "treenail.dev/WorkloadType",
        "karpenter.sh/NodePool",
        "karpenter.k8s.aws/EC2NodeClass",
        "x/Other",
    ];
    templates.chain(others.map(str::to_owned)).collect()
}

/// What every answer holds to, whatever it answers.
fn is_sound(endpoint: Endpoint, object: &Value, verdict: &Verdict) -> Result<(), TestCaseError> {
    if let Some(patch) = &verdict.patch {
        prop_assert!(endpoint == Endpoint::Mutate && verdict.is_allowed() && !patch.is_empty());
        let mut object = object.clone();
        prop_assert!(json_patch::patch(&mut object, patch).is_ok(), "the patch does not apply");
    }
    prop_assert_eq!(verdict.message().is_empty(), verdict.is_allowed());
    prop_assert!(verdict.warnings.iter().all(|warning| !warning.contains(char::is_control)));
    prop_assert!(verdict.audit.keys().all(|key| !key.contains('/') && key.len() < 64));
    for denial in &verdict.denials {
        let shown = denial.to_string();
        prop_assert_eq!(shown.split(": ").next(), Some(denial.reason.code()));
        prop_assert!(!shown.contains(char::is_control));
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_object_gets_a_sound_answer_twice_the_same(
        kind in prop::sample::select(kinds()),
        namespace in prop::sample::select(vec!["shop", "plain", "ghost", "nowhere", "kube-system", ""]),
        object in json_values(),
        old in prop::option::of(json_values()),
        wraps in any::<bool>(),
    ) {
        let wrap = |value: Value| if wraps { json!({ "metadata": {}, "spec": value }) } else { value };
        let mut call = Call::create(&kind, namespace, wrap(object));
        if let Some(old) = old {
            let new = std::mem::replace(&mut call.object, wrap(old));
            call = call.becomes(new);
        }
        for endpoint in [Endpoint::Mutate, Endpoint::Validate] {
            let verdict = WORLD.ask(endpoint, &call);
            is_sound(endpoint, &call.object, &verdict)?;
            prop_assert_eq!(&verdict, &WORLD.ask(endpoint, &call));
        }
    }

    #[test]
    fn every_body_is_a_review_or_an_error(body in prop::collection::vec(any::<u8>(), 0..200), value in json_values()) {
        prop_assert!(Review::parse(&body).is_err());
        let text = json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": value }).to_string();
        let _ = Review::parse(text.as_bytes());
    }
}

#[test]
fn a_pod_that_cannot_be_read_is_refused_by_both_webhooks() {
    let cases = [
        json!(null),
        json!([]),
        json!({}),
        json!({ "metadata": {} }),
        json!({ "metadata": null, "spec": {} }),
        json!([{}, {}]),
        json!({ "metadata": [], "spec": {} }),
        json!({ "metadata": ["web"], "spec": {} }),
        json!({ "metadata": {}, "spec": { "tolerations": {} } }),
        json!({ "metadata": {}, "spec": { "tolerations": [null] } }),
        json!({ "metadata": {}, "spec": { "nodeSelector": ["a"] } }),
        json!({ "metadata": {}, "spec": { "nodeName": 1 } }),
        json!({ "metadata": { "labels": { "a": 1 } }, "spec": {} }),
    ];
    for object in cases {
        let call = Call::create("Pod", "plain", object.clone());
        for verdict in [World::new().mutate(&call), World::new().validate(&call)] {
            assert_eq!(verdict.codes(), ["MalformedObject"], "{object}");
        }
        let update = Call::pod("plain", json!({})).becomes(object.clone());
        assert_eq!(World::new().validate(&update).codes(), ["MalformedObject"], "{object}");
    }
}

#[test]
fn an_update_without_its_old_object_is_refused_and_a_creation_has_none() {
    let mut update = Call::pod("plain", json!({ "nodeName": "n" })).update("/metadata/labels", json!({}));
    assert!(World::new().validate(&update).is_allowed());
    update.operation = "CREATE";
    assert_eq!(World::new().validate(&update).codes(), ["NodeNameSet"]);
    for kind in ["Pod", "apps/Deployment", "Namespace", "karpenter.sh/NodePool"] {
        let mut call = Call::create(kind, "shop", json!({ "metadata": {}, "spec": {} }));
        call.operation = "UPDATE";
        assert_eq!(World::new().validate(&call).codes(), ["MalformedObject"], "{kind}");
    }
}

#[test]
fn a_deeply_nested_body_is_an_error() {
    let body = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Review::parse(body.as_bytes()).is_err());
    let deep = format!("{}{}", "{\"a\":".repeat(100_000), "1");
    let body = format!(
        r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"1","object":{deep}"#
    );
    assert!(Review::parse(body.as_bytes()).is_err());
}

#[test]
fn an_object_nested_deeper_than_the_parser_goes_is_refused_and_not_let_through() {
    let nested = format!("{}1{}", "[".repeat(500), "]".repeat(500));
    for (kind, object) in [
        ("Pod", format!(r#"{{"metadata":{{}},"spec":{{"x":{nested}}}}}"#)),
        ("Pod", format!(r#"{{"metadata":{{}},"spec":{{"affinity":{nested},"nodeName":"n"}}}}"#)),
    ] {
        let body = format!(
            r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{{"uid":"1","kind":{{"kind":"{kind}"}},"namespace":"plain","operation":"CREATE","object":{object}}}}}"#
        );
        let Ok(review) = Review::parse(body.as_bytes()) else { continue };
        let labels = BTreeMap::new();
        let question = Question {
            endpoint: Endpoint::Validate,
            review: &review,
            namespace: NamespaceLabels::Known(&labels),
            now: crate::admission::testing::NOW,
        };
        let verdict = decide(&World::new().policies, &question);
        let expects_refusal = object.contains("nodeName");
        assert!(verdict.is_allowed() != expects_refusal || verdict.codes() == ["MalformedObject"], "{kind}");
    }
}

#[test]
fn a_long_refusal_is_cut() {
    let foreign =
        |number: usize| json!({ "key": "node-type", "operator": "Exists", "tolerationSeconds": number });
    let tolerations: Vec<_> = (0..60).map(foreign).collect();
    let verdict = World::new().mutate(&Call::pod("shop", json!({ "tolerations": tolerations })));
    let message = verdict.message();
    assert_eq!(verdict.denials.len(), 60);
    assert_eq!(message.lines().count(), 11);
    assert!(message.ends_with("\nand 50 more problems"), "{message}");
}

/// Whatever there is too much of, the answer is short: a code, a handful of warnings' worth of text, no copy of the object.
#[test]
fn any_number_of_anything_gets_a_short_answer() {
    const MANY: usize = 4_000;
    let numbered = |prefix: &str| -> Map<String, Value> {
        (0..MANY).map(|number| (format!("{prefix}{number}"), "1".into())).collect()
    };
    let names: Vec<_> = (0..MANY).map(|number| format!("x{number}.large")).collect();
    let terms = |term: Value| json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": term } } });
    let of_one_term = |expressions: Value| terms(json!([{ "matchExpressions": expressions }]));
    let not_in = |value: &String| json!({ "key": "a", "operator": "NotIn", "values": [value] });
    let port = |port: usize| json!({ "containerPort": port, "hostPort": port });
    let claim = |name: &String| json!({ "name": name, "persistentVolumeClaim": { "claimName": name } });
    let of_type = json!([{ "key": "node.kubernetes.io/instance-type", "operator": "In", "values": names }]);
    let container = |field: &str, value: Value| json!([{ "name": "a", field: value }]);
    let specs = [
        ("nodeSelector", numbered("n").into(), "PodTooLarge"),
        ("affinity", terms(vec![json!({}); MANY].into()), "PodTooLarge"),
        ("affinity", of_one_term(names.iter().map(not_in).collect()), "PodTooLarge"),
        ("affinity", of_one_term(of_type), ""),
        (
            "containers",
            container("resources", json!({ "requests": numbered("example.com/") })),
            "PodTooLarge",
        ),
        ("containers", container("ports", (1..=MANY).map(port).collect()), "PodTooLarge"),
        ("containers", vec![json!({ "name": "a" }); MANY].into(), "PodTooLarge"),
        ("tolerations", vec![json!({ "operator": "Exists" }); MANY].into(), "TooManyTolerations"),
        ("volumes", names.iter().map(claim).collect(), ""),
        ("schedulingGates", vec![json!({ "name": "g" }); MANY].into(), ""),
    ];
    for (field, value, code) in specs {
        let mut spec = json!({ "containers": [] });
        spec[field] = value;
        for call in [Call::pod("shop", spec.clone()), Call::deployment("shop", spec)] {
            let (_, verdict) = WORLD.send(&call);
            assert_eq!(verdict.codes().join(" "), code, "{field}: {}", verdict.message());
            assert!(verdict.message().len() < 2_000, "{field}: {}", verdict.message());
            assert!(verdict.warnings.iter().all(|warning| warning.len() < 1_000), "{field}");
        }
    }
}
