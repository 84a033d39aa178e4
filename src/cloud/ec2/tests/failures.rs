//! What EC2 can answer instead of an instance, and what a repeated launch gives.

use std::time::Duration;

use super::*;
use crate::cloud::ec2::errors::ApiError;
use crate::cloud::ec2::fake::{refusal, timeout};
use crate::cloud::ec2::launch::{FleetAnswer, FleetError, FleetInstance};
use crate::model::instance_type::CapacityType;
use crate::ports::cloud::InstanceState;

fn missing(instance_type: &str, zone: &str, code: &str) -> FleetError {
    FleetError {
        code: code.to_owned(),
        message: "no".to_owned(),
        instance_type: Some(instance_type.to_owned()),
        zone: Some(format!("us-east-1{zone}")),
        subnet: Some(format!("subnet-{zone}")),
    }
}

#[tokio::test]
async fn what_had_no_capacity_is_not_asked_for_again_until_it_may_have_some() {
    let world = World::new();
    let errors = vec![
        missing("c7i.xlarge", "a", "InsufficientInstanceCapacity"),
        missing("c7i.xlarge", "b", "InsufficientInstanceCapacity"),
    ];
    world.fake().account().fleet_answers.push_back(Ok(FleetAnswer { instances: Vec::new(), errors }));
    let error = world.launch("uid-1", 0).await.unwrap_err();
    assert_eq!((error.class, error.is_answered), (ErrorClass::NoCapacity, true));
    assert_eq!(
        error.to_string(),
        "launch claim application-x7k2q: CreateFleet: InsufficientInstanceCapacity: no \
         (c7i.xlarge in us-east-1a, c7i.xlarge in us-east-1b)"
    );
    let launched = world.launch("uid-1", 1).await.unwrap();
    assert_eq!(launched.instance_type, "c7i.2xlarge");
    let types = world.ec2.instance_types(&world.class).await.unwrap();
    assert!(
        types
            .iter()
            .find(|found| found.name == "c7i.xlarge")
            .unwrap()
            .offerings
            .iter()
            .all(|offering| !offering.is_available)
    );
    world.clock.advance(Duration::from_mins(3));
    assert_eq!(world.launch("uid-2", 0).await.unwrap().instance_type, "c7i.xlarge");
}

/// No offering is to blame, so whoever plans anew would ask for the same again, and at once.
#[tokio::test]
async fn a_refusal_of_the_whole_call_is_no_lack_of_capacity() {
    for code in ["MaxFleetCountExceeded", "InsufficientInstanceCapacity"] {
        let world = World::new();
        world.fake().account().fleet_answers.push_back(Err(refusal("CreateFleet", code)));
        let error = world.launch("uid-1", 0).await.unwrap_err();
        assert_eq!((error.class, error.is_answered), (ErrorClass::Other, false), "{code}");
    }
}

#[tokio::test]
async fn capacity_that_was_missing_is_remembered_even_if_there_is_an_instance() {
    let world = World::new();
    let instance = FleetInstance {
        id: "i-9".to_owned(),
        instance_type: Some("c7i.xlarge".to_owned()),
        zone: Some("us-east-1b".to_owned()),
        ..FleetInstance::default()
    };
    let errors = vec![missing("c7i.xlarge", "a", "InsufficientFreeAddressesInSubnet")];
    world.fake().account().fleet_answers.push_back(Ok(FleetAnswer { instances: vec![instance], errors }));
    let launched = world.launch("uid-1", 0).await.unwrap();
    assert_eq!(launched.provider_id.as_str(), "aws:///us-east-1b/i-9");
    world.launch("uid-2", 0).await.unwrap();
    // The subnet is full for every type.
    assert_eq!(world.offered(), ["c7i.xlarge/b", "c7i.2xlarge/b"]);
}

