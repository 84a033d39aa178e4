//! What a step of a claim's life asks to be done, as values. Nothing is done here.
//!
//! Every effect may be repeated, and may be lost: the next step derives it again from what the cluster and the cloud say.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::planted::PlantedPod;
use crate::api::conditions::Condition;
use crate::model::{Event, ObjectRef, PodRef, ProviderId, ResourceList, Taint};

/// One thing to do for a claim.
///
/// Writes to the claim and to Nodes are made on the condition that the object still has the resource version that was looked at;
/// a conflict means that the step is to be taken again on what is there now. No step writes an object twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Changes the claim's metadata.
    PatchClaim(ClaimPatch),
    /// Changes the claim's status.
    SetStatus(StatusPatch),
    /// Deletes the claim; its finalizer keeps it until the rest is done.
    DeleteClaim(DeletionReason),
    /// Lets the claim go. Always the last effect of a claim.
    RemoveClaimFinalizer,
    /// Launches an instance, or finds the one that the same attempt launched before. Answered by [`Answer::Launch`].
    ///
    /// [`Answer::Launch`]: super::memory::Answer::Launch
    Launch {
        /// Which attempt, from 0 on. The claim's UID and this are the launch's token.
        attempt: u32,
    },
    /// Looks for an instance that any attempt of this claim launched. Answered by [`Answer::Found`].
    ///
    /// [`Answer::Found`]: super::memory::Answer::Found
    FindInstance,
    /// Asks for which claim the instance was launched. Answered by [`Answer::Owner`].
    ///
    /// [`Answer::Owner`]: super::memory::Answer::Owner
    FindOwner {
        /// The instance.
        provider_id: ProviderId,
    },
    /// Asks whether the instance exists. Answered by [`Answer::Instance`].
    ///
    /// [`Answer::Instance`]: super::memory::Answer::Instance
    GetInstance {
        /// The instance.
        provider_id: ProviderId,
    },
    /// Terminates the instance, or finds that it is gone. Answered by [`Answer::Termination`].
    ///
    /// [`Answer::Termination`]: super::memory::Answer::Termination
    Terminate {
        /// The instance.
        provider_id: ProviderId,
    },
    /// Asks the API server itself which pods are on these Nodes: what is known of them may be old. Answered by [`Answer::Pods`].
    ///
    /// [`Answer::Pods`]: super::memory::Answer::Pods
    ListPods {
        /// The Nodes' names.
        nodes: Vec<String>,
    },
    /// Changes a Node.
    PatchNode(NodePatch),
    /// Deletes a Node; a finalizer on it keeps it.
    DeleteNode(ObjectRef),
    /// Lets a Node go.
    RemoveNodeFinalizer(ObjectRef),
    /// Asks the eviction API to take a pod away, whatever its disruption budget says about it. Answered by [`Answer::Eviction`].
    ///
    /// [`Answer::Eviction`]: super::memory::Answer::Eviction
    Evict(PodRef),
    /// Deletes a pod, since there is no time left to ask. Answered by [`Answer::Eviction`].
    ///
    /// [`Answer::Eviction`]: super::memory::Answer::Eviction
    DeletePod {
        /// The pod.
        pod: PodRef,
        /// The grace that it still gets. At least a second: with none at all, a pod could run twice.
        grace: SignedDuration,
    },
    /// Deletes a pod that waits without a right to the claim's Node, unless the API server itself says that its namespace gives it one: what is
    /// known of that may be old. Answered by [`Answer::Eviction`] or [`Answer::Rightful`].
    ///
    /// [`Answer::Eviction`]: super::memory::Answer::Eviction
    /// [`Answer::Rightful`]: super::memory::Answer::Rightful
    DeletePlanted(PlantedPod),
    /// Tells people.
    Report(Event),
}

/// Whom an effect turns to.
enum Recipient {
    Cloud,
    /// The API server, about the claim, its Node or all pods there.
    Cluster,
    /// The API server, about one pod of many.
    Pod,
    People,
}

