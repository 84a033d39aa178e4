//! Instances: what EC2 calls them, what Kubernetes does, and whose they are.

use super::client::Filter;
use crate::api::labels;
use crate::ports::cloud::{Instance, ProviderId};

/// What only instances of the cluster's pools pass, whoever launched them.
pub(super) fn of_cluster(cluster: &str) -> Vec<Filter> {
    vec![
        Filter::tag(labels::NODEPOOL_TAG, "*"),
        Filter::tag(labels::EC2NODECLASS_TAG, "*"),
        Filter::tag(labels::CLUSTER_NAME_TAG, cluster),
    ]
}

/// Whether the instance is one of the cluster's pools, whoever launched it: it has the tags that every list of these asks for.
pub(super) fn is_of_cluster(instance: &Instance, cluster: &str) -> bool {
    let has = |tag: &str| instance.tags.contains_key(tag);
    has(labels::NODEPOOL_TAG)
        && has(labels::EC2NODECLASS_TAG)
        && instance.tags.get(labels::CLUSTER_NAME_TAG).is_some_and(|name| name == cluster)
}

/// `aws:///us-east-1a/i-0123456789abcdef0`
pub(super) fn provider_id(zone: &str, instance_id: &str) -> ProviderId {
    ProviderId::new(format!("aws:///{zone}/{instance_id}"))
}

/// The instance's id; nothing if the text is no provider id of EC2.
pub(super) fn instance_id(provider_id: &ProviderId) -> Option<&str> {
    let (zone, id) = provider_id.as_str().strip_prefix("aws:///")?.split_once('/')?;
    (!zone.is_empty() && id.starts_with("i-") && !id.contains('/')).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_id_is_read_back_and_anything_else_is_none() {
        assert_eq!(instance_id(&provider_id("us-east-1a", "i-1")), Some("i-1"));
        for text in
            ["", "i-1", "aws:///us-east-1a/", "aws:////i-1", "aws:///z/x-1", "gce:///z/i-1", "aws:///z/i-1/x"]
        {
            assert_eq!(instance_id(&ProviderId::new(text)), None, "{text}");
        }
    }
}
