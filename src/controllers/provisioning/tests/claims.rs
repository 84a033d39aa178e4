//! The NodeClaim that is created for a planned claim.

use expect_test::expect;

use super::*;
use crate::controllers::provisioning::claims::node_claim;
use crate::model::testing::requirements;
use crate::scheduling::{InstanceOption, PlannedClaim};

fn planned(wants: &str) -> PlannedClaim {
    PlannedClaim {
        pool: "application".to_owned(),
        requirements: requirements(wants),
        labels: [
            ("karpenter.sh/nodepool".to_owned(), "application".to_owned()),
            ("workload-type.node-restriction.kubernetes.io/application".to_owned(), String::new()),
        ]
        .into(),
        taints: vec![taint("node-type=application:NoSchedule")],
        startup_taints: vec![taint("example.com/starting:NoExecute")],
        requests: resource_list("cpu=3500m pods=7"),
        instance_types: vec![InstanceOption {
            name: "c7i.xlarge".to_owned(),
            price: "0.1785".parse().unwrap(),
        }],
        pods: Vec::new(),
    }
}

#[test]
fn a_claim_has_what_its_pool_and_its_plan_say() {
    let pool = pool(&json!({ "spec": { "template": {
        "metadata": { "labels": { "example.com/tier": "web", "topology.kubernetes.io/zone": "us-east-1a" }, "annotations": { "example.com/why": "because" } },
        "spec": { "expireAfter": "720h", "terminationGracePeriod": "1h" },
    }}}));
    let wants = "node.kubernetes.io/instance-type In c7i.xlarge, karpenter.k8s.aws/instance-cpu Gt 3, example.com/tier In web";
    let claim = node_claim(&planned(wants), &pool);
    expect![[r#"
        {
          "apiVersion": "karpenter.sh/v1",
          "kind": "NodeClaim",
          "metadata": {
            "annotations": {
              "example.com/why": "because",
              "karpenter.sh/nodeclaim-min-values-relaxed": "false"
            },
            "generateName": "application-",
            "labels": {
              "example.com/tier": "web",
              "karpenter.k8s.aws/ec2nodeclass": "default",
              "karpenter.sh/nodepool": "application",
              "topology.kubernetes.io/zone": "us-east-1a",
              "workload-type.node-restriction.kubernetes.io/application": ""
            },
            "ownerReferences": [
              {
                "apiVersion": "karpenter.sh/v1",
                "blockOwnerDeletion": true,
                "kind": "NodePool",
                "name": "application",
                "uid": "pool-uid"
              }
            ]
          },
          "spec": {
            "taints": [
              {
                "key": "node-type",
                "value": "application",
                "effect": "NoSchedule"
              }
            ],
            "startupTaints": [
              {
                "key": "example.com/starting",
                "effect": "NoExecute"
              }
            ],
            "requirements": [
              {
                "key": "example.com/tier",
                "operator": "In",
                "values": [
                  "web"
                ]
              },
              {
                "key": "karpenter.k8s.aws/instance-cpu",
                "operator": "Gte",
                "values": [
                  "4"
                ]
              },
              {
                "key": "karpenter.sh/capacity-type",
                "operator": "In",
                "values": [
                  "on-demand"
                ]
              },
              {
                "key": "node.kubernetes.io/instance-type",
                "operator": "In",
                "values": [
                  "c7i.xlarge"
                ]
              }
            ],
            "nodeClassRef": {
              "group": "karpenter.k8s.aws",
              "kind": "EC2NodeClass",
              "name": "default"
            },
            "terminationGracePeriod": "1h",
            "expireAfter": "720h",
            "resources": {
              "requests": {
                "cpu": "3500m",
                "pods": "7"
              }
            }
          }
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&claim).unwrap());
}

#[test]
fn only_on_demand_capacity_is_asked_for_as_far_as_the_plan_allows() {
    let cases = [
        ("", Some("In [on-demand]")),
        ("karpenter.sh/capacity-type In spot on-demand", Some("In [on-demand]")),
        ("karpenter.sh/capacity-type NotIn spot", Some("In [on-demand]")),
        ("karpenter.sh/capacity-type In spot", Some("In [spot]")),
    ];
    for (wants, expected) in cases {
        let claim = node_claim(&planned(wants), &pool(&json!({})));
        let entry = claim.spec.requirements.iter().find(|entry| entry.key == "karpenter.sh/capacity-type");
        let found = entry.map(|entry| format!("{} [{}]", entry.operator, entry.values.join(" ")));
        assert_eq!(found.as_deref(), expected, "{wants}");
    }
}