#[tokio::test]
async fn an_answer_without_an_instance_says_what_is_to_be_done() {
    let check = async |errors: Vec<FleetError>, class: ErrorClass, reason: &str| {
        let world = World::new();
        world.fake().account().fleet_answers.push_back(Ok(FleetAnswer { instances: Vec::new(), errors }));
        let error = world.launch("uid-1", 0).await.unwrap_err();
        assert_eq!((error.class, error.reason, error.is_answered), (class, reason, true), "{error}");
    };
    check(Vec::new(), ErrorClass::NoCapacity, "InsufficientCapacity").await;
    check(vec![missing("c7i.xlarge", "a", "Unsupported")], ErrorClass::NoCapacity, "InsufficientCapacity")
        .await;
    let both = vec![
        missing("c7i.xlarge", "a", "InsufficientInstanceCapacity"),
        missing("c7i.xlarge", "b", "UnauthorizedOperation"),
    ];
    check(both, ErrorClass::Unauthorised, "Unauthorized").await;
    check(
        vec![missing("c7i.xlarge", "a", "InvalidLaunchTemplateName.NotFoundException")],
        ErrorClass::Other,
        "LaunchTemplateNotFound",
    )
    .await;
}

/// Nothing is gained by asking for the same again.
#[tokio::test]
async fn what_stays_wrong_until_somebody_changes_it_is_given_up_and_says_what_to_change() {
    let cases = [
        (
            "InvalidUserData.Malformed",
            "User data is limited to 16384 bytes",
            "UserDataSizeLimitExceeded",
            "use fewer or shorter labels and taints in the NodePool",
        ),
        (
            "InvalidParameter",
            "Security group sg-1 and subnet subnet-1 belong to different networks.",
            "SecurityGroupSubnetVPCMismatch",
            "let subnetSelectorTerms and securityGroupSelectorTerms of the EC2NodeClass select from one VPC",
        ),
    ];
    for (code, message, reason, remedy) in cases {
        let world = World::new();
        let called = ApiError { message: message.to_owned(), ..refusal("CreateFleet", code) };
        let in_fleet = FleetError { message: message.to_owned(), ..missing("c7i.xlarge", "a", code) };
        let answer = FleetAnswer { instances: Vec::new(), errors: vec![in_fleet] };
        world.fake().account().fleet_answers.extend([Err(called), Ok(answer)]);
        for is_answered in [false, true] {
            let error = world.launch("uid-1", 0).await.unwrap_err();
            assert_eq!(
                (error.class, error.reason, error.is_answered),
                (ErrorClass::NotReady, reason, is_answered),
                "{error}"
            );
            assert!(error.to_string().ends_with(&format!("; {remedy}")), "{error}");
        }
    }
}

#[tokio::test]
async fn a_template_that_somebody_deleted_is_made_again_once() {
    let world = World::new();
    world.launch("uid-1", 0).await.unwrap();
    world.fake().account().templates.clear();
    world.fake().take_calls();
    world.launch("uid-2", 0).await.unwrap();
    let again = ["CreateFleet", "DescribeLaunchTemplates", "CreateLaunchTemplate", "CreateFleet"];
    assert_eq!(world.fake().take_calls(), again);
    {
        let account = world.fake().account();
        assert_eq!(account.fleets[1], account.fleets[2]);
    }
    // Not for ever.
    let gone = || Err(refusal("CreateFleet", "InvalidLaunchTemplateName.NotFoundException"));
    world.fake().account().fleet_answers.extend([gone(), gone()]);
    let error = world.launch("uid-3", 0).await.unwrap_err();
    assert_eq!((error.class, error.reason), (ErrorClass::Other, "LaunchTemplateNotFound"));
}

#[tokio::test]
async fn a_template_that_another_made_at_the_same_time_is_used() {
    let world = World::new();
    world.launch("uid-1", 0).await.unwrap();
    // Another process, that looked before the template was there.
    let other = World::new();
    other.fake().account().templates = world.fake().account().templates.clone();
    other.fake().account().hides_templates = true;
    other.launch("uid-2", 0).await.unwrap();
    assert_eq!(
        other.fake().take_calls()[2..],
        ["DescribeLaunchTemplates", "CreateLaunchTemplate", "CreateFleet"]
    );
    assert_eq!(other.fake().account().templates.len(), 1);
}

