use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;
use serde_json::{Value, json};

use super::facts::{Gpu, Neuron, Usage};
use super::*;
use crate::api::ec2nodeclass::{Ec2NodeClass, InstanceStorePolicy};
use crate::api::labels;
use crate::cloud::ec2::fake::{type_facts, with_gpu};
use crate::model::Requirements;
use crate::model::instance_type::CapacityType;

/// Interfaces and addresses as EC2 says of them.
fn facts(name: &str, cpus: u64, mebibytes: u64, interfaces: u64, addresses: u64) -> TypeFacts {
    TypeFacts {
        memory_mebibytes: mebibytes,
        interfaces,
        addresses_per_interface: addresses,
        ..type_facts(name, cpus, 0)
    }
}

fn m5_large() -> TypeFacts {
    facts("m5.large", 2, 8192, 3, 10)
}

fn class(spec: Value, status: Value) -> Ec2NodeClass {
    let mut all = json!({
        "subnetSelectorTerms": [{ "id": "subnet-1" }],
        "securityGroupSelectorTerms": [{ "id": "sg-1" }],
        "amiSelectorTerms": [{ "alias": "al2023@latest" }],
        "role": "node",
    });
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let object = json!({
        "apiVersion": "karpenter.k8s.aws/v1",
        "kind": "EC2NodeClass",
        "metadata": { "name": "default" },
        "spec": all,
        "status": status,
    });
    serde_json::from_value(object).unwrap()
}

fn region() -> Region {
    Region {
        name: "us-east-1".to_owned(),
        prices: Prices::of_region("us-east-1"),
        assumptions: Assumptions::default(),
    }
}

fn shape(spec: Value) -> Shape {
    Shape::read(&class(spec, json!({}))).unwrap()
}

/// Allocatable cpu, memory, pods and ephemeral storage.
fn check(facts: &TypeFacts, spec: Value, assumptions: Assumptions, expected: [&str; 4]) {
    let resources = capacity::resources(facts, &shape(spec.clone()), assumptions);
    let found = ["cpu", "memory", "pods", "ephemeral-storage"]
        .map(|name| resources.allocatable().amount(name).to_string());
    assert_eq!(found, expected, "{} {spec}", facts.name);
}

#[test]
fn machines_leave_for_pods_what_karpenter_says() {
    let plain = |facts: TypeFacts, expected| check(&facts, json!({}), Assumptions::default(), expected);
    plain(m5_large(), ["1930m", "6903Mi", "29", "17Gi"]);
    let t4g = TypeFacts { architecture: "arm64".to_owned(), ..facts("t4g.small", 2, 2048, 3, 4) };
    plain(t4g, ["1930m", "1359Mi", "11", "17Gi"]);
    plain(facts("g4dn.8xlarge", 32, 131_072, 4, 15), ["31850m", "120248Mi", "58", "17Gi"]);
    plain(facts("m5.metal", 96, 393_216, 15, 50), ["95690m", "355262Mi", "737", "17Gi"]);
}

