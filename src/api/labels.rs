//! The names that Treenail, Karpenter, Kubernetes and AWS put on objects: labels, annotations, taints,
//! finalizers, tags and values, and the two questions about a label key that everybody asks: is it
//! well known, is it restricted.
//!
//! Names only. What a label's value means, how requirements are compared and what is written where is
//! decided elsewhere.

/// The API group of NodePool and NodeClaim.
pub const KARPENTER_GROUP: &str = "karpenter.sh";
/// The API group of Karpenter's EC2NodeClass, and the domain of the labels that describe instance types.
pub const KARPENTER_AWS_GROUP: &str = "karpenter.k8s.aws";
/// How the keys of Treenail's own labels begin.
pub const OWN_PREFIX: &str = "treenail.dev/";
/// The API group of Treenail's own kinds, and the domain of the labels that namespaces and pods carry.
pub const TREENAIL_GROUP: &str = "treenail.dev";

// ---- Kubernetes' own node labels ----

/// The instance type, for example `c7i.xlarge`.
pub const INSTANCE_TYPE: &str = "node.kubernetes.io/instance-type";
/// The processor architecture: [`ARCH_AMD64`] or [`ARCH_ARM64`].
pub const ARCH: &str = "kubernetes.io/arch";
/// The operating system: [`OS_LINUX`] or `windows`.
pub const OS: &str = "kubernetes.io/os";
/// The Windows build of the node's image.
pub const WINDOWS_BUILD: &str = "node.kubernetes.io/windows-build";
/// The availability zone, for example `us-east-1a`.
pub const ZONE: &str = "topology.kubernetes.io/zone";
/// The region, for example `us-east-1`.
pub const REGION: &str = "topology.kubernetes.io/region";
/// The node's own name. Never a requirement: it would name one machine.
pub const HOSTNAME: &str = "kubernetes.io/hostname";
/// The name that every namespace carries as a label, set by the API server and unchangeable.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";
/// Keeps a draining node out of cloud load balancers; Karpenter's value is [`EXCLUDE_BALANCERS_VALUE`].
pub const EXCLUDE_BALANCERS: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// The value that Karpenter gives to [`EXCLUDE_BALANCERS`] when a drain starts.
pub const EXCLUDE_BALANCERS_VALUE: &str = "karpenter";
/// Labels under this domain, and under its subdomains, cannot be set by a kubelet on its own Node
/// (admission plugin `NodeRestriction`).
pub const NODE_RESTRICTION_DOMAIN: &str = "node-restriction.kubernetes.io";

/// Value of [`ARCH`].
pub const ARCH_AMD64: &str = "amd64";
/// Value of [`ARCH`].
pub const ARCH_ARM64: &str = "arm64";
/// Value of [`OS`].
pub const OS_LINUX: &str = "linux";

/// Older names of well-known labels, and one that the EBS driver uses, with the key that they mean.
/// A requirement under the left name is treated as one under the right name.
pub const ALIASES: &[(&str, &str)] = &[
    ("beta.kubernetes.io/arch", ARCH),
    ("beta.kubernetes.io/instance-type", INSTANCE_TYPE),
    ("beta.kubernetes.io/os", OS),
    ("failure-domain.beta.kubernetes.io/region", REGION),
    ("failure-domain.beta.kubernetes.io/zone", ZONE),
    ("topology.ebs.csi.aws.com/zone", ZONE),
];

// ---- Karpenter's labels, annotations, taints, finalizers ----

/// On NodeClaim and Node: the NodePool that it belongs to.
pub const NODEPOOL: &str = "karpenter.sh/nodepool";
/// How the instance is bought: [`CAPACITY_ON_DEMAND`], [`CAPACITY_SPOT`] or [`CAPACITY_RESERVED`].
pub const CAPACITY_TYPE: &str = "karpenter.sh/capacity-type";
/// Value of [`CAPACITY_TYPE`].
pub const CAPACITY_ON_DEMAND: &str = "on-demand";
/// Value of [`CAPACITY_TYPE`].
pub const CAPACITY_SPOT: &str = "spot";
/// Value of [`CAPACITY_TYPE`].
pub const CAPACITY_RESERVED: &str = "reserved";
/// On a Node, `true`: its NodeClaim's labels and taints are on it.
pub const REGISTERED: &str = "karpenter.sh/registered";
/// On a Node, `true`: it is ready for the pods that it was launched for.
pub const INITIALIZED: &str = "karpenter.sh/initialized";
/// The labels that every node of ours has, with the value `true`, by the time that pods can use it.
pub const OF_READY_NODES: [&str; 2] = [REGISTERED, INITIALIZED];
/// On a Node, `true`: taints belong to whoever made the node; only the unregistered taint is removed.
pub const DO_NOT_SYNC_TAINTS: &str = "karpenter.sh/do-not-sync-taints";
/// On NodeClaim and Node: the EC2NodeClass that it was launched from. That a Node carries it is how
/// Karpenter's controllers recognise a node of theirs.
pub const EC2NODECLASS: &str = "karpenter.k8s.aws/ec2nodeclass";

