//! Whose an instance is, where several NodeClaims say that they have it: a status that was copied or restored names another claim's instance.

use super::node_claim::NodeClaim;

/// The one of these claims, all with one provider ID, whose the instance is: the one whose UID is among `told` (by the instance's tags, or by the
/// owners of its Node), or else the oldest.
#[must_use]
pub fn owner<'c>(claims: impl IntoIterator<Item = &'c NodeClaim>, told: &[String]) -> Option<&'c NodeClaim> {
    claims.into_iter().min_by_key(|claim| {
        (!told.contains(&claim.object.uid), claim.created, &claim.object.name, &claim.object.uid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::nodes::{at, claim, object};

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
}
