//! The lab's own eyes and hands in EC2: the query protocol, spoken without an SDK.
//!
//! The lab judges what Treenail does through the AWS SDK, so it does not look through the same glasses.

use std::fmt;

use anyhow::{Context, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use roxmltree::{Document, Node};

/// The caller's name in the front's records.
pub const USER_AGENT: &str = "lab";

const REGION: &str = "us-east-1";

/// A client of the EC2 endpoint.
#[derive(Clone)]
pub struct Query {
    authority: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl fmt::Debug for Query {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Query").field("authority", &self.authority).finish_non_exhaustive()
    }
}

/// An instance as `DescribeInstances` shows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Instance {
    /// `i-…`
    pub id: String,
    /// `pending`, `running`, `shutting-down`, `terminated`, `stopping`, `stopped`.
    pub state: String,
    /// Such as `c7i.xlarge`.
    pub instance_type: String,
    /// Such as `us-east-1a`.
    pub zone: String,
    /// The private DNS name, which EKS nodes are named by.
    pub private_dns_name: String,
    /// The private address.
    pub private_ip: String,
}

/// What `DescribeInstanceTypes` says of a type's size.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InstanceSize {
    /// Default vCPUs.
    pub cpus: u64,
    /// Memory in MiB, before what the hypervisor keeps.
    pub memory_mebibytes: u64,
    /// The kubelet's name of the architecture: `amd64` or `arm64`.
    pub architecture: String,
    /// Network interfaces of the default card.
    pub network_interfaces: u64,
    /// IPv4 addresses an interface.
    pub addresses_per_interface: u64,
}

