//! What people are told of a pool from which nothing can be launched, on the pool itself and on the types that name it.

use std::fmt::Debug;

use kube::Resource;
use kube::api::{Api, DeleteParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use treenail::api::conditions::{self, Condition, ConditionStatus};
use treenail::api::ec2nodeclass::Ec2NodeClass;
use treenail::api::nodeclaim::NodeClaim;
use treenail::api::nodepool::NodePool;
use treenail::api::workload_type::WorkloadType;
use treenail_lab::User;

use crate::support::claims::{await_class, claim, create, holds, is_gone, soon_event};
use crate::support::cluster::{A_WHILE, administrator, apply, eventually, kubectl, within};
use crate::support::world::{World, on_treenail};

/// A pool of the class, and a type that names it.
fn pool_and_type(name: &str, class: &str, instance_type: &str) -> Value {
    let requirement =
        json!({ "key": "node.kubernetes.io/instance-type", "operator": "In", "values": [instance_type] });
    let pool = json!({
        "apiVersion": "karpenter.sh/v1", "kind": "NodePool", "metadata": { "name": name },
        "spec": { "template": { "spec": {
            "nodeClassRef": { "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": class },
            "requirements": [requirement],
            "taints": [{ "key": "node-type", "value": name, "effect": "NoSchedule" }],
        } }, "disruption": { "consolidationPolicy": "WhenEmpty", "consolidateAfter": "Never" } },
    });
    let workload_type = json!({
        "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType", "metadata": { "name": name },
        "spec": { "pools": [{ "name": name }] },
    });
    json!({ "apiVersion": "v1", "kind": "List", "items": [pool, workload_type] })
}

/// Takes the pool and the type away again: other tests are told of every pool.
async fn delete_pool_and_type(world: &World, name: &str) {
    let (client, now) = (administrator(&world.lab).await, DeleteParams::default());
    Api::<WorkloadType>::all(client.clone()).delete(name, &now).await.unwrap();
    Api::<NodePool>::all(client).delete(name, &now).await.unwrap();
}

/// A class whose subnets have this value of the tag that the lab's own have.
fn class(name: &str, subnets: &str) -> Value {
    json!({
        "apiVersion": "karpenter.k8s.aws/v1", "kind": "EC2NodeClass", "metadata": { "name": name },
        "spec": {
            "amiSelectorTerms": [{ "alias": "al2023@latest" }], "role": "lab-node",
            "subnetSelectorTerms": [{ "tags": { "karpenter.sh/discovery": subnets } }],
            "securityGroupSelectorTerms": [{ "tags": { "karpenter.sh/discovery": "lab" } }],
        },
    })
}

/// Waits until a condition fails for this reason, and it and `Ready` say this.
async fn is_told<K>(
    world: &World,
    name: &str,
    of: fn(&K) -> Option<&[Condition]>,
    condition: &str,
    (reason, message): (&str, &str),
) where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    let objects: Api<K> = Api::all(administrator(&world.lab).await);
    let is_it = |found: Option<&K>| {
        let conditions = found.and_then(of).unwrap_or_default();
        let fails = |name: &str| {
            conditions::find(conditions, name).filter(|condition| condition.status == ConditionStatus::False)
        };
        fails("Ready").is_some_and(|ready| ready.message.contains(message))
            && fails(condition).is_some_and(|found| found.reason == reason && found.message.contains(message))
    };
    if let Err(error) = eventually(&objects, name, is_it).await {
        let found = objects.get(name).await.unwrap();
        panic!("{name} never said {reason}, {message}: {:#?} ({error:#})", of(&found));
    }
}

fn of_pool(pool: &NodePool) -> Option<&[Condition]> {
    Some(pool.status.as_ref()?.conditions.as_slice())
}

fn of_type(workload_type: &WorkloadType) -> Option<&[Condition]> {
    Some(workload_type.status.as_ref()?.conditions.as_slice())
}

fn of_class(class: &Ec2NodeClass) -> Option<&[Condition]> {
    Some(class.status.as_ref()?.conditions.as_slice())
}

#[test]
fn a_pool_from_which_nothing_can_be_launched_is_not_ready_and_neither_is_its_type() {
    on_treenail(async |world| {
        let astray = class("astray", "nobody");
        let outcome = apply(&world.lab, &User::administrator(), &astray.to_string()).await;
        assert!(outcome.success, "{}", outcome.stderr);

        // Name, class, instance type; the pool's condition with its reason and what is said.
        let no_type =
            "no instance type has node.kubernetes.io/instance-type In [m5a.largee] (did you mean m5a.large?)";
        let missing = "EC2NodeClass nowhere does not exist";
        let no_subnet = "SubnetsReady=False: no subnet matches spec.subnetSelectorTerms (tags karpenter.sh/discovery=nobody)";
        let cases = [
            (
                "unready-type",
                "default",
                "m5a.largee",
                "ValidationSucceeded",
                "NoCompatibleInstanceTypes",
                no_type,
            ),
            ("unready-class", "nowhere", "m5a.large", "NodeClassReady", "NodeClassNotFound", missing),
            ("unready-subnets", "astray", "m5a.large", "NodeClassReady", "UnhealthyDependents", no_subnet),
        ];
        let mut warnings = Vec::new();
        for (name, class, instance_type, ..) in cases {
            let objects = pool_and_type(name, class, instance_type);
            let outcome = apply(&world.lab, &User::administrator(), &objects.to_string()).await;
            assert!(outcome.success, "{}", outcome.stderr);
            warnings.extend(outcome.stderr.lines().map(str::to_owned));
        }
        assert_eq!(
            warnings,
            [
                "Warning: nodepool unready-type: spec.template.spec.requirements[0]: instance type m5a.largee is not known (did you mean m5a.large?); nothing is launched by that name, unless EC2 has it",
                "Warning: nodepool unready-class: EC2NodeClass nowhere does not exist yet; the pool is used as soon as it does",
            ]
        );
        for (name, _, _, condition, reason, message) in cases {
            is_told(world, name, of_pool, condition, (reason, message)).await;
            let told = format!("NodePool {name}: ");
            is_told(world, name, of_type, "PoolsReady", ("NodePoolNotReady", &told)).await;
            is_told(world, name, of_type, "PoolsReady", ("NodePoolNotReady", message)).await;
            delete_pool_and_type(world, name).await;
        }
    });
}

