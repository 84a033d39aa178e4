//! What can be known of a class and a cluster before anything is launched, and would make every launch fail. Pure.

use super::catalog::Shape;
use super::template;
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::ports::cloud::{ClassObstacle, ClusterFacts};

/// What keeps every launch from the class from being made, as far as it does not hang on the claim.
pub(super) fn obstacle(class: &Ec2NodeClass, cluster: &ClusterFacts) -> Option<ClassObstacle> {
    if cluster.dns_address.is_ipv6() {
        let message = format!(
            "the cluster's DNS server has the address {}, and nodes of IPv6 clusters are not supported yet; use a cluster whose first IP \
             family is IPv4",
            cluster.dns_address
        );
        return Some(ClassObstacle { reason: "IPv6NotSupported", message });
    }
    // What its status says is found anew with each look at it.
    let written = Ec2NodeClass { status: None, ..class.clone() };
    if let Err(problems) = Shape::read(&written) {
        return Some(ClassObstacle { reason: "InvalidNodeClass", message: problems.join("; ") });
    }
    let problem = template::disks(&class.spec).err()?;
    Some(ClassObstacle { reason: "InvalidBlockDevices", message: problem })
}
