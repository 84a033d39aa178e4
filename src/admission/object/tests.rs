use serde_json::json;

use super::*;

#[test]
fn absent_null_and_empty_lists_are_told_apart_for_patches_only() {
    let cases = [
        (json!({}), false, false),
        (
            json!({ "tolerations": null, "nodeSelector": null, "schedulingGates": null, "nodeName": null }),
            false,
            false,
        ),
        (json!({ "tolerations": [], "nodeSelector": {}, "schedulingGates": [], "nodeName": "" }), true, true),
    ];
    for (spec, has_tolerations, has_selector) in cases {
        let text = spec.to_string();
        let read: PodSpec<'_> = serde_json::from_str(&text).unwrap();
        assert_eq!(read.tolerations.is_some(), has_tolerations, "{text}");
        assert_eq!(read.node_selector.is_some(), has_selector, "{text}");
        assert_eq!((read.tolerations().len(), read.scheduling_gates, &*read.node_name), (0, 0, ""), "{text}");
    }
}

#[test]
fn only_fields_that_sound_like_placement_are_noticed_among_unknown_ones() {
    let text = json!({
        "containers": [], "nodeGroup": {}, "extraTolerations": [], "colour": "red", "affinity": {}, "schedulerName": "x",
        "topologySpreadConstraints": [], "podAffinityClass": 1,
    })
    .to_string();
    let read: PodSpec<'_> = serde_json::from_str(&text).unwrap();
    let unknown: Vec<_> = read.unknown.iter().map(|field| &**field).collect();
    assert_eq!(unknown, ["extraTolerations", "nodeGroup", "podAffinityClass"]);
}

#[test]
fn the_template_is_found_where_each_kind_has_it() {
    let template = json!({ "spec": { "nodeName": "n" } });
    for kind in TemplateKind::ALL {
        let object =
            kind.template_path().iter().rev().fold(template.clone(), |inner, part| json!({ *part: inner }));
        let raw = serde_json::value::to_raw_value(&object).unwrap();
        let read = Template::parse(kind, &raw).unwrap();
        assert_eq!(&*read.pod.unwrap().spec.node_name, "n", "{kind:?}");
        let raw = serde_json::value::to_raw_value(&json!({ "spec": null, "template": null })).unwrap();
        assert!(Template::parse(kind, &raw).unwrap().pod.is_none(), "{kind:?}");
    }
}

#[test]
fn text_borrows_unless_it_has_escapes() {
    let text = r#"{"nodeSelector":{"plain":"a","esc\u0061ped":"b\n"}}"#;
    let read: PodSpec<'_> = serde_json::from_str(text).unwrap();
    assert_eq!((read.selected("plain"), read.selected("escaped")), (Some("a"), Some("b\n")));
}
