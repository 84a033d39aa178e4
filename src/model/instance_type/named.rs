//! What the name of an EC2 instance type says about the labels of its nodes.
//!
//! Only what the name makes certain: `c7g.xlarge` is of the family `c7g`, the category `c`, the generation `7`, of the size `xlarge`, and has a
//! Graviton processor. Whether there is such a type, and what it has, is known elsewhere.

use crate::api::labels;
use crate::model::{Requirement, Requirements};

/// The labels that every node of a type of this name has.
#[must_use]
pub fn labels_by_name(instance_type: &str) -> Requirements {
    let mut labels = Requirements::new();
    let mut add = |key: &str, value: &str| labels.add(Requirement::one_of(key, [value]));
    add(labels::INSTANCE_TYPE, instance_type);
    let Some((family, size)) = instance_type.split_once('.') else { return labels };
    add(labels::INSTANCE_FAMILY, family);
    add(labels::INSTANCE_SIZE, size);
    let category = family.trim_start_matches(|letter: char| !letter.is_ascii_digit());
    let Some(category) = family.strip_suffix(category).filter(|category| is_plain(category)) else {
        return labels;
    };
    let rest = family.strip_prefix(category).unwrap_or_default();
    let attributes = rest.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let Some(generation) = rest.strip_suffix(attributes).filter(|generation| !generation.is_empty()) else {
        return labels;
    };
    add(labels::INSTANCE_CATEGORY, category);
    add(labels::INSTANCE_GENERATION, generation);
    // The letter after the generation is the maker of the processor, where there is one.
    match attributes.chars().next() {
        Some('g') => add(labels::ARCH, labels::ARCH_ARM64),
        Some('a' | 'i') => add(labels::ARCH, labels::ARCH_AMD64),
        _ => {}
    }
    labels
}

/// Names such as `u-12tb1` and `mac2-m2` are made otherwise.
fn is_plain(category: &str) -> bool {
    !category.is_empty() && category.chars().all(|letter| letter.is_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_family_size_category_generation_and_often_the_architecture() {
        let cases = [
            ("c7g.xlarge", "c7g xlarge c 7 arm64"),
            ("m6i.metal", "m6i metal m 6 amd64"),
            ("c7i-flex.large", "c7i-flex large c 7 amd64"),
            ("im4gn.16xlarge", "im4gn 16xlarge im 4 arm64"),
            ("g4ad.xlarge", "g4ad xlarge g 4 amd64"),
            ("g4dn.xlarge", "g4dn xlarge g 4 -"),
            ("p6e-gb200.36xlarge", "p6e-gb200 36xlarge p 6 -"),
            ("a1.large", "a1 large a 1 -"),
            ("m5.large", "m5 large m 5 -"),
            ("mac2-m2.metal", "mac2-m2 metal mac 2 -"),
            ("u-12tb1.112xlarge", "u-12tb1 112xlarge - - -"),
            ("large", "- - - - -"),
            (".", "  - - -"),
            ("", "- - - - -"),
        ];
        let keys = [
            labels::INSTANCE_FAMILY,
            labels::INSTANCE_SIZE,
            labels::INSTANCE_CATEGORY,
            labels::INSTANCE_GENERATION,
            labels::ARCH,
        ];
        for (name, expected) in cases {
            let labels = labels_by_name(name);
            let value =
                |key: &&str| labels.get(key).and_then(Requirement::single_value).unwrap_or("-").to_owned();
            let shown: Vec<_> = keys.iter().map(value).collect();
            assert_eq!(shown.join(" "), expected, "{name}");
            assert_eq!(labels.get(labels::INSTANCE_TYPE).and_then(Requirement::single_value), Some(name));
        }
    }
}