impl Query {
    /// A client of the endpoint at `127.0.0.1:PORT`.
    #[must_use]
    pub fn new(authority: String) -> Self {
        Self { authority, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Calls an EC2 action and returns the answer's XML.
    pub async fn call(&self, action: &str, parameters: &[(&str, &str)]) -> Result<String> {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("Action", action)
            .append_pair("Version", "2016-11-15")
            .extend_pairs(parameters)
            .finish();
        let request = self
            .request("ec2", http::Method::POST, "/")
            .header(http::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form))
            .context("describe the request")?;
        let answer = self.client.request(request).await.with_context(|| format!("call {action}"))?;
        let status = answer.status();
        let body = answer.into_body().collect().await.with_context(|| format!("read {action}"))?.to_bytes();
        let body = String::from_utf8_lossy(&body).into_owned();
        if !status.is_success() {
            bail!("{action} answered {status}: {body}");
        }
        Ok(body)
    }

    /// Whether EKS knows the cluster.
    pub async fn has_cluster(&self, name: &str) -> bool {
        let request =
            self.request("eks", http::Method::GET, &format!("/clusters/{name}")).body(Full::default());
        let Ok(request) = request else { return false };
        self.client.request(request).await.is_ok_and(|answer| answer.status().is_success())
    }

    fn request(&self, service: &str, method: http::Method, path: &str) -> http::request::Builder {
        // The credential's scope is how the endpoint knows which service is meant; nothing is signed.
        let scope = format!("AWS4-HMAC-SHA256 Credential=lab/20260101/{REGION}/{service}/aws4_request");
        http::Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.authority))
            .header(http::header::HOST, format!("{service}.{REGION}.amazonaws.com"))
            .header(http::header::USER_AGENT, USER_AGENT)
            .header(http::header::AUTHORIZATION, format!("{scope}, SignedHeaders=host, Signature=none"))
    }

    /// All instances, terminated ones too.
    pub async fn instances(&self) -> Result<Vec<Instance>> {
        let xml = self.call("DescribeInstances", &[]).await?;
        let document = Document::parse(&xml).context("read DescribeInstances")?;
        Ok(items(document.root(), "instancesSet").map(instance).collect())
    }

    /// The raw user data of an instance, as its machine would read it from the metadata service; base64.
    pub async fn user_data(&self, instance: &str) -> Result<String> {
        let parameters = [("InstanceId", instance), ("Attribute", "userData")];
        let xml = self.call("DescribeInstanceAttribute", &parameters).await?;
        let document = Document::parse(&xml).context("read DescribeInstanceAttribute")?;
        Ok(text(document.root(), &["userData", "value"]))
    }

    /// The size of the root volume in GiB.
    pub async fn root_volume_gibibytes(&self, instance: &str) -> Result<u64> {
        let parameters = [("Filter.1.Name", "attachment.instance-id"), ("Filter.1.Value.1", instance)];
        let xml = self.call("DescribeVolumes", &parameters).await?;
        let document = Document::parse(&xml).context("read DescribeVolumes")?;
        let volume = items(document.root(), "volumeSet").next().context("the instance has no volume")?;
        text(volume, &["size"]).parse().context("read the volume's size")
    }

    /// The size of an instance type.
    pub async fn instance_size(&self, instance_type: &str) -> Result<InstanceSize> {
        let xml = self.call("DescribeInstanceTypes", &[("InstanceType.1", instance_type)]).await?;
        let document = Document::parse(&xml).context("read DescribeInstanceTypes")?;
        let found = items(document.root(), "instanceTypeSet").next().context("the type is unknown")?;
        let number = |path: &[&str]| -> Result<u64> {
            text(found, path).parse().with_context(|| format!("read {} of {instance_type}", path.join(".")))
        };
        let architecture = match items(found, "supportedArchitectures").next().and_then(|item| item.text()) {
            Some("arm64") => "arm64",
            _ => "amd64",
        };
        Ok(InstanceSize {
            cpus: number(&["vCpuInfo", "defaultVCpus"])?,
            memory_mebibytes: number(&["memoryInfo", "sizeInMiB"])?,
            architecture: architecture.to_owned(),
            network_interfaces: number(&["networkInfo", "maximumNetworkInterfaces"])?,
            addresses_per_interface: number(&["networkInfo", "ipv4AddressesPerInterface"])?,
        })
    }

    /// Subnets tagged for discovery: id and zone.
    pub async fn discovery_subnets(&self) -> Result<Vec<(String, String)>> {
        let xml = self
            .call(
                "DescribeSubnets",
                &[("Filter.1.Name", "tag-key"), ("Filter.1.Value.1", "karpenter.sh/discovery")],
            )
            .await?;
        let document = Document::parse(&xml).context("read DescribeSubnets")?;
        let pair = |subnet| (text(subnet, &["subnetId"]), text(subnet, &["availabilityZone"]));
        Ok(items(document.root(), "subnetSet").map(pair).collect())
    }

    /// Launches one instance by hand, without Treenail, and returns its id.
    pub async fn run_instance(&self, instance_type: &str, subnet: &str, user_data: &str) -> Result<String> {
        let user_data = BASE64_STANDARD.encode(user_data);
        let xml = self
            .call(
                "RunInstances",
                &[
                    ("ImageId", "ami-0a1b2c3d4e5f60001"),
                    ("InstanceType", instance_type),
                    ("SubnetId", subnet),
                    ("UserData", &user_data),
                    ("MinCount", "1"),
                    ("MaxCount", "1"),
                ],
            )
            .await?;
        let document = Document::parse(&xml).context("read RunInstances")?;
        let launched = items(document.root(), "instancesSet").next().context("no instance was launched")?;
        Ok(text(launched, &["instanceId"]))
    }

    /// Terminates an instance.
    pub async fn terminate_instance(&self, id: &str) -> Result<()> {
        self.call("TerminateInstances", &[("InstanceId.1", id)]).await.map(|_| ())
    }
}

fn instance(item: Node<'_, '_>) -> Instance {
    Instance {
        id: text(item, &["instanceId"]),
        state: text(item, &["instanceState", "name"]),
        instance_type: text(item, &["instanceType"]),
        zone: text(item, &["placement", "availabilityZone"]),
        private_dns_name: text(item, &["privateDnsName"]),
        private_ip: text(item, &["privateIpAddress"]),
    }
}

/// The `item` elements of every list of this name.
fn items<'a, 'input: 'a>(below: Node<'a, 'input>, list: &'a str) -> impl Iterator<Item = Node<'a, 'input>> {
    below
        .descendants()
        .filter(move |node| node.tag_name().name() == list)
        .flat_map(|node| node.children().filter(|child| child.tag_name().name() == "item"))
}

/// The text at the end of a path of element names; empty where there is none. The root's only child is skipped.
fn text(from: Node<'_, '_>, path: &[&str]) -> String {
    let start = if from.is_root() { from.first_element_child().unwrap_or(from) } else { from };
    let found = path
        .iter()
        .try_fold(start, |node, name| node.children().find(|child| child.tag_name().name() == *name));
    found.and_then(|node| node.text()).unwrap_or_default().trim().to_owned()
}
