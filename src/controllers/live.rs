//! What the API server itself says, where a cache is not enough: it may be behind, and leaves out what cannot be read.

use std::time::Duration;

use anyhow::Context as _;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use kube::core::ApiResource;

use crate::api::nodeclaim::NodeClaim;

/// So long the API server has to list every claim.
const LISTED_WITHIN: Duration = Duration::from_secs(30);

/// Every NodeClaim, also such as cannot be read.
pub(super) async fn node_claims(client: &Client) -> anyhow::Result<Vec<DynamicObject>> {
    let claims: Api<DynamicObject> = Api::all_with(client.clone(), &ApiResource::erase::<NodeClaim>(&()));
    let parameters = ListParams::default();
    let listed = tokio::time::timeout(LISTED_WITHIN, claims.list(&parameters)).await;
    Ok(listed.context("list the NodeClaims")??.items)
}
