//! What people read of failures that they can do something about.

use expect_test::expect;

use super::*;
use crate::cloud::ec2::fake::refusal;
use crate::cloud::ec2::launch::{FleetAnswer, FleetInstance};

/// An instance of a type that is not in the catalogue.
fn strange(mut instance: Instance) -> Instance {
    instance.instance_type = "z9.huge".to_owned();
    instance
}

#[tokio::test]
async fn failures_of_a_launch_and_of_a_termination_say_what_is_wrong_and_what_would_help() {
    let mut told = Vec::new();

    let world = World::new();
    let mismatch = || Err(refusal("CreateFleet", "IdempotentParameterMismatch"));
    world.fake().account().fleet_answers.push_back(mismatch());
    told.push(world.launch("uid-1", 0).await.unwrap_err());

    let id = world.launch("uid-1", 0).await.unwrap().provider_id;
    told.push(world.ec2.terminate("other", &id).await.unwrap_err());

    let instance = strange(world.fake().account().instances[0].clone());
    world.fake().account().instances = vec![instance];
    world.fake().account().fleet_answers.push_back(mismatch());
    told.push(world.launch("uid-1", 0).await.unwrap_err());

    let other = FleetInstance {
        id: "i-7".to_owned(),
        instance_type: Some("z9.huge".to_owned()),
        ..FleetInstance::default()
    };
    let answer = FleetAnswer { instances: vec![other], errors: Vec::new() };
    world.fake().account().fleet_answers.push_back(Ok(answer));
    told.push(world.launch("uid-2", 0).await.unwrap_err());

    let mut long = World::new();
    long.labels.extend((0..400).map(|n| (format!("example.com/label-{n:020}"), "v".repeat(60))));
    told.push(long.launch("uid-1", 0).await.unwrap_err());

    let lines = told.iter().map(|error| format!("{}: {error}\n", error.reason));
    expect![[r#"
        LaunchInDoubt: launch claim application-x7k2q: look for the instance of an earlier launch: EC2 remembers the launch, and shows no instance of it; it may appear in a moment
        InstanceNotOfCluster: terminate instance aws:///us-east-1a/i-1: it has not the tags of an instance of cluster other, so it may be anybody's; if it is to go, terminate it by hand, else take its ID out of the status of the NodeClaim
        LaunchInDoubt: launch claim application-x7k2q: look for the instance of an earlier launch: the instance is of type z9.huge, which is not in the catalogue
        LaunchInDoubt: launch claim application-x7k2q: read the fleet's answer: EC2 launched i-7 as something that was not asked for
        UserDataSizeLimitExceeded: launch claim application-x7k2q: build the launch template: user data would be 40930 bytes, and EC2 takes 16384; use fewer or shorter labels and taints in the NodePool
    "#]].assert_eq(&lines.collect::<String>());
}
