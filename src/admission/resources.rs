//! V6: WorkloadType, NodePool and EC2NodeClass. What the object alone makes wrong is refused; what depends on other objects is a warning, since
//! people apply them in any order.
//!
//! The model's own constructors judge, so that what is accepted here is usable there. Fields that are not honoured yet are refused on a
//! WorkloadType, which would be another fence without them, and are warnings on Karpenter's kinds, so that existing manifests apply; nothing
//! is launched from an object that needs one of those that block.

use std::collections::BTreeSet;

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use super::instance_types::COMPARED;
use super::parse::{self, Malformed};
use super::policies::Policies;
use super::reason::Reason;
use super::reference::Reference;
use super::review::Review;
use super::verdict::Verdict;
use super::warning::Warning;
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::requirement::Operator;
use crate::api::unsupported::{self, Severity, Unsupported};
use crate::api::{labels, nodepool, workload_type as api};
use crate::model::misspelt::meant_label;
use crate::model::node_pool::NodePool;
use crate::model::problem::Problem;
use crate::model::requirements::nearest_key;
use crate::model::resources::HUGE_PAGES_PREFIX;
use crate::model::taints::{Effect, Taint};
use crate::model::workload_type::{
    FindingKind, Fleet, Pool, WorkloadType, derive, is_ownable, shared_taints,
};

pub(super) fn validate_workload_type(policies: &Policies, review: &Review<'_>) -> Verdict {
    let objects = match Objects::<api::WorkloadType>::read(review) {
        Ok(objects) => objects,
        Err(verdict) => return *verdict,
    };
    if objects.is_same(|object| &object.spec) {
        return Verdict::default();
    }
    let mut verdict = objects.judge(|object| {
        let fields = unsupported::workload_type(object).into_iter();
        let fields =
            fields.map(|field| Reason::NotSupportedYet { path: field.path, text: field.text.to_owned() });
        invalid(WorkloadType::invalid_fields(object)).chain(fields).collect()
    });
    let new = WorkloadType::read(&objects.new);
    let mut types = policies.types().clone();
    types.insert(new.name.clone(), new.clone());
    let fleet = Fleet { types: &types, pools: policies.pools(), nodes: &[] };
    let is_missing = |pool: &&String| {
        let is_known = policies.pools().contains_key(*pool);
        !pool.is_empty() && !is_known && !policies.may_exist(&Reference::NodePool((*pool).clone()))
    };
    let missing = new.pools.iter().filter(is_missing);
    verdict
        .warn(missing.map(|pool| Warning::PoolMissing { object: objects.name.clone(), pool: pool.clone() }));
    verdict.warn(shared_pools(&new, &fleet, &objects.name));
    let findings = derive(&new, &fleet).findings.into_iter().filter(|finding| match finding.kind {
        // These have been told.
        FindingKind::Invalid | FindingKind::PoolMissing => false,
        FindingKind::PoolUnusable
        | FindingKind::PoolNotReady
        | FindingKind::PoolNotResolved
        | FindingKind::PoolOpen
        | FindingKind::NodesOpen
        | FindingKind::NodesUnfenced
        | FindingKind::TaintShared => true,
    });
    verdict.warn(findings.map(Warning::Surroundings));
    verdict
}

/// Pools that other types name, too: that is allowed, and no taint keeps their pods apart.
fn shared_pools(new: &WorkloadType, fleet: &Fleet<'_>, object: &str) -> Vec<Warning> {
    let warning = |(pool, others): (&str, Vec<&str>)| Warning::PoolShared {
        object: object.to_owned(),
        pool: pool.to_owned(),
        workload_types: others.into_iter().map(str::to_owned).collect(),
    };
    fleet.shared_pools(new).into_iter().map(warning).collect()
}

