//! What a pod effectively requests from its node.
//!
//! The formula is Kubernetes' (KEP-753 for sidecars, KEP-2837 for pod-level resources, KEP-1287 for resizes). Missing requests are not
//! taken from limits here: the API server has already done that for real pods.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{Container, ContainerStatus, Pod as ApiPod, PodSpec, PodStatus},
    apimachinery::pkg::api::resource::Quantity as ApiQuantity,
};

use crate::model::{
    host_port::is_sidecar,
    quantity::Quantity,
    resources::{self, InvalidAmount, ResourceList},
};

/// The larger of what the containers use together and what each init container needs at its turn, then pod-level requests, overhead,
/// and the pod itself as one of `pods`.
///
/// Every amount that is no quantity is reported with the path of its list.
pub(in crate::model) fn effective_requests(
    pod: &ApiPod,
) -> Result<ResourceList, Vec<(String, InvalidAmount)>> {
    let Some(spec) = &pod.spec else {
        return Ok(ResourceList::new().with(resources::PODS, Quantity::from_units(1)));
    };
    let mut reader = Reader { status: pod.status.as_ref(), problems: Vec::new() };
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

struct Reader<'a> {
    status: Option<&'a PodStatus>,
    problems: Vec<(String, InvalidAmount)>,
}

impl<'a> Reader<'a> {
    fn of_containers(&mut self, spec: &PodSpec) -> ResourceList {
        let status = self.status;
        let mut running = ResourceList::new();
        for (i, container) in spec.containers.iter().enumerate() {
            let statuses = status.and_then(|status| status.container_statuses.as_deref());
            running += &self.of_container(&format!("spec.containers[{i}]"), container, statuses);
        }
        let mut sidecars = ResourceList::new();
        let mut peak = ResourceList::new();
        for (i, container) in spec.init_containers.iter().flatten().enumerate() {
            let path = format!("spec.initContainers[{i}]");
            if is_sidecar(container) {
                let statuses = status.and_then(|status| status.init_container_statuses.as_deref());
                let own = self.of_container(&path, container, statuses);
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
        statuses: Option<&'a [ContainerStatus]>,
    ) -> ResourceList {
        let requested = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let requested = self.read(&format!("{path}.resources.requests"), requested);
        let status = statuses.into_iter().flatten().find(|status| status.name == container.name);
        let Some((status, actuated)) = status.and_then(|status| Some((status, status.resources.as_ref()?)))
        else {
            return requested;
        };
        let mut promised = if self.resize_is_infeasible() { ResourceList::new() } else { requested };
        let path = format!("status of container {}", container.name);
        promised.raise_to(&self.read(&path, actuated.requests.as_ref()));
        promised.raise_to(&self.read(&path, status.allocated_resources.as_ref()));
        promised
    }

    fn resize_is_infeasible(&self) -> bool {
        let conditions = self.status.and_then(|status| status.conditions.as_deref());
        conditions
            .into_iter()
            .flatten()
            .find(|condition| condition.type_ == "PodResizePending")
            .is_some_and(|condition| condition.reason.as_deref() == Some("Infeasible"))
    }

    fn read(&mut self, path: &str, amounts: Option<&BTreeMap<String, ApiQuantity>>) -> ResourceList {
        let Some(amounts) = amounts else { return ResourceList::new() };
        ResourceList::from_api(amounts).unwrap_or_else(|problems| {
            self.problems.extend(problems.into_iter().map(|problem| (path.to_owned(), problem)));
            ResourceList::new()
        })
    }
}
