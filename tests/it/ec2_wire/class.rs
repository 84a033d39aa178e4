//! What a class resolves to, and what it decides about its instances.

use super::*;

#[test]
fn a_class_is_resolved_by_tags_alias_and_role() {
    on_lab(async |lab| {
        let ec2 = provider(lab).await;
        let cluster = cluster(lab, ec2).await;
        assert_eq!(cluster.service_cidr, "172.20.0.0/16");
        let (_, endpoint) = ec2.cluster_network(CLUSTER_NAME).await.unwrap();
        assert!(endpoint.is_some_and(|endpoint| endpoint.starts_with("https://")), "EKS names it");
        let class = resolved(ec2, &cluster, class("resolved", json!({}))).await;
        let status = class.status.as_ref().unwrap();
        let zones: BTreeSet<_> = status.subnets.iter().map(|subnet| subnet.zone.as_str()).collect();
        assert_eq!(zones, BTreeSet::from(["us-east-1a", "us-east-1b", "us-east-1c"]));
        assert!(status.subnets.iter().all(|subnet| subnet.zone_id.is_some()));
        assert_eq!(status.security_groups.len(), 1);
        let images: Vec<_> = status.amis.iter().map(|ami| ami.id.as_str()).collect();
        assert_eq!(images, ["ami-0a1b2c3d4e5f60001", "ami-0a1b2c3d4e5f60002"]);
        let profile = status.instance_profile.as_deref().unwrap();
        assert!(profile.starts_with("lab_"), "{profile}");

        // A process that knows nothing finds the same, by ids and by name too.
        let by_id = json!({
            "subnetSelectorTerms": [{ "id": status.subnets[0].id }],
            "securityGroupSelectorTerms": [{ "name": status.security_groups[0].name }],
        });
        let again = resolved(&new_provider(lab).await, &cluster, self::class("resolved", by_id))
            .await
            .status
            .unwrap();
        assert_eq!(again.subnets, status.subnets[..1]);
        assert_eq!(again.security_groups, status.security_groups);
        assert_eq!(again.instance_profile, status.instance_profile);

        let nothing = json!({
            "subnetSelectorTerms": [{ "tags": { "karpenter.sh/discovery": "elsewhere" } }],
            "role": "nobody",
            "amiSelectorTerms": [{ "alias": "al2023@v19990101" }],
        });
        let unresolved = ec2.resolve_class(&self::class("unresolved", nothing), &cluster).await;
        assert!(matches!(unresolved.subnets, Resolution::Unusable { reason: "SubnetsNotFound", .. }));
        assert!(matches!(unresolved.amis, Resolution::Unusable { reason: "AMINotFound", .. }));
        assert!(matches!(unresolved.instance_profile, Resolution::Unusable { reason: "RoleNotFound", .. }));
        ec2.release_class(&class, &cluster).await.unwrap();
        ec2.release_class(&self::class("unresolved", json!({})), &cluster).await.unwrap();
    });
}

#[test]
fn a_class_decides_disks_metadata_and_monitoring_of_its_instances() {
    on_lab(async |lab| {
        let ec2 = provider(lab).await;
        let cluster = cluster(lab, ec2).await;
        let changes = json!({
            "blockDeviceMappings": [{ "deviceName": "/dev/xvda", "ebs": { "volumeSize": "40Gi", "volumeType": "gp3", "iops": 4000 } }],
            "metadataOptions": { "httpPutResponseHopLimit": 2 },
            "detailedMonitoring": true,
            "associatePublicIPAddress": false,
            "kubelet": { "maxPods": 20, "kubeReserved": { "memory": "1Gi" } },
        });
        let class = resolved(ec2, &cluster, class("shaped", changes)).await;
        let requirements = requirements(&[(labels::INSTANCE_TYPE, &["m5a.large"])]);
        let claim = Claim { uid: "uid-shaped", class: &class, cluster: &cluster, requirements };
        let launched = claim.launch(ec2).await.unwrap();
        let call = calls_with_token(lab, "uid-shaped-0").remove(0);
        let name = &call.parameters["LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName"];
        let created = lab.front().calls().into_iter().find(|call| {
            call.action == "CreateLaunchTemplate" && call.parameters.get("LaunchTemplateName") == Some(name)
        });
        let created = created.unwrap().parameters;
        let data = |key: &str| created.get(&format!("LaunchTemplateData.{key}")).map(String::as_str);
        for (key, expected) in [
            ("BlockDeviceMapping.1.DeviceName", "/dev/xvda"),
            ("BlockDeviceMapping.1.Ebs.VolumeSize", "40"),
            ("BlockDeviceMapping.1.Ebs.VolumeType", "gp3"),
            ("BlockDeviceMapping.1.Ebs.Iops", "4000"),
            ("CapacityReservationSpecification.CapacityReservationPreference", "none"),
            ("IamInstanceProfile.Name", &launched.instance_profile),
            ("ImageId", "ami-0a1b2c3d4e5f60001"),
            ("MetadataOptions.HttpEndpoint", "enabled"),
            ("MetadataOptions.HttpProtocolIpv6", "disabled"),
            ("MetadataOptions.HttpPutResponseHopLimit", "2"),
            ("MetadataOptions.HttpTokens", "required"),
            ("MetadataOptions.InstanceMetadataTags", "disabled"),
            ("Monitoring.Enabled", "true"),
            ("NetworkInterface.1.AssociatePublicIpAddress", "false"),
            ("NetworkInterface.1.DeviceIndex", "0"),
            ("Placement.Tenancy", "default"),
        ] {
            assert_eq!(data(key), Some(expected), "{key} of {created:#?}");
        }
        // Groups stand at the interface, where alone EC2 accepts them beside one.
        assert!(data("NetworkInterface.1.SecurityGroupId.1").is_some_and(|id| id.starts_with("sg-")));
        assert_eq!(data("SecurityGroupId.1"), None);
        for (key, expected) in [("Type", "instant"), ("OnDemandOptions.AllocationStrategy", "lowest-price")] {
            assert_eq!(call.parameters.get(key).map(String::as_str), Some(expected), "{key}");
        }

        let (_, id) = launched.provider_id.as_str().rsplit_once('/').unwrap();
        let name = lab.registered_node(id).await.unwrap();
        let nodes: Api<Node> = Api::all(lab.client(&User::administrator()).await.unwrap());
        let allocatable = nodes.get(&name).await.unwrap().status.unwrap().allocatable.unwrap();
        let allocatable = ResourceList::from_api(&allocatable).unwrap();
        for name in ["cpu", "memory", "pods"] {
            assert_eq!(launched.allocatable.amount(name), allocatable.amount(name), "{name}");
        }
        until_gone(ec2, &launched).await;
        ec2.release_class(&class, &cluster).await.unwrap();
    });
}
