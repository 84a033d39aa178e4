//! The labels of a type's nodes, under Karpenter's keys and with Karpenter's values.
//!
//! Every label that Karpenter knows of a type is defined here: with its values, or as one that the nodes do not have. Labels that
//! depend on where and how the instance is bought list what is possible.

use super::facts::TypeFacts;
use crate::api::labels;
use crate::model::{Requirement, Requirements};

/// Labels that no node has, since what they tell of is not supported.
const NEVER: &[&str] = &[
    labels::WINDOWS_BUILD,
    labels::CAPACITY_RESERVATION_ID,
    labels::CAPACITY_RESERVATION_TYPE,
    labels::CAPACITY_RESERVATION_INTERRUPTIBLE,
    labels::PLACEMENT_GROUP_ID,
    labels::PLACEMENT_GROUP_PARTITION,
];

/// What follows from the type alone.
pub(super) fn of_type(facts: &TypeFacts, region: &str) -> Requirements {
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let (category, generation) = category_and_generation(&facts.name).unzip();
    let gpu = match facts.gpus.as_slice() {
        [gpu] => Some(gpu),
        _ => None,
    };
    let accelerator = accelerator(facts);
    let local_nvme = facts.local_disk_gigabytes.filter(|_| facts.is_local_disk_nvme);

    let single = [
        (labels::INSTANCE_TYPE, text(&facts.name)),
        (labels::ARCH, text(&facts.architecture)),
        (labels::OS, text(labels::OS_LINUX)),
        (labels::REGION, text(region)),
        (labels::INSTANCE_CPU, Some(facts.cpus.to_string())),
        (labels::INSTANCE_CPU_MANUFACTURER, facts.manufacturer.as_deref().map(kebab)),
        (labels::INSTANCE_CPU_CLOCK, Some(facts.clock_megahertz.to_string())),
        (labels::INSTANCE_MEMORY, Some(facts.memory_mebibytes.to_string())),
        (labels::INSTANCE_EBS_BANDWIDTH, facts.ebs_megabits.map(number)),
        (labels::INSTANCE_NETWORK_BANDWIDTH, facts.network().megabits.map(number)),
        (labels::INSTANCE_CATEGORY, category.and_then(text)),
        (labels::INSTANCE_GENERATION, generation.and_then(text)),
        (labels::INSTANCE_FAMILY, text(facts.family())),
        (labels::INSTANCE_SIZE, text(facts.size())),
        (labels::INSTANCE_CAPABILITY_FLEX, Some(facts.family().contains("-flex").to_string())),
        (labels::INSTANCE_LOCAL_NVME, local_nvme.map(number)),
        // Metal has no hypervisor and the label all the same, with an empty value.
        (labels::INSTANCE_HYPERVISOR, Some(facts.hypervisor.clone())),
        (labels::INSTANCE_ENCRYPTION_IN_TRANSIT, Some(facts.encrypts_in_transit.to_string())),
        (labels::NITRO_SANDBOX, Some(facts.supports_enclaves.to_string())),
        (labels::INSTANCE_GPU_NAME, gpu.map(|gpu| kebab(&gpu.name))),
        (labels::INSTANCE_GPU_MANUFACTURER, gpu.map(|gpu| kebab(&gpu.manufacturer))),
        (labels::INSTANCE_GPU_COUNT, gpu.map(|gpu| number(gpu.count))),
        (labels::INSTANCE_GPU_MEMORY, gpu.map(|gpu| number(gpu.memory_mebibytes))),
        (labels::INSTANCE_ACCELERATOR_NAME, accelerator.as_ref().map(|(name, ..)| name.clone())),
        (labels::INSTANCE_ACCELERATOR_MANUFACTURER, accelerator.as_ref().map(|(_, maker, _)| maker.clone())),
        (labels::INSTANCE_ACCELERATOR_COUNT, accelerator.as_ref().map(|(.., count)| number(*count))),
    ];
    let usage =
        [(facts.usage.on_demand, labels::CAPACITY_ON_DEMAND), (facts.usage.spot, labels::CAPACITY_SPOT)];
    let usage = usage.into_iter().filter(|(is_supported, _)| *is_supported).map(|(_, name)| name);
    let several = [
        Requirement::one_of(labels::CAPACITY_TYPE, usage),
        Requirement::one_of(labels::INSTANCE_TENANCY, ["default", "dedicated"]),
    ];
    let single = single.into_iter().map(|(key, value)| match value {
        Some(value) => Requirement::one_of(key, [value]),
        None => Requirement::does_not_exist(key),
    });
    let never = NEVER.iter().map(|key| Requirement::does_not_exist(key));
    single.chain(several).chain(never).collect()
}

