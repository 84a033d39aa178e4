//! What the lab's endpoint never does: errors beside instances, adapters, regions without an option, failures of the service.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::config::{Credentials, Region, SharedCredentialsProvider};
use aws_sdk_ec2::error::ErrorMetadata;
use aws_sdk_ec2::operation::create_fleet::{CreateFleetError, CreateFleetOutput};
use aws_sdk_ec2::types::{
    ArchitectureType, CreateFleetError as FleetErrorItem, CreateFleetInstance, FleetLaunchTemplateOverrides,
    InstanceType, InstanceTypeInfo, LaunchTemplateAndOverridesResponse, MemoryInfo, NetworkCardInfo,
    NetworkInfo, ProcessorInfo, VCpuInfo,
};

use super::*;
use crate::api::ec2nodeclass::MetadataOptions;
use crate::cloud::ec2::launch::{FleetError, FleetInstance};
use crate::cloud::ec2::template::Tenancy;

fn about(instance_type: &str, zone: &str) -> LaunchTemplateAndOverridesResponse {
    let overrides = FleetLaunchTemplateOverrides::builder()
        .instance_type(InstanceType::from(instance_type))
        .availability_zone(zone)
        .subnet_id("subnet-1")
        .image_id("ami-1");
    LaunchTemplateAndOverridesResponse::builder().overrides(overrides.build()).build()
}

#[test]
fn a_fleet_can_answer_with_instances_and_errors() {
    let group = CreateFleetInstance::builder()
        .instance_ids("i-1")
        .launch_template_and_overrides(about("c7i.xlarge", "us-east-1a"))
        .build();
    let error = FleetErrorItem::builder()
        .error_code("InsufficientInstanceCapacity")
        .error_message("no")
        .launch_template_and_overrides(about("c7i.large", ""))
        .build();
    let bare = FleetErrorItem::builder().error_code("InternalError").build();
    let answer =
        answers::fleet(CreateFleetOutput::builder().instances(group).errors(error).errors(bare).build());
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        answer.instances,
        [FleetInstance {
            id: "i-1".to_owned(),
            instance_type: text("c7i.xlarge"),
            zone: text("us-east-1a"),
            subnet: text("subnet-1"),
            image: text("ami-1"),
        }]
    );
    assert_eq!(
        answer.errors,
        [
            FleetError {
                code: "InsufficientInstanceCapacity".to_owned(),
                message: "no".to_owned(),
                instance_type: text("c7i.large"),
                zone: None,
                subnet: text("subnet-1"),
            },
            FleetError { code: "InternalError".to_owned(), ..FleetError::default() },
        ]
    );
    assert_eq!(answers::fleet(CreateFleetOutput::builder().build()), FleetAnswer::default());
}

fn template(efa_interfaces: u32) -> LaunchTemplate {
    LaunchTemplate {
        image_id: "ami-1".to_owned(),
        instance_profile: "lab".to_owned(),
        security_groups: vec!["sg-1".to_owned()],
        user_data: "data".to_owned(),
        disks: Vec::new(),
        metadata_options: MetadataOptions::default(),
        detailed_monitoring: false,
        associate_public_ip_address: Some(false),
        efa_interfaces,
        tenancy: Tenancy::Dedicated,
        tags: [("team".to_owned(), "blue".to_owned())].into(),
    }
}

#[test]
fn adapters_take_the_place_of_the_ordinary_interface() {
    let interfaces = |template: &LaunchTemplate| {
        let input = requests::create_launch_template(template, "us-east-1").build().unwrap();
        let interfaces = input.launch_template_data.unwrap().network_interfaces.unwrap();
        let shown = interfaces.into_iter().map(|interface| {
            assert_eq!(interface.groups.as_deref(), Some(["sg-1".to_owned()].as_slice()));
            (
                interface.network_card_index,
                interface.device_index,
                interface.interface_type,
                interface.associate_public_ip_address,
            )
        });
        shown.collect::<Vec<_>>()
    };
    assert_eq!(interfaces(&template(0)), [(None, Some(0), None, Some(false))]);
    let efa = || Some("efa".to_owned());
    assert_eq!(
        interfaces(&template(3)),
        [
            (Some(0), Some(0), efa(), Some(false)),
            (Some(1), Some(1), efa(), None),
            (Some(2), Some(1), efa(), None),
        ]
    );
}

#[test]
fn the_ipv6_option_of_the_metadata_service_is_left_out_where_it_is_unknown() {
    for (region, expected) in [("us-east-1", Some("disabled")), ("us-iso-east-1", None)] {
        let input = requests::create_launch_template(&template(0), region).build().unwrap();
        let options = input.launch_template_data.unwrap().metadata_options.unwrap();
        let found = options.http_protocol_ipv6.as_ref().map(AsRef::as_ref);
        assert_eq!(found, expected, "{region}");
    }
}

#[test]
fn a_template_says_its_tags_its_tenancy_and_its_name() {
    let template = template(0);
    let input = requests::create_launch_template(&template, "us-east-1").build().unwrap();
    assert_eq!(input.launch_template_name, Some(template.name()));
    let data = input.launch_template_data.unwrap();
    assert_eq!(data.placement.unwrap().tenancy.unwrap().as_str(), "dedicated");
    assert_eq!(data.user_data.as_deref(), Some("ZGF0YQ=="));
    let kinds = |kind: Option<aws_sdk_ec2::types::ResourceType>| kind.unwrap().as_str().to_owned();
    let inner: Vec<_> =
        data.tag_specifications.unwrap().into_iter().map(|tags| kinds(tags.resource_type)).collect();
    let outer: Vec<_> =
        input.tag_specifications.unwrap().into_iter().map(|tags| kinds(tags.resource_type)).collect();
    assert_eq!((inner, outer), (vec!["network-interface".to_owned()], vec!["launch-template".to_owned()]));
}

