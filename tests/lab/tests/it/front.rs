//! The front keeps EC2's promise about client tokens, and records what passes.

use treenail_lab::shared::on_lab;

const LAUNCH: [(&str, &str); 4] = [
    ("ImageId", "ami-0a1b2c3d4e5f60001"),
    ("InstanceType", "m5a.large"),
    ("MinCount", "1"),
    ("MaxCount", "1"),
];

fn instance_id(answer: &str) -> &str {
    answer.split_once("<instanceId>").unwrap().1.split_once('<').unwrap().0
}

#[test]
fn the_same_token_gives_the_same_instance_and_other_parameters_are_refused() {
    on_lab(async |lab| {
        let launch = async |token: &str, instance_type: &str| {
            let mut parameters = LAUNCH.to_vec();
            parameters.extend([("ClientToken", token), ("InstanceType", instance_type)]);
            lab.ec2().call("RunInstances", &parameters).await
        };
        // At once, as a client does that repeats a call whose answer is late.
        let (first, second) = tokio::join!(launch("token-1", "m5a.large"), launch("token-1", "m5a.large"));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(instance_id(&first), instance_id(&second));
        let other = launch("token-2", "m5a.large").await.unwrap();
        assert_ne!(instance_id(&first), instance_id(&other));
        let refused = launch("token-1", "m5a.xlarge").await.unwrap_err().to_string();
        assert!(refused.contains("IdempotentParameterMismatch"), "{refused}");
        for answer in [&first, &other] {
            lab.ec2().terminate_instance(instance_id(answer)).await.unwrap();
        }
    });
}

#[test]
fn a_token_whose_call_failed_can_be_used_again() {
    on_lab(async |lab| {
        let launch = async |subnet: Option<&str>| {
            let mut parameters = LAUNCH.to_vec();
            parameters.push(("ClientToken", "token-failed"));
            parameters.extend(subnet.map(|subnet| ("SubnetId", subnet)));
            lab.ec2().call("RunInstances", &parameters).await
        };
        let refused = launch(Some("subnet-ffffffff")).await.unwrap_err().to_string();
        assert!(refused.contains("subnet-ffffffff"), "{refused}");
        let launched = launch(None).await.unwrap();
        lab.ec2().terminate_instance(instance_id(&launched)).await.unwrap();
    });
}

#[test]
fn every_call_is_recorded_with_its_parameters_and_its_answer() {
    on_lab(async |lab| {
        lab.ec2().call("DescribeSubnets", &[("MaxResults", "77")]).await.unwrap();
        lab.ec2().call("NoSuchAction", &[]).await.unwrap_err();
        let calls = lab.front().calls();
        let described =
            calls.iter().find(|call| call.parameters.get("MaxResults").is_some_and(|value| value == "77"));
        let described = described.expect("the call is recorded");
        assert_eq!((described.action.as_str(), described.status), ("DescribeSubnets", Some(200)));
        assert_eq!(described.user_agent, "lab");
        assert!(described.took.is_some());
        let unknown = calls.iter().find(|call| call.action == "NoSuchAction").expect("the call is recorded");
        assert_ne!(unknown.status, Some(200));
    });
}

#[test]
fn a_held_answer_comes_late_and_its_effect_does_not() {
    // A lab of its own: the fault would meet the other tests' calls.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let lab = treenail_lab::Lab::start(&[]).await.unwrap();
        let launched = async || lab.ec2().instances().await.unwrap().len();
        let held = lab.front().hold_answers("RunInstances");
        let query = lab.ec2().clone();
        let late = tokio::spawn(async move { query.call("RunInstances", &LAUNCH).await });
        held.holds_an_answer().await.unwrap();
        assert_eq!((launched().await, late.is_finished()), (1, false));
        drop(held);
        late.await.unwrap().unwrap();

        let refused = lab.front().refuse("RunInstances", "RequestLimitExceeded");
        let error = lab.ec2().call("RunInstances", &LAUNCH).await.unwrap_err().to_string();
        assert!(error.contains("RequestLimitExceeded"), "{error}");
        drop(refused);
        assert_eq!(launched().await, 1);

        let id = lab.ec2().instances().await.unwrap().remove(0).id;
        assert_eq!(lab.ec2().user_data(&id).await.unwrap(), "");
        let (subnet, _) = lab.ec2().discovery_subnets().await.unwrap().remove(0);
        let id = lab.ec2().run_instance("m5a.large", &subnet, "as it was given").await.unwrap();
        let rewritten = lab.front().rewrite_user_data(|text| text.replace("given", "changed"));
        assert_eq!(lab.ec2().user_data(&id).await.unwrap(), "YXMgaXQgd2FzIGNoYW5nZWQ=");
        drop(rewritten);
        assert_eq!(lab.ec2().user_data(&id).await.unwrap(), "YXMgaXQgd2FzIGdpdmVu");
    });
}
