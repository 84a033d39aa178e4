//! A claim becomes an instance and a node, once.

use super::*;

#[test]
fn a_claim_becomes_a_node_with_its_taints_and_labels_and_goes_again() {
    on_lab(async |lab| {
        let ec2 = provider(lab).await;
        let cluster = cluster(lab, ec2).await;
        let class = resolved(ec2, &cluster, class("launched", json!({}))).await;
        let claim = Claim {
            uid: "uid-launched",
            class: &class,
            cluster: &cluster,
            requirements: requirements(&[
                (labels::INSTANCE_FAMILY, &["c7i"]),
                (labels::INSTANCE_CPU, &["4", "8"]),
                (labels::ZONE, &["us-east-1b"]),
            ]),
        };
        let launched = claim.launch(ec2).await.unwrap();
        assert_eq!((launched.instance_type.as_str(), launched.zone.as_str()), ("c7i.xlarge", "us-east-1b"));
        assert_eq!(launched.image_id, "ami-0a1b2c3d4e5f60001");

        // A process that knows nothing repeats the launch.
        let repeated = claim.launch(&new_provider(lab).await).await.unwrap();
        assert_eq!(repeated, launched);
        let calls = calls_with_token(lab, "uid-launched-0");
        assert_eq!(calls.len(), 2);
        assert_eq!(calls[0].parameters, calls[1].parameters);
        assert!(calls[0].user_agent.contains("treenail"), "{}", calls[0].user_agent);

        let (_, id) = launched.provider_id.as_str().rsplit_once('/').unwrap();
        let name = lab.registered_node(id).await.unwrap();
        let nodes: Api<Node> = Api::all(lab.client(&User::administrator()).await.unwrap());
        let node = nodes.get(&name).await.unwrap();
        let spec = node.spec.as_ref().unwrap();
        assert_eq!(spec.provider_id.as_deref(), Some(launched.provider_id.as_str()));
        let taints: BTreeSet<_> = spec
            .taints
            .iter()
            .flatten()
            .filter(|taint| !taint.key.starts_with("node.kubernetes.io/"))
            .map(|taint| {
                format!("{}={}:{}", taint.key, taint.value.as_deref().unwrap_or_default(), taint.effect)
            })
            .collect();
        assert_eq!(
            taints.iter().map(String::as_str).collect::<Vec<_>>(),
            [
                "agent.example.com/starting=:NoSchedule",
                "karpenter.sh/unregistered=:NoExecute",
                "node-type=application:NoSchedule",
            ]
        );
        let given: Vec<_> = node
            .labels()
            .iter()
            .filter(|(key, _)| !key.contains("kubernetes.io/"))
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(
            given,
            [
                "karpenter.k8s.aws/ec2nodeclass=default",
                "karpenter.sh/capacity-type=on-demand",
                "karpenter.sh/do-not-sync-taints=true",
                "karpenter.sh/nodepool=application",
                "team=blue",
            ]
        );
        // What was promised is what the machine reckons itself. Its disk is the image's: the endpoint launches fleets without their
        // template's disks.
        let allocatable = node.status.as_ref().unwrap().allocatable.clone().unwrap();
        let allocatable = ResourceList::from_api(&allocatable).unwrap();
        for name in ["cpu", "memory", "pods"] {
            assert_eq!(launched.allocatable.amount(name), allocatable.amount(name), "{name}");
        }

        let instance = ec2.get(&launched.provider_id).await.unwrap();
        assert_eq!((instance.state, instance.instance_type.as_str()), (InstanceState::Running, "c7i.xlarge"));
        for (key, value) in [
            ("cost-centre", "17"),
            ("eks:eks-cluster-name", "lab"),
            ("karpenter.k8s.aws/ec2nodeclass", "launched"),
            ("karpenter.sh/nodepool", "application"),
            ("kubernetes.io/cluster/lab", "owned"),
            ("treenail.dev/client-token", "uid-launched-0"),
        ] {
            assert_eq!(instance.tags.get(key).map(String::as_str), Some(value), "{key}");
        }
        let is_listed = async || {
            let listed = ec2.list(CLUSTER_NAME).await.unwrap();
            listed.iter().any(|instance| instance.provider_id == launched.provider_id)
        };
        assert!(is_listed().await);
        assert!(
            !ec2.list("another").await.unwrap().iter().any(|other| other.provider_id == launched.provider_id)
        );

        until_gone(ec2, &launched).await;
        assert!(!is_listed().await);
        assert_eq!(ec2.get(&launched.provider_id).await.unwrap_err().class, ErrorClass::NotFound);
        ec2.release_class(&class, &cluster).await.unwrap();
    });
}

#[test]
fn a_launch_that_would_ask_for_something_else_after_a_crash_finds_its_instance() {
    on_lab(async |lab| {
        let ec2 = provider(lab).await;
        let cluster = cluster(lab, ec2).await;
        let class = resolved(ec2, &cluster, class("adopted", json!({}))).await;
        let requirements = |cpus: &[&str]| {
            requirements(&[(labels::INSTANCE_FAMILY, &["c7i"]), (labels::INSTANCE_CPU, cpus)])
        };
        let claim =
            |requirements| Claim { uid: "uid-adopted", class: &class, cluster: &cluster, requirements };
        let launched = claim(requirements(&["4"])).launch(ec2).await.unwrap();
        let adopted = claim(requirements(&["4", "8"])).launch(&new_provider(lab).await).await.unwrap();
        assert_eq!(adopted, launched);
        until_gone(ec2, &launched).await;
        ec2.release_class(&class, &cluster).await.unwrap();
    });
}

#[test]
fn a_template_that_was_deleted_is_made_again() {
    on_lab(async |lab| {
        let ec2 = provider(lab).await;
        let cluster = cluster(lab, ec2).await;
        let class = resolved(ec2, &cluster, class("forgotten", json!({}))).await;
        let requirements = || requirements(&[(labels::INSTANCE_TYPE, &["m5a.large"])]);
        let claim = |uid| Claim { uid, class: &class, cluster: &cluster, requirements: requirements() };
        let first = claim("uid-forgotten-1").launch(ec2).await.unwrap();
        let call = calls_with_token(lab, "uid-forgotten-1-0").remove(0);
        let name = &call.parameters["LaunchTemplateConfigs.1.LaunchTemplateSpecification.LaunchTemplateName"];
        assert!(name.starts_with("treenail.dev/"), "{name}");
        lab.ec2().call("DeleteLaunchTemplate", &[("LaunchTemplateName", name)]).await.unwrap();
        let second = claim("uid-forgotten-2").launch(ec2).await.unwrap();
        assert_eq!(calls_with_token(lab, "uid-forgotten-2-0").len(), 2);
        for launched in [first, second] {
            until_gone(ec2, &launched).await;
        }
        ec2.release_class(&class, &cluster).await.unwrap();
        let left = lab.ec2().call("DescribeLaunchTemplates", &[("MaxResults", "200")]).await.unwrap();
        assert!(!left.contains(name.as_str()));
    });
}
