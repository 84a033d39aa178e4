//! An `AdmissionReview` as a value, read leniently from the bytes that the API server sent.
//!
//! The objects stay raw JSON: which fields of them matter, the rules say (`admission::object`). Nothing is decided here, and no response is
//! written: the server knows the wire.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::json::{Text, null_as_default};

/// What an API server asks. Borrows from the body.
#[derive(Debug, Clone)]
pub struct Review<'a> {
    /// What the answer must repeat. Differs with every call, so it identifies nothing else.
    pub uid: Cow<'a, str>,
    /// What the object is.
    pub kind: Kind,
    /// The subresource that was written to; empty for the object itself.
    pub subresource: Cow<'a, str>,
    /// What is done. A patch comes as what it amounts to.
    pub operation: Operation,
    /// The namespace of the request, which alone counts: the object's own may be missing. Of a Namespace, its name.
    pub namespace: Cow<'a, str>,
    /// The object's name; empty while it is still to be generated.
    pub name: Cow<'a, str>,
    /// Who asks. For a pod that a controller makes this is the controller.
    pub user: User<'a>,
    /// Whether nothing is stored in the end. Decided on like anything else.
    pub dry_run: bool,
    /// The object as it would be stored; absent on deletion.
    pub object: Option<&'a RawValue>,
    /// The object as it is stored; absent on creation.
    pub old_object: Option<&'a RawValue>,
}

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct User<'a> {
    /// The user's name.
    pub name: Cow<'a, str>,
    /// The user's groups.
    pub groups: Vec<Cow<'a, str>>,
}

/// What is done to the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// It is made.
    Create,
    /// It is changed.
    Update,
    /// It is deleted.
    Delete,
    /// A connection to it is opened.
    Connect,
    /// A word that we do not know. Judged by the objects that come with it.
    Other,
}

/// The kinds that something is decided on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A Pod.
    Pod,
    /// An object that pods are made from.
    Template(TemplateKind),
    /// A Namespace.
    Namespace,
    /// A WorkloadType.
    WorkloadType,
    /// A NodePool.
    NodePool,
    /// An EC2NodeClass.
    Ec2NodeClass,
    /// Anything else: nothing is decided on it.
    Other,
}

/// The kinds of Kubernetes' own that hold a pod template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TemplateKind {
    /// A Deployment.
    Deployment,
    /// A StatefulSet.
    StatefulSet,
    /// A DaemonSet.
    DaemonSet,
    /// A ReplicaSet.
    ReplicaSet,
    /// A ReplicationController.
    ReplicationController,
    /// A Job.
    Job,
    /// A CronJob.
    CronJob,
    /// A PodTemplate.
    PodTemplate,
}

impl TemplateKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Deployment,
        Self::StatefulSet,
        Self::DaemonSet,
        Self::ReplicaSet,
        Self::ReplicationController,
        Self::Job,
        Self::CronJob,
        Self::PodTemplate,
    ];

    /// The API group.
    #[must_use]
    pub const fn group(self) -> &'static str {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet | Self::ReplicaSet => "apps",
            Self::Job | Self::CronJob => "batch",
            Self::ReplicationController | Self::PodTemplate => "",
        }
    }

    /// The kind's name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::ReplicaSet => "ReplicaSet",
            Self::ReplicationController => "ReplicationController",
            Self::Job => "Job",
            Self::CronJob => "CronJob",
            Self::PodTemplate => "PodTemplate",
        }
    }

    /// Where in the object the pod template is.
    #[must_use]
    pub const fn template_path(self) -> &'static [&'static str] {
        match self {
            Self::PodTemplate => &["template"],
            Self::CronJob => &["spec", "jobTemplate", "spec", "template"],
            Self::Deployment
            | Self::StatefulSet
            | Self::DaemonSet
            | Self::ReplicaSet
            | Self::ReplicationController
            | Self::Job => &["spec", "template"],
        }
    }
}

impl Kind {
    /// The kind of that name in that group, in whatever version.
    #[must_use]
    pub fn of(group: &str, kind: &str) -> Self {
        match (group, kind) {
            ("", "Pod") => Self::Pod,
            ("", "Namespace") => Self::Namespace,
            ("treenail.dev", "WorkloadType") => Self::WorkloadType,
            ("karpenter.sh", "NodePool") => Self::NodePool,
            ("karpenter.k8s.aws", "EC2NodeClass") => Self::Ec2NodeClass,
            _ => TemplateKind::ALL
                .into_iter()
                .find(|template| template.group() == group && template.name() == kind)
                .map_or(Self::Other, Self::Template),
        }
    }

