//! The part of a refused template as it should be written, in YAML, to be pasted over the part that was wrong.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::object::Pod;
use super::reason::Reason;
use super::review::TemplateKind;
use super::subject::Subject;
use super::{selector, tolerations};
use crate::api::labels::WORKLOAD_TYPE;
use crate::model::taints::Toleration;

/// The corrected fields for those reasons that have a correction, under the template's path; nothing if none has.
pub(super) fn fragment(subject: &Subject<'_>, kind: TemplateKind, reasons: &[Reason]) -> Option<String> {
    let Pod { metadata, spec } = subject.new;
    let mut pod = Fragment::default();
    for reason in reasons {
        match reason {
            Reason::ForeignToleration { .. }
            | Reason::WildcardToleration { .. }
            | Reason::UnknownTolerationOperator { .. }
            | Reason::UnregisteredToleration { .. } => {
                let kept = spec.tolerations().iter().filter(|kept| !tolerations::is_refused(subject, kept));
                pod.spec.tolerations = Some(kept.map(TolerationFragment::of).collect());
            }
            Reason::SelectorContradiction { .. } => {
                let kept = spec.node_selector.iter().flatten().map(|(key, value)| (&**key, &**value));
                let kept = kept.filter(|(key, _)| !is_contradiction(subject, key));
                pod.spec.node_selector = Some(kept.collect());
            }
            Reason::NodeNameSet { .. } => pod.spec.node_name = Some(""),
            Reason::TypeNotAllowed { allowed: Some(allowed), .. } => {
                let kept = metadata.labels.iter().map(|(key, value)| (&**key, &**value));
                let mut labels: BTreeMap<_, _> = kept.collect();
                labels.insert(WORKLOAD_TYPE, allowed);
                pod.metadata.labels = labels;
            }
            Reason::MalformedObject { .. }
            | Reason::NamespaceNotKnown
            | Reason::NamespaceClosed { .. }
            | Reason::TypeClosed { .. }
            | Reason::TooManyTolerations { .. }
            | Reason::PodTooLarge { .. }
            | Reason::NotInjected { .. }
            | Reason::ForgedMirrorPod { .. }
            | Reason::TypeNotAllowed { allowed: None, .. }
            | Reason::TypeLabelChanged { .. }
            | Reason::NeverSchedulable { .. }
            | Reason::UnknownWorkloadType { .. }
            | Reason::WorkloadTypeNotKnown { .. }
            | Reason::UnknownLabelKey { .. }
            | Reason::InvalidField { .. }
            | Reason::TypeBeingDeleted { .. }
            | Reason::NotSupportedYet { .. } => {}
        }
    }
    (pod != Fragment::default()).then(|| render(kind, &pod)).flatten()
}

fn is_contradiction(subject: &Subject<'_>, key: &str) -> bool {
    let wanted = subject.workload_type().and_then(|policy| policy.current.node_selector.get(key));
    wanted.is_some_and(|wanted| selector::contradiction(&subject.new.spec, key, wanted).is_some())
}

fn render(kind: TemplateKind, pod: &Fragment<'_>) -> Option<String> {
    // Text that YAML cannot hold would have to be no text.
    let yaml = serde_saphyr::to_string(pod).ok()?;
    let mut text = String::new();
    let mut indent = 0;
    for part in kind.template_path() {
        writeln!(text, "{:indent$}{part}:", "").ok()?;
        indent += 2;
    }
    for line in yaml.lines() {
        writeln!(text, "{:indent$}{line}", "").ok()?;
    }
    Some(text)
}

#[derive(Serialize, Default, PartialEq)]
struct Fragment<'a> {
    #[serde(skip_serializing_if = "is_default")]
    metadata: MetadataFragment<'a>,
    #[serde(skip_serializing_if = "is_default")]
    spec: SpecFragment<'a>,
}

#[derive(Serialize, Default, PartialEq)]
struct MetadataFragment<'a> {
    labels: BTreeMap<&'a str, &'a str>,
}

/// Empty text, lists and maps are shown: they say that nothing is to be left there.
#[derive(Serialize, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
struct SpecFragment<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    node_name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node_selector: Option<BTreeMap<&'a str, &'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tolerations: Option<Vec<TolerationFragment<'a>>>,
}

#[derive(Serialize, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
struct TolerationFragment<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    key: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    operator: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    value: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    effect: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    toleration_seconds: Option<i64>,
}

impl<'a> TolerationFragment<'a> {
    fn of(toleration: &'a Toleration<'_>) -> Self {
        Self {
            key: &toleration.key,
            operator: &toleration.operator,
            value: &toleration.value,
            effect: &toleration.effect,
            toleration_seconds: toleration.seconds,
        }
    }
}

fn is_default<T: Default + PartialEq>(part: &T) -> bool {
    *part == T::default()
}
