//! EC2 over the wire: the provider through the AWS SDK against the lab's endpoint, and machines that boot from what it launched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::config::Credentials;
use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::api::Api;
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use treenail::api::ec2nodeclass::Ec2NodeClass;
use treenail::api::labels;
use treenail::cloud::ec2::Ec2;
use treenail::cloud::ec2::catalog::Assumptions;
use treenail::cloud::ec2::sdk::Sdk;
use treenail::model::{InstanceType, Requirement, Requirements, ResourceList, Taint};
use treenail::ports::clock::WallClock;
use treenail::ports::cloud::{
    ClaimIdentity, ClusterFacts, InstanceState, LaunchRequest, Launched, Resolution,
};
use treenail::ports::{CloudError, CloudProvider, ErrorClass};
use treenail_lab::ec2::Call;
use treenail_lab::shared::on_lab;
use treenail_lab::{CLUSTER_NAME, Lab, User};

mod catalogue;
mod class;
mod launch;

/// The provider of a process that has run for a while: it has read the instance types.
async fn provider(lab: &Lab) -> &'static Ec2<Sdk> {
    static SHARED: OnceCell<Ec2<Sdk>> = OnceCell::const_new();
    SHARED.get_or_init(|| new_provider(lab)).await
}

/// A provider as the program builds it, but for where its settings come from; it knows nothing yet.
async fn new_provider(lab: &Lab) -> Ec2<Sdk> {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url(lab.front().url())
        .load()
        .await;
    let sdk = Sdk::new(&config).unwrap();
    let region = sdk.region().to_owned();
    Ec2::new(sdk, Arc::new(WallClock), &region, Assumptions::default())
}

async fn cluster(lab: &Lab, ec2: &Ec2<Sdk>) -> ClusterFacts {
    let version = lab.kubernetes_version().trim_start_matches('v');
    ClusterFacts {
        name: CLUSTER_NAME.to_owned(),
        endpoint: lab.endpoint().url.clone(),
        certificate_authority: lab.endpoint().authority.clone(),
        service_cidr: ec2.cluster_network(CLUSTER_NAME).await.unwrap().0,
        dns_address: "172.20.0.10".parse().unwrap(),
        kubernetes_version: version.rsplit_once('.').unwrap().0.to_owned(),
    }
}

fn class(name: &str, changes: Value) -> Ec2NodeClass {
    let mut spec = json!({
        "subnetSelectorTerms": [{ "tags": { "karpenter.sh/discovery": "lab" } }],
        "securityGroupSelectorTerms": [{ "tags": { "karpenter.sh/discovery": "lab" } }],
        "amiSelectorTerms": [{ "alias": "al2023@latest" }],
        "role": "lab-node",
        "tags": { "cost-centre": "17" },
    });
    spec.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let object = json!({
        "apiVersion": "karpenter.k8s.aws/v1",
        "kind": "EC2NodeClass",
        "metadata": { "name": name, "uid": format!("uid-of-{name}"), "generation": 1 },
        "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

fn found<T>(resolution: Resolution<T>) -> T {
    match resolution {
        Resolution::Found(found) => found,
        Resolution::Unusable { reason, message } => panic!("{reason}: {message}"),
        Resolution::Failed(error) => panic!("{error}"),
    }
}

/// The class with its status, as its controller would write it.
async fn resolved(ec2: &Ec2<Sdk>, cluster: &ClusterFacts, mut class: Ec2NodeClass) -> Ec2NodeClass {
    let resolved = ec2.resolve_class(&class, cluster).await;
    let ready = json!([{
        "type": "Ready", "status": "True", "observedGeneration": 1, "reason": "Ready", "message": "",
        "lastTransitionTime": "2026-11-01T00:00:00Z",
    }]);
    let status = json!({
        "subnets": found(resolved.subnets),
        "securityGroups": found(resolved.security_groups),
        "amis": found(resolved.amis),
        "instanceProfile": found(resolved.instance_profile),
        "conditions": ready,
    });
    class.status = Some(serde_json::from_value(status).unwrap());
    class
}

fn requirements(entries: &[(&str, &[&str])]) -> Requirements {
    entries.iter().map(|(key, values)| Requirement::one_of(key, values.iter().copied())).collect()
}

/// A claim of the pool `application`.
struct Claim<'a> {
    uid: &'a str,
    class: &'a Ec2NodeClass,
    cluster: &'a ClusterFacts,
    requirements: Requirements,
}

impl Claim<'_> {
    async fn launch(&self, ec2: &Ec2<Sdk>) -> Result<Launched, CloudError> {
        let labels = [
            (labels::NODEPOOL, "application"),
            (labels::EC2NODECLASS, "default"),
            ("team", "blue"),
            ("kubernetes.io/arch", "amd64"),
            ("workload-type.node-restriction.kubernetes.io/application", ""),
        ];
        let labels: BTreeMap<_, _> =
            labels.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let taints: [Taint; 1] = ["node-type=application:NoSchedule".parse().unwrap()];
        let startup_taints: [Taint; 1] = ["agent.example.com/starting:NoSchedule".parse().unwrap()];
        let requests = ResourceList::new().with("cpu", "500m".parse().unwrap());
        let request = LaunchRequest {
            claim: ClaimIdentity { name: "application-x7k2q", uid: self.uid, attempt: 0 },
            pool: "application",
            class: self.class,
            requirements: &self.requirements,
            requests: &requests,
            labels: &labels,
            taints: &taints,
            startup_taints: &startup_taints,
            cluster: self.cluster,
        };
        ec2.launch(request).await
    }
}

fn calls_with_token(lab: &Lab, token: &str) -> Vec<Call> {
    let has_token = |call: &Call| call.parameters.get("ClientToken").is_some_and(|value| value == token);
    lab.front().calls().into_iter().filter(has_token).collect()
}

async fn until_gone(ec2: &Ec2<Sdk>, launched: &Launched) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while ec2.terminate(CLUSTER_NAME, &launched.provider_id).await.map_err(|error| error.class)
        != Err(ErrorClass::NotFound)
    {
        assert!(Instant::now() < deadline, "{} is still there", launched.provider_id);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