    /// Whether objects of the kind are in namespaces.
    #[must_use]
    pub const fn is_namespaced(self) -> bool {
        match self {
            Self::Pod | Self::Template(_) => true,
            Self::Namespace | Self::WorkloadType | Self::NodePool | Self::Ec2NodeClass | Self::Other => false,
        }
    }

    /// The kind as messages name it.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Namespace => "namespace",
            Self::WorkloadType => "workloadtype",
            Self::NodePool => "nodepool",
            Self::Ec2NodeClass => "ec2nodeclass",
            Self::Other => "object",
            Self::Template(TemplateKind::Deployment) => "deployment",
            Self::Template(TemplateKind::StatefulSet) => "statefulset",
            Self::Template(TemplateKind::DaemonSet) => "daemonset",
            Self::Template(TemplateKind::ReplicaSet) => "replicaset",
            Self::Template(TemplateKind::ReplicationController) => "replicationcontroller",
            Self::Template(TemplateKind::Job) => "job",
            Self::Template(TemplateKind::CronJob) => "cronjob",
            Self::Template(TemplateKind::PodTemplate) => "podtemplate",
        }
    }
}

/// A body that is no `AdmissionReview` with a request: an HTTP error, never an answer.
#[derive(Debug, thiserror::Error)]
pub enum ReviewError {
    /// The body is no JSON, or a field has a type that no version of the API gives it.
    #[error("read the AdmissionReview")]
    Malformed(#[from] serde_json::Error),
    /// The body is some other object.
    #[error(
        "read the AdmissionReview: it is a {kind} of {api_version}, not an AdmissionReview of admission.k8s.io/v1"
    )]
    OtherObject {
        /// What the body says it is.
        api_version: String,
        /// What the body says it is.
        kind: String,
    },
    /// The review has no request, or one without uid, so that no answer could be matched to it.
    #[error("read the AdmissionReview: it has no request with a uid")]
    NoRequest,
}

impl<'a> Review<'a> {
    /// Reads a request's body. Unknown fields are ignored everywhere; what is absent, null or empty is the same.
    pub fn parse(body: &'a [u8]) -> Result<Self, ReviewError> {
        let Envelope { api_version, kind, request } = serde_json::from_slice(body)?;
        if &*api_version != "admission.k8s.io/v1" || &*kind != "AdmissionReview" {
            return Err(ReviewError::OtherObject {
                api_version: api_version.chars().take(100).collect(),
                kind: kind.chars().take(100).collect(),
            });
        }
        let request = request.filter(|request| !request.uid.is_empty()).ok_or(ReviewError::NoRequest)?;
        Ok(Self {
            uid: request.uid.into(),
            kind: Kind::of(&request.kind.group, &request.kind.kind),
            subresource: request.sub_resource.into(),
            operation: match &*request.operation {
                "CREATE" => Operation::Create,
                "UPDATE" => Operation::Update,
                "DELETE" => Operation::Delete,
                "CONNECT" => Operation::Connect,
                _ => Operation::Other,
            },
            namespace: request.namespace.into(),
            name: request.name.into(),
            user: User {
                name: request.user_info.username.into(),
                groups: request.user_info.groups.into_iter().map(Into::into).collect(),
            },
            dry_run: request.dry_run,
            object: request.object,
            old_object: request.old_object,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    api_version: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    kind: Text<'a>,
    #[serde(borrow)]
    request: Option<Request<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    uid: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    kind: GroupKind<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    sub_resource: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    name: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    namespace: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    operation: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    user_info: UserInfo<'a>,
    #[serde(borrow, default)]
    object: Option<&'a RawValue>,
    #[serde(borrow, default)]
    old_object: Option<&'a RawValue>,
    #[serde(default, deserialize_with = "null_as_default")]
    dry_run: bool,
}

#[derive(Deserialize, Default)]
struct GroupKind<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    group: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    kind: Text<'a>,
}

#[derive(Deserialize, Default)]
struct UserInfo<'a> {
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    username: Text<'a>,
    #[serde(borrow, default, deserialize_with = "null_as_default")]
    groups: Vec<Text<'a>>,
}

#[cfg(test)]
mod tests;
