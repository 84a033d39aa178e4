//! What the API server itself says, where a cache is not enough: it may be behind, and leaves out what cannot be read.

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;

use crate::api::nodeclaim::NodeClaim;
use crate::cluster::write::within;

/// So many objects are asked for at once.
const PAGE: u32 = 500;

/// Every NodeClaim that there is now, also such as cannot be read.
pub(super) async fn node_claims(client: &Client) -> Result<Vec<DynamicObject>, kube::Error> {
    let claims: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::erase::<NodeClaim>(&()));
    let mut found = Vec::new();
    let mut page = ListParams::default().limit(PAGE);
    loop {
        let list = within(claims.list(&page)).await?;
        found.extend(list.items);
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => page.continue_token = Some(next),
            None => return Ok(found),
        }
    }
}
