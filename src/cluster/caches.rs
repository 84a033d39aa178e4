//! Everything that the controller knows of the cluster, one cache a kind, and the watches that fill them.
//!
//! Of objects that are many or large, only what decisions are made from is kept.

use std::collections::BTreeMap;

use futures::FutureExt;
use futures::future::BoxFuture;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::api::core::v1::{
    Namespace, Node as ApiNode, PersistentVolume, Pod as ApiPod, PodSpec, PodTemplateSpec,
};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DynamicObject, PartialObjectMeta};
use kube::runtime::watcher;
use kube::{Client, Resource};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::cache::{Cache, Known, part};
use super::pods::{UnknownPod, known_pod};
use super::unread::Unread;
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::labels;
use crate::api::nodeclaim::NodeClaim as ApiNodeClaim;
use crate::api::nodepool::NodePool;
use crate::api::workload_type::WorkloadType;
use crate::model::pod::PodKey;
use crate::model::{KnownPod, Node, NodeClaim, Pod};

/// A NodeClaim and what was read of it.
pub type KnownClaim = Known<ApiNodeClaim, NodeClaim>;
/// A Node and what was read of it.
pub type KnownNode = Known<ApiNode, Node>;

/// A volume that is attached to a node, or is being attached or detached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// The Node's name.
    pub node_name: String,
    /// The name of the persistent volume.
    pub volume: String,
}

/// The caches. Cheap to clone, all clones see the same.
#[derive(Clone, Debug)]
pub struct Caches {
    /// The labels of namespaces, as far as they are ours.
    pub namespaces: Cache<BTreeMap<String, String>>,
    /// Workload types.
    pub workload_types: Cache<WorkloadType>,
    /// Pools.
    pub node_pools: Cache<NodePool>,
    /// Claims.
    pub node_claims: Cache<KnownClaim>,
    /// Node classes.
    pub node_classes: Cache<Ec2NodeClass>,
    /// Nodes.
    pub nodes: Cache<KnownNode>,
    /// Pods of all namespaces.
    pub pods: Cache<KnownPod>,
    /// One pod of each DaemonSet, as its template makes it.
    pub daemons: Cache<Pod>,
    /// Attachments of volumes.
    pub attachments: Cache<Attachment>,
    /// Persistent volumes: the claims that they are bound to.
    pub volumes: Cache<Option<PodKey>>,
}

impl Default for Caches {
    fn default() -> Self {
        Self {
            namespaces: Cache::new("Namespace"),
            workload_types: Cache::new("WorkloadType"),
            node_pools: Cache::new("NodePool"),
            node_claims: Cache::new("NodeClaim"),
            node_classes: Cache::new("EC2NodeClass"),
            nodes: Cache::new("Node"),
            pods: Cache::new("Pod"),
            daemons: Cache::new("DaemonSet"),
            attachments: Cache::new("VolumeAttachment"),
            volumes: Cache::new("PersistentVolume"),
        }
    }
}

impl Caches {
    /// Fills all of them for as long as the tasks run that are given to `spawn`, each with its name.
    pub fn follow(&self, client: &Client, mut spawn: impl FnMut(&'static str, BoxFuture<'static, ()>)) {
        spawn("namespace watch", follow_namespaces(client, &self.namespaces).boxed());
        spawn("workload type watch", follow_workload_types(client, &self.workload_types).boxed());
        spawn("node pool watch", follow_typed(client, &self.node_pools).boxed());
        spawn("node class watch", follow_typed(client, &self.node_classes).boxed());
        let (claims, nodes) = (Api::all(client.clone()), Api::all(client.clone()));
        spawn(
            "node claim watch",
            self.node_claims.clone().follow(claims, whole(), part(known_claim)).boxed(),
        );
        spawn("node watch", self.nodes.clone().follow(nodes, whole(), part(known_node)).boxed());
        let pods = Api::all(client.clone());
        let pod = |pod: Unread<ApiPod>| known_pod(&pod);
        spawn("pod watch", self.pods.clone().follow(pods, whole(), pod).boxed());
        let sets = Api::all(client.clone());
        spawn("daemon set watch", self.daemons.clone().follow(sets, whole(), daemon).boxed());
        let attachments = Api::all(client.clone());
        spawn(
            "volume attachment watch",
            self.attachments.clone().follow(attachments, whole(), attachment).boxed(),
        );
        let volumes = Api::all(client.clone());
        spawn(
            "persistent volume watch",
            self.volumes.clone().follow(volumes, whole(), part(claim_of)).boxed(),
        );
    }

