//! The fields of pods and pod templates that decide where pods run, read from the bytes that were sent.
//!
//! Everything else in the objects is skipped, neither copied nor understood: fields that are newer than this program survive, since
//! patches are made against the same bytes. What the fields mean is the rules' business.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::json::{Text, from_object, null_as_default};
use super::review::TemplateKind;
use crate::model::taints::Toleration;

/// Labels or a node selector.
pub(super) type Map<'a> = BTreeMap<Text<'a>, Text<'a>>;

/// A Pod, or a pod template.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Pod<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) metadata: Metadata<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) spec: PodSpec<'a>,
}

/// A Pod as it comes in a review: with metadata and spec, which patches add to.
#[derive(Deserialize)]
pub(super) struct WholePod<'a> {
    #[serde(borrow, deserialize_with = "from_object")]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    spec: PodSpec<'a>,
}

impl<'a> From<WholePod<'a>> for Pod<'a> {
    fn from(WholePod { metadata, spec }: WholePod<'a>) -> Self {
        Self { metadata, spec }
    }
}

/// What an object says about itself.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Metadata<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) generate_name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) labels: Map<'a>,
    /// The keys only; absent where the object has no annotations at all.
    #[serde(borrow, default)]
    #[expect(
        clippy::zero_sized_map_values,
        reason = "how the keys of a map are read and its values skipped"
    )]
    pub(super) annotations: Option<BTreeMap<Text<'a>, IgnoredAny>>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) owner_references: Vec<OwnerReference<'a>>,
}

impl Metadata<'_> {
    /// The owner that manages the object, by what the object says; anybody can write that.
    pub(super) fn controller(&self) -> Option<&OwnerReference<'_>> {
        self.owner_references.iter().find(|owner| owner.controller)
    }

    pub(super) fn has_annotation(&self, key: &str) -> bool {
        self.annotations.as_ref().is_some_and(|annotations| annotations.contains_key(key))
    }

    pub(super) fn label(&self, key: &str) -> Option<&str> {
        self.labels.get(key).map(|value| &**value)
    }
}

/// An object that another says it belongs to.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OwnerReference<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) api_version: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) kind: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    pub(super) name: Text<'a>,
    #[serde(default, deserialize_with = "null_as_default")]
    pub(super) controller: bool,
}

/// Where a pod may run.
#[derive(Debug, Clone, Default)]
pub(super) struct PodSpec<'a> {
    pub(super) node_name: Text<'a>,
    /// Absent where there is none to add to.
    pub(super) node_selector: Option<Map<'a>>,
    /// Absent where there is no list to append to.
    pub(super) tolerations: Option<Vec<Toleration<'a>>>,
    /// How many things the pod waits for before it is scheduled.
    pub(super) scheduling_gates: usize,
    /// Read only where it matters.
    pub(super) affinity: Option<&'a RawValue>,
    /// Fields that this program does not know and whose names sound like placement.
    pub(super) unknown: BTreeSet<Text<'a>>,
}

impl<'a> PodSpec<'a> {
    pub(super) fn tolerations(&self) -> &[Toleration<'a>] {
        self.tolerations.as_deref().unwrap_or_default()
    }

    pub(super) fn selected(&self, key: &str) -> Option<&str> {
        self.node_selector.as_ref()?.get(key).map(|value| &**value)
    }
}

/// What the name of a field contains that may decide where a pod runs. Lower case.
const PLACEMENT_WORDS: [&str; 6] = ["tolerat", "taint", "node", "binding", "placement", "affinity"];

fn sounds_like_placement(field: &str) -> bool {
    let field = field.to_ascii_lowercase();
    PLACEMENT_WORDS.iter().any(|word| field.contains(word))
}

impl<'de: 'a, 'a> Deserialize<'de> for PodSpec<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields<'a>(std::marker::PhantomData<&'a ()>);

        impl<'de: 'a, 'a> Visitor<'de> for Fields<'a> {
            type Value = PodSpec<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a pod spec")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut spec = PodSpec::default();
                while let Some(key) = map.next_key::<Text<'a>>()? {
                    match &*key {
                        "nodeName" => spec.node_name = map.next_value::<Option<_>>()?.unwrap_or_default(),
                        "nodeSelector" => spec.node_selector = map.next_value()?,
                        "tolerations" => {
                            let tolerations: Option<Vec<TolerationFields<'a>>> = map.next_value()?;
                            spec.tolerations =
                                tolerations.map(|all| all.into_iter().map(Toleration::from).collect());
                        }
                        "schedulingGates" => {
                            let gates: Option<Vec<IgnoredAny>> = map.next_value()?;
                            spec.scheduling_gates = gates.map_or(0, |gates| gates.len());
                        }
                        "affinity" => spec.affinity = map.next_value()?,
                        field => {
                            let is_unknown = sounds_like_placement(field);
                            map.next_value::<IgnoredAny>()?;
                            if is_unknown {
                                spec.unknown.insert(key);
                            }
                        }
                    }
                }
                Ok(spec)
            }
        }

        deserializer.deserialize_map(Fields(std::marker::PhantomData))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TolerationFields<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    key: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    operator: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    value: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    effect: Text<'a>,
    #[serde(default)]
    toleration_seconds: Option<i64>,
}

impl<'a> From<TolerationFields<'a>> for Toleration<'a> {
    fn from(fields: TolerationFields<'a>) -> Self {
        Self {
            key: fields.key.into(),
            operator: fields.operator.into(),
            value: fields.value.into(),
            effect: fields.effect.into(),
            seconds: fields.toleration_seconds,
        }
    }
}

/// An object that pods are made from.
#[derive(Debug, Clone, Default)]
pub(super) struct Template<'a> {
    /// Of the object itself.
    pub(super) metadata: Metadata<'a>,
    /// Absent where the object has none yet.
    pub(super) pod: Option<Pod<'a>>,
}

impl<'a> Template<'a> {
    /// Reads an object of the kind.
    pub(super) fn parse(kind: TemplateKind, object: &'a RawValue) -> serde_json::Result<Self> {
        let Holder { metadata, template, spec } = serde_json::from_str(object.get())?;
        let pod = match kind {
            TemplateKind::PodTemplate => template,
            TemplateKind::CronJob => spec.job_template.spec.template,
            TemplateKind::Deployment
            | TemplateKind::StatefulSet
            | TemplateKind::DaemonSet
            | TemplateKind::ReplicaSet
            | TemplateKind::ReplicationController
            | TemplateKind::Job => spec.template,
        };
        Ok(Self { metadata, pod })
    }
}

#[derive(Deserialize)]
struct Holder<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    metadata: Metadata<'a>,
    #[serde(borrow)]
    template: Option<Pod<'a>>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    spec: HolderSpec<'a>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct HolderSpec<'a> {
    #[serde(borrow)]
    template: Option<Pod<'a>>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    job_template: JobTemplate<'a>,
}

#[derive(Deserialize, Default)]
struct JobTemplate<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    spec: JobSpec<'a>,
}

#[derive(Deserialize, Default)]
struct JobSpec<'a> {
    #[serde(borrow)]
    template: Option<Pod<'a>>,
}

#[cfg(test)]
mod tests;
