//! What is launched for a claim, and what is refused.

use expect_test::expect;

use super::*;
use crate::cloud::ec2::fake::refusal;
use crate::ports::cloud::InstanceState;

#[tokio::test]
async fn a_claim_is_launched_as_the_cheapest_type_and_a_warm_launch_is_one_call() {
    let world = World::new();
    let launched = world.launch("uid-1", 0).await.unwrap();
    assert_eq!(launched.provider_id.as_str(), "aws:///us-east-1a/i-1");
    assert_eq!((launched.instance_type.as_str(), launched.zone.as_str()), ("c7i.xlarge", "us-east-1a"));
    assert_eq!(
        (launched.image_id.as_str(), launched.instance_profile.as_str()),
        ("ami-standard", "lab_profile")
    );
    assert_eq!(launched.labels[labels::CAPACITY_TYPE], "on-demand");
    assert_eq!(launched.labels[labels::INSTANCE_TENANCY], "default");
    assert_eq!(launched.labels[labels::ZONE], "us-east-1a");
    assert_eq!(launched.labels[labels::INSTANCE_CPU], "4");
    assert_eq!(launched.allocatable.amount("cpu").to_string(), "3920m");
    assert_eq!(
        world.fake().take_calls(),
        [
            "DescribeInstanceTypes",
            "DescribeInstanceTypeOfferings",
            "DescribeLaunchTemplates",
            "CreateLaunchTemplate",
            "CreateFleet",
        ]
    );
    world.launch("uid-2", 0).await.unwrap();
    assert_eq!(world.fake().take_calls(), ["CreateFleet"]);
}