    /// Waits until all of them are complete.
    pub async fn synced(&self) {
        tokio::join!(
            self.namespaces.synced(),
            self.workload_types.synced(),
            self.node_pools.synced(),
            self.node_claims.synced(),
            self.node_classes.synced(),
            self.nodes.synced(),
            self.pods.synced(),
            self.daemons.synced(),
            self.attachments.synced(),
            self.volumes.synced(),
        );
    }

    /// What readiness tells beside its answer: which watches are broken.
    #[must_use]
    pub fn notes(&self) -> Vec<Box<dyn Fn() -> Option<String> + Send + Sync>> {
        vec![
            self.namespaces.note(),
            self.workload_types.note(),
            self.node_pools.note(),
            self.node_claims.note(),
            self.node_classes.note(),
            self.nodes.note(),
            self.pods.note(),
            self.daemons.note(),
            self.attachments.note(),
            self.volumes.note(),
        ]
    }

    /// What readiness asks.
    #[must_use]
    pub fn checks(&self) -> Vec<Box<dyn Fn() -> Option<String> + Send + Sync>> {
        vec![
            self.namespaces.check(),
            self.workload_types.check(),
            self.node_pools.check(),
            self.node_claims.check(),
            self.node_classes.check(),
            self.nodes.check(),
            self.pods.check(),
            self.daemons.check(),
            self.attachments.check(),
            self.volumes.check(),
        ]
    }
}

/// Fills a cache of the labels of namespaces, as far as they are ours: anybody may give a namespace any number of others.
pub fn follow_namespaces(
    client: &Client,
    cache: &Cache<BTreeMap<String, String>>,
) -> impl Future<Output = ()> + Send + 'static {
    let namespaces = Api::all(client.clone());
    let ours = part(|namespace: PartialObjectMeta<Namespace>| {
        let mut labels = namespace.metadata.labels.unwrap_or_default();
        labels.retain(|key, _| key.starts_with(labels::OWN_PREFIX));
        labels
    });
    // Small pages: what is not kept is still read.
    cache.clone().follow(namespaces, whole().page_size(50), ours)
}

/// Fills a cache of custom resources.
pub fn follow_typed<K>(client: &Client, cache: &Cache<K>) -> impl Future<Output = ()> + Send + 'static
where
    K: Resource<DynamicType = ()> + DeserializeOwned + Send + Sync + 'static,
{
    cache.clone().follow(Api::all(client.clone()), whole(), part(|object: K| object))
}

/// Fills a cache of the workload types. One whose spec cannot be read keeps its name and its status: its fence stands, although nothing else is
/// known of it.
pub fn follow_workload_types(
    client: &Client,
    cache: &Cache<WorkloadType>,
) -> impl Future<Output = ()> + Send + 'static {
    cache.clone().follow(Api::all(client.clone()), whole(), workload_type)
}

fn workload_type(object: Unread<WorkloadType>) -> Result<WorkloadType, serde_json::Error> {
    let mut object: Value = object.read_as()?;
    // What stands there in the cluster is somebody's own.
    if let Some(annotations) = object.pointer_mut("/metadata/annotations").and_then(Value::as_object_mut) {
        annotations.remove(labels::UNREADABLE);
    }
    serde_json::from_value(object.clone()).or_else(|error| {
        if let Some(spec) = object.get_mut("spec") {
            *spec = json!({ "pools": [] });
        }
        let mut rest: WorkloadType = serde_json::from_value(object)?;
        rest.mark_unreadable(&error.to_string());
        Ok(rest)
    })
}

fn whole() -> watcher::Config {
    watcher::Config::default()
}

/// A claim as the cache keeps it, if it can be read.
///
/// # Errors
/// The schema let something through that the type cannot hold.
pub fn claim(object: DynamicObject) -> Result<KnownClaim, serde_json::Error> {
    serde_json::to_value(object).and_then(serde_json::from_value).map(known_claim)
}

