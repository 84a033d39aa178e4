//! `minValues`: how many different values of a label the instance types of a claim must offer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use super::{instance_type::InstanceType, requirements::Requirements, text::Excerpt};

/// A label of which the instance types offer too few values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinValuesShortfall {
    /// The label's key.
    pub key: String,
    /// How many values are asked for.
    pub wanted: u32,
    /// How many the instance types offer together.
    pub found: usize,
}

/// `needs 3 values of zone, has 2`.
impl fmt::Display for MinValuesShortfall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "needs {} values of {}, has {}", self.wanted, Excerpt(&self.key), self.found)
    }
}

/// How many of `types`, from the first on, are enough to offer the `minValues` of all requirements; or what they lack together.
///
/// As in Karpenter, a type counts with every value that it lists, even one that the requirements exclude: a pod that is bound to one
/// zone does not make a pool with three zones too narrow. A type that only excludes values counts with none.
pub fn satisfied_by_first<'t>(
    types: impl IntoIterator<Item = &'t InstanceType>,
    requirements: &Requirements,
) -> Result<usize, Vec<MinValuesShortfall>> {
    let wanted: Vec<_> = requirements
        .iter()
        .filter_map(|requirement| Some((requirement.key(), requirement.min_values()?)))
        .collect();
    let mut found: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let shortfalls = |found: &BTreeMap<&str, BTreeSet<&str>>| -> Vec<_> {
        wanted
            .iter()
            .map(|(key, wanted)| MinValuesShortfall {
                key: (*key).to_owned(),
                wanted: *wanted,
                found: found.get(key).map_or(0, BTreeSet::len),
            })
            .filter(|shortfall| {
                usize::try_from(shortfall.wanted).is_ok_and(|wanted| shortfall.found < wanted)
            })
            .collect()
    };
    let mut missing = shortfalls(&found);
    let mut count = 0;
    for instance_type in types {
        if missing.is_empty() {
            break;
        }
        count += 1;
        for (key, _) in &wanted {
            let values = instance_type.requirements.get(key).and_then(|requirement| requirement.values());
            found.entry(key).or_default().extend(values.into_iter().flatten().map(|value| &**value));
        }
        missing = shortfalls(&found);
    }
    if missing.is_empty() { Ok(count) } else { Err(missing) }
}
