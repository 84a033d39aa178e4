//! Which daemons may come to which nodes. Pure.
//!
//! Anybody may create a DaemonSet that tolerates everything and requests a whole node. Where admission would refuse its pods, it must not
//! count: no node would be large enough for the pods of others any more.

use std::collections::BTreeSet;

use crate::model::Pod;
use crate::model::workload_type::{Ownership, WorkloadType};
use crate::scheduling::Daemon;

/// The daemons with what each is barred from.
///
/// `types` are all that there are, `type_of` tells the type of a namespace, and `exempt` are the namespaces that admission does not judge.
pub(super) fn daemons<'p, 't>(
    pods: impl IntoIterator<Item = &'p Pod>,
    types: impl IntoIterator<Item = &'t WorkloadType>,
    type_of: impl Fn(&str) -> Option<String>,
    exempt: &BTreeSet<String>,
) -> Vec<Daemon> {
    let ownership = Ownership::of(types);
    let daemon = |pod: &Pod| {
        let namespace = &pod.key.namespace;
        let is_judged = !exempt.contains(namespace);
        let barred = is_judged.then(|| ownership.barred_from(type_of(namespace).as_deref()));
        Daemon { pod: pod.clone(), barred: barred.unwrap_or_default() }
    };
    pods.into_iter().map(daemon).collect()
}