/// A claim as the cache keeps it.
#[must_use]
pub fn known_claim(mut object: ApiNodeClaim) -> KnownClaim {
    object.metadata.managed_fields = None;
    // Every stored object has a time of creation.
    let model = NodeClaim::read(&object, Timestamp::UNIX_EPOCH);
    Known { object, model }
}

/// A Node as the cache keeps it: without the long lists that its kubelet reports.
#[must_use]
pub fn known_node(mut object: ApiNode) -> KnownNode {
    object.metadata.managed_fields = None;
    if let Some(status) = &mut object.status {
        (status.images, status.volumes_attached, status.volumes_in_use) = (None, None, None);
    }
    let model = Node::read(&object);
    Known { object, model }
}

/// What is read of a DaemonSet. Its template's metadata has times and `managedFields` of its own, which nobody looks at, and may be anything.
#[derive(Deserialize)]
struct Set {
    spec: SetSpec,
}

#[derive(Deserialize)]
struct SetSpec {
    template: Template,
}

#[derive(Deserialize)]
struct Template {
    #[serde(default)]
    metadata: TemplateMetadata,
    spec: Option<PodSpec>,
}

#[derive(Default, Deserialize)]
struct TemplateMetadata {
    labels: Option<BTreeMap<String, String>>,
}

/// The pod that a DaemonSet makes on each node, under the set's own name.
fn daemon(set: Unread<DaemonSet>) -> Result<Pod, UnknownPod> {
    let Set { spec: SetSpec { template: Template { metadata: TemplateMetadata { labels }, spec } } } =
        set.read_as()?;
    let metadata = Some(ObjectMeta { labels, ..ObjectMeta::default() });
    let name = |name: &Option<String>| name.clone().unwrap_or_default();
    let mut pod = Pod::from_template(&name(&set.meta().namespace), &PodTemplateSpec { metadata, spec })?;
    pod.key.name = name(&set.meta().name);
    Ok(pod)
}

/// Why an attachment is not known.
#[derive(Debug, thiserror::Error)]
enum UnknownAttachment {
    #[error(transparent)]
    Unreadable(#[from] serde_json::Error),
    #[error("it attaches no persistent volume")]
    OfNoVolume,
}

fn attachment(object: Unread<VolumeAttachment>) -> Result<Attachment, UnknownAttachment> {
    let spec = object.read()?.spec;
    let volume = spec.source.persistent_volume_name.ok_or(UnknownAttachment::OfNoVolume)?;
    Ok(Attachment { node_name: spec.node_name, volume })
}

fn claim_of(volume: PersistentVolume) -> Option<PodKey> {
    let claim = volume.spec?.claim_ref?;
    Some(PodKey { namespace: claim.namespace?, name: claim.name? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_whose_spec_cannot_be_read_keeps_its_fence_and_says_why_it_is_closed() {
        use crate::model::workload_type;
        let object = |agents: Value| {
            let status = json!({ "taints": [{ "key": "node-type", "value": "a", "effect": "NoSchedule", "pools": ["a"] }] });
            serde_json::from_value(json!({
                "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType", "metadata": { "name": "a", "annotations": { "treenail.dev/unreadable": "forged" } },
                "spec": { "pools": [{ "name": "a" }], "agents": agents }, "status": status,
            }))
            .unwrap()
        };
        let read = |agents| workload_type::WorkloadType::read(&workload_type(object(agents)).unwrap());
        let (readable, unreadable) = (read(json!([])), read(json!(7)));
        assert_eq!(readable.problems, vec![]);
        assert_eq!(unreadable.recorded, readable.recorded);
        let problem = unreadable.problems.first().unwrap().to_string();
        assert!(
            problem
                .starts_with("spec: cannot be read by this version of Treenail (invalid type: integer `7`"),
            "{problem}"
        );
        let without_name = json!({ "apiVersion": "treenail.dev/v1alpha1", "kind": "WorkloadType", "metadata": {}, "status": 1 });
        assert!(workload_type(serde_json::from_value(without_name).unwrap()).is_err());
    }
}