pub(super) fn validate_node_pool(policies: &Policies, review: &Review<'_>) -> Verdict {
    let objects = match Objects::<nodepool::NodePool>::read(review) {
        Ok(objects) => objects,
        Err(verdict) => return *verdict,
    };
    let class = &objects.new.spec.template.spec.node_class_ref;
    let is_ours = [labels::KARPENTER_AWS_GROUP, labels::TREENAIL_GROUP].contains(&class.group.as_str());
    if !is_ours || objects.is_same(|object| &object.spec) {
        return Verdict::default();
    }
    let mut verdict = objects.judge(|object| invalid(NodePool::invalid_fields(object)).collect());
    verdict.warn(objects.unhonoured(unsupported::Kind::NodePool));
    let is_known = || {
        policies.has_node_class(&class.name) || policies.may_exist(&Reference::NodeClass(class.name.clone()))
    };
    if class.group == labels::KARPENTER_AWS_GROUP && !is_known() {
        let class = class.name.clone();
        verdict.warn([Warning::NodeClassMissing { object: objects.name.clone(), class }]);
    }
    verdict.warn(unknown_types(policies, &objects));
    verdict.warn(misspelt_labels(&objects));
    verdict.warn(labels_of_types(policies, &objects));
    verdict.warn(open(policies, &objects));
    verdict.warn(unknown_limits(&objects));
    let name = objects.new.metadata.name.clone().unwrap_or_default();
    let mut pools = policies.pools().clone();
    pools.insert(name.clone(), Pool::read(&objects.new));
    let fleet = Fleet { types: policies.types(), pools: &pools, nodes: &[] };
    verdict.warn(shared_taints(&name, &fleet).into_iter().map(Warning::Surroundings));
    verdict
}

/// Instance types, and families of them, that are named and not known. The list that is known here may be behind, so it is no reason to refuse.
fn unknown_types(policies: &Policies, objects: &Objects<'_, nodepool::NodePool>) -> Vec<Warning> {
    let known = &*policies.settings().instance_types;
    let families: BTreeSet<&str> = known.iter().filter_map(|name| Some(name.split_once('.')?.0)).collect();
    let requirements = objects.new.spec.template.spec.requirements.iter().enumerate();
    let named = requirements.filter(|(_, entry)| entry.operator == Operator::In && !known.is_empty());
    let unknown = named.flat_map(|(index, entry)| {
        let families = &families;
        let is_known = move |value: &str| match entry.key.as_str() {
            labels::INSTANCE_TYPE => known.contains(value),
            labels::INSTANCE_FAMILY => families.contains(value),
            _ => true,
        };
        entry
            .values
            .iter()
            .filter(move |value| !is_known(value))
            .map(move |value| (index, entry.key.as_str(), value))
    });
    let nearest = |key: &str, value: &str| match key {
        labels::INSTANCE_FAMILY => nearest_key(value, families.iter().copied()),
        _ => nearest_key(value, known.iter().map(String::as_str)),
    };
    let warning = |(place, (index, key, value)): (usize, (usize, &str, &String))| {
        let nearest = (place < COMPARED).then(|| nearest(key, value)).flatten();
        Warning::UnknownInstanceType {
            object: objects.name.clone(),
            path: format!("spec.template.spec.requirements[{index}]"),
            value: value.clone(),
            nearest: nearest.map(str::to_owned),
        }
    };
    unknown.enumerate().map(warning).collect()
}

/// Requirements on labels that nobody knows and that look like well-known ones. A pool may have labels of its own, so it is no reason to refuse.
fn misspelt_labels(objects: &Objects<'_, nodepool::NodePool>) -> Vec<Warning> {
    let requirements = objects.new.spec.template.spec.requirements.iter().enumerate();
    let misspelt = requirements.filter_map(|(index, entry)| {
        Some(Warning::MisspeltLabel {
            object: objects.name.clone(),
            path: format!("spec.template.spec.requirements[{index}].key"),
            key: entry.key.clone(),
            meant: meant_label(&entry.key)?,
        })
    });
    misspelt.collect()
}

