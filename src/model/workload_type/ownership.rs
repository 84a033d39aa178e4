//! Who owns which taint.

use std::collections::{BTreeMap, BTreeSet};

use super::{WorkloadType, is_ownable};
use crate::model::Taint;

/// The taints that workload types have published as their own, each with the types that own it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ownership(BTreeMap<Taint, BTreeSet<String>>);

impl Ownership {
    /// What these types own. They are all that there are.
    #[must_use]
    pub fn of<'t>(types: impl IntoIterator<Item = &'t WorkloadType>) -> Self {
        let mut owners: BTreeMap<Taint, BTreeSet<String>> = BTreeMap::new();
        for workload_type in types {
            for taint in workload_type.recorded.keys().filter(|taint| is_ownable(taint)) {
                owners.entry(taint.clone()).or_default().insert(workload_type.name.clone());
            }
        }
        Self(owners)
    }

    /// The types that own the taint; nothing if none does.
    #[must_use]
    pub fn owners(&self, taint: &Taint) -> Option<&BTreeSet<String>> {
        self.0.get(taint)
    }

    /// The taints that pods of a namespace of this type, or of none, have no right to tolerate: admission refuses those that do.
    #[must_use]
    pub fn barred_from(&self, workload_type: Option<&str>) -> Vec<Taint> {
        let is_foreign = |owners: &BTreeSet<String>| !workload_type.is_some_and(|own| owners.contains(own));
        self.0.iter().filter(|(_, owners)| is_foreign(owners)).map(|(taint, _)| taint.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::nodes::taint;

    #[test]
    fn a_taint_is_barred_from_all_but_the_types_that_own_it() {
        let workload_type = |name: &str, taints: &[&str]| WorkloadType {
            name: name.to_owned(),
            recorded: taints.iter().map(|text| (taint(text), BTreeSet::new())).collect(),
            ..WorkloadType::default()
        };
        let types = [
            workload_type("a", &["node-type=a:NoSchedule", "shared:NoExecute"]),
            workload_type("b", &["node-type=b:NoSchedule", "shared:NoExecute", "karpenter.sh/x:NoSchedule"]),
        ];
        let ownership = Ownership::of(&types);
        let barred = |own| ownership.barred_from(own).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(barred(Some("a")), ["node-type=b:NoSchedule"]);
        assert_eq!(barred(Some("b")), ["node-type=a:NoSchedule"]);
        let all = ["node-type=a:NoSchedule", "node-type=b:NoSchedule", "shared:NoExecute"];
        assert_eq!(barred(None), all);
        assert_eq!(barred(Some("unknown")), all);
        assert_eq!(ownership.owners(&taint("shared:NoExecute")).map(BTreeSet::len), Some(2));
        assert_eq!(ownership.owners(&taint("karpenter.sh/x:NoSchedule")), None, "nobody can own it");
    }
}