#[test]
fn settings_of_the_class_change_what_is_left() {
    let with = |spec: Value, expected| check(&m5_large(), spec, Assumptions::default(), expected);
    // The image reserves for as many pods as the type could run.
    with(json!({ "kubelet": { "maxPods": 10 } }), ["1930m", "6903Mi", "10", "17Gi"]);
    with(json!({ "kubelet": { "podsPerCore": 4 } }), ["1930m", "6903Mi", "8", "17Gi"]);
    with(json!({ "kubelet": { "podsPerCore": 0 } }), ["1930m", "6903Mi", "29", "17Gi"]);
    with(json!({ "kubelet": { "podsPerCore": 4, "maxPods": 5 } }), ["1930m", "6903Mi", "5", "17Gi"]);
    with(json!({ "kubelet": { "kubeReserved": { "cpu": "100m" } } }), ["1900m", "6903Mi", "29", "17Gi"]);
    with(
        json!({ "kubelet": { "systemReserved": { "cpu": "100m", "memory": "100Mi", "ephemeral-storage": "1Gi" } } }),
        ["1830m", "6803Mi", "29", "16Gi"],
    );
    with(
        json!({ "kubelet": { "evictionHard": { "memory.available": "200Mi", "nodefs.available": "1Gi" } } }),
        ["1930m", "6803Mi", "29", "18Gi"],
    );
    // Five per cent of 7577Mi, rounded up to a byte; all of it means that nobody watches.
    with(
        json!({ "kubelet": { "evictionHard": { "memory.available": "5%", "nodefs.available": "100%" } } }),
        ["1930m", "6945924710", "29", "19Gi"],
    );
    // What is only a warning to pods is not taken from them.
    with(
        json!({ "kubelet": { "evictionSoft": { "memory.available": "50%" } } }),
        ["1930m", "6903Mi", "29", "17Gi"],
    );
    let disk = |device: &str, root: bool, size: &str| json!({ "deviceName": device, "rootVolume": root, "ebs": { "volumeSize": size } });
    with(
        json!({ "blockDeviceMappings": [disk("/dev/xvda", false, "100Gi")] }),
        ["1930m", "6903Mi", "29", "89Gi"],
    );
    with(
        json!({ "blockDeviceMappings": [disk("/dev/xvdb", false, "100Gi")] }),
        ["1930m", "6903Mi", "29", "17Gi"],
    );
    with(
        json!({ "blockDeviceMappings": [disk("/dev/xvda", false, "20Gi"), disk("/dev/xvdb", true, "100Gi")] }),
        ["1930m", "6903Mi", "29", "89Gi"],
    );
}

#[test]
fn assumptions_change_what_is_left() {
    let with = |memory_overhead_millionths, reserved_interfaces, expected| {
        let assumptions = Assumptions { memory_overhead_millionths, reserved_interfaces };
        check(&m5_large(), json!({}), assumptions, expected);
    };
    with(0, 0, ["1930m", "7518Mi", "29", "17Gi"]);
    with(65_000, 0, ["1930m", "6985Mi", "29", "17Gi"]);
    with(75_000, 1, ["1930m", "6903Mi", "20", "17Gi"]);
    with(75_000, 3, ["1930m", "6903Mi", "0", "17Gi"]);
    with(75_000, 9, ["1930m", "6903Mi", "0", "17Gi"]);
}

#[test]
fn striped_local_disks_are_what_pods_can_use() {
    let facts = TypeFacts { local_disk_gigabytes: Some(75), ..m5_large() };
    let mut shape = shape(json!({}));
    assert_eq!(
        capacity::resources(&facts, &shape, Assumptions::default())
            .capacity()
            .amount("ephemeral-storage")
            .to_string(),
        "20Gi"
    );
    shape.stripes_local_disks = true;
    assert_eq!(
        capacity::resources(&facts, &shape, Assumptions::default())
            .capacity()
            .amount("ephemeral-storage")
            .to_string(),
        "75G"
    );
    assert_eq!(
        capacity::resources(&m5_large(), &shape, Assumptions::default())
            .capacity()
            .amount("ephemeral-storage")
            .to_string(),
        "20Gi"
    );
    let class = class(json!({ "instanceStorePolicy": "RAID0" }), json!({}));
    assert_eq!(class.spec.instance_store_policy, Some(InstanceStorePolicy::Raid0));
    assert!(Shape::read(&class).unwrap().stripes_local_disks);
}