/// Labels of workload types in the template, that nodes do not get from there: Treenail gives them by what the types say, Karpenter gives those that
/// are labels, and empty.
fn labels_of_types(policies: &Policies, objects: &Objects<'_, nodepool::NodePool>) -> Vec<Warning> {
    const LABELS: &str = "spec.template.metadata.labels";
    let template = &objects.new.spec.template;
    let given = template.metadata.iter().flat_map(|metadata| &metadata.labels);
    let given = given.map(|(key, value)| (LABELS.to_owned(), key.as_str(), value.is_empty()));
    let required = template.spec.requirements.iter().enumerate();
    let required = required.map(|(index, entry)| {
        (format!("spec.template.spec.requirements[{index}]"), entry.key.as_str(), false)
    });
    let pool = objects.new.metadata.name.as_deref().unwrap_or_default();
    let types = policies.types();
    let warning = |(path, key, reaches_nodes): (String, &str, bool)| {
        let (object, workload_type) = (objects.name.clone(), labels::type_of_node_label(key)?);
        let naming = types.get(workload_type).map(|owner| owner.names(pool));
        if naming.is_none() && policies.may_exist(&Reference::WorkloadType(workload_type.to_owned())) {
            return None;
        }
        Some(match naming {
            Some(true) if reaches_nodes => return None,
            Some(true) => {
                Warning::TypeLabelMisplaced { object, path, workload_type: workload_type.to_owned() }
            }
            Some(false) | None => Warning::StrangeTypeLabel {
                object,
                path,
                is_known: naming.is_some(),
                nearest: nearest_key(workload_type, types.keys().map(String::as_str)).map(str::to_owned),
                workload_type: workload_type.to_owned(),
            },
        })
    };
    given.chain(required).filter_map(warning).collect()
}

/// Limits on what no node has: a name without a domain is one of Kubernetes' own, or a slip.
fn unknown_limits(objects: &Objects<'_, nodepool::NodePool>) -> Vec<Warning> {
    const KNOWN: [&str; 5] = ["cpu", "ephemeral-storage", "memory", "nodes", "pods"];
    let is_known =
        |name: &str| KNOWN.contains(&name) || name.contains('/') || name.starts_with(HUGE_PAGES_PREFIX);
    let unknown = objects.new.spec.limits.keys().filter(|name| !is_known(name));
    unknown
        .map(|resource| Warning::UnknownLimit { object: objects.name.clone(), resource: resource.clone() })
        .collect()
}

/// A pool that types name and that keeps nobody away: it never did, or its taint is being removed.
fn open(policies: &Policies, objects: &Objects<'_, nodepool::NodePool>) -> Option<Warning> {
    let name = objects.new.metadata.name.as_deref().unwrap_or_default();
    let fence = |object: &nodepool::NodePool| Pool::read(object).taints.into_iter().find(is_ownable);
    let naming = policies.types().values().filter(|owner| owner.names(name));
    let workload_types: Vec<_> = naming.map(|owner| owner.name.clone()).collect();
    if workload_types.is_empty() || fence(&objects.new).is_some() {
        return None;
    }
    let before = objects.stored.as_ref().and_then(fence);
    let taint = before.unwrap_or_else(|| Taint {
        key: "node-type".to_owned(),
        value: name.to_owned(),
        effect: Effect::NoSchedule,
    });
    Some(Warning::PoolOpen { object: objects.name.clone(), workload_types, taint })
}

pub(super) fn validate_node_class(review: &Review<'_>) -> Verdict {
    let objects = match Objects::<Ec2NodeClass>::read(review) {
        Ok(objects) => objects,
        Err(verdict) => return *verdict,
    };
    if objects.is_same(|object| &object.spec) {
        return Verdict::default();
    }
    let mut verdict = Verdict::default();
    verdict.warn(objects.unhonoured(unsupported::Kind::Ec2NodeClass));
    verdict
}