/// Annotation on a Pod (`true`, or a positive duration) or a Node (`true`): no voluntary disruption.
pub const DO_NOT_DISRUPT: &str = "karpenter.sh/do-not-disrupt";
/// Annotation on a NodeClaim: the moment (RFC 3339) at which a drain stops waiting.
pub const TERMINATION_TIMESTAMP: &str = "karpenter.sh/nodeclaim-termination-timestamp";
/// Annotation on NodePool and NodeClaim: hash of the pool's template, for drift.
pub const NODEPOOL_HASH: &str = "karpenter.sh/nodepool-hash";
/// Annotation that says which rules [`NODEPOOL_HASH`] was computed by.
pub const NODEPOOL_HASH_VERSION: &str = "karpenter.sh/nodepool-hash-version";
/// Annotation on a NodeClaim, `true` or `false`: `minValues` was relaxed to place it.
pub const MIN_VALUES_RELAXED: &str = "karpenter.sh/nodeclaim-min-values-relaxed";
/// Annotation on EC2NodeClass and NodeClaim: hash of the class, for drift.
pub const EC2NODECLASS_HASH: &str = "karpenter.k8s.aws/ec2nodeclass-hash";
/// Annotation that says which rules [`EC2NODECLASS_HASH`] was computed by.
pub const EC2NODECLASS_HASH_VERSION: &str = "karpenter.k8s.aws/ec2nodeclass-hash-version";
/// Annotation on a NodeClaim: the instance profile that the instance was launched with.
pub const INSTANCE_PROFILE_NAME: &str = "karpenter.k8s.aws/instance-profile-name";
/// Annotation on a NodeClaim, `true`: the instance carries the tags that are set after registration.
pub const INSTANCE_TAGGED: &str = "karpenter.k8s.aws/tagged";

/// Taint key, effect NoExecute: a node that registered itself and was not adopted yet.
pub const UNREGISTERED_TAINT: &str = "karpenter.sh/unregistered";
/// Taint key, effect NoSchedule: a node that is being disrupted.
pub const DISRUPTED_TAINT: &str = "karpenter.sh/disrupted";

/// Finalizer on NodeClaims (before the launch) and Nodes (at registration).
pub const TERMINATION_FINALIZER: &str = "karpenter.sh/termination";
/// Finalizer on EC2NodeClasses.
pub const EC2NODECLASS_FINALIZER: &str = "karpenter.k8s.aws/termination";
/// Tag of an instance: the token that it was launched with, by which it is found again. The UID of its NodeClaim, `-`, and the number of
/// the attempt.
pub const CLIENT_TOKEN_TAG: &str = "treenail.dev/client-token";
/// The Lease that Karpenter's leader holds; its holder acts on [`KARPENTER_AWS_GROUP`] classes.
pub const KARPENTER_LEASE: &str = "karpenter-leader-election";

// ---- AWS: labels that describe an instance type or its placement ----

