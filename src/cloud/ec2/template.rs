//! Launch templates: everything about an instance that is the same for all types and zones of one fleet request.
//!
//! A template is a value, and its name follows from the value: equal templates are one template in EC2, whoever made it, and a template
//! that exists under its name has the right content. Pure; the calls are the provider's.

use std::collections::BTreeMap;

use serde::Serialize;

use super::catalog::ROOT_DEVICE;
use crate::api::ec2nodeclass::{BlockDeviceMapping, Ec2NodeClassSpec, MetadataOptions};
use crate::api::labels;
use crate::model::Quantity;

/// What the names of all our templates start with. See `docs/adr/0003-launch-templates-beside-karpenter.md`.
pub const NAME_PREFIX: &str = "treenail.dev/";
/// Part of every name: to be raised when a value comes to mean another template in EC2.
const REVISION: u32 = 1;

/// A launch template.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LaunchTemplate {
    /// The image.
    pub image_id: String,
    /// The instance profile.
    pub instance_profile: String,
    /// Security groups of every interface.
    pub security_groups: Vec<String>,
    /// User data, before base64.
    pub user_data: String,
    /// Disks.
    pub disks: Vec<Disk>,
    /// How the metadata service can be reached.
    pub metadata_options: MetadataOptions,
    /// Whether metrics come every minute.
    pub detailed_monitoring: bool,
    /// Whether instances get a public address; without it the subnet decides.
    pub associate_public_ip_address: Option<bool>,
    /// So many Elastic Fabric Adapters instead of an ordinary interface.
    pub efa_interfaces: u32,
    /// Whose hardware it is.
    pub tenancy: Tenancy,
    /// Tags of the template, and of network interfaces that instances get.
    pub tags: BTreeMap<String, String>,
}

/// Whose hardware an instance runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tenancy {
    /// Shared with other accounts.
    Default,
    /// This account's only.
    Dedicated,
}

impl Tenancy {
    /// The value of the label [`labels::INSTANCE_TENANCY`], and EC2's word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Dedicated => "dedicated",
        }
    }
}

/// A disk. What is not said is EC2's choice.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Disk {
    /// Such as `/dev/xvda`.
    pub device: Option<String>,
    /// Size in GiB.
    pub gibibytes: Option<i32>,
    /// Such as `gp3`.
    pub volume_type: Option<String>,
    /// Whether it is encrypted.
    pub is_encrypted: Option<bool>,
    /// The key that encrypts it.
    pub kms_key_id: Option<String>,
    /// The snapshot that it starts from.
    pub snapshot_id: Option<String>,
    /// Operations per second.
    pub iops: Option<i32>,
    /// MiB per second.
    pub throughput: Option<i32>,
    /// MiB per second at which the snapshot is read.
    pub initialization_rate: Option<i32>,
    /// Whether it goes with the instance.
    pub deletes_on_termination: Option<bool>,
}

impl LaunchTemplate {
    /// The template's name: the same for equal templates, and another for others.
    #[must_use]
    #[expect(clippy::missing_panics_doc, reason = "what is written always becomes JSON")]
    pub fn name(&self) -> String {
        let text = serde_json::to_string(&(REVISION, self));
        let text = text.expect("text, numbers and maps keyed by text always become JSON");
        format!("{NAME_PREFIX}{:032x}", fingerprint(text.as_bytes()))
    }
}