#[test]
fn devices_are_counted_by_maker() {
    let gpu =
        |manufacturer: &str, count| Gpu { manufacturer: manufacturer.to_owned(), count, ..Gpu::default() };
    let facts = TypeFacts {
        gpus: vec![gpu("NVIDIA", 4), gpu("NVIDIA", 1), gpu("AMD", 2), gpu("Habana", 8), gpu("nvidia", 7)],
        neuron: Some(vec![
            Neuron { name: String::new(), count: 2, cores: 4 },
            Neuron { name: String::new(), count: 1, cores: 1 },
        ]),
        efa_interfaces: 4,
        ..m5_large()
    };
    let resources = capacity::resources(&facts, &shape(json!({})), Assumptions::default());
    let devices: Vec<_> =
        resources.capacity().iter().skip(4).map(|(name, amount)| format!("{name}={amount}")).collect();
    assert_eq!(
        devices,
        [
            "amd.com/gpu=2",
            "aws.amazon.com/neuron=3",
            "aws.amazon.com/neuroncore=8",
            "habana.ai/gaudi=8",
            "nvidia.com/gpu=5",
            "vpc.amazonaws.com/efa=4",
            "vpc.amazonaws.com/pod-eni=9",
        ]
    );
}

#[test]
fn everything_that_is_wrong_with_a_class_is_reported() {
    let class = class(
        json!({
            "amiFamily": "Bottlerocket",
            "kubelet": { "maxPods": -1, "systemReserved": { "cpu": "lots" }, "evictionHard": { "nodefs.available": "ten" } },
            "blockDeviceMappings": [{ "deviceName": "/dev/xvda", "ebs": { "volumeSize": "big" } }],
        }),
        json!({ "amis": [{ "id": "ami-1", "requirements": [{ "key": "a", "operator": "Near", "values": [] }] }] }),
    );
    // While the kubelet's settings cannot be read, its amounts are not looked at.
    let problems = Shape::read(&class).unwrap_err();
    let mentioned = ["Bottlerocket", "maxPods", "volumeSize", "ami-1"];
    assert_eq!(problems.len(), mentioned.len(), "{problems:?}");
    for (problem, mentioned) in problems.iter().zip(mentioned) {
        assert!(problem.contains(mentioned), "{problem}");
    }
}

/// A class with a subnet in each of the first two zones, one more in the first, and images for both architectures.
fn resolved() -> Ec2NodeClass {
    let subnet = |id: &str, zone: &str, zone_id: &str| json!({ "id": id, "zone": zone, "zoneID": zone_id });
    let image = |id: &str, arch: &str| {
        let absent = |key: &str| json!({ "key": key, "operator": "DoesNotExist" });
        json!({ "id": id, "requirements": [
            { "key": labels::ARCH, "operator": "In", "values": [arch] },
            absent(labels::INSTANCE_GPU_COUNT),
        ] })
    };
    let status = json!({
        "subnets": [
            subnet("subnet-a", "us-east-1a", "use1-az1"),
            subnet("subnet-b", "us-east-1b", "use1-az2"),
            subnet("subnet-a2", "us-east-1a", "use1-az1"),
        ],
        "amis": [image("ami-amd", "amd64"), image("ami-arm", "arm64")],
    });
    class(json!({}), status)
}

fn built(facts: TypeFacts, unavailable: &[Mark]) -> InstanceType {
    let zones = ["us-east-1a", "us-east-1b", "us-east-1c"].map(|zone| (facts.name.clone(), zone.to_owned()));
    let catalog = Catalog::new(vec![facts], zones.into());
    let unavailable: BTreeSet<_> = unavailable.iter().cloned().collect();
    let types = instance_types(&catalog, &region(), &Shape::read(&resolved()).unwrap(), &unavailable);
    types[0].clone()
}

/// `zone` of each offering, with `-` before those that are not available.
fn zones(instance_type: &InstanceType) -> Vec<String> {
    let shown = |available: bool, zone: &str| format!("{}{zone}", if available { "" } else { "-" });
    instance_type.offerings.iter().map(|offering| shown(offering.is_available, &offering.zone)).collect()
}

#[test]
fn a_type_is_offered_where_the_class_has_a_subnet() {
    let m5 = built(m5_large(), &[]);
    assert_eq!(zones(&m5), ["us-east-1a", "us-east-1b", "-us-east-1c"]);
    let first = &m5.offerings[0];
    assert_eq!((first.price.to_string().as_str(), first.capacity_type), ("$0.096/h", CapacityType::OnDemand));
    assert_eq!(first.labels[labels::ZONE_ID], "use1-az1");
    let allows =
        |requirements: &Requirements, key: &str, value: &str| requirements.get(key).unwrap().has(value);
    assert!(
        allows(&m5.requirements, labels::ZONE, "us-east-1b")
            && !allows(&m5.requirements, labels::ZONE, "us-east-1c")
    );
    assert!(allows(&m5.requirements, labels::ZONE_ID, "use1-az2"));
}