#[test]
fn a_class_that_is_being_deleted_says_which_claims_hold_it_and_goes_after_the_last() {
    const NAME: &str = "leaving";
    on_treenail(async |world| {
        let client = administrator(&world.lab).await;
        for objects in [class(NAME, "lab"), pool_and_type(NAME, NAME, "c7i.xlarge")] {
            let outcome = apply(&world.lab, &User::administrator(), &objects.to_string()).await;
            assert!(outcome.success, "{}", outcome.stderr);
        }
        await_class(&client, NAME).await;
        let mut held = serde_json::to_value(claim("leaving-1")).unwrap();
        held["metadata"]["labels"]["karpenter.sh/nodepool"] = json!(NAME);
        held["spec"]["nodeClassRef"]["name"] = json!(NAME);
        held["spec"]["taints"][0]["value"] = json!(NAME);
        let claims = create(world, &serde_json::from_value(held).unwrap()).await;
        eventually(&claims, "leaving-1", holds("Launched")).await.unwrap();

        let classes: Api<Ec2NodeClass> = Api::all(client.clone());
        classes.delete(NAME, &DeleteParams::default()).await.unwrap();
        let waits = "it goes once no NodeClaim uses it: leaving-1; delete those, or their NodePools";
        is_told(world, NAME, of_class, "Ready", ("Terminating", waits)).await;
        soon_event(&client, NAME, "WaitingOnNodeClaimTermination").await;
        let leaving = "EC2NodeClass leaving is being deleted";
        is_told(world, NAME, of_pool, "NodeClassReady", ("NodeClassTerminating", leaving)).await;
        is_told(world, NAME, of_type, "PoolsReady", ("NodePoolNotReady", leaving)).await;

        claims.delete("leaving-1", &DeleteParams::default()).await.unwrap();
        within(A_WHILE, &classes, NAME, is_gone::<Ec2NodeClass>).await.unwrap();
        let missing = "EC2NodeClass leaving does not exist; create it";
        is_told(world, NAME, of_pool, "NodeClassReady", ("NodeClassNotFound", missing)).await;
        delete_pool_and_type(world, NAME).await;
    });
}

#[test]
fn a_node_from_which_somebody_takes_the_taint_makes_its_type_not_isolated_until_it_is_on_again() {
    const NAME: &str = "unfenced";
    on_treenail(async |world| {
        let client = administrator(&world.lab).await;
        await_class(&client, "default").await;
        let objects = pool_and_type(NAME, "default", "c7i.xlarge").to_string();
        let outcome = apply(&world.lab, &User::administrator(), &objects).await;
        assert!(outcome.success, "{}", outcome.stderr);
        let mut of_pool = serde_json::to_value(claim("unfenced-1")).unwrap();
        of_pool["metadata"]["labels"]["karpenter.sh/nodepool"] = json!(NAME);
        of_pool["spec"]["taints"][0]["value"] = json!(NAME);
        let claims = create(world, &serde_json::from_value(of_pool).unwrap()).await;
        eventually(&claims, "unfenced-1", holds("Initialized")).await.unwrap();
        let node = claims.get("unfenced-1").await.unwrap().status.unwrap().node_name.unwrap();

        let administrator = kubectl(&world.lab, &User::administrator());
        let taint = async |taint: &str| {
            let outcome = administrator.run(&["taint", "node", &node, taint, "--overwrite"]).await.unwrap();
            assert!(outcome.success, "{}", outcome.stderr);
        };
        let types: Api<WorkloadType> = Api::all(client.clone());
        let is_isolated = |status: ConditionStatus, message: String| {
            move |object: Option<&WorkloadType>| {
                let told = object.and_then(of_type).and_then(|all| conditions::find(all, "Isolated"));
                told.is_some_and(|told| told.status == status && told.message.contains(&message))
            }
        };
        let own = format!("node-type={NAME}:NoSchedule");
        for change in ["node-type-", "node-type=other:NoSchedule"] {
            taint(change).await;
            let command = format!("kubectl taint node {node} {own} --overwrite");
            eventually(&types, NAME, is_isolated(ConditionStatus::False, command)).await.unwrap();
            taint(&own).await;
            eventually(&types, NAME, is_isolated(ConditionStatus::True, String::new())).await.unwrap();
        }

        claims.delete("unfenced-1", &DeleteParams::default()).await.unwrap();
        within(A_WHILE, &claims, "unfenced-1", is_gone::<NodeClaim>).await.unwrap();
        delete_pool_and_type(world, NAME).await;
    });
}