/// Letters and first number of a type's name, as Karpenter takes them apart: `c7i.xlarge` is `c` and `7`, `u-12tb1.112xlarge` is `u`
/// and `1`. Nothing for names of another form.
fn category_and_generation(name: &str) -> Option<(&str, &str)> {
    let (family, _) = name.rsplit_once('.')?;
    let (category, rest) = split_where(family, |letter| !letter.is_ascii_lowercase())?;
    let rest = match rest.strip_prefix('-').and_then(|rest| split_where(rest, is_no_digit)) {
        Some((_, unit)) if unit.starts_with("tb") => unit.strip_prefix("tb")?,
        _ => rest,
    };
    let (generation, _) = rest.split_at(rest.find(is_no_digit).unwrap_or(rest.len()));
    (!generation.is_empty()).then_some((category, generation))
}

/// The text before and from the first such character, if there is text before it and it is there.
fn split_where(text: &str, is_end: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    text.find(is_end).filter(|end| *end > 0).and_then(|end| text.split_at_checked(end))
}

fn is_no_digit(letter: char) -> bool {
    !letter.is_ascii_digit()
}

/// Name, maker and count of the only model of Neuron device or, on types without any, of other accelerator.
fn accelerator(facts: &TypeFacts) -> Option<(String, String, u64)> {
    match (facts.neuron.as_deref(), facts.accelerators.as_slice()) {
        (Some([neuron]), _) => Some((kebab(&neuron.name), "aws".to_owned(), neuron.count)),
        (None, [only]) => Some((kebab(&only.name), kebab(&only.manufacturer), only.count)),
        _ => None,
    }
}

fn kebab(text: &str) -> String {
    text.to_lowercase().replace(' ', "-")
}

fn number(number: u64) -> String {
    number.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloud::ec2::catalog::facts::{Accelerator, Gpu, Neuron};

    #[test]
    fn a_name_is_taken_apart_as_karpenter_does() {
        let cases = [
            ("c7i.xlarge", Some(("c", "7"))),
            ("m7i-flex.large", Some(("m", "7"))),
            ("u-12tb1.112xlarge", Some(("u", "1"))),
            ("u7i-12tb.224xlarge", Some(("u", "7"))),
            ("p6-b200.48xlarge", Some(("p", "6"))),
            ("inf2.xlarge", Some(("inf", "2"))),
            ("c10g.large", Some(("c", "10"))),
            ("mac-m4.metal", None),
            ("7c.large", None),
            ("large", None),
            ("", None),
        ];
        for (name, expected) in cases {
            assert_eq!(category_and_generation(name), expected, "{name}");
        }
    }

    #[test]
    fn labels_of_devices_are_there_for_a_single_model_only() {
        let gpu = |name: &str| Gpu {
            name: name.to_owned(),
            manufacturer: "NVIDIA".to_owned(),
            count: 4,
            memory_mebibytes: 16384,
        };
        let neuron = |name: &str| Neuron { name: name.to_owned(), count: 2, cores: 2 };
        let other = Accelerator { name: "Inferentia".to_owned(), manufacturer: "AWS".to_owned(), count: 1 };
        let cases = [
            (TypeFacts::default(), None, None),
            (TypeFacts { gpus: vec![gpu("Tesla T4")], ..TypeFacts::default() }, Some("tesla-t4"), None),
            (TypeFacts { gpus: vec![gpu("A"), gpu("B")], ..TypeFacts::default() }, None, None),
            (
                TypeFacts { neuron: Some(vec![neuron("Inferentia2")]), ..TypeFacts::default() },
                None,
                Some("inferentia2"),
            ),
            (
                TypeFacts { accelerators: vec![other.clone()], ..TypeFacts::default() },
                None,
                Some("inferentia"),
            ),
            (
                TypeFacts { neuron: Some(Vec::new()), accelerators: vec![other], ..TypeFacts::default() },
                None,
                None,
            ),
        ];
        for (facts, gpu, accelerator) in cases {
            let labels = of_type(&facts, "us-east-1");
            let value = |key: &str| labels.get(key).unwrap().single_value().map(str::to_owned);
            assert_eq!(value(labels::INSTANCE_GPU_NAME).as_deref(), gpu, "{facts:?}");
            assert_eq!(value(labels::INSTANCE_ACCELERATOR_NAME).as_deref(), accelerator, "{facts:?}");
        }
    }

    #[test]
    fn every_label_of_a_type_that_a_pool_may_ask_for_is_defined() {
        let labels = of_type(&TypeFacts::default(), "us-east-1");
        // The class's name is the class's, not the type's.
        let missing: Vec<_> = labels::AWS_LABELS
            .iter()
            .filter(|key| **key != labels::EC2NODECLASS && labels.get(key).is_none())
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }
}