#[tokio::test]
async fn the_fleet_request_and_its_template_are_these() {
    let world = World::new();
    world.launch("uid-1", 0).await.unwrap();
    let account = world.fake().account();
    let mut fleet = serde_json::to_value(&account.fleets[0]).unwrap();
    fleet["configs"][0]["template"] = "(name)".into();
    expect![[r#"
        {
          "configs": [
            {
              "overrides": [
                {
                  "image": "ami-standard",
                  "instance_type": "c7i.xlarge",
                  "price": "$0.1785/h",
                  "subnet": "subnet-a",
                  "zone": "us-east-1a"
                },
                {
                  "image": "ami-standard",
                  "instance_type": "c7i.xlarge",
                  "price": "$0.1785/h",
                  "subnet": "subnet-b",
                  "zone": "us-east-1b"
                },
                {
                  "image": "ami-standard",
                  "instance_type": "c7i.2xlarge",
                  "price": "$0.357/h",
                  "subnet": "subnet-a",
                  "zone": "us-east-1a"
                },
                {
                  "image": "ami-standard",
                  "instance_type": "c7i.2xlarge",
                  "price": "$0.357/h",
                  "subnet": "subnet-b",
                  "zone": "us-east-1b"
                }
              ],
              "template": "(name)"
            }
          ],
          "tags": {
            "cost-centre": "17",
            "eks:eks-cluster-name": "lab",
            "karpenter.k8s.aws/ec2nodeclass": "default",
            "karpenter.sh/nodepool": "application",
            "kubernetes.io/cluster/lab": "owned",
            "treenail.dev/client-token": "uid-1-0"
          },
          "token": "uid-1-0"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&fleet).unwrap());
    let mut template = serde_json::to_value(account.templates.values().next().unwrap()).unwrap();
    template["user_data"] = "(user data)".into();
    expect![[r#"
        {
          "associate_public_ip_address": null,
          "detailed_monitoring": false,
          "disks": [
            {
              "deletes_on_termination": null,
              "device": "/dev/xvda",
              "gibibytes": 20,
              "initialization_rate": null,
              "iops": null,
              "is_encrypted": true,
              "kms_key_id": null,
              "snapshot_id": null,
              "throughput": null,
              "volume_type": "gp3"
            }
          ],
          "efa_interfaces": 0,
          "image_id": "ami-standard",
          "instance_profile": "lab_profile",
          "metadata_options": {
            "httpEndpoint": "enabled",
            "httpProtocolIPv6": "disabled",
            "httpPutResponseHopLimit": 1,
            "httpTokens": "required"
          },
          "security_groups": [
            "sg-1"
          ],
          "tags": {
            "cost-centre": "17",
            "eks:eks-cluster-name": "lab",
            "karpenter.k8s.aws/ec2nodeclass": "default",
            "karpenter.sh/nodepool": "application",
            "kubernetes.io/cluster/lab": "owned"
          },
          "tenancy": "default",
          "user_data": "(user data)"
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&template).unwrap());
}

#[tokio::test]
async fn types_with_different_limits_of_pods_or_images_have_templates_of_their_own() {
    let world = World::new().requires([]);
    world.fake().account().types[1].interfaces = 8;
    world.launch("uid-1", 0).await.unwrap();
    let account = world.fake().account();
    let configs = &account.fleets[0].configs;
    let first: Vec<_> = configs.iter().map(|config| config.overrides[0].instance_type.as_str()).collect();
    assert_eq!(first, ["m5a.large", "c7i.2xlarge"]);
    for config in configs {
        assert!(account.templates.contains_key(&config.template));
    }
}

#[tokio::test]
async fn what_is_offered_is_in_order_of_price_and_no_more_than_sixty_types() {
    let world = World::new();
    let (key, types) = world.ec2.types(&world.class).await.unwrap();
    let mut types = types.to_vec();
    let prices = |dollars: &str| dollars.parse().unwrap();
    for (name, a, b) in [("c7i.xlarge", "2", "1"), ("c7i.2xlarge", "1", "1.5")] {
        let found = types.iter_mut().find(|found| found.name == name).unwrap();
        (found.offerings[0].price, found.offerings[1].price) = (prices(a), prices(b));
    }
    let inputs = launch::Inputs {
        catalog: &key.catalog,
        assumptions: Assumptions::default(),
        shape: &key.shape,
        types: &types,
        unavailable: &key.unavailable,
    };
    let launch = launch::build(inputs, &world.request("uid-1", 0)).unwrap();
    let offered = launch.request.configs[0].overrides.iter();
    let offered: Vec<_> = offered.map(|choice| format!("{}/{}", choice.instance_type, choice.zone)).collect();
    assert_eq!(
        offered,
        [
            "c7i.2xlarge/us-east-1a",
            "c7i.xlarge/us-east-1b",
            "c7i.2xlarge/us-east-1b",
            "c7i.xlarge/us-east-1a"
        ]
    );

    let world = World::new().requires([Requirement::one_of(labels::ZONE, ["us-east-1a"])]);
    let table = include_str!("../tables/prices_us_east_1.txt").lines();
    let names = table
        .filter_map(|row| row.split(' ').next())
        .filter(|name| name.starts_with('m') && !name.contains("metal"));
    world.fake().account().types = names.map(|name| type_facts(name, 4, 16)).collect();
    assert!(world.fake().account().types.len() > 60);
    world.launch("uid-1", 0).await.unwrap();
    assert_eq!(world.offered().len(), 60);
    let cheapest = world.offered()[0].clone();
    let of = |name: &str| Prices::of_region("us-east-1").on_demand(name).unwrap();
    let (cheapest, _) = cheapest.split_once('/').unwrap();
    assert!(world.fake().account().types.iter().all(|facts| of(cheapest) <= of(&facts.name)));
}

#[tokio::test]
async fn adapters_are_attached_and_promised_only_to_claims_that_ask_for_them() {
    let efa = "vpc.amazonaws.com/efa";
    let launch = async |world: World| {
        world.fake().account().types[1].efa_interfaces = 2;
        let size = [Requirement::one_of(labels::INSTANCE_TYPE, ["c7i.2xlarge"])];
        let world = world.requires(size);
        let launched = world.launch("uid-1", 0).await.unwrap();
        let attached = world.fake().account().templates.values().next().unwrap().efa_interfaces;
        (attached, launched.capacity.amount(efa).units(), launched.allocatable.amount(efa).units())
    };
    assert_eq!(launch(World::new()).await, (0, 0, 0));
    assert_eq!(launch(World::new().requests(efa, "1")).await, (2, 2, 2));
}

#[tokio::test]
async fn exotic_and_metal_types_are_for_claims_that_leave_nothing_else() {
    let check = async |requirements: Vec<Requirement>, requests: Option<&str>, expected: &[&str]| {
        let mut world = World::new().requires(requirements);
        if let Some(name) = requests {
            world = world.requests(name, "1");
        }
        world.launch("uid-1", 0).await.unwrap();
        assert_eq!(world.offered(), expected);
    };
    let zone = || Requirement::one_of(labels::ZONE, ["us-east-1b"]);
    check(vec![zone()], None, &["m5a.large/b", "c7i.xlarge/b", "c7i.2xlarge/b"]).await;
    check(vec![zone()], Some("nvidia.com/gpu"), &["g4dn.xlarge/b"]).await;
    let metal = Requirement::one_of(labels::INSTANCE_SIZE, ["metal-24xl"]);
    check(vec![zone(), metal], None, &["c7i.metal-24xl/b"]).await;
    // A claim that wants choice gets all of it.
    let choice = Requirement::exists(labels::INSTANCE_TYPE).with_min_values(5);
    let all = ["m5a.large/b", "c7i.xlarge/b", "c7i.2xlarge/b", "c7i.metal-24xl/b", "g4dn.xlarge/b"];
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let world = World::new().requires([zone(), choice]);
    world.launch("uid-1", 0).await.unwrap();
    assert_eq!(sorted(world.offered()), sorted(all.map(str::to_owned).into()));
}

#[tokio::test]
async fn a_claim_that_nothing_would_do_for_is_refused_with_the_reason() {
    let check = async |world: World, class: ErrorClass, expected: &str| {
        let error = world.launch("uid-1", 0).await.unwrap_err();
        assert_eq!(error.class, class, "{error}");
        let shown = error.to_string();
        let shown = shown.strip_prefix("launch claim application-x7k2q: ").unwrap();
        assert!(shown.contains(expected), "{shown}");
        assert!(!error.is_answered && !world.fake().take_calls().contains(&"CreateFleet"));
    };
    let capacity_type =
        |names: &[&'static str]| vec![Requirement::one_of(labels::CAPACITY_TYPE, names.iter().copied())];
    check(
        World::new().requires(capacity_type(&["spot"])),
        ErrorClass::Other,
        "spot and reserved capacity are not supported yet",
    )
    .await;
    check(
        World::new().requires(capacity_type(&["spot", "reserved"])),
        ErrorClass::Other,
        "not supported yet",
    )
    .await;
    let tenancy = [Requirement::one_of(labels::INSTANCE_TENANCY, ["host"])];
    check(World::new().requires(tenancy), ErrorClass::Other, "allow default or dedicated").await;
    let unknown = [Requirement::one_of(labels::INSTANCE_TYPE, ["z9.huge"])];
    check(World::new().requires(unknown), ErrorClass::NoCapacity, "none of 5 instance types meets").await;
    check(
        World::new().requests("cpu", "1k"),
        ErrorClass::NoCapacity,
        "none of the 3 instance types that meet the requirements offers 1k cpu",
    )
    .await;
    let zone = [Requirement::one_of(labels::ZONE, ["us-east-1c"])];
    check(World::new().requires(zone), ErrorClass::NoCapacity, "none of 5 instance types").await;
    let few = [Requirement::exists(labels::INSTANCE_TYPE).with_min_values(9)];
    check(World::new().requires(few), ErrorClass::NoCapacity, "offer too little choice").await;
    let mut ipv6 = World::new();
    ipv6.cluster.dns_address = "fd00::10".parse().unwrap();
    check(ipv6, ErrorClass::NotReady, "IPv6 clusters are not supported yet").await;
    let mut long = World::new();
    long.labels.extend((0..400).map(|n| (format!("example.com/label-{n:020}"), "v".repeat(60))));
    check(long, ErrorClass::NotReady, "EC2 takes 16384").await;
}

#[tokio::test]
async fn a_claim_that_allows_spot_too_is_launched_on_demand() {
    let both = Requirement::one_of(labels::CAPACITY_TYPE, ["spot", "on-demand"]);
    let launched = World::new().requires([both]).launch("uid-1", 0).await.unwrap();
    assert_eq!(launched.labels[labels::CAPACITY_TYPE], "on-demand");
}

#[tokio::test]
async fn a_class_is_launched_from_only_when_it_is_ready_as_it_is_now() {
    let cases = [
        (ready("True", 2), ErrorClass::Other, "it was changed, and is not looked at yet"),
        (ready("False", 3), ErrorClass::NotReady, "it is not ready: SubnetsReady=False"),
        (ready("Unknown", 3), ErrorClass::Other, "it is not looked at yet"),
        (json!({}), ErrorClass::Other, "it is not looked at yet"),
        (
            json!({ "conditions": ready("True", 3)["conditions"], "subnets": ready("", 3)["subnets"] }),
            ErrorClass::NoCapacity,
            "can be bought now",
        ),
    ];
    for (status, expected, message) in cases {
        let mut world = World::new();
        world.class = class(status.clone());
        let error = world.launch("uid-1", 0).await.unwrap_err();
        assert_eq!(error.class, expected, "{error}");
        assert!(error.to_string().contains(message), "{error}");
    }
    for missing in ["securityGroups", "instanceProfile"] {
        let mut world = World::new();
        let mut status = ready("True", 3);
        status.as_object_mut().unwrap().remove(missing);
        world.class = class(status);
        assert_eq!(world.launch("uid-1", 0).await.unwrap_err().class, ErrorClass::NotReady, "{missing}");
    }
}

#[tokio::test]
async fn an_instance_is_found_until_it_is_gone() {
    let world = World::new();
    let launched = world.launch("uid-1", 0).await.unwrap();
    let id = &launched.provider_id;
    assert_eq!(world.ec2.get(id).await.unwrap().state, InstanceState::Pending);
    let listed = world.ec2.list("lab").await.unwrap();
    assert_eq!(listed.iter().map(|instance| &instance.provider_id).collect::<Vec<_>>(), [id]);
    assert_eq!(listed[0].tags[labels::CLIENT_TOKEN_TAG], "uid-1-0");
    assert_eq!(world.ec2.list("other").await.unwrap(), []);

    world.fake().take_calls();
    world.ec2.terminate("lab", id).await.unwrap();
    world.ec2.terminate("lab", id).await.unwrap();
    assert_eq!(world.fake().take_calls(), ["DescribeInstances", "TerminateInstances", "DescribeInstances"]);
    world.fake().account().instances.clear();
    for id in [id.clone(), ProviderId::new("aws:///us-east-1a/i-unknown"), ProviderId::new("nonsense")] {
        assert_eq!(world.ec2.get(&id).await.unwrap_err().class, ErrorClass::NotFound);
        assert_eq!(world.ec2.terminate("lab", &id).await.unwrap_err().class, ErrorClass::NotFound);
    }
}

#[tokio::test]
async fn the_instance_of_a_claim_is_asked_for_alone_and_one_that_runs_before_others() {
    use InstanceState::{Pending, Running, ShuttingDown, Stopped};
    let world = World::new();
    let first = world.launch("uid-1", 0).await.unwrap().provider_id;
    let second = world.launch("uid-1", 1).await.unwrap().provider_id;
    world.launch("uid-10", 0).await.unwrap();
    let found = async |states: [InstanceState; 2], cluster: &str| {
        for (instance, state) in world.fake().account().instances.iter_mut().zip(states) {
            instance.state = state;
        }
        let found = world.ec2.find_of_claim(cluster, "uid-1").await.unwrap();
        found.map(|instance| instance.provider_id)
    };
    assert_eq!(found([Pending, Running], "lab").await.as_ref(), Some(&first));
    assert_eq!(found([Stopped, Running], "lab").await.as_ref(), Some(&second));
    assert_eq!(found([ShuttingDown, Stopped], "lab").await.as_ref(), Some(&second));
    // It is the claim's until it is gone.
    assert_eq!(found([ShuttingDown, ShuttingDown], "lab").await.as_ref(), Some(&first));
    assert_eq!(found([Pending, Pending], "other").await, None);
    assert_eq!(world.ec2.find_of_claim("lab", "uid").await.unwrap(), None);
}

/// The status of a claim that was restored from another cluster, or written by hand, names it.
#[tokio::test]
async fn an_instance_that_is_not_of_the_cluster_is_never_terminated() {
    let world = World::new();
    let id = world.launch("uid-1", 0).await.unwrap().provider_id;
    assert_eq!(world.ec2.terminate("other", &id).await.unwrap_err().class, ErrorClass::Unauthorised);
    for tag in [labels::NODEPOOL_TAG, labels::EC2NODECLASS_TAG, labels::CLUSTER_NAME_TAG] {
        let tags = world.fake().account().instances[0].tags.clone();
        world.fake().account().instances[0].tags.remove(tag);
        let error = world.ec2.terminate("lab", &id).await.unwrap_err();
        assert_eq!((error.class, error.reason), (ErrorClass::Unauthorised, "InstanceNotOfCluster"), "{tag}");
        world.fake().account().instances[0].tags = tags;
    }
    assert_eq!(world.ec2.get(&id).await.unwrap().state, InstanceState::Pending);
    world.ec2.terminate("lab", &id).await.unwrap();
}

#[tokio::test]
async fn new_types_are_known_after_a_refresh_and_an_outage_takes_none_away() {
    let world = World::new();
    let count = async || world.ec2.instance_types(&world.class).await.unwrap().len();
    assert_eq!(count().await, 5);
    world.fake().account().types.push(type_facts("c7i.4xlarge", 16, 32));
    assert_eq!(count().await, 5);
    world.ec2.refresh().await.unwrap();
    assert_eq!(count().await, 6);
    world.fake().account().outage = Some(refusal("DescribeInstanceTypes", "InternalError"));
    assert_eq!(world.ec2.refresh().await.unwrap_err().class, ErrorClass::Other);
    assert_eq!(count().await, 6);
}

#[tokio::test]
async fn a_list_of_types_is_shared_until_something_changes() {
    let world = World::new();
    let first = world.ec2.instance_types(&world.class).await.unwrap();
    assert!(Arc::ptr_eq(&first, &world.ec2.instance_types(&world.class).await.unwrap()));
    let mut other = world.class.clone();
    other.spec.kubelet = Some([("maxPods".to_owned(), json!(9))].into());
    let second = world.ec2.instance_types(&other).await.unwrap();
    assert_eq!(second[0].resources.allocatable().amount("pods").to_string(), "9");
    other.spec.kubelet = Some([("maxPods".to_owned(), json!("many"))].into());
    assert_eq!(world.ec2.instance_types(&other).await.unwrap_err().class, ErrorClass::NotReady);
}