/// FNV-1a in 128 bits: the same in every version and on every machine. It tells templates apart that people write; it is no
/// defence against somebody who looks for collisions, who would need the right to write pools to begin with.
pub(super) fn fingerprint(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// The tags of all that is created for a pool: the class's own, and those that Karpenter's IAM policies ask for.
#[must_use]
pub fn tags(
    own: &BTreeMap<String, String>,
    cluster: &str,
    pool: &str,
    class: &str,
) -> BTreeMap<String, String> {
    let fixed = [
        (format!("{}{cluster}", labels::CLUSTER_TAG_PREFIX), "owned"),
        (labels::CLUSTER_NAME_TAG.to_owned(), cluster),
        (labels::NODEPOOL_TAG.to_owned(), pool),
        (labels::EC2NODECLASS_TAG.to_owned(), class),
    ];
    let own = own.iter().map(|(key, value)| (key.clone(), value.clone()));
    own.chain(fixed.map(|(key, value)| (key, value.to_owned()))).collect()
}

/// The disks of a class; the family's one, encrypted, if it names none.
pub fn disks(class: &Ec2NodeClassSpec) -> Result<Vec<Disk>, String> {
    if class.block_device_mappings.is_empty() {
        return Ok(vec![Disk {
            device: Some(ROOT_DEVICE.to_owned()),
            gibibytes: Some(20),
            volume_type: Some("gp3".to_owned()),
            is_encrypted: Some(true),
            ..Disk::default()
        }]);
    }
    class.block_device_mappings.iter().map(disk).collect()
}

fn disk(mapping: &BlockDeviceMapping) -> Result<Disk, String> {
    let ebs = mapping.ebs.clone().unwrap_or_default();
    let problem = |field: &str, what: &str| format!("spec.blockDeviceMappings: {field}: {what}");
    let number = |field: &str, number: Option<i64>| match number.filter(|number| *number != 0) {
        Some(number) => {
            i32::try_from(number).map(Some).map_err(|_| problem(field, &format!("{number} is too large")))
        }
        None => Ok(None),
    };
    let gibibytes = |size: &_| -> Result<i32, String> {
        let size = Quantity::try_from(size).map_err(|error| problem("volumeSize", &error.to_string()))?;
        let bytes = u64::try_from(size.units()).map_err(|_| problem("volumeSize", "cannot be negative"))?;
        i32::try_from(bytes.div_ceil(1 << 30))
            .map_err(|_| problem("volumeSize", &format!("{size} is too large")))
    };
    Ok(Disk {
        device: mapping.device_name.clone(),
        gibibytes: ebs.volume_size.as_ref().map(gibibytes).transpose()?,
        volume_type: ebs.volume_type.map(|kind| kind.as_str().to_owned()),
        is_encrypted: ebs.encrypted,
        kms_key_id: ebs.kms_key_id,
        snapshot_id: ebs.snapshot_id,
        iops: number("iops", ebs.iops)?,
        throughput: number("throughput", ebs.throughput)?,
        initialization_rate: ebs.volume_initialization_rate,
        deletes_on_termination: ebs.delete_on_termination,
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::api::resource::Quantity as ApiQuantity;

    use super::*;
    use crate::api::ec2nodeclass::BlockDevice;

    fn template() -> LaunchTemplate {
        LaunchTemplate {
            image_id: "ami-1".to_owned(),
            instance_profile: "lab".to_owned(),
            security_groups: vec!["sg-1".to_owned()],
            user_data: "data".to_owned(),
            disks: Vec::new(),
            metadata_options: MetadataOptions::default(),
            detailed_monitoring: false,
            associate_public_ip_address: None,
            efa_interfaces: 0,
            tenancy: Tenancy::Default,
            tags: BTreeMap::from([("team".to_owned(), "blue".to_owned())]),
        }
    }

    #[test]
    fn the_fingerprint_is_fnv_1a() {
        assert_eq!(fingerprint(b""), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(fingerprint(b"foobar"), 0x343e_1662_793c_64bf_6f0d_3597_ba44_6f18);
    }

    #[test]
    fn equal_templates_have_one_name_for_ever_and_each_difference_another() {
        // A name that changes here replaces every launch template at the next release: on purpose only.
        assert_eq!(template().name(), "treenail.dev/2f7e8f4b98de82df871ffe56c44362be");
        assert_eq!(template().name(), template().clone().name());
        let others = [
            LaunchTemplate { image_id: "ami-2".to_owned(), ..template() },
            LaunchTemplate { instance_profile: "other".to_owned(), ..template() },
            LaunchTemplate { security_groups: Vec::new(), ..template() },
            LaunchTemplate { user_data: "other".to_owned(), ..template() },
            LaunchTemplate { disks: vec![Disk::default()], ..template() },
            LaunchTemplate {
                metadata_options: MetadataOptions {
                    http_put_response_hop_limit: 2,
                    ..MetadataOptions::default()
                },
                ..template()
            },
            LaunchTemplate { detailed_monitoring: true, ..template() },
            LaunchTemplate { associate_public_ip_address: Some(false), ..template() },
            LaunchTemplate { efa_interfaces: 1, ..template() },
            LaunchTemplate { tenancy: Tenancy::Dedicated, ..template() },
            LaunchTemplate { tags: BTreeMap::new(), ..template() },
        ];
        let names: std::collections::BTreeSet<_> = others.iter().map(LaunchTemplate::name).collect();
        assert_eq!(names.len(), others.len());
        assert!(!names.contains(&template().name()));
        // What EC2 accepts as a name.
        let allowed = |letter: char| letter.is_ascii_alphanumeric() || "-()./_".contains(letter);
        assert!(template().name().len() <= 128 && template().name().chars().all(allowed));
    }

    #[test]
    fn tags_of_the_class_never_replace_those_that_own_the_resource() {
        let own = [("team", "blue"), ("karpenter.sh/nodepool", "forged")];
        let own = own.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let tags = tags(&own, "lab", "application", "default");
        let tags: Vec<_> = tags.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(
            tags,
            [
                "eks:eks-cluster-name=lab",
                "karpenter.k8s.aws/ec2nodeclass=default",
                "karpenter.sh/nodepool=application",
                "kubernetes.io/cluster/lab=owned",
                "team=blue",
            ]
        );
    }

    #[test]
    fn sizes_are_rounded_up_to_gibibytes_and_zero_is_left_out() {
        let mapping = |size: &str, iops: i64| BlockDeviceMapping {
            device_name: Some("/dev/xvdb".to_owned()),
            ebs: Some(BlockDevice {
                volume_size: Some(ApiQuantity(size.to_owned())),
                iops: Some(iops),
                ..BlockDevice::default()
            }),
            root_volume: false,
        };
        for (size, expected) in [("20Gi", Ok(20)), ("20G", Ok(19)), ("1Ti", Ok(1024)), ("64T", Ok(59605))] {
            assert_eq!(disk(&mapping(size, 0)).map(|disk| disk.gibibytes), expected.map(Some), "{size}");
        }
        assert_eq!(disk(&mapping("1Gi", 0)).unwrap().iops, None);
        assert_eq!(disk(&mapping("1Gi", 3000)).unwrap().iops, Some(3000));
        assert!(disk(&mapping("1Gi", i64::MAX)).unwrap_err().contains("iops"));
        assert!(disk(&mapping("big", 0)).unwrap_err().contains("volumeSize"));
    }
}