#[test]
fn missing_capacity_closes_an_offering_and_full_subnets_a_zone() {
    let offering = |zone: &str| Mark::Offering {
        capacity_type: CapacityType::OnDemand,
        instance_type: "m5.large".to_owned(),
        zone: zone.to_owned(),
    };
    let subnet = |id: &str| Mark::Subnet(id.to_owned());
    let cases: [(&[Mark], [&str; 3]); 4] = [
        (&[offering("us-east-1a")], ["-us-east-1a", "us-east-1b", "-us-east-1c"]),
        (&[subnet("subnet-a")], ["us-east-1a", "us-east-1b", "-us-east-1c"]),
        (&[subnet("subnet-a"), subnet("subnet-a2")], ["-us-east-1a", "us-east-1b", "-us-east-1c"]),
        (&[subnet("subnet-b"), offering("us-east-1a")], ["-us-east-1a", "-us-east-1b", "-us-east-1c"]),
    ];
    for (marks, expected) in cases {
        assert_eq!(zones(&built(m5_large(), marks)), expected, "{marks:?}");
    }
    assert_eq!(
        zones(&built(facts("m5.xlarge", 4, 16384, 4, 15), &[offering("us-east-1a")]))[0],
        "us-east-1a"
    );
}

#[test]
fn what_no_image_runs_on_or_has_no_price_cannot_be_bought() {
    // There is no image with drivers for GPUs, and none for processors of the first Graviton.
    assert_eq!(zones(&built(with_gpu(facts("g4dn.xlarge", 4, 16384, 3, 10)), &[]))[0], "-us-east-1a");
    let a1 = TypeFacts { architecture: "arm64".to_owned(), ..facts("a1.large", 2, 4096, 3, 10) };
    assert_eq!(zones(&built(a1, &[]))[0], "-us-east-1a");
    assert_eq!(zones(&built(facts("z9.huge", 2, 4096, 3, 10), &[])), [""; 0]);
    let spot_only = TypeFacts { usage: Usage { on_demand: false, spot: true }, ..m5_large() };
    assert_eq!(zones(&built(spot_only, &[])), [""; 0]);
}

/// cpu, memory and pods of every type of the published table, from its labels: pods tell what the network allows.
#[test]
#[expect(clippy::disallowed_methods, reason = "the test's data is found by an environment variable")]
fn every_published_type_leaves_what_the_table_says() {
    let Ok(folder) = std::env::var("TREENAIL_DATA") else {
        println!("skipped: TREENAIL_DATA does not name the folder with aws_us-east-1_catalog.json");
        return;
    };
    let path = std::path::Path::new(&folder).join("aws_us-east-1_catalog.json");
    let types: Vec<Value> = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(types.len() > 1300);
    for published in types {
        let label = |key: &str| published["labels"][key].as_str().unwrap().to_owned();
        let pods: u64 = published["allocatable"]["pods"].as_str().unwrap().parse().unwrap();
        let facts = TypeFacts {
            architecture: label(labels::ARCH),
            // One interface with as many addresses as give this number of pods.
            ..facts(
                published["name"].as_str().unwrap(),
                label(labels::INSTANCE_CPU).parse().unwrap(),
                label(labels::INSTANCE_MEMORY).parse().unwrap(),
                1,
                pods - 1,
            )
        };
        let expected = ["cpu", "memory", "pods", "ephemeral-storage"]
            .map(|name| ApiQuantity(published["allocatable"][name].as_str().unwrap().to_owned()).0);
        check(&facts, json!({}), Assumptions::default(), expected.each_ref().map(String::as_str));
    }
}
