//! Reads that must not be behind, as caches may be: the API server is asked, and answers with what is so now.

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;

use super::caches::{KnownClaim, claim};
use super::write::within;
use crate::api::nodeclaim::NodeClaim;

/// So many objects are asked for at once.
const PAGE: u32 = 500;

/// All NodeClaims that there are now. Those that cannot be read are left out, as in the cache.
///
/// # Errors
/// The API server has refused, or has not answered in time.
pub async fn list_claims(client: &Client) -> Result<Vec<KnownClaim>, kube::Error> {
    let claims: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::erase::<NodeClaim>(&()));
    let mut found = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = within(claims.list(&page)).await?;
        found.extend(list.items.into_iter().filter_map(|object| claim(object).ok()));
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page.continue_token = Some(next),
            None => return Ok(found),
        }
    }
}
