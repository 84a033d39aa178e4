//! What a class's selectors find: subnets, security groups, images.
//!
//! Images by alias `al2023@version` only; other terms are not supported yet and are refused. The instance profile has a file of its
//! own. Nothing is remembered but the SSM parameters that aliases stand for.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::cache::Answers;
use super::client::{Api, ApiResult, Filter, ImageFacts};
use crate::api::ec2nodeclass::{
    Ami, AmiRequirement, AmiSelectorTerm, Ec2NodeClassSpec, SecurityGroup, SecurityGroupSelectorTerm, Subnet,
    SubnetSelectorTerm,
};
use crate::api::labels;
use crate::ports::cloud::Resolution;

/// Subnets, the one with the most free addresses first.
pub(super) async fn subnets(
    api: &impl Api,
    spec: &Ec2NodeClassSpec,
    action: &str,
) -> Resolution<Vec<Subnet>> {
    let mut found = BTreeMap::new();
    for filters in subnet_filters(&spec.subnet_selector_terms) {
        match api.subnets(&filters).await {
            Ok(subnets) => found.extend(subnets.into_iter().map(|subnet| (subnet.id.clone(), subnet))),
            Err(error) => return Resolution::Failed(error.on(action)),
        }
    }
    let mut found: Vec<_> = found.into_values().collect();
    found.sort_by(|a, b| (-i64::from(a.free_addresses), &a.id).cmp(&(-i64::from(b.free_addresses), &b.id)));
    let subnets =
        found.into_iter().map(|facts| Subnet { id: facts.id, zone: facts.zone, zone_id: facts.zone_id });
    let terms =
        spec.subnet_selector_terms.iter().map(|term| named(term.id.as_deref(), None, term.tags.as_ref()));
    let message = format!("no subnet matches spec.subnetSelectorTerms ({})", listed(terms));
    found_or(subnets.collect(), "SubnetsNotFound", &message)
}

/// Security groups, by id.
pub(super) async fn security_groups(
    api: &impl Api,
    spec: &Ec2NodeClassSpec,
    action: &str,
) -> Resolution<Vec<SecurityGroup>> {
    let mut found = BTreeMap::new();
    for filters in security_group_filters(&spec.security_group_selector_terms) {
        match api.security_groups(&filters).await {
            Ok(groups) => found.extend(groups.into_iter().map(|group| (group.id, group.name))),
            Err(error) => return Resolution::Failed(error.on(action)),
        }
    }
    let groups = found.into_iter().map(|(id, name)| SecurityGroup { id, name });
    let terms = spec.security_group_selector_terms.iter();
    let terms = terms.map(|term| named(term.id.as_deref(), term.name.as_deref(), term.tags.as_ref()));
    let message = format!("no security group matches spec.securityGroupSelectorTerms ({})", listed(terms));
    found_or(groups.collect(), "SecurityGroupsNotFound", &message)
}

/// Images, the newest first.
pub(super) async fn amis(
    api: &impl Api,
    parameters: &Answers<String, Option<String>>,
    spec: &Ec2NodeClassSpec,
    kubernetes_version: &str,
    now: Timestamp,
    action: &str,
) -> Resolution<Vec<Ami>> {
    let version = match alias_version(&spec.ami_selector_terms) {
        Ok(version) => version,
        Err(message) => return Resolution::Unusable { reason: "UnsupportedAlias", message },
    };
    let mut by_image: BTreeMap<String, Vec<Variant>> = BTreeMap::new();
    for (name, variant) in parameter_names(kubernetes_version, version) {
        match parameters.get(&name, now, api.parameter(&name)).await {
            Ok(Some(image)) => by_image.entry(image).or_default().push(variant),
            // Not every version has every variant.
            Ok(None) => {}
            Err(error) => return Resolution::Failed(error.on(action)),
        }
    }
    let ids: Vec<_> = by_image.keys().cloned().collect();
    let images: ApiResult<_> = if ids.is_empty() { Ok(Vec::new()) } else { api.images(&ids).await };
    let images = match images {
        Ok(images) => images,
        Err(error) => return Resolution::Failed(error.on(action)),
    };
    let mut found: Vec<(String, Ami)> = Vec::new();
    for image in images {
        for variant in by_image.get(&image.id).into_iter().flatten() {
            found.push((image.created.clone(), ami(&image, *variant, now)));
        }
    }
    found.sort_by(|(a_created, a), (b_created, b)| (b_created, &a.id).cmp(&(a_created, &b.id)));
    found_or(
        found.into_iter().map(|(_, ami)| ami).collect(),
        "AMINotFound",
        &format!(
            "there is no image al2023@{version} for Kubernetes {kubernetes_version}; see spec.amiSelectorTerms"
        ),
    )
}

fn found_or<T>(found: Vec<T>, reason: &'static str, message: &str) -> Resolution<Vec<T>> {
    if found.is_empty() {
        Resolution::Unusable { reason, message: message.to_owned() }
    } else {
        Resolution::Found(found)
    }
}

/// What a term asks for; an id wins over a name, and a name over tags.
fn named(id: Option<&str>, name: Option<&str>, tags: Option<&BTreeMap<String, String>>) -> String {
    match (id, name) {
        (Some(id), _) => format!("id {id}"),
        (None, Some(name)) => format!("name {name}"),
        (None, None) => {
            let tags = tags.into_iter().flatten().map(|(key, value)| format!("{key}={value}"));
            format!("tags {}", tags.collect::<Vec<_>>().join(","))
        }
    }
}

