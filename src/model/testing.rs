//! Short text for the values that tests are full of.

pub(crate) mod nodes;

use super::{requirement::Requirement, requirements::Requirements, resources::ResourceList};

/// Reads `cpu=1 memory=2Gi`.
#[track_caller]
pub(crate) fn resource_list(text: &str) -> ResourceList {
    text.split_whitespace()
        .map(|entry| entry.split_once('=').unwrap())
        .map(|(name, amount)| (name, amount.parse().unwrap()))
        .collect()
}

/// Reads `zone In z1 z2, team Exists, cpu Gt 3`.
#[track_caller]
pub(crate) fn requirements(text: &str) -> Requirements {
    text.split(',')
        .filter(|part| !part.trim().is_empty())
        .map(|part| {
            let mut words = part.split_whitespace().map(str::to_owned);
            let (key, operator) = (words.next().unwrap(), words.next().unwrap());
            Requirement::parse(&key, &operator, &words.collect::<Vec<_>>()).unwrap()
        })
        .collect()
}

/// What people look up by a code that they met must be found.
#[track_caller]
pub(crate) fn assert_in_troubleshooting(code: &str) {
    let page = include_str!("../../docs/troubleshooting.md");
    assert!(page.contains(&format!("`{code}`")), "docs/troubleshooting.md does not explain `{code}`");
}