/// Number of vCPUs.
pub const INSTANCE_CPU: &str = "karpenter.k8s.aws/instance-cpu";
/// Maker of the processor: `intel`, `amd`, `aws`.
pub const INSTANCE_CPU_MANUFACTURER: &str = "karpenter.k8s.aws/instance-cpu-manufacturer";
/// Sustained clock speed in MHz.
pub const INSTANCE_CPU_CLOCK: &str = "karpenter.k8s.aws/instance-cpu-sustained-clock-speed-mhz";
/// Memory in MiB, nothing subtracted.
pub const INSTANCE_MEMORY: &str = "karpenter.k8s.aws/instance-memory";
/// Bandwidth to EBS in Mbit/s.
pub const INSTANCE_EBS_BANDWIDTH: &str = "karpenter.k8s.aws/instance-ebs-bandwidth";
/// Network bandwidth in Mbit/s.
pub const INSTANCE_NETWORK_BANDWIDTH: &str = "karpenter.k8s.aws/instance-network-bandwidth";
/// Leading letters of the type: `c` of `c7i.xlarge`.
pub const INSTANCE_CATEGORY: &str = "karpenter.k8s.aws/instance-category";
/// Generation number: `7` of `c7i.xlarge`.
pub const INSTANCE_GENERATION: &str = "karpenter.k8s.aws/instance-generation";
/// The part before the dot: `c7i` of `c7i.xlarge`.
pub const INSTANCE_FAMILY: &str = "karpenter.k8s.aws/instance-family";
/// The part after the dot: `xlarge` of `c7i.xlarge`.
pub const INSTANCE_SIZE: &str = "karpenter.k8s.aws/instance-size";
/// `true` for flex families.
pub const INSTANCE_CAPABILITY_FLEX: &str = "karpenter.k8s.aws/instance-capability-flex";
/// Local storage in GB.
pub const INSTANCE_LOCAL_NVME: &str = "karpenter.k8s.aws/instance-local-nvme";
/// `nitro`, `xen`, or empty for metal.
pub const INSTANCE_HYPERVISOR: &str = "karpenter.k8s.aws/instance-hypervisor";
/// `true` if traffic between instances is encrypted.
pub const INSTANCE_ENCRYPTION_IN_TRANSIT: &str = "karpenter.k8s.aws/instance-encryption-in-transit-supported";
/// `default` or `dedicated`.
pub const INSTANCE_TENANCY: &str = "karpenter.k8s.aws/instance-tenancy";
/// `true` if the type can run Nitro Enclaves.
pub const NITRO_SANDBOX: &str = "karpenter.k8s.aws/nitro-sandbox";
/// Name of the GPU model.
pub const INSTANCE_GPU_NAME: &str = "karpenter.k8s.aws/instance-gpu-name";
/// Maker of the GPU.
pub const INSTANCE_GPU_MANUFACTURER: &str = "karpenter.k8s.aws/instance-gpu-manufacturer";
/// Number of GPUs.
pub const INSTANCE_GPU_COUNT: &str = "karpenter.k8s.aws/instance-gpu-count";
/// Memory of one GPU in MiB.
pub const INSTANCE_GPU_MEMORY: &str = "karpenter.k8s.aws/instance-gpu-memory";
/// Name of the inference or training accelerator.
pub const INSTANCE_ACCELERATOR_NAME: &str = "karpenter.k8s.aws/instance-accelerator-name";
/// Maker of the accelerator.
pub const INSTANCE_ACCELERATOR_MANUFACTURER: &str = "karpenter.k8s.aws/instance-accelerator-manufacturer";
/// Number of accelerators.
pub const INSTANCE_ACCELERATOR_COUNT: &str = "karpenter.k8s.aws/instance-accelerator-count";
/// The capacity reservation that the instance uses.
pub const CAPACITY_RESERVATION_ID: &str = "karpenter.k8s.aws/capacity-reservation-id";
/// `default` or `capacity-block`.
pub const CAPACITY_RESERVATION_TYPE: &str = "karpenter.k8s.aws/capacity-reservation-type";
/// `true` if the reservation may be interrupted.
pub const CAPACITY_RESERVATION_INTERRUPTIBLE: &str = "karpenter.k8s.aws/capacity-reservation-interruptible";
/// The placement group that the instance is in.
pub const PLACEMENT_GROUP_ID: &str = "karpenter.k8s.aws/placement-group-id";
/// The partition of a partition placement group.
pub const PLACEMENT_GROUP_PARTITION: &str = "karpenter.k8s.aws/placement-group-partition";
/// The zone's account-independent id, for example `use1-az1`.
pub const ZONE_ID: &str = "topology.k8s.aws/zone-id";

