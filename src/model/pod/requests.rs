//! What a pod effectively requests from its node.
//!
//! The formula is Kubernetes' (KEP-753 for sidecars, KEP-2837 for pod-level resources, KEP-1287 for resizes). Missing requests are not
//! taken from limits here: the API server has already done that for real pods.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, ContainerStatus, Pod as ApiPod, PodSpec, PodStatus},
    apimachinery::pkg::api::resource::Quantity as ApiQuantity,
};

use super::excess::Excess;
use crate::model::{
    host_port::is_sidecar,
    quantity::Quantity,
    resources::{self, InvalidAmount, ResourceList},
};

/// The larger of what the containers use together and what each init container needs at its turn, then pod-level requests, overhead,
/// and the pod itself as one of `pods`.
///
/// Every amount that is no quantity is reported with the path of its list. Of a pod that has too many containers or resources only what
/// every pod takes is added up.
pub(in crate::model) fn effective_requests(
    pod: &ApiPod,
) -> Result<ResourceList, Vec<(String, InvalidAmount)>> {
    let Some(spec) = &pod.spec else {
        return Ok(ResourceList::new().with(resources::PODS, Quantity::from_units(1)));
    };
    let mut reader = Reader {
        containers: by_name(pod.status.as_ref().and_then(|status| status.container_statuses.as_deref())),
        init_containers: by_name(
            pod.status.as_ref().and_then(|status| status.init_container_statuses.as_deref()),
        ),
        is_resize_infeasible: pod.status.as_ref().is_some_and(is_resize_infeasible),
        only_basic: Excess::is_in_requests(spec),
        problems: Vec::new(),
    };
    let mut requests = reader.of_containers(spec);
    if let Some(pod_level) = spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()) {
        let pod_level = reader.read("spec.resources.requests", Some(pod_level));
        for (name, amount) in pod_level.iter().filter(|(name, _)| is_pod_level(name)) {
            requests.set(name, amount);
        }
    }
    requests += &reader.read("spec.overhead", spec.overhead.as_ref());
    requests += &ResourceList::new().with(resources::PODS, Quantity::from_units(1));
    if reader.problems.is_empty() { Ok(requests) } else { Err(reader.problems) }
}

/// Requests what a container limits and does not request, as the API server does it for pods but not for templates.
pub(super) fn default_from_limits(spec: &mut PodSpec) {
    let init_containers = spec.init_containers.iter_mut().flatten();
    for resources in spec.containers.iter_mut().chain(init_containers).filter_map(|it| it.resources.as_mut())
    {
        let Some(limits) = &resources.limits else { continue };
        let requests = resources.requests.get_or_insert_default();
        for (name, limit) in limits {
            requests.entry(name.clone()).or_insert_with(|| limit.clone());
        }
    }
}

fn is_pod_level(resource: &str) -> bool {
    matches!(resource, resources::CPU | resources::MEMORY)
        || resource.starts_with(resources::HUGE_PAGES_PREFIX)
}

fn is_basic(resource: &str) -> bool {
    matches!(resource, resources::CPU | resources::MEMORY | resources::EPHEMERAL_STORAGE)
}

fn is_resize_infeasible(status: &PodStatus) -> bool {
    let mut conditions = status.conditions.iter().flatten();
    conditions
        .find(|condition| condition.type_ == "PodResizePending")
        .is_some_and(|condition| condition.reason.as_deref() == Some("Infeasible"))
}

/// Statuses by the name of their container.
type Statuses<'a> = BTreeMap<&'a str, &'a ContainerStatus>;

fn by_name(statuses: Option<&[ContainerStatus]>) -> Statuses<'_> {
    // Of several with one name the first counts.
    statuses.into_iter().flatten().rev().map(|status| (status.name.as_str(), status)).collect()
}

struct Reader<'a> {
    containers: Statuses<'a>,
    init_containers: Statuses<'a>,
    is_resize_infeasible: bool,
    only_basic: bool,
    problems: Vec<(String, InvalidAmount)>,
}

impl Reader<'_> {
    fn of_containers(&mut self, spec: &PodSpec) -> ResourceList {
        let mut running = ResourceList::new();
        for (i, container) in spec.containers.iter().enumerate() {
            let status = self.containers.get(container.name.as_str()).copied();
            running += &self.of_container(&format!("spec.containers[{i}]"), container, status);
        }
        let mut sidecars = ResourceList::new();
        let mut peak = ResourceList::new();
        for (i, container) in spec.init_containers.iter().flatten().enumerate() {
            let path = format!("spec.initContainers[{i}]");
            if is_sidecar(container) {
                let status = self.init_containers.get(container.name.as_str()).copied();
                let own = self.of_container(&path, container, status);
                running += &own;
                sidecars += &own;
                peak.raise_to(&sidecars);
            } else {
                // An init container runs beside the sidecars that were started before it, and beside nothing else.
                let mut own = self.of_container(&path, container, None);
                own += &sidecars;
                peak.raise_to(&own);
            }
        }
        running.raise_to(&peak);
        running
    }

    /// What a container was promised: the largest of what it asks for, what the kubelet has allocated and what it has actuated. A
    /// resize that the node can never grant does not count.
    fn of_container(
        &mut self,
        path: &str,
        container: &Container,
        status: Option<&ContainerStatus>,
    ) -> ResourceList {
        let requested = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let requested = self.read(&format!("{path}.resources.requests"), requested);
        let Some((status, actuated)) = status.and_then(|status| Some((status, status.resources.as_ref()?)))
        else {
            return requested;
        };
        let mut promised = if self.is_resize_infeasible { ResourceList::new() } else { requested };
        let path = format!("status of container {}", container.name);
        promised.raise_to(&self.read(&path, actuated.requests.as_ref()));
        promised.raise_to(&self.read(&path, status.allocated_resources.as_ref()));
        promised
    }

    fn read(&mut self, path: &str, amounts: Option<&BTreeMap<String, ApiQuantity>>) -> ResourceList {
        let Some(amounts) = amounts else { return ResourceList::new() };
        let basic = self.only_basic.then(|| {
            let amounts = amounts.iter().filter(|(name, _)| is_basic(name));
            amounts.map(|(name, amount)| (name.clone(), amount.clone())).collect()
        });
        ResourceList::from_api(basic.as_ref().unwrap_or(amounts)).unwrap_or_else(|problems| {
            self.problems.extend(problems.into_iter().map(|problem| (path.to_owned(), problem)));
            ResourceList::new()
        })
    }
}