impl Effect {
    /// A word for logs.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PatchClaim(_) => "patch claim",
            Self::SetStatus(_) => "set status",
            Self::DeleteClaim(_) => "delete claim",
            Self::RemoveClaimFinalizer => "remove claim finalizer",
            Self::Launch { .. } => "launch",
            Self::FindInstance => "find instance",
            Self::FindOwner { .. } => "find owner",
            Self::GetInstance { .. } => "get instance",
            Self::Terminate { .. } => "terminate",
            Self::ListPods { .. } => "list pods",
            Self::PatchNode(_) => "patch node",
            Self::DeleteNode(_) => "delete node",
            Self::RemoveNodeFinalizer(_) => "remove node finalizer",
            Self::Evict(_) => "evict",
            Self::DeletePod { .. } => "delete pod",
            Self::DeletePlanted(_) => "delete planted pod",
            Self::Report(_) => "report",
        }
    }

    /// Whether it is the cloud that is asked.
    #[must_use]
    pub const fn asks_the_cloud(&self) -> bool {
        match self.recipient() {
            Recipient::Cloud => true,
            Recipient::Cluster | Recipient::Pod | Recipient::People => false,
        }
    }

    /// Whether something else is asked for than to tell people.
    #[must_use]
    pub const fn changes_anything(&self) -> bool {
        match self.recipient() {
            Recipient::Cloud | Recipient::Cluster | Recipient::Pod => true,
            Recipient::People => false,
        }
    }

    /// Whether the effects behind this one are to be carried out although it failed: it is one of many of its kind, or only talk.
    #[must_use]
    pub const fn may_fail_alone(&self) -> bool {
        match self.recipient() {
            Recipient::Pod | Recipient::People => true,
            Recipient::Cloud | Recipient::Cluster => false,
        }
    }

    const fn recipient(&self) -> Recipient {
        match self {
            Self::Launch { .. }
            | Self::FindInstance
            | Self::FindOwner { .. }
            | Self::GetInstance { .. }
            | Self::Terminate { .. } => Recipient::Cloud,
            Self::PatchClaim(_)
            | Self::SetStatus(_)
            | Self::DeleteClaim(_)
            | Self::RemoveClaimFinalizer
            | Self::ListPods { .. }
            | Self::PatchNode(_)
            | Self::DeleteNode(_)
            | Self::RemoveNodeFinalizer(_) => Recipient::Cluster,
            Self::Evict(_) | Self::DeletePod { .. } | Self::DeletePlanted(_) => Recipient::Pod,
            Self::Report(_) => Recipient::People,
        }
    }
}

/// Changes of a claim's metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimPatch {
    /// Whether to put on the finalizer.
    pub add_finalizer: bool,
    /// Labels to set.
    pub labels: BTreeMap<String, String>,
    /// Annotations to set.
    pub annotations: BTreeMap<String, String>,
}

impl ClaimPatch {
    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Changes of a claim's status. What is absent stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StatusPatch {
    /// The instance.
    pub provider_id: Option<ProviderId>,
    /// The Node's name.
    pub node_name: Option<String>,
    /// The image that the instance was launched from.
    pub image_id: Option<String>,
    /// What the machine is expected to have.
    pub capacity: Option<ResourceList>,
    /// What it is expected to leave for pods.
    pub allocatable: Option<ResourceList>,
    /// All conditions.
    pub conditions: Option<Vec<Condition>>,
    /// When a pod last came or went.
    pub last_pod_event: Option<Timestamp>,
}

/// Changes of a Node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodePatch {
    /// The Node, in the version that was looked at.
    pub node: ObjectRef,
    /// Whether to put on the finalizer.
    pub add_finalizer: bool,
    /// The claim that the Node is to belong to, if it does not yet.
    pub owner: Option<ObjectRef>,
    /// Labels to set.
    pub labels: BTreeMap<String, String>,
    /// Keys of labels to remove.
    pub remove_labels: BTreeSet<String>,
    /// Annotations to set.
    pub annotations: BTreeMap<String, String>,
    /// Taints to put on, each in place of one with the same key and effect.
    pub taints: Vec<Taint>,
    /// Taints to take off, by key and effect.
    pub remove_taints: Vec<Taint>,
}

impl NodePatch {
    /// A patch of the Node that changes nothing yet.
    #[must_use]
    pub fn of(node: &ObjectRef) -> Self {
        Self { node: node.clone(), ..Self::default() }
    }

    /// Whether nothing is to be changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::of(&self.node)
    }
}

/// Why a claim is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DeletionReason {
    /// There was no capacity for it. Its pods are placed anew.
    InsufficientCapacity,
    /// Its class cannot be launched from.
    NodeClassNotReady,
    /// No instance could be launched in time.
    LaunchTimeout,
    /// No Node was registered in time.
    RegistrationTimeout,
    /// Its Node was open to every pod before it could be fenced.
    UnregisteredTaintMissing,
    /// Somebody deleted its Node.
    NodeDeleted,
    /// Its instance is gone.
    GarbageCollected,
    /// Nothing runs on its Node.
    Empty,
}

impl DeletionReason {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::InsufficientCapacity,
        Self::NodeClassNotReady,
        Self::LaunchTimeout,
        Self::RegistrationTimeout,
        Self::UnregisteredTaintMissing,
        Self::NodeDeleted,
        Self::GarbageCollected,
        Self::Empty,
    ];

    /// A word for metrics, Karpenter's where it has one.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InsufficientCapacity => "insufficient_capacity",
            Self::NodeClassNotReady => "nodeclass_not_ready",
            Self::LaunchTimeout => "launch_timeout",
            Self::RegistrationTimeout => "registration_timeout",
            Self::UnregisteredTaintMissing => "unregistered_taint_missing",
            Self::NodeDeleted => "node_deleted",
            Self::GarbageCollected => "garbage_collected",
            Self::Empty => "empty",
        }
    }
}