#[tokio::test]
async fn a_repeated_launch_gives_the_same_instance_even_to_another_process() {
    let world = World::new();
    let first = world.launch("uid-1", 0).await.unwrap();
    assert_eq!(world.launch("uid-1", 0).await.unwrap(), first);
    assert_eq!(world.fake().account().instances.len(), 1);
    let fleets = world.fake().account().fleets.clone();
    assert_eq!(fleets[0], fleets[1]);
    assert_eq!(fleets[0].token, "uid-1-0");
    assert_eq!(fleets[0].tags[labels::CLIENT_TOKEN_TAG], "uid-1-0");

    // Another process knows nothing of what the first one remembered, and asks for something else.
    world.ec2.unavailable.mark(
        Mark::Offering {
            capacity_type: CapacityType::OnDemand,
            instance_type: "c7i.xlarge".to_owned(),
            zone: "us-east-1a".to_owned(),
        },
        world.clock.now(),
    );
    world
        .fake()
        .account()
        .fleet_answers
        .push_back(Err(refusal("CreateFleet", "IdempotentParameterMismatch")));
    assert_eq!(world.launch("uid-1", 0).await.unwrap(), first);
    assert_eq!(world.fake().account().instances.len(), 1);
}

#[tokio::test]
async fn a_launch_whose_outcome_nobody_knows_is_to_be_repeated_with_the_same_token() {
    let world = World::new();
    world.fake().account().fleet_answers.push_back(Err(timeout()));
    let error = world.launch("uid-1", 0).await.unwrap_err();
    assert_eq!((error.class, error.is_answered), (ErrorClass::Other, false));
    world
        .fake()
        .account()
        .fleet_answers
        .push_back(Err(refusal("CreateFleet", "IdempotentParameterMismatch")));
    let error = world.launch("uid-1", 0).await.unwrap_err();
    assert_eq!((error.class, error.reason, error.is_answered), (ErrorClass::Other, "LaunchInDoubt", false));
    assert!(error.is_spent, "an instance may show yet");
}

#[tokio::test]
async fn an_instance_that_ends_is_not_taken_for_the_claims() {
    let world = World::new();
    world.launch("uid-1", 0).await.unwrap();
    let second = world.launch("uid-1", 1).await.unwrap();
    let adopt = async |state: InstanceState| {
        world.fake().account().instances[0].state = state;
        let mismatch = Err(refusal("CreateFleet", "IdempotentParameterMismatch"));
        world.fake().account().fleet_answers.push_back(mismatch);
        world.launch("uid-1", 1).await
    };
    assert_eq!(adopt(InstanceState::ShuttingDown).await.unwrap().provider_id, second.provider_id);
    assert_eq!(adopt(InstanceState::Stopped).await.unwrap().provider_id, second.provider_id);
    world.fake().account().instances.truncate(1);
    assert!(adopt(InstanceState::Stopped).await.is_ok(), "it may be started again");
    let error = adopt(InstanceState::ShuttingDown).await.unwrap_err();
    assert!(error.is_spent && !error.is_answered, "{error}");
}

/// EC2 looks at the caller, and at how often it calls, before it looks at the token.
#[tokio::test]
async fn a_call_that_is_refused_says_nothing_of_an_earlier_one_with_its_token() {
    let refusals = [
        ("RequestLimitExceeded", ErrorClass::Throttled),
        ("ExpiredToken", ErrorClass::Unauthorised),
        ("UnauthorizedOperation", ErrorClass::Unauthorised),
        ("InvalidParameterValue", ErrorClass::Other),
    ];
    for (code, class) in refusals {
        let world = World::new();
        let first = world.launch("uid-1", 0).await.unwrap();
        world.fake().account().fleet_answers.push_back(Err(refusal("CreateFleet", code)));
        let error = world.launch("uid-1", 0).await.unwrap_err();
        assert_eq!((error.class, error.is_answered, error.is_spent), (class, false, false), "{code}");
        assert_eq!(world.launch("uid-1", 0).await.unwrap(), first, "{code}");
    }
}
