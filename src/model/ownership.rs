//! Whose an instance is, where several NodeClaims say that they have it: a status that was copied or restored names another claim's instance.

use std::collections::BTreeMap;

use super::node::Node;
use super::node_claim::NodeClaim;

/// The one of these claims, all with one provider ID, whose the instance is: the one whose UID is among `told` (by the instance's tags, or by the
/// owners of its Node), or else the oldest.
#[must_use]
pub fn owner<'c>(claims: impl IntoIterator<Item = &'c NodeClaim>, told: &[String]) -> Option<&'c NodeClaim> {
    claims.into_iter().min_by_key(|claim| {
        (!told.contains(&claim.object.uid), claim.created, &claim.object.name, &claim.object.uid)
    })
}

/// The claims, without those that name an instance which is another's.
#[must_use]
pub fn owners<'c>(
    claims: impl IntoIterator<Item = &'c NodeClaim>,
    nodes: impl IntoIterator<Item = &'c Node>,
) -> Vec<&'c NodeClaim> {
    let mut of_instance: BTreeMap<_, Vec<&NodeClaim>> = BTreeMap::new();
    let mut owners = Vec::new();
    for claim in claims {
        match &claim.provider_id {
            Some(id) => of_instance.entry(id).or_default().push(claim),
            None => owners.push(claim),
        }
    }
    let mut told: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for node in nodes {
        if let Some(id) = &node.provider_id {
            told.entry(id).or_default().extend(node.owner_uids.iter().cloned());
        }
    }
    let of_instance = of_instance.into_iter();
    owners.extend(of_instance.filter_map(|(id, claims)| {
        let told = told.get(id).map(Vec::as_slice).unwrap_or_default();
        owner(claims, told)
    }));
    owners
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ProviderId;
    use crate::model::testing::nodes::{at, claim, object, registered_node};

    #[test]
    fn an_instance_is_the_claims_that_it_tells_of_or_else_the_oldest_ones() {
        let named = |name: &str, second| NodeClaim { object: object(name), created: at(second), ..claim() };
        let claims = [named("c", 5), named("b", 0), named("a", 5), named("d", 0)];
        let cases =
            [(vec![], "b"), (vec!["a-uid"], "a"), (vec!["gone-uid"], "b"), (vec!["d-uid", "c-uid"], "d")];
        for (told, expected) in cases {
            let told: Vec<_> = told.into_iter().map(str::to_owned).collect();
            let found = owner(&claims, &told).map(|claim| claim.object.name.as_str());
            assert_eq!(found, Some(expected), "{told:?}");
        }
        assert_eq!(owner([], &[]), None);
    }

    #[test]
    fn an_instance_that_two_claims_name_is_counted_once_as_the_node_of_its_owner() {
        let of = |name: &str, second, provider_id: Option<&str>| NodeClaim {
            object: object(name),
            created: at(second),
            provider_id: provider_id.map(ProviderId::new),
            ..claim()
        };
        let claims = [
            of("older", 0, Some("aws:///us-east-1a/i-1")),
            of("younger", 5, Some("aws:///us-east-1a/i-1")),
            of("other", 5, Some("aws:///us-east-1a/i-2")),
            of("on-its-way", 5, None),
            of("on-its-way-too", 5, None),
        ];
        let names = |nodes: &[Node]| {
            let mut names: Vec<_> =
                owners(&claims, nodes).iter().map(|claim| claim.object.name.clone()).collect();
            names.sort();
            names
        };
        assert_eq!(names(&[]), ["older", "on-its-way", "on-its-way-too", "other"]);
        let node = Node {
            provider_id: Some(ProviderId::new("aws:///us-east-1a/i-1")),
            owner_uids: vec!["younger-uid".to_owned()],
            ..registered_node()
        };
        assert_eq!(names(&[node]), ["on-its-way", "on-its-way-too", "other", "younger"]);
    }
}