fn invalid(problems: Vec<Problem>) -> impl Iterator<Item = Reason> {
    problems.into_iter().map(|Problem { path, text }| Reason::InvalidField { path, text })
}

/// The object of a review, typed and raw, and the one that is stored.
struct Objects<'a, K> {
    name: String,
    raw: &'a RawValue,
    new: K,
    stored: Option<K>,
}

impl<'a, K: DeserializeOwned> Objects<'a, K> {
    fn read(review: &Review<'a>) -> Result<Self, Box<Verdict>> {
        let refuse = |malformed: Malformed| {
            Box::new(Verdict::refuse(parse::object_name(review, None), vec![malformed.into()]))
        };
        let raw = parse::raw_object(review).map_err(refuse)?;
        let stored = parse::raw_old_object(review).map_err(refuse)?;
        let new = match serde_json::from_str(raw.get()) {
            Ok(new) => new,
            // Its finalizer must come off, and its labels can be changed, whatever the spec is.
            Err(_) if stored.is_some_and(|stored| is_same_spec(stored.get(), raw.get())) => {
                return Err(Box::default());
            }
            Err(error) => return Err(refuse(parse::malformed(error))),
        };
        // What cannot be read any more is replaced: then everything is judged.
        let stored = stored.and_then(|stored| serde_json::from_str(stored.get()).ok());
        Ok(Self { name: parse::object_name(review, None), raw, new, stored })
    }

    fn is_same<S: PartialEq>(&self, spec: impl Fn(&K) -> &S) -> bool {
        self.stored.as_ref().is_some_and(|stored| spec(stored) == spec(&self.new))
    }

    /// Refuses what is wrong now and was not before, and warns of what was: an object is not wedged by rules that came after it.
    fn judge(&self, reasons: impl Fn(&K) -> Vec<Reason>) -> Verdict {
        let before = self.stored.as_ref().map(&reasons).unwrap_or_default();
        let (kept, new): (Vec<_>, Vec<_>) =
            reasons(&self.new).into_iter().partition(|reason| before.contains(reason));
        let mut verdict = Verdict::refuse(self.name.clone(), new);
        verdict.warn(
            kept.iter()
                .map(|reason| Warning::StillInvalid { object: self.name.clone(), problem: reason.problem() }),
        );
        verdict
    }

    fn unhonoured(&self, kind: unsupported::Kind) -> Vec<Warning> {
        // The raw object also has fields that the type does not know.
        let object: Value = serde_json::from_str(self.raw.get()).unwrap_or_default();
        let warning = |field: Unsupported| {
            let (object, text) = (self.name.clone(), field.to_string());
            match field.severity {
                Severity::Blocks => Warning::NothingLaunched { object, field: text },
                Severity::Weakens => Warning::FieldNotHonoured { object, field: text },
            }
        };
        let fields = unsupported::in_object(kind, &object).into_iter();
        fields.filter(|field| !is_default(kind, &object, &field.path)).map(warning).collect()
    }
}

/// Whether the field has the value that the API server gives it where nobody writes any: nobody need be told of that.
fn is_default(kind: unsupported::Kind, object: &Value, path: &str) -> bool {
    let of_pool = [
        ("spec.template.spec.expireAfter", "720h"),
        ("spec.disruption.consolidationPolicy", "WhenEmptyOrUnderutilized"),
    ];
    let defaults = match kind {
        unsupported::Kind::NodePool => &of_pool[..],
        unsupported::Kind::Ec2NodeClass | unsupported::Kind::WorkloadType => &[],
    };
    let value = object.pointer(&format!("/{}", path.replace('.', "/"))).and_then(Value::as_str);
    defaults.iter().any(|(field, default)| *field == path && value == Some(default))
}

fn is_same_spec(stored: &str, new: &str) -> bool {
    let spec = |object: &str| serde_json::from_str::<Value>(object).ok()?.get("spec").cloned();
    spec(stored) == spec(new)
}

#[cfg(test)]
mod tests;
