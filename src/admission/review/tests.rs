use serde_json::{Value, json};

use super::*;

fn body() -> Value {
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1",
            "kind": { "group": "", "version": "v1", "kind": "Pod" },
            "resource": { "group": "", "version": "v1", "resource": "pods" },
            "subResource": "status",
            "requestKind": { "group": "", "version": "v2", "kind": "Pod" },
            "name": "web",
            "namespace": "shop",
            "operation": "UPDATE",
            "userInfo": { "username": "alice \"a\"", "uid": "1", "groups": ["g\t1", "g2"], "extra": { "x": ["y"] } },
            "object": { "a": 1 },
            "oldObject": { "a": 2 },
            "dryRun": true,
            "options": { "kind": "UpdateOptions" },
            "fieldOfTheFuture": [1, { "x": null }],
        },
    })
}

#[test]
fn a_review_is_read_with_its_objects_raw() {
    let text = body().to_string();
    let review = Review::parse(text.as_bytes()).unwrap();
    assert_eq!((&*review.uid, &*review.name, &*review.namespace), ("u-1", "web", "shop"));
    assert_eq!(
        (review.kind, &*review.subresource, review.operation),
        (Kind::Pod, "status", Operation::Update)
    );
    assert_eq!(review.user, User { name: "alice \"a\"".into(), groups: vec!["g\t1".into(), "g2".into()] });
    assert!(review.dry_run);
    assert_eq!(review.object.map(RawValue::get), Some(r#"{"a":1}"#));
    assert_eq!(review.old_object.map(RawValue::get), Some(r#"{"a":2}"#));
}

#[test]
fn absent_null_and_empty_are_the_same() {
    let minimal = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": { "uid": "u-1" },
    });
    let nulls = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "kind": null, "subResource": null, "name": null, "namespace": null, "operation": null,
            "userInfo": null, "object": null, "oldObject": null, "dryRun": null,
        },
    });
    let empty_user = json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": { "uid": "u-1", "userInfo": { "username": null, "groups": null } },
    });
    for body in [minimal, nulls, empty_user] {
        let text = body.to_string();
        let review = Review::parse(text.as_bytes()).unwrap();
        assert_eq!((review.kind, review.operation), (Kind::Other, Operation::Other), "{text}");
        assert!(review.object.is_none() && review.old_object.is_none() && !review.dry_run, "{text}");
        assert_eq!(review.user, User::default(), "{text}");
    }
}

#[test]
fn what_is_no_review_with_a_request_is_an_error_and_never_an_answer() {
    let change = |change: fn(&mut Value)| {
        let mut body = body();
        change(&mut body);
        body.to_string()
    };
    let cases = [
        (String::new(), "read the AdmissionReview"),
        ("[]".to_owned(), "read the AdmissionReview"),
        ("{\"kind\":".to_owned(), "read the AdmissionReview"),
        (change(|body| body["request"]["object"] = Value::Null) + "x", "read the AdmissionReview"),
        (change(|body| body["request"]["userInfo"]["groups"] = json!("g")), "read the AdmissionReview"),
        (change(|body| body["request"] = Value::Null), "it has no request with a uid"),
        (change(|body| body["request"]["uid"] = json!("")), "it has no request with a uid"),
        (
            change(|body| body["apiVersion"] = json!("admission.k8s.io/v1beta1")),
            "it is a AdmissionReview of admission.k8s.io/v1beta1",
        ),
        (change(|body| body["kind"] = json!("Pod")), "it is a Pod of admission.k8s.io/v1"),
    ];
    for (text, expected) in cases {
        let error = Review::parse(text.as_bytes()).expect_err(&text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn kinds_are_told_by_group_and_name_in_whatever_version() {
    let cases = [
        ("", "Pod", Kind::Pod),
        ("apps", "Pod", Kind::Other),
        ("apps", "Deployment", Kind::Template(TemplateKind::Deployment)),
        ("extensions", "Deployment", Kind::Other),
        ("", "Binding", Kind::Other),
        ("autoscaling", "Scale", Kind::Other),
        ("karpenter.sh", "NodePool", Kind::NodePool),
        ("treenail.dev", "EC2NodeClass", Kind::Other),
    ];
    for (group, kind, expected) in cases {
        assert_eq!(Kind::of(group, kind), expected, "{group}/{kind}");
    }
    for template in TemplateKind::ALL {
        assert_eq!(Kind::of(template.group(), template.name()), Kind::Template(template));
    }
}
