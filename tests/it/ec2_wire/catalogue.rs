//! Instance types as EC2 describes them.

use super::*;

/// What the endpoint says of types, against the published table of labels and allocatable resources.
#[test]
fn the_catalogue_is_complete_priced_and_labelled_as_published() {
    on_lab(async |lab| {
        let ec2 = provider(lab).await;
        let cluster = cluster(lab, ec2).await;
        let class = resolved(ec2, &cluster, class("catalogue", json!({}))).await;
        let types = ec2.instance_types(&class).await.unwrap();
        assert!(types.len() > 1300, "{}", types.len());
        let priced = |name: &str| {
            let found = types.iter().find(|found| found.name == name).unwrap();
            found.cheapest_offering(&Requirements::new()).unwrap().price.to_string()
        };
        assert_eq!((priced("c7i.xlarge").as_str(), priced("m5a.large").as_str()), ("$0.1785/h", "$0.086/h"));
        compare_with_the_published_table(&types);
        ec2.release_class(&class, &cluster).await.unwrap();
    });
}

/// Where the endpoint's data is of another day than the table: types whose default network card has fewer interfaces.
const OTHER_INTERFACES: [&str; 4] = ["i7ie.48xlarge", "i7ie.metal-48xl", "i8ge.48xlarge", "i8ge.metal-48xl"];
/// The same for families that run at another speed.
const OTHER_SPEED: [&str; 6] = ["c9g", "c9gd", "i7i", "i7ie", "m9g", "m9gd"];

#[expect(clippy::disallowed_methods, reason = "the test's data is found by an environment variable")]
fn compare_with_the_published_table(types: &[InstanceType]) {
    let Ok(folder) = std::env::var("TREENAIL_DATA") else {
        println!("skipped: TREENAIL_DATA does not name the folder with aws_us-east-1_catalog.json");
        return;
    };
    let path = std::path::Path::new(&folder).join("aws_us-east-1_catalog.json");
    let published: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut compared = 0;
    let mut differences = Vec::new();
    for row in &published {
        let name = row["name"].as_str().unwrap();
        let Some(found) = types.iter().find(|found| found.name == name) else { continue };
        compared += 1;
        let family = name.split('.').next().unwrap_or_default();
        let mut differs = |what: &str, expected: &str, found: &str| {
            let is_known = OTHER_INTERFACES.contains(&name) && ["memory", "pods"].contains(&what)
                || what == labels::INSTANCE_CPU_CLOCK && OTHER_SPEED.contains(&family);
            if !is_known {
                differences.push(format!("{name}: {what} is {found}, published is {expected}"));
            }
        };
        for (resource, expected) in row["allocatable"].as_object().unwrap() {
            let amount = found.resources.allocatable().amount(resource);
            let expected = expected.as_str().unwrap();
            if amount != expected.parse().unwrap() {
                differs(resource, expected, &amount.to_string());
            }
        }
        let published = row["labels"].as_object().unwrap();
        for (label, expected) in published {
            let value = found.requirements.get(label).and_then(Requirement::single_value);
            if value != expected.as_str() {
                differs(label, expected.as_str().unwrap(), &format!("{value:?}"));
            }
        }
        // No label that is not published; what is not in the published table at all is left out.
        for requirement in
            found.requirements.iter().filter(|known| known.key().starts_with("karpenter.k8s.aws/"))
        {
            let is_listed = published.contains_key(requirement.key());
            let is_unpublished =
                [labels::NITRO_SANDBOX, labels::INSTANCE_TENANCY, labels::INSTANCE_HYPERVISOR]
                    .contains(&requirement.key());
            if !is_listed && !is_unpublished && !requirement.allows_absence() {
                differs(requirement.key(), "absent", &requirement.to_string());
            }
        }
    }
    assert!(compared > 1300, "{compared}");
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}
