//! A running instance becomes a node only through its user data.

use std::time::{Duration, Instant};

use base64::prelude::{BASE64_STANDARD, Engine};
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use treenail_lab::certificates::Certificates;
use treenail_lab::kubelet::Boot;
use treenail_lab::shared::on_lab;
use treenail_lab::{Lab, User, UserData};

async fn launch(lab: &Lab, user_data: &str) -> String {
    let (subnet, _) = lab.ec2().discovery_subnets().await.unwrap().remove(0);
    lab.ec2().run_instance("m5a.large", &subnet, user_data).await.unwrap()
}

/// The machine of such an instance does not join; returns why.
async fn does_not_join(lab: &Lab, user_data: &str) -> String {
    let id = launch(lab, user_data).await;
    let deadline = Instant::now() + Duration::from_secs(20);
    let reason = loop {
        match lab.boots().remove(&id) {
            Some(Boot::Failed(reason)) => break reason,
            Some(Boot::Registered(node)) => panic!("{id} registered {node}"),
            boot => assert!(Instant::now() < deadline, "{id}: {boot:?}"),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let nodes = Api::<Node>::all(lab.client(&User::administrator()).await.unwrap());
    let nodes = nodes.list(&ListParams::default()).await.unwrap();
    assert!(
        !nodes.iter().any(|node| node.spec.as_ref().unwrap().provider_id.as_ref().unwrap().ends_with(&id))
    );
    lab.ec2().terminate_instance(&id).await.unwrap();
    reason
}

/// The disk of a node, in GiB, as it tells its cluster.
async fn disk(lab: &Lab, instance: &str) -> u64 {
    let name = lab.registered_node(instance).await.unwrap();
    let nodes = Api::<Node>::all(lab.client(&User::administrator()).await.unwrap());
    let capacity = nodes.get(&name).await.unwrap().status.unwrap().capacity.unwrap();
    lab.ec2().terminate_instance(instance).await.unwrap();
    capacity["ephemeral-storage"].0.parse::<u64>().unwrap() >> 30
}

#[test]
fn a_disk_is_as_large_as_the_image_or_the_launch_template_says() {
    on_lab(async |lab| {
        let user_data = UserData::of(lab.endpoint()).archive();
        assert_eq!(disk(lab, &launch(lab, &user_data).await).await, 20);

        let (subnet, _) = lab.ec2().discovery_subnets().await.unwrap().remove(0);
        let template = [
            ("LaunchTemplateName", "disk"),
            ("LaunchTemplateData.ImageId", "ami-0a1b2c3d4e5f60001"),
            ("LaunchTemplateData.UserData", &BASE64_STANDARD.encode(&user_data)),
            ("LaunchTemplateData.BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("LaunchTemplateData.BlockDeviceMapping.1.Ebs.VolumeSize", "120"),
        ];
        lab.ec2().call("CreateLaunchTemplate", &template).await.unwrap();
        let fleet = [
            ("Type", "instant"),
            ("TargetCapacitySpecification.TotalTargetCapacity", "1"),
            ("TargetCapacitySpecification.DefaultTargetCapacityType", "on-demand"),
            ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName", "disk"),
            ("LaunchTemplateConfigs.1.LaunchTemplateSpecification.Version", "$Latest"),
            ("LaunchTemplateConfigs.1.Overrides.1.InstanceType", "m5a.large"),
            ("LaunchTemplateConfigs.1.Overrides.1.SubnetId", &subnet),
        ];
        let answer = lab.ec2().call("CreateFleet", &fleet).await.unwrap();
        let (_, id) = answer.split_once("<item>i-").or_else(|| answer.split_once(">i-")).expect(&answer);
        let id = format!("i-{}", id.split_once('<').unwrap().0);
        assert_eq!(disk(lab, &id).await, 120);
    });
}

#[test]
fn labels_and_taints_come_from_the_user_data() {
    on_lab(async |lab| {
        let user_data = UserData::of(lab.endpoint()).label("team=blue").taint("node-type", "x", "NoSchedule");
        let id = launch(lab, &user_data.archive()).await;
        let name = lab.registered_node(&id).await.unwrap();
        let nodes = Api::<Node>::all(lab.client(&User::administrator()).await.unwrap());
        let node = nodes.get(&name).await.unwrap();
        assert_eq!(node.labels()["team"], "blue");
        assert_eq!(node.labels()["node.kubernetes.io/instance-type"], "m5a.large");
        let spec = node.spec.unwrap();
        assert!(spec.provider_id.unwrap().ends_with(&id));
        assert!(
            spec.taints.unwrap().iter().any(|taint| taint.key == "node-type" && taint.effect == "NoSchedule")
        );

        lab.ec2().terminate_instance(&id).await.unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        while lab.boots().get(&id) != Some(&Boot::Off) {
            assert!(Instant::now() < deadline, "the machine did not go off");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
}

#[test]
fn broken_user_data_gives_no_node() {
    on_lab(async |lab| {
        let reason = does_not_join(lab, "#!/bin/sh\necho hello\n").await;
        assert!(reason.contains("not a MIME archive"), "{reason}");
        let archive = UserData::of(lab.endpoint()).archive();
        let reason = does_not_join(lab, &archive.replace("cluster:", "cluster: [")).await;
        assert!(reason.contains("cannot be read"), "{reason}");
    });
}

#[test]
fn a_machine_that_trusts_another_authority_does_not_join() {
    on_lab(async |lab| {
        let mut user_data = UserData::of(lab.endpoint());
        user_data.authority = Certificates::generate(&["127.0.0.1".to_owned()]).unwrap().authority;
        let reason = does_not_join(lab, &user_data.archive()).await;
        assert!(reason.contains("reach the API server"), "{reason}");
    });
}

#[test]
fn a_machine_that_is_told_another_endpoint_does_not_join() {
    on_lab(async |lab| {
        let mut user_data = UserData::of(lab.endpoint());
        user_data.endpoint = "https://127.0.0.1:1".to_owned();
        let reason = does_not_join(lab, &user_data.archive()).await;
        assert!(reason.contains("reach the API server"), "{reason}");
    });
}

#[test]
fn a_node_cannot_give_itself_a_restricted_label() {
    on_lab(async |lab| {
        let label = "workload-type.node-restriction.kubernetes.io/application=";
        let reason = does_not_join(lab, &UserData::of(lab.endpoint()).label(label).archive()).await;
        assert!(reason.contains("node-restriction.kubernetes.io"), "{reason}");
    });
}