/// Every label in the domain [`KARPENTER_AWS_GROUP`] that a pool may require or set. The rest of the
/// domain is refused by the CRDs.
pub const AWS_LABELS: &[&str] = &[
    CAPACITY_RESERVATION_ID,
    CAPACITY_RESERVATION_INTERRUPTIBLE,
    CAPACITY_RESERVATION_TYPE,
    EC2NODECLASS,
    INSTANCE_ACCELERATOR_COUNT,
    INSTANCE_ACCELERATOR_MANUFACTURER,
    INSTANCE_ACCELERATOR_NAME,
    INSTANCE_CAPABILITY_FLEX,
    INSTANCE_CATEGORY,
    INSTANCE_CPU,
    INSTANCE_CPU_MANUFACTURER,
    INSTANCE_CPU_CLOCK,
    INSTANCE_EBS_BANDWIDTH,
    INSTANCE_ENCRYPTION_IN_TRANSIT,
    INSTANCE_FAMILY,
    INSTANCE_GENERATION,
    INSTANCE_GPU_COUNT,
    INSTANCE_GPU_MANUFACTURER,
    INSTANCE_GPU_MEMORY,
    INSTANCE_GPU_NAME,
    INSTANCE_HYPERVISOR,
    INSTANCE_LOCAL_NVME,
    INSTANCE_MEMORY,
    INSTANCE_NETWORK_BANDWIDTH,
    INSTANCE_SIZE,
    INSTANCE_TENANCY,
    NITRO_SANDBOX,
    PLACEMENT_GROUP_ID,
    PLACEMENT_GROUP_PARTITION,
];

/// Labels outside the domain [`KARPENTER_AWS_GROUP`] whose values are known before a node exists.
const WELL_KNOWN_BEYOND_AWS: &[&str] =
    &[NODEPOOL, CAPACITY_TYPE, ZONE, ZONE_ID, REGION, INSTANCE_TYPE, ARCH, OS, WINDOWS_BUILD];

/// Domains whose labels nobody but the controllers may set, save those that are well known.
pub const RESTRICTED_DOMAINS: &[&str] = &[KARPENTER_GROUP, KARPENTER_AWS_GROUP];

// ---- AWS: tags ----

/// Tag on every instance, volume and launch template of a pool.
pub const NODEPOOL_TAG: &str = NODEPOOL;
/// Tag that names the NodeClaim, set after registration.
pub const NODECLAIM_TAG: &str = "karpenter.sh/nodeclaim";
/// Tag that names the class.
pub const EC2NODECLASS_TAG: &str = EC2NODECLASS;
/// Tag that names the cluster.
pub const CLUSTER_NAME_TAG: &str = "eks:eks-cluster-name";
/// Followed by the cluster's name: the tag whose value `owned` marks the cluster's resources.
pub const CLUSTER_TAG_PREFIX: &str = "kubernetes.io/cluster/";
/// Tag that the console shows as the instance's name.
pub const NAME_TAG: &str = "Name";

// ---- Treenail ----

/// On a Namespace (guarded: setting it needs the verb `use`) or a Pod (immutable): the workload type.
pub const WORKLOAD_TYPE: &str = "treenail.dev/workload-type";
/// On a Namespace (guarded), and taint key of nodes of a pool with tenancy `Team`: the team.
pub const TEAM: &str = "treenail.dev/team";
/// Taint key of nodes of a pool with tenancy `Namespace`: the namespace.
pub const NAMESPACE_TAINT: &str = "treenail.dev/namespace";
/// Annotation on a Pod: what admission added. Information, never authority.
pub const INJECTED: &str = "treenail.dev/injected";
/// On a Node of a pool with a tenancy: the team. A kubelet cannot set it.
pub const NODE_TEAM: &str = "treenail.node-restriction.kubernetes.io/team";
/// Domain of [`node_type_label`].
pub const NODE_TYPE_DOMAIN: &str = "workload-type.node-restriction.kubernetes.io";
/// Annotation on a WorkloadType in memory, never in the cluster: why its stored spec could not be read.
pub const UNREADABLE: &str = "treenail.dev/unreadable";
/// Finalizer on WorkloadTypes: the type's rules stay in force until nothing of it is left.
pub const WORKLOAD_TYPE_FINALIZER: &str = "treenail.dev/workload-type";
/// The Lease of Treenail's controller.
pub const TREENAIL_LEASE: &str = "treenail-leader-election";

/// The label that every node of a pool of the type carries, with an empty value. One key per type, so
/// that several types can share a pool; under a domain that a kubelet cannot write to.
#[must_use]
pub fn node_type_label(workload_type: &str) -> String {
    format!("{NODE_TYPE_DOMAIN}/{workload_type}")
}

