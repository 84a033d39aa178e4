//! What a class resolves to, and what goes with it.

use super::*;
use crate::cloud::ec2::client::ImageFacts;

#[tokio::test]
async fn a_role_gets_an_instance_profile_that_is_found_again() {
    let mut world = World::new();
    world.class.status = None;
    let profile =
        async |world: &World| world.ec2.resolve_class(&world.class, &world.cluster).await.instance_profile;
    let Resolution::Found(name) = profile(&world).await else { panic!("there is a profile") };
    assert_eq!(world.fake().account().profiles[&name].as_deref(), Some("node"));
    // Remembered, and in a new process found.
    world.fake().take_calls();
    assert_eq!(profile(&world).await, Resolution::Found(name.clone()));
    assert!(!world.fake().take_calls().iter().any(|call| call.contains("Profile")));
    world.ec2.profiles = Answers::lasting(cache::INSTANCE_PROFILES);
    assert_eq!(profile(&world).await, Resolution::Found(name.clone()));
    assert_eq!(world.fake().account().profiles.len(), 1);
    // A crash between its creation and its role.
    world.ec2.profiles = Answers::lasting(cache::INSTANCE_PROFILES);
    world.fake().account().profiles.insert(name.clone(), None);
    assert_eq!(profile(&world).await, Resolution::Found(name.clone()));
    assert_eq!(world.fake().account().profiles[&name].as_deref(), Some("node"));
    // Somebody put another role in it.
    world.ec2.profiles = Answers::lasting(cache::INSTANCE_PROFILES);
    world.fake().account().profiles.insert(name.clone(), Some("other".to_owned()));
    assert!(matches!(profile(&world).await, Resolution::Unusable { reason: "InstanceProfileTaken", .. }));
    // There is no such role.
    world.class.spec.role = Some("nobody".to_owned());
    assert!(matches!(profile(&world).await, Resolution::Unusable { reason: "RoleNotFound", .. }));
    // A given profile is taken as it is.
    (world.class.spec.role, world.class.spec.instance_profile) = (None, Some("mine".to_owned()));
    world.fake().take_calls();
    assert_eq!(profile(&world).await, Resolution::Found("mine".to_owned()));
    assert!(!world.fake().take_calls().iter().any(|call| call.contains("Profile")));
}

#[tokio::test]
async fn a_profile_in_the_status_serves_while_it_holds_the_role() {
    let world = World::new();
    world.fake().account().profiles.insert("lab_profile".to_owned(), Some("node".to_owned()));
    let profile =
        async |world: &World| world.ec2.resolve_class(&world.class, &world.cluster).await.instance_profile;
    assert_eq!(profile(&world).await, Resolution::Found("lab_profile".to_owned()));
    world.fake().account().profiles.insert("lab_profile".to_owned(), Some("other".to_owned()));
    world.clock.advance(cache::INSTANCE_PROFILES);
    let Resolution::Found(name) = profile(&world).await else { panic!("there is a profile") };
    assert_ne!(name, "lab_profile");
}

#[tokio::test]
async fn a_class_that_goes_takes_its_templates_and_profiles_with_it_and_no_others() {
    let mut world = World::new();
    world.class.status.as_mut().unwrap().instance_profile = None;
    let resolved = world.ec2.resolve_class(&world.class, &world.cluster).await.instance_profile;
    let Resolution::Found(profile) = resolved else { panic!("there is a profile") };
    world.class.status.as_mut().unwrap().instance_profile = Some(profile);
    world.launch("uid-1", 0).await.unwrap();
    let template = world.fake().account().templates.values().next().unwrap().clone();
    world.fake().account().templates.insert("karpenter.k8s.aws/17".to_owned(), template.clone());
    let mut other = template;
    other.tags.insert(labels::EC2NODECLASS_TAG.to_owned(), "other".to_owned());
    world.fake().account().templates.insert(other.name(), other.clone());
    for _ in 0..2 {
        world.ec2.release_class(&world.class, &world.cluster).await.unwrap();
        let account = world.fake().account();
        let names: Vec<_> = account.templates.keys().cloned().collect();
        assert_eq!(names, ["karpenter.k8s.aws/17".to_owned(), other.name()]);
        assert!(account.profiles.is_empty());
    }
}

#[tokio::test]
async fn what_would_make_every_launch_fail_is_found_when_the_class_is_resolved() {
    let obstacle = async |change: &dyn Fn(&mut World)| {
        let mut world = World::new();
        change(&mut world);
        let refused = world.launch("uid-1", 0).await.err().map(|error| error.reason);
        let found = world.ec2.resolve_class(&world.class, &world.cluster).await.obstacle;
        assert_eq!(refused, found.as_ref().map(|obstacle| obstacle.reason), "as a launch would say");
        found.map(|obstacle| obstacle.message)
    };
    assert_eq!(obstacle(&|_| {}).await, None);
    let message = obstacle(&|world| world.cluster.dns_address = "fd00::a".parse().unwrap()).await.unwrap();
    assert!(message.contains("fd00::a") && message.contains("IPv4"), "{message}");
    let mapping = json!([{ "deviceName": "/dev/xvda", "ebs": { "volumeSize": "20Gi", "iops": i64::MAX } }]);
    let mappings: Vec<_> = serde_json::from_value(mapping).unwrap();
    let message = obstacle(&|world| world.class.spec.block_device_mappings = mappings.clone()).await.unwrap();
    assert!(message.contains("spec.blockDeviceMappings") && message.contains("iops"), "{message}");
    let kubelet = [("maxPods".to_owned(), json!("many"))].into();
    let kubelet: BTreeMap<String, Value> = kubelet;
    let message = obstacle(&|world| world.class.spec.kubelet = Some(kubelet.clone())).await.unwrap();
    assert!(message.contains("maxPods"), "{message}");
}

#[tokio::test]
async fn resolving_a_class_asks_for_everything_and_reports_each_part() {
    let world = World::new();
    world.fake().account().images.push(ImageFacts {
        id: "ami-1".to_owned(),
        name: None,
        architecture: "x86_64".to_owned(),
        created: String::new(),
        deprecated_from: None,
    });
    let folder = "/aws/service/eks/optimized-ami/1.36/amazon-linux-2023";
    world
        .fake()
        .account()
        .parameters
        .insert(format!("{folder}/x86_64/standard/recommended/image_id"), "ami-1".to_owned());
    let resolved = world.ec2.resolve_class(&world.class, &world.cluster).await;
    assert!(matches!(resolved.subnets, Resolution::Unusable { reason: "SubnetsNotFound", .. }));
    assert!(matches!(
        resolved.security_groups,
        Resolution::Unusable { reason: "SecurityGroupsNotFound", .. }
    ));
    assert!(matches!(resolved.amis, Resolution::Found(ref amis) if amis.len() == 1));
    assert!(matches!(resolved.instance_profile, Resolution::Found(_)));
}
