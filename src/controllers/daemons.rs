//! Which daemons may come to which nodes. Pure.
//!
//! Anybody may create a DaemonSet that tolerates everything and requests a whole node. Where admission would refuse its pods, it must not
//! count: no node would be large enough for the pods of others any more.

use crate::model::workload_type::{Ownership, WorkloadType};
use crate::model::{Namespace, Pod};
use crate::scheduling::Daemon;

/// The daemons with what each is barred from.
///
/// `types` are all that there are, and `namespace` tells what a namespace is. One that is not known has no right to any node.
pub(super) fn daemons<'p, 't>(
    pods: impl IntoIterator<Item = &'p Pod>,
    types: impl IntoIterator<Item = &'t WorkloadType>,
    namespace: impl Fn(&str) -> Namespace,
) -> Vec<Daemon> {
    let ownership = Ownership::of(types);
    let daemon = |pod: &Pod| {
        let barred = match namespace(&pod.key.namespace) {
            Namespace::Exempt => Vec::new(),
            judged => ownership.barred_from(judged.workload_type()),
        };
        Daemon { pod: pod.clone(), barred }
    };
    pods.into_iter().map(daemon).collect()
}