/// The type whose [`node_type_label`] the key is.
#[must_use]
pub fn type_of_node_label(key: &str) -> Option<&str> {
    key.strip_prefix(NODE_TYPE_DOMAIN)?.strip_prefix('/')
}

/// Whether the key is the [`node_type_label`] of some type. Treenail's nodes get it from the types that name their pool, and from nothing else.
#[must_use]
pub fn is_node_type_label(key: &str) -> bool {
    type_of_node_label(key).is_some()
}

/// Every label whose value is known before a node exists.
pub fn well_known() -> impl Iterator<Item = &'static str> {
    let all = WELL_KNOWN_BEYOND_AWS.iter().chain(AWS_LABELS).copied();
    all.filter(|key| is_well_known(key))
}

/// Whether the label's value is known before a node exists: from the instance type, its offering, the
/// class or the pool. A requirement on any other label is met by labelling the node.
#[must_use]
pub fn is_well_known(key: &str) -> bool {
    // EC2NODECLASS may be required or set, but Karpenter does not count it among the well-known ones.
    WELL_KNOWN_BEYOND_AWS.contains(&key) || (key != EC2NODECLASS && AWS_LABELS.contains(&key))
}

/// Whether neither a pool nor a pod may ask for the label: it lies in a domain of the controllers and
/// is not well known, or it is the node's own name.
#[must_use]
pub fn is_restricted(key: &str) -> bool {
    if is_well_known(key) {
        return false;
    }
    key == HOSTNAME || domain(key).is_some_and(|d| RESTRICTED_DOMAINS.iter().any(|r| is_in_domain(d, r)))
}

/// The key that the label means: itself, or what it is an [alias](ALIASES) for.
#[must_use]
pub fn normalize(key: &str) -> &str {
    ALIASES.iter().find(|(alias, _)| *alias == key).map_or(key, |(_, canonical)| canonical)
}

/// The part of a label key before the slash; `None` for a key without one.
#[must_use]
pub fn domain(key: &str) -> Option<&str> {
    key.split_once('/').map(|(domain, _)| domain)
}

/// Whether `domain` is `parent` or a subdomain of it.
#[must_use]
pub fn is_in_domain(domain: &str, parent: &str) -> bool {
    domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_restricted_by_domain_unless_it_is_well_known() {
        let cases = [
            ("karpenter.sh/capacity-type", false),
            ("karpenter.sh/nodepool", false),
            ("karpenter.sh/registered", true),
            ("sub.karpenter.sh/anything", true),
            ("notkarpenter.sh/anything", false),
            ("karpenter.sh", false),
            ("karpenter.k8s.aws/instance-cpu", false),
            ("karpenter.k8s.aws/instance-pods", true),
            ("karpenter.k8s.aws/ec2nodeclass", true),
            ("kubernetes.io/hostname", true),
            ("kubernetes.io/arch", false),
            ("node-restriction.kubernetes.io/team", false),
            ("example.com/team", false),
            ("team", false),
        ];
        for (key, expected) in cases {
            assert_eq!(is_restricted(key), expected, "{key}");
        }
    }

    #[test]
    fn an_alias_means_its_well_known_label() {
        assert_eq!(normalize("beta.kubernetes.io/arch"), ARCH);
        assert_eq!(normalize("topology.ebs.csi.aws.com/zone"), ZONE);
        assert_eq!(normalize("example.com/zone"), "example.com/zone");
        for (alias, canonical) in ALIASES {
            assert!(is_well_known(canonical) && !is_well_known(alias), "{alias}");
        }
    }

    #[test]
    fn the_node_label_of_a_type_is_out_of_a_kubelets_reach() {
        let key = node_type_label("application");
        assert_eq!(key, "workload-type.node-restriction.kubernetes.io/application");
        assert_eq!(type_of_node_label(&key), Some("application"));
        assert_eq!(type_of_node_label("workload-type.node-restriction.kubernetes.iox/application"), None);
        assert!(domain(&key).is_some_and(|d| is_in_domain(d, NODE_RESTRICTION_DOMAIN)));
        assert!(is_in_domain(domain(NODE_TEAM).expect("has a domain"), NODE_RESTRICTION_DOMAIN));
    }
}
