//! The provider against a scripted EC2.

use serde_json::{Value, json};

use super::fake::{Account, Fake, type_facts, with_gpu};
use super::*;
use crate::api::labels;
use crate::model::{Requirement, Requirements, ResourceList, Taint};
use crate::ports::clock::ManualClock;
use crate::ports::cloud::ClaimIdentity;

mod classes;
mod failures;
mod launching;
mod messages;

/// A provider, the account behind it, and the clock that both go by.
struct World {
    ec2: Ec2<Fake>,
    clock: Arc<ManualClock>,
    class: Ec2NodeClass,
    cluster: ClusterFacts,
    labels: BTreeMap<String, String>,
    taints: Vec<Taint>,
    requirements: Requirements,
    requests: ResourceList,
}

fn class(status: Value) -> Ec2NodeClass {
    let object = json!({
        "apiVersion": "karpenter.k8s.aws/v1",
        "kind": "EC2NodeClass",
        "metadata": { "name": "default", "uid": "class-uid", "generation": 3 },
        "spec": {
            "subnetSelectorTerms": [{ "tags": { "discovery": "lab" } }],
            "securityGroupSelectorTerms": [{ "tags": { "discovery": "lab" } }],
            "amiSelectorTerms": [{ "alias": "al2023@latest" }],
            "role": "teams/node",
            "tags": { "cost-centre": "17" },
        },
        "status": status,
    });
    serde_json::from_value(object).unwrap()
}

fn ready(status: &str, generation: u64) -> Value {
    let subnet =
        |letter: &str| json!({ "id": format!("subnet-{letter}"), "zone": format!("us-east-1{letter}") });
    let image = |id: &str, operator: &str| {
        json!({ "id": id, "requirements": [
            { "key": labels::ARCH, "operator": "In", "values": ["amd64"] },
            { "key": labels::INSTANCE_GPU_COUNT, "operator": operator },
        ] })
    };
    json!({
        "subnets": [subnet("a"), subnet("b")],
        "securityGroups": [{ "id": "sg-1" }],
        "amis": [image("ami-standard", "DoesNotExist"), image("ami-nvidia", "Exists")],
        "instanceProfile": "lab_profile",
        "conditions": [{
            "type": "Ready", "status": status, "observedGeneration": generation, "reason": "R", "message": "SubnetsReady=False",
            "lastTransitionTime": "2026-11-01T00:00:00Z",
        }],
    })
}

impl World {
    fn new() -> Self {
        let account = Account {
            types: vec![
                type_facts("c7i.xlarge", 4, 8),
                type_facts("c7i.2xlarge", 8, 16),
                type_facts("m5a.large", 2, 8),
                with_gpu(type_facts("g4dn.xlarge", 4, 16)),
                type_facts("c7i.metal-24xl", 96, 192),
            ],
            zones: vec!["us-east-1a", "us-east-1b", "us-east-1c"],
            roles: vec!["node"],
            ..Account::default()
        };
        let clock = Arc::new(ManualClock::at("2026-11-01T00:00:00Z".parse().unwrap()));
        let shared: Arc<dyn Clock> = clock.clone();
        Self {
            ec2: Ec2::new(Fake::new(account), shared, "us-east-1", Assumptions::default()),
            clock,
            class: class(ready("True", 3)),
            cluster: ClusterFacts {
                name: "lab".to_owned(),
                endpoint: "https://10.0.0.1".to_owned(),
                certificate_authority: "CA".to_owned(),
                service_cidr: "172.20.0.0/16".to_owned(),
                dns_address: "172.20.0.10".parse().unwrap(),
                kubernetes_version: "1.36".to_owned(),
            },
            labels: [(labels::NODEPOOL.to_owned(), "application".to_owned())].into(),
            taints: vec!["node-type=application:NoSchedule".parse().unwrap()],
            requirements: [Requirement::one_of(labels::INSTANCE_CATEGORY, ["c"])].into_iter().collect(),
            requests: ResourceList::new().with("cpu", "500m".parse().unwrap()),
        }
    }

    fn requires(mut self, requirements: impl IntoIterator<Item = Requirement>) -> Self {
        self.requirements = requirements.into_iter().collect();
        self
    }

    fn requests(mut self, name: &str, amount: &str) -> Self {
        self.requests.set(name, amount.parse().unwrap());
        self
    }

    async fn launch(&self, uid: &str, attempt: u32) -> Result<Launched, CloudError> {
        CloudProvider::launch(&self.ec2, self.request(uid, attempt)).await
    }

    fn request<'a>(&'a self, uid: &'a str, attempt: u32) -> LaunchRequest<'a> {
        LaunchRequest {
            claim: ClaimIdentity { name: "application-x7k2q", uid, attempt },
            pool: "application",
            class: &self.class,
            requirements: &self.requirements,
            requests: &self.requests,
            labels: &self.labels,
            taints: &self.taints,
            startup_taints: &[],
            cluster: &self.cluster,
        }
    }

    fn fake(&self) -> &Fake {
        &self.ec2.api
    }

    /// The types, as `type/zone`, that the last fleet request offered.
    fn offered(&self) -> Vec<String> {
        let account = self.fake().account();
        let choices = account.fleets.last().unwrap().configs.iter().flat_map(|config| &config.overrides);
        choices
            .map(|choice| format!("{}/{}", choice.instance_type, choice.zone.trim_start_matches("us-east-1")))
            .collect()
    }
}