/// The first terms.
fn listed(terms: impl ExactSizeIterator<Item = String>) -> String {
    const LISTED: usize = 3;
    let more = terms.len().saturating_sub(LISTED);
    let mut shown: Vec<_> = terms.take(LISTED).collect();
    if more > 0 {
        shown.push(format!("{more} more"));
    }
    shown.join("; ")
}

/// One call for all ids, and one for each term of tags. An id wins over tags beside it, as in Karpenter.
fn subnet_filters(terms: &[SubnetSelectorTerm]) -> Vec<Vec<Filter>> {
    let ids: BTreeSet<_> = terms.iter().filter_map(|term| term.id.as_deref()).collect();
    let tags = terms.iter().filter(|term| term.id.is_none()).filter_map(|term| term.tags.as_ref());
    by_ids("subnet-id", ids).into_iter().chain(tags.map(by_tags)).collect()
}

/// As for subnets; names are asked for in one call too, and win over tags.
fn security_group_filters(terms: &[SecurityGroupSelectorTerm]) -> Vec<Vec<Filter>> {
    let ids: BTreeSet<_> = terms.iter().filter_map(|term| term.id.as_deref()).collect();
    let without_id = || terms.iter().filter(|term| term.id.is_none());
    let names: BTreeSet<_> = without_id().filter_map(|term| term.name.as_deref()).collect();
    let tags = without_id().filter(|term| term.name.is_none()).filter_map(|term| term.tags.as_ref());
    by_ids("group-id", ids).into_iter().chain(by_ids("group-name", names)).chain(tags.map(by_tags)).collect()
}

fn by_ids(attribute: &str, ids: BTreeSet<&str>) -> Option<Vec<Filter>> {
    (!ids.is_empty()).then(|| vec![Filter::new(attribute, ids)])
}

fn by_tags(tags: &BTreeMap<String, String>) -> Vec<Filter> {
    tags.iter().map(|(key, value)| Filter::tag(key, value)).collect()
}

/// The version of the only alias, `latest` or a date such as `v20240625`.
fn alias_version(terms: &[AmiSelectorTerm]) -> Result<&str, String> {
    let unsupported =
        |what: &str| Err(format!("spec.amiSelectorTerms: {what} not supported yet; use alias al2023@latest"));
    let [AmiSelectorTerm { alias: Some(alias), .. }] = terms else {
        return unsupported("images that are not selected by one alias are");
    };
    match alias.split_once('@') {
        Some(("al2023", version)) if !version.is_empty() => Ok(version),
        _ => unsupported(&format!("alias {alias} is")),
    }
}

/// A kind of AL2023 image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Variant {
    /// As EC2 writes the architecture.
    architecture: &'static str,
    /// As the parameter's name has it.
    name: &'static str,
    /// The device that it has drivers for; nothing for images without any.
    device_count: Option<&'static str>,
}

const VARIANTS: [Variant; 5] = [
    Variant { architecture: "x86_64", name: "standard", device_count: None },
    Variant { architecture: "x86_64", name: "nvidia", device_count: Some(labels::INSTANCE_GPU_COUNT) },
    Variant {
        architecture: "x86_64",
        name: "neuron",
        device_count: Some(labels::INSTANCE_ACCELERATOR_COUNT),
    },
    Variant { architecture: "arm64", name: "standard", device_count: None },
    Variant { architecture: "arm64", name: "nvidia", device_count: Some(labels::INSTANCE_GPU_COUNT) },
];

/// Amazon's public parameters with the ids of an alias's images.
fn parameter_names(kubernetes_version: &str, version: &str) -> impl Iterator<Item = (String, Variant)> {
    VARIANTS.into_iter().map(move |variant| {
        let Variant { architecture, name, .. } = variant;
        let release = if version == "latest" {
            "recommended".to_owned()
        } else {
            format!("amazon-eks-node-al2023-{architecture}-{name}-{kubernetes_version}-{version}")
        };
        let folder = format!("/aws/service/eks/optimized-ami/{kubernetes_version}/amazon-linux-2023");
        (format!("{folder}/{architecture}/{name}/{release}/image_id"), variant)
    })
}

fn ami(image: &ImageFacts, variant: Variant, now: Timestamp) -> Ami {
    let architecture = if image.architecture == "arm64" { labels::ARCH_ARM64 } else { labels::ARCH_AMD64 };
    let requirement = |key: &str, operator: &str, values: &[&str]| AmiRequirement {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: values.iter().map(|value| (*value).to_owned()).collect(),
    };
    let mut requirements = match variant.device_count {
        Some(count) => vec![requirement(count, "Exists", &[])],
        None => [labels::INSTANCE_ACCELERATOR_COUNT, labels::INSTANCE_GPU_COUNT]
            .map(|count| requirement(count, "DoesNotExist", &[]))
            .into(),
    };
    requirements.push(requirement(labels::ARCH, "In", &[architecture]));
    requirements.sort_by(|a, b| (a.key.len(), &a.key).cmp(&(b.key.len(), &b.key)));
    Ami {
        id: image.id.clone(),
        deprecated: image.deprecated_from.is_some_and(|from| from <= now),
        name: image.name.clone(),
        requirements,
    }
}

#[cfg(test)]
mod tests;
