//! A NodePool read from its API object, with everything that is wrong about it.

use std::collections::BTreeMap;

use super::{Limits, NodePool};
use crate::api::taint::Taint as ApiTaint;
use crate::api::unsupported::{self, Severity};
use crate::api::{labels, nodepool as api};
use crate::model::problem::Problem;
use crate::model::requirement::Requirement;
use crate::model::requirements::Requirements;
use crate::model::resources::ResourceList;
use crate::model::taints::{Effect, Taint};
use crate::model::text::Excerpt;

const REQUIREMENTS: &str = "spec.template.spec.requirements";

impl NodePool {
    /// Reads an API object. What comes back can be launched from; otherwise every reason why not, wrong fields and such as are not honoured
    /// yet.
    ///
    /// The requirements contain the template's labels and those that every node of the pool gets: the pool's name and its class's. The labels of
    /// workload types are left out: their nodes get them from the types that name the pool, whatever its template says.
    pub fn from_api(object: &api::NodePool) -> Result<Self, Vec<Problem>> {
        let (pool, mut problems) = read(object);
        let blocking = unsupported::node_pool(object).into_iter().filter(|field| {
            // An unknown word is wrong and unsupported: once is enough.
            let is_told = problems.iter().any(|problem| is_within(&field.path, &problem.path));
            field.severity == Severity::Blocks && !is_told
        });
        let blocking: Vec<_> = blocking.collect();
        problems.extend(blocking.into_iter().map(|field| {
            Problem::new(field.path, format!("is not supported yet ({}); remove it", field.text))
        }));
        if problems.is_empty() { Ok(pool) } else { Err(problems) }
    }

    /// What is wrong about the object whatever is built and whatever else exists. Its schema cannot say these things.
    #[must_use]
    pub fn invalid_fields(object: &api::NodePool) -> Vec<Problem> {
        read(object).1
    }
}

fn is_within(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn read(object: &api::NodePool) -> (NodePool, Vec<Problem>) {
    let mut problems = Vec::new();
    let spec = &object.spec;
    let template = &spec.template.spec;
    let name = object.metadata.name.clone().unwrap_or_default();
    let mut requirements = requirements(object, &name, &mut problems);
    if let Some(contradiction) = requirements.contradiction() {
        let key = contradiction.key().to_owned();
        let text = format!(
            "those on {} contradict each other, so that no node can meet them; remove all but one",
            Excerpt(&key)
        );
        problems.push(Problem::new(REQUIREMENTS, text));
        requirements.remove(&key);
    }
    let taints = taints("spec.template.spec.taints", &template.taints, &mut problems);
    let startup_taints = taints_at_start(&template.startup_taints, &mut problems);
    duplicates(object, &mut problems);
    let limits = ResourceList::from_api(&spec.limits).unwrap_or_else(|invalid| {
        problems.extend(invalid.iter().map(|amount| Problem::new("spec.limits", amount.to_string())));
        ResourceList::new()
    });
    durations(object, &mut problems);
    let weight = spec.weight.unwrap_or_default().try_into().unwrap_or_else(|_| {
        problems.push(Problem::new("spec.weight", "is negative; use 1 to 100, or leave it out"));
        0
    });
    (NodePool { name, weight, requirements, taints, startup_taints, limits: Limits(limits) }, problems)
}

fn requirements(object: &api::NodePool, name: &str, problems: &mut Vec<Problem>) -> Requirements {
    let template = &object.spec.template;
    let no_labels = BTreeMap::new();
    let own_labels = template.metadata.as_ref().map_or(&no_labels, |metadata| &metadata.labels);
    let own_labels = own_labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let own_labels = own_labels.filter(|(key, _)| !labels::is_node_type_label(key));
    let class = template.spec.node_class_ref.name.as_str();
    let given = own_labels.chain([(labels::NODEPOOL, name), (labels::EC2NODECLASS, class)]);
    let mut requirements = Requirements::from_labels(given);
    for (index, entry) in template.spec.requirements.iter().enumerate() {
        let path = format!("{REQUIREMENTS}[{index}]");
        match Requirement::parse(&entry.key, entry.operator.as_str(), &entry.values) {
            Err(error) => problems.push(Problem::new(path, error.to_string())),
            Ok(_) if labels::is_node_type_label(&entry.key) => {}
            Ok(requirement) => {
                let min_values = entry.min_values.and_then(|count| u32::try_from(count).ok());
                requirements.add(match min_values {
                    Some(count) => requirement.with_min_values(count),
                    None => requirement,
                });
            }
        }
    }
    requirements
}

fn taints(list: &str, taints: &[ApiTaint], problems: &mut Vec<Problem>) -> Vec<Taint> {
    let mut read = Vec::new();
    for (index, taint) in taints.iter().enumerate() {
        match Effect::from_name(taint.effect.as_str()) {
            Some(effect) => read.push(Taint { key: taint.key.clone(), value: taint.value.clone(), effect }),
            None => problems.push(Problem::new(
                format!("{list}[{index}].effect"),
                "is unknown; use NoSchedule, PreferNoSchedule or NoExecute",
            )),
        }
    }
    read
}

fn taints_at_start(startup_taints: &[ApiTaint], problems: &mut Vec<Problem>) -> Vec<Taint> {
    taints("spec.template.spec.startupTaints", startup_taints, problems)
}

/// Kubernetes knows one taint for each key and effect of a node, wherever it comes from.
fn duplicates(object: &api::NodePool, problems: &mut Vec<Problem>) {
    let template = &object.spec.template.spec;
    let lists = [("taints", &template.taints), ("startupTaints", &template.startup_taints)];
    let mut seen: Vec<&ApiTaint> = Vec::new();
    for (list, taints) in lists {
        for (index, taint) in taints.iter().enumerate() {
            if seen.iter().any(|before| before.key == taint.key && before.effect == taint.effect) {
                let text = format!(
                    "has the key and effect of another taint, {}:{}; a node can carry one of them",
                    Excerpt(&taint.key),
                    Excerpt(taint.effect.as_str())
                );
                problems.push(Problem::new(format!("spec.template.spec.{list}[{index}]"), text));
            }
            seen.push(taint);
        }
    }
}

fn durations(object: &api::NodePool, problems: &mut Vec<Problem>) {
    let template = &object.spec.template.spec;
    let disruption = &object.spec.disruption;
    let grace = template.termination_grace_period.as_ref().map(|period| period.value().map(drop));
    let fields = [
        ("spec.template.spec.expireAfter", template.expire_after.value().map(drop)),
        ("spec.template.spec.terminationGracePeriod", grace.unwrap_or(Ok(()))),
        ("spec.disruption.consolidateAfter", disruption.consolidate_after.value().map(drop)),
    ];
    for (path, value) in fields {
        problems.extend(value.err().map(|error| Problem::new(path, error.to_string())));
    }
    for (index, budget) in disruption.budgets.iter().enumerate() {
        let path = || format!("spec.disruption.budgets[{index}].nodes");
        problems.extend(budget.node_count().err().map(|error| Problem::new(path(), error.to_string())));
    }
}

#[cfg(test)]
mod tests;