fn info(
    architectures: &[ArchitectureType],
    cards: &[(i32, Option<f64>)],
    default_card: i32,
) -> InstanceTypeInfo {
    let cards = cards.iter().map(|(interfaces, gigabits)| {
        NetworkCardInfo::builder()
            .maximum_network_interfaces(*interfaces)
            .set_baseline_bandwidth_in_gbps(*gigabits)
            .build()
    });
    let network = NetworkInfo::builder()
        .set_network_cards(Some(cards.collect()))
        .default_network_card_index(default_card);
    InstanceTypeInfo::builder()
        .instance_type(InstanceType::from("z9.large"))
        .processor_info(
            ProcessorInfo::builder().set_supported_architectures(Some(architectures.to_vec())).build(),
        )
        .v_cpu_info(VCpuInfo::builder().default_v_cpus(2).build())
        .memory_info(MemoryInfo::builder().size_in_mib(8192).build())
        .network_info(network.build())
        .build()
}

#[test]
fn a_type_is_read_as_far_as_it_says_what_it_is() {
    let x86 = [ArchitectureType::I386, ArchitectureType::X8664];
    let facts = types::facts(&info(&x86, &[(4, Some(12.5)), (8, Some(0.25))], 1)).unwrap();
    assert_eq!((facts.architecture.as_str(), facts.interfaces), ("amd64", 8));
    assert_eq!(facts.network_megabits, Some(12750));
    assert_eq!((facts.hypervisor.as_str(), facts.clock_megahertz), ("", 0));
    let facts = types::facts(&info(&[ArchitectureType::Arm64], &[(4, Some(1.0)), (4, None)], 7)).unwrap();
    assert_eq!((facts.architecture.as_str(), facts.interfaces, facts.network_megabits), ("arm64", 0, None));
    assert_eq!(types::facts(&info(&[ArchitectureType::I386], &[], 0)), None);
    assert_eq!(types::facts(&InstanceTypeInfo::builder().build()), None);
}

#[test]
fn of_an_error_code_and_message_are_kept_or_why_there_is_no_answer() {
    let metadata = ErrorMetadata::builder().code("UnauthorizedOperation").message("no").build();
    let response = HttpResponse::new(400.try_into().unwrap(), "".into());
    let refused = SdkError::service_error(CreateFleetError::generic(metadata), response);
    let refused = failed("CreateFleet")(refused);
    assert_eq!((refused.code.as_str(), refused.message.as_str()), ("UnauthorizedOperation", "no"));
    let timed_out = failed("CreateFleet")(SdkError::<CreateFleetError>::timeout_error("it took too long"));
    assert!(timed_out.code.is_empty());
    assert!(timed_out.message.contains("it took too long"), "{timed_out}");
}

/// Lets the other tasks of this thread run until `look` finds something. The virtual clock stands still meanwhile, since somebody is always
/// at work; the real one sets a limit.
async fn soon<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "{what}: not within ten seconds");
        std::thread::sleep(Duration::from_millis(1));
        tokio::task::yield_now().await;
    }
}

/// The connection that waits to be accepted, if there is one.
fn accepted(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).unwrap();
    Some(stream)
}

/// The body of the request that comes by the connection.
async fn call(stream: &mut TcpStream) -> String {
    let (mut call, mut part) = (String::new(), [0; 4096]);
    soon("a whole call comes", || {
        if let Ok(length) = stream.read(&mut part) {
            assert_ne!(length, 0, "{call}");
            call.push_str(&String::from_utf8_lossy(&part[..length]));
        }
        call.contains("ClientToken=").then_some(())
    })
    .await;
    call.split_once("\r\n\r\n").unwrap().1.to_owned()
}

/// A connection takes the call and is never heard of again.
#[tokio::test(start_paused = true)]
async fn a_launch_whose_connection_goes_nowhere_is_sent_again_within_a_minute_as_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(format!("http://{}", listener.local_addr().unwrap()))
        .credentials_provider(SharedCredentialsProvider::new(Credentials::new("a", "b", None, None, "test")))
        .build();
    let sdk = Sdk::new(&config).unwrap();
    let request = FleetRequest { token: "uid-1-0".to_owned(), configs: Vec::new(), tags: [].into() };
    let launch = tokio::spawn(async move { sdk.create_fleet(&request).await });
    let mut open = soon("a call comes", || accepted(&listener)).await;
    let first = call(&mut open).await;

    // Both ends are in this thread, so nobody's turn passes while the clock is put forward.
    let mut seconds = 0;
    let mut stream = loop {
        assert!(seconds < 65, "it is not sent again");
        tokio::time::advance(Duration::from_secs(1)).await;
        seconds += 1;
        // A client that connects again has to be told of the end of its wait, first.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        if let Some(stream) = accepted(&listener) {
            break stream;
        }
    };
    assert!(seconds > 20, "EC2 may be slow: {seconds} s");
    let second = call(&mut stream).await;
    let answer = "<CreateFleetResponse/>";
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}", answer.len()).unwrap();
    soon("the launch ends", || launch.is_finished().then_some(())).await;
    assert_eq!(first, second);
    assert!(first.contains("ClientToken=uid-1-0"), "{first}");
    assert_eq!(launch.await.unwrap().unwrap(), FleetAnswer::default());
}
