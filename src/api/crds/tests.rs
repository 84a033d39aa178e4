use serde_json::json;

use super::*;

fn crds() -> Vec<Crd> {
    all().expect("every CRD can be made")
}

/// Every object of the definition with its path.
fn walk(value: &Value, path: &str, visit: &mut impl FnMut(&str, &Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            visit(path, object);
            for (key, inner) in object {
                walk(inner, &format!("{path}/{key}"), visit);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                walk(inner, &format!("{path}/{index}"), visit);
            }
        }
        _ => {}
    }
}

#[test]
fn crds_are_named_as_karpenter_names_them() {
    let names: Vec<_> = crds().iter().map(|crd| (crd.name().to_owned(), crd.file_name())).collect();
    let expected = [
        ("nodepools.karpenter.sh", "karpenter.sh_nodepools.yaml"),
        ("nodeclaims.karpenter.sh", "karpenter.sh_nodeclaims.yaml"),
        ("ec2nodeclasses.karpenter.k8s.aws", "karpenter.k8s.aws_ec2nodeclasses.yaml"),
        ("workloadtypes.treenail.dev", "treenail.dev_workloadtypes.yaml"),
    ];
    assert_eq!(names, expected.map(|(name, file)| (name.to_owned(), file.to_owned())));
}

#[test]
fn yaml_is_read_back_as_the_same_definition_and_written_the_same_twice() {
    for crd in crds() {
        let yaml = crd.to_yaml().expect("YAML");
        let read: Value = serde_saphyr::from_str(&yaml).expect("readable");
        assert_eq!(&read, crd.definition(), "{}", crd.name());
        assert_eq!(yaml, crd.to_yaml().expect("YAML"), "{}", crd.name());
    }
}

#[test]
fn no_schema_keeps_what_the_derive_writes_differently() {
    for crd in crds() {
        walk(crd.schema(), "", &mut |path, schema| {
            let place = format!("{}: {path}", crd.name());
            assert!(!schema.contains_key("nullable"), "{place} is nullable");
            assert!(!schema.contains_key("title") || path.ends_with("/properties"), "{place} has a title");
            for (key, value) in schema {
                assert!(!value.is_f64(), "{place}/{key} is {value}");
            }
            if let Some(Value::String(text)) = schema.get("description") {
                assert!(!text.replace("\n\n", "").contains('\n'), "{place} has a wrapped description");
            }
        });
    }
}

#[test]
fn every_field_that_people_write_is_explained() {
    for crd in crds() {
        walk(crd.schema(), "", &mut |path, properties| {
            if !path.ends_with("/properties") {
                return;
            }
            for (field, schema) in properties {
                let place = format!("{}: {path}/{field}", crd.name());
                let text = schema.get("description").and_then(Value::as_str).unwrap_or_default();
                assert!(text.ends_with(['.', '`']) || text.ends_with(')'), "{place}: {text:?}");
            }
        });
    }
}

#[test]
fn a_schema_is_corrected_at_every_depth() {
    let mut schema = json!({
        "type": "object", "title": "T", "nullable": true, "default": {},
        "description": "One\n line.\n\nAnother\nparagraph.",
        "properties": {
            "title": { "type": "string", "default": "", "nullable": true },
            "list": { "type": "array", "default": ["x"], "items": { "type": "integer", "format": "uint32", "nullable": true } },
            "word": { "type": "string", "enum": ["a", "b", null] },
            "map": { "additionalProperties": { "type": "boolean", "default": false } },
        },
    });
    correct_schema(&mut schema);
    assert_eq!(
        schema,
        json!({
            "type": "object", "description": "One line.\n\nAnother paragraph.",
            "properties": {
                "title": { "type": "string" },
                "list": { "type": "array", "default": ["x"], "items": { "type": "integer" } },
                "word": { "type": "string", "enum": ["a", "b"] },
                "map": { "additionalProperties": { "type": "boolean" } },
            },
        })
    );
    assert_eq!(corrected(json!([100.0, 0.5, 7])), json!([100, 0.5, 7]));
}
