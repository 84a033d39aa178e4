//! What the pods of a review ask of nodes, read once for every rule that judges it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod as ApiPod, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::parse;
use super::review::{Kind, Review, TemplateKind};
use super::subject::Subject;
use crate::model::Pod;
use crate::model::pod::UnsupportedConstraint;

/// What an object asks for, and what it asked for when it was judged before.
pub(super) struct Wishes {
    pub(super) new: Wish,
    /// What was judged before and can be read.
    pub(super) baseline: Option<Wish>,
}

/// What one version of an object asks for.
pub(super) struct Wish {
    pub(super) pod: Pod,
    /// The volumes that a StatefulSet claims for each of its pods.
    pub(super) claims: Vec<UnsupportedConstraint>,
}

impl Wishes {
    /// What the subject of the review asks, where its namespace has a type. On an update only a change counts (V9).
    ///
    /// What cannot be read is not judged: the API server does that, and it knows more fields.
    pub(super) fn read(subject: &Subject<'_>, review: &Review<'_>) -> Option<Self> {
        subject.workload_type()?;
        let new = Wish::read(review, parse::raw_object(review).ok()?.get())?;
        let stored = parse::raw_old_object(review).ok().flatten().filter(|_| subject.baseline.is_some());
        Some(Self { new, baseline: stored.and_then(|stored| Wish::read(review, stored.get())) })
    }
}

impl Wish {
    fn read(review: &Review<'_>, object: &str) -> Option<Self> {
        let Kind::Template(kind) = review.kind else {
            let Manifest { metadata, spec } = serde_json::from_str(object).ok()?;
            let Metadata { labels, owner_references } = metadata.unwrap_or_default();
            let metadata = ObjectMeta { labels, owner_references, ..ObjectMeta::default() };
            let pod = ApiPod { metadata, spec, status: None };
            return Some(Self { pod: Pod::from_api(&pod).ok()?, claims: Vec::new() });
        };
        let claims = if kind == TemplateKind::StatefulSet { claims(object)? } else { Vec::new() };
        let mut place = object;
        for field in kind.template_path() {
            let fields: BTreeMap<Cow<'_, str>, &RawValue> = serde_json::from_str(place).ok()?;
            place = fields.get(*field)?.get();
        }
        let Manifest { metadata, spec } = serde_json::from_str(place).ok()?;
        let labels = metadata.and_then(|metadata| metadata.labels);
        let metadata = Some(ObjectMeta { labels, ..ObjectMeta::default() });
        let pod = Pod::from_template(&review.namespace, &PodTemplateSpec { metadata, spec }).ok()?;
        Some(Self { pod, claims })
    }

    pub(super) fn constraints(&self) -> impl Iterator<Item = &UnsupportedConstraint> {
        self.claims.iter().chain(&self.pod.unsupported)
    }
}

/// What is read of a pod or template. The rest of its metadata is nobody's business here, and may be what no parser here can hold: times of the
/// year 9999, `managedFields` of any depth.
#[derive(Deserialize)]
struct Manifest {
    metadata: Option<Metadata>,
    spec: Option<PodSpec>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<OwnerReference>>,
}

fn claims(stateful_set: &str) -> Option<Vec<UnsupportedConstraint>> {
    #[derive(Deserialize)]
    struct Set {
        spec: SetSpec,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct SetSpec {
        volume_claim_templates: Option<Vec<Claim>>,
    }
    #[derive(Deserialize)]
    struct Claim {
        metadata: ClaimMetadata,
    }
    #[derive(Deserialize)]
    struct ClaimMetadata {
        #[serde(default)]
        name: String,
    }
    let Set { spec } = serde_json::from_str(stateful_set).ok()?;
    let claimed = |claim: Claim| UnsupportedConstraint::PersistentVolume { volume: claim.metadata.name };
    Some(spec.volume_claim_templates.into_iter().flatten().map(claimed).collect())
}
