use serde_json::{Value, json};

use super::*;
use crate::cloud::ec2::cache;
use crate::cloud::ec2::client::{GroupFacts, SubnetFacts};
use crate::cloud::ec2::fake::{Account, Fake, refusal};
use crate::ports::ErrorClass;

fn spec(changes: Value) -> Ec2NodeClassSpec {
    let mut spec = json!({
        "subnetSelectorTerms": [{ "tags": { "discovery": "lab" } }],
        "securityGroupSelectorTerms": [{ "tags": { "discovery": "lab" } }],
        "amiSelectorTerms": [{ "alias": "al2023@latest" }],
        "role": "node",
    });
    spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

/// `name=value|value, …` of each call's filters.
fn shown(calls: Vec<Vec<Filter>>) -> Vec<String> {
    let one = |filter: &Filter| format!("{}={}", filter.name, filter.values.join("|"));
    calls.iter().map(|filters| filters.iter().map(one).collect::<Vec<_>>().join(", ")).collect()
}

#[test]
fn terms_become_one_call_for_ids_one_for_names_and_one_for_each_set_of_tags() {
    let subnets = spec(json!({ "subnetSelectorTerms": [
        { "id": "subnet-2" },
        { "tags": { "a": "1", "b": "*" } },
        { "id": "subnet-1", "tags": { "ignored": "beside an id" } },
        { "tags": { "c": "3" } },
    ] }));
    assert_eq!(
        shown(subnet_filters(&subnets.subnet_selector_terms)),
        ["subnet-id=subnet-1|subnet-2", "tag:a=1, tag-key=b", "tag:c=3"]
    );
    let groups = spec(json!({ "securityGroupSelectorTerms": [
        { "name": "nodes" },
        { "tags": { "a": "1" } },
        { "id": "sg-1" },
        { "name": "more", "tags": { "ignored": "beside a name" } },
    ] }));
    assert_eq!(
        shown(security_group_filters(&groups.security_group_selector_terms)),
        ["group-id=sg-1", "group-name=more|nodes", "tag:a=1"]
    );
}

#[tokio::test]
async fn subnets_are_listed_once_by_free_addresses_and_groups_by_id() {
    let subnet = |id: &str, free_addresses| SubnetFacts {
        id: id.to_owned(),
        zone: "us-east-1a".to_owned(),
        zone_id: None,
        free_addresses,
    };
    let group = |id: &str| GroupFacts { id: id.to_owned(), name: None };
    let (tags, ids) = (vec![Filter::tag("discovery", "lab")], vec![Filter::new("subnet-id", ["subnet-b"])]);
    let fake = Fake::new(Account {
        subnets: vec![
            (tags.clone(), subnet("subnet-c", 10)),
            (tags.clone(), subnet("subnet-b", 10)),
            (tags.clone(), subnet("subnet-a", 9)),
            (ids, subnet("subnet-b", 10)),
        ],
        groups: vec![(tags.clone(), group("sg-2")), (tags, group("sg-1"))],
        ..Account::default()
    });
    let spec =
        spec(json!({ "subnetSelectorTerms": [{ "tags": { "discovery": "lab" } }, { "id": "subnet-b" }] }));
    let Resolution::Found(found) = subnets(&fake, &spec, "resolve").await else {
        panic!("subnets are found")
    };
    let ids: Vec<_> = found.iter().map(|subnet| subnet.id.as_str()).collect();
    assert_eq!(ids, ["subnet-b", "subnet-c", "subnet-a"]);
    let Resolution::Found(found) = security_groups(&fake, &spec, "resolve").await else {
        panic!("groups are found")
    };
    let ids: Vec<_> = found.iter().map(|group| group.id.as_str()).collect();
    assert_eq!(ids, ["sg-1", "sg-2"]);
}

#[tokio::test]
async fn finding_nothing_is_an_answer_and_an_outage_is_none() {
    let fake = Fake::default();
    let spec = spec(json!({}));
    let unusable = |reason| move |found: &Resolution<_>| matches!(found, Resolution::Unusable { reason: r, .. } if *r == reason);
    assert!(unusable("SubnetsNotFound")(&subnets(&fake, &spec, "resolve").await));
    let spec_of = |terms| self::spec(json!({ "securityGroupSelectorTerms": terms }));
    let terms = json!([{ "id": "sg-9" }, { "name": "nodes" }, { "tags": { "team": "a", "tier": "b" } }, { "id": "sg-8" }]);
    let Resolution::Unusable { message, .. } = security_groups(&fake, &spec_of(terms), "resolve").await
    else {
        panic!("there is none")
    };
    assert_eq!(
        message,
        "no security group matches spec.securityGroupSelectorTerms (id sg-9; name nodes; tags team=a,tier=b; 1 more)"
    );
    fake.account().outage = Some(refusal("DescribeSubnets", "RequestLimitExceeded"));
    let Resolution::Failed(error) = subnets(&fake, &spec, "resolve class default").await else {
        panic!("it failed")
    };
    assert_eq!(error.class, ErrorClass::Throttled);
    assert_eq!(error.to_string(), "resolve class default: DescribeSubnets: RequestLimitExceeded: no");
}

async fn check_amis(account: Account, alias: &str, expected: &[&str]) {
    let fake = Fake::new(account);
    let parameters = Answers::lasting(cache::PARAMETERS);
    let spec = spec(json!({ "amiSelectorTerms": [{ "alias": alias }] }));
    let now = "2026-11-10T00:00:00Z".parse().unwrap();
    let found = match amis(&fake, &parameters, &spec, "1.36", now, "resolve").await {
        Resolution::Found(found) => found,
        Resolution::Unusable { reason, message } => {
            assert_eq!([format!("{reason}: {message}").as_str()], expected);
            return;
        }
        Resolution::Failed(error) => panic!("{error}"),
    };
    let shown: Vec<_> = found
        .iter()
        .map(|ami| {
            let requirement = |r: &AmiRequirement| {
                let name = r.key.rsplit('/').next().unwrap_or_default();
                format!("{name} {} {}", r.operator, r.values.join("|"))
            };
            let requirements: Vec<_> = ami.requirements.iter().map(requirement).collect();
            format!(
                "{}{}: {}",
                ami.id,
                if ami.deprecated { " (deprecated)" } else { "" },
                requirements.join(", ")
            )
        })
        .collect();
    assert_eq!(shown, expected, "{alias}");
}

fn images(parameters: &[(&str, &str)], deprecated: &[&str]) -> Account {
    let folder = "/aws/service/eks/optimized-ami/1.36/amazon-linux-2023";
    let image = |(name, id): &(&str, &str)| ImageFacts {
        id: (*id).to_owned(),
        name: None,
        architecture: name.split('/').next().unwrap().to_owned(),
        created: format!("2026-11-0{}", id.len() % 10),
        deprecated_from: deprecated.contains(id).then(|| "2026-11-09T00:00:00Z".parse().unwrap()),
    };
    let mut images: Vec<_> = parameters.iter().map(image).collect();
    images.dedup_by(|a, b| a.id == b.id);
    Account {
        images,
        parameters: parameters
            .iter()
            .map(|(name, id)| (format!("{folder}/{name}/image_id"), (*id).to_owned()))
            .collect(),
        ..Account::default()
    }
}

#[tokio::test]
async fn an_alias_becomes_the_images_that_exist_of_its_variants() {
    let latest = [
        ("x86_64/standard/recommended", "ami-1"),
        ("x86_64/nvidia/recommended", "ami-22"),
        ("arm64/standard/recommended", "ami-3"),
    ];
    check_amis(
        images(&latest, &["ami-3"]),
        "al2023@latest",
        &[
            "ami-22: arch In amd64, instance-gpu-count Exists ",
            "ami-1: arch In amd64, instance-gpu-count DoesNotExist , instance-accelerator-count DoesNotExist ",
            "ami-3 (deprecated): arch In arm64, instance-gpu-count DoesNotExist , instance-accelerator-count DoesNotExist ",
        ],
    )
    .await;
    let pinned = [
        ("x86_64/neuron/amazon-eks-node-al2023-x86_64-neuron-1.36-v20261101", "ami-1"),
        ("x86_64/standard/recommended", "ami-2"),
    ];
    check_amis(
        images(&pinned, &[]),
        "al2023@v20261101",
        &["ami-1: arch In amd64, instance-accelerator-count Exists "],
    )
    .await;
}

#[tokio::test]
async fn an_alias_that_cannot_be_used_says_why() {
    let of = async |alias, expected| check_amis(Account::default(), alias, &[expected]).await;
    of(
        "al2023@v1",
        "AMINotFound: there is no image al2023@v1 for Kubernetes 1.36; see spec.amiSelectorTerms",
    )
    .await;
    of(
        "bottlerocket@latest",
        "UnsupportedAlias: spec.amiSelectorTerms: alias bottlerocket@latest is not supported yet; use alias al2023@latest",
    )
    .await;
    of("al2023@", "UnsupportedAlias: spec.amiSelectorTerms: alias al2023@ is not supported yet; use alias al2023@latest").await;
}

#[test]
fn terms_other_than_one_alias_are_refused() {
    for terms in [
        json!([{ "id": "ami-1" }]),
        json!([{ "name": "mine" }]),
        json!([{ "alias": "al2023@latest" }, { "id": "ami-1" }]),
        json!([]),
    ] {
        let spec = spec(json!({ "amiSelectorTerms": terms }));
        let problem = alias_version(&spec.ami_selector_terms).unwrap_err();
        assert!(problem.contains("not supported yet"), "{problem}");
    }
}

#[tokio::test]
async fn parameters_are_read_once_while_they_are_young() {
    let fake = Fake::new(images(&[("x86_64/standard/recommended", "ami-1")], &[]));
    let parameters = Answers::lasting(cache::PARAMETERS);
    let spec = spec(json!({}));
    let mut now: Timestamp = "2026-11-10T00:00:00Z".parse().unwrap();
    for (minutes, expected) in [(0, 5), (29, 0), (1, 5)] {
        now += std::time::Duration::from_secs(minutes * 60);
        amis(&fake, &parameters, &spec, "1.36", now, "resolve").await;
        let calls = fake.take_calls();
        assert_eq!(calls.iter().filter(|call| **call == "GetParameter").count(), expected, "{now}");
    }
}
