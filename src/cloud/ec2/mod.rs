//! EC2 behind the trait of `ports`: the order of the calls, and nothing else.
//!
//! What is asked for and what answers mean is computed in pure files: `catalog`, `offerings`, `pricing` (what can be bought),
//! `selection`, `launch`, `template`, `userdata` (what is launched), `errors` (what failures mean). `client` is the trait of the calls,
//! `sdk` makes them over the network, `cache` remembers. On-demand capacity and AL2023 images only; batching, spot,
//! reservations, placement groups and drift are not built yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::try_join_all;

pub mod cache;
pub mod catalog;
pub mod client;
pub mod errors;
mod instances;
pub mod launch;
mod offerings;
pub mod pricing;
mod profile;
mod resolve;
#[cfg(feature = "ec2")]
pub mod sdk;
mod selection;
pub mod template;
#[cfg(test)]
mod tests;
pub mod userdata;

use cache::{Answers, Mark, Unavailable};
use catalog::{Assumptions, Catalog, Region, Shape};
use client::{Api, Filter};
use launch::{FleetAnswer, FleetInstance, FleetRequest, Inputs, Launch};
use pricing::Prices;
use template::LaunchTemplate;

use crate::api::conditions::{self, ConditionStatus};
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::labels;
use crate::model::InstanceType;
use crate::ports::cloud::{
    Answer, CloudProvider, ClusterFacts, Instance, LaunchRequest, Launched, ProviderId, Resolution,
    ResolvedClass,
};
use crate::ports::{Clock, CloudError, ErrorClass};

/// EC2 in one region.
///
/// A launch is one call when image, types and template are known: `CreateFleet`.
#[derive(Debug)]
pub struct Ec2<A> {
    api: A,
    clock: Arc<dyn Clock>,
    region: Region,
    catalog: Answers<(), Arc<Catalog>>,
    parameters: Answers<String, Option<String>>,
    profiles: Answers<(String, Option<String>), String>,
    unavailable: Unavailable,
    /// Launch templates that exist.
    templates: Mutex<BTreeSet<String>>,
    /// The last list of types of each class, by the class's name, and what it was computed from.
    types: Mutex<BTreeMap<String, (TypesKey, Arc<[InstanceType]>)>>,
}

/// What a list of types depends on. Equal keys, equal lists.
#[derive(Clone, Debug)]
struct TypesKey {
    catalog: Arc<Catalog>,
    shape: Shape,
    unavailable: BTreeSet<Mark>,
}

impl TypesKey {
    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.catalog, &other.catalog)
            && self.shape == other.shape
            && self.unavailable == other.unavailable
    }
}

impl<A: Api> Ec2<A> {
    /// EC2 through these calls.
    pub fn new(api: A, clock: Arc<dyn Clock>, region: &str, assumptions: Assumptions) -> Self {
        Self {
            api,
            clock,
            region: Region { name: region.to_owned(), prices: Prices::of_region(region), assumptions },
            catalog: Answers::lasting(cache::INSTANCE_TYPES),
            parameters: Answers::lasting(cache::PARAMETERS),
            profiles: Answers::lasting(cache::INSTANCE_PROFILES),
            unavailable: Unavailable::default(),
            templates: Mutex::default(),
            types: Mutex::default(),
        }
    }

    /// What whoever starts the program should read once.
    #[must_use]
    pub fn notice(&self) -> Option<&str> {
        self.region.prices.notice()
    }

    /// The range of addresses that Services of an EKS cluster get, for [`ClusterFacts`].
    pub async fn service_cidr(&self, cluster: &str) -> Result<String, CloudError> {
        let action = format!("read the service addresses of cluster {cluster}");
        let found = self.api.service_cidr(cluster).await.map_err(|error| error.on(&action))?;
        found.ok_or_else(|| {
            let message = "EKS knows no IPv4 range of it; IPv6 clusters are not supported yet";
            CloudError::new(ErrorClass::NotReady, "ClusterCIDRResolutionFailed", action, message)
        })
    }

    async fn catalog(&self) -> Result<Arc<Catalog>, CloudError> {
        let read = async {
            let (types, zones) = tokio::try_join!(self.api.instance_types(), self.api.type_zones())?;
            Ok(Arc::new(Catalog::new(types, zones)))
        };
        let answer = self.catalog.get(&(), self.clock.now(), read).await;
        answer.map_err(|error: errors::ApiError| error.on("read the instance types"))
    }

    /// The types of a class, and what they were computed from.
    async fn types(&self, class: &Ec2NodeClass) -> Result<(TypesKey, Arc<[InstanceType]>), CloudError> {
        let name = class.metadata.name.clone().unwrap_or_default();
        let shape = Shape::read(class).map_err(|problems| {
            let action = format!("read class {name}");
            CloudError::new(ErrorClass::NotReady, "InvalidNodeClass", action, problems.join("; "))
        })?;
        let key = TypesKey {
            catalog: self.catalog().await?,
            shape,
            unavailable: self.unavailable.at(self.clock.now()),
        };
        let mut known = self.types.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&name).filter(|(known, _)| known.is_same(&key)) {
            return Ok(found.clone());
        }
        let types = catalog::instance_types(&key.catalog, &self.region, &key.shape, &key.unavailable);
        known.insert(name, (key.clone(), Arc::clone(&types)));
        Ok((key, types))
    }

    async fn launch_claim(&self, request: LaunchRequest<'_>) -> Result<Launched, CloudError> {
        ensure_ready(request.class)?;
        let (key, types) = self.types(request.class).await?;
        let inputs = Inputs {
            catalog: &key.catalog,
            assumptions: self.region.assumptions,
            shape: &key.shape,
            types: &types,
            unavailable: &key.unavailable,
        };
        let launch = launch::build(inputs, &request)?;
        let answer = match self.create_fleet(&launch).await {
            Err(Failure::TokenMismatch) => return self.adopt(&request, &types).await,
            Err(Failure::Cloud(error)) => return Err(error),
            Ok(answer) => answer,
        };
        let now = self.clock.now();
        for mark in launch::missing_capacity(&launch.request, &answer) {
            self.unavailable.mark(mark, now);
        }
        if answer.errors.iter().any(|error| errors::is_template_gone(&error.code)) {
            self.forget_templates(&launch.templates);
        }
        match answer.instances.first() {
            Some(instance) => identify(instance, &launch.request, &types, &request),
            None => Err(launch::no_instance(&answer)),
        }
    }

    /// Sends the request, once more if a template that was thought to exist does not.
    async fn create_fleet(&self, launch: &Launch) -> Result<FleetAnswer, Failure> {
        let mut is_second_try = false;
        loop {
            self.ensure_templates(&launch.templates).await.map_err(Failure::Cloud)?;
            let error = match self.api.create_fleet(&launch.request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.is_token_mismatch() {
                return Err(Failure::TokenMismatch);
            }
            if !errors::is_template_gone(&error.code) || is_second_try {
                let is_refusal = error.is_refusal;
                let mut error = error.on("ask for an instance");
                if error.class == ErrorClass::NotFound {
                    // To whoever launches, that would be the instance.
                    error.class = ErrorClass::Other;
                }
                return Err(Failure::Cloud(if is_refusal { error.answered() } else { error }));
            }
            self.forget_templates(&launch.templates);
            is_second_try = true;
        }
    }

    /// Creates the templates that are missing. Whoever makes an equal one at the same time makes the same one.
    async fn ensure_templates(&self, templates: &[LaunchTemplate]) -> Result<(), CloudError> {
        let missing: BTreeMap<String, &LaunchTemplate> = {
            let known = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
            let named = templates.iter().map(|template| (template.name(), template));
            named.filter(|(name, _)| !known.contains(name)).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let names = Filter::new("launch-template-name", missing.keys().cloned());
        let found = self.api.launch_templates(&[names]).await;
        let found = found.map_err(|error| error.on("look for launch templates"))?;
        let to_create = missing.iter().filter(|(name, _)| !found.contains(name));
        try_join_all(to_create.map(async |(name, template)| {
            match self.api.create_launch_template(template).await {
                Err(error) if !error.is_exists() => Err(error.on(format!("create launch template {name}"))),
                _ => Ok(()),
            }
        }))
        .await?;
        self.templates.lock().unwrap_or_else(PoisonError::into_inner).extend(missing.into_keys());
        Ok(())
    }

    fn forget_templates(&self, templates: &[LaunchTemplate]) {
        let mut known = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
        for template in templates {
            known.remove(&template.name());
        }
    }

    /// Finds the instance of an earlier call for the same claim, whose answer was lost and which asked for something else: prices,
    /// images or capacity have changed since.
    async fn adopt(
        &self,
        request: &LaunchRequest<'_>,
        types: &[InstanceType],
    ) -> Result<Launched, CloudError> {
        let action = "look for the instance of an earlier launch";
        // Whatever the attempt: a claim has one instance.
        let token = Filter::tag(launch::TOKEN_TAG, &format!("{}-*", request.claim.uid));
        let mut found = self.api.instances(&[token]).await.map_err(|error| error.on(action))?;
        found.sort_by(|a, b| (a.launched_at, &a.provider_id).cmp(&(b.launched_at, &b.provider_id)));
        let Some(instance) = found.into_iter().next() else {
            let message = "EC2 remembers the launch, and shows no instance of it; it may appear in a moment";
            return Err(CloudError::new(ErrorClass::Other, "LaunchInDoubt", action, message));
        };
        let instance_type = find_type(types, &instance.instance_type, action)?;
        Ok(launch::launched(instance_type, instance.provider_id, &instance.zone, &instance.image_id, request))
    }

    async fn find(&self, id: &ProviderId) -> Result<Instance, CloudError> {
        let action = format!("find instance {id}");
        let not_found = || {
            CloudError::new(ErrorClass::NotFound, "InstanceNotFound", &action, "there is no such instance")
        };
        let instance_id = instances::instance_id(id).ok_or_else(not_found)?;
        let found = self.api.instances(&[Filter::new("instance-id", [instance_id])]).await;
        let found = found.map_err(|error| error.on(&action))?;
        found.into_iter().next().ok_or_else(not_found)
    }

    async fn terminate_instance(&self, id: &ProviderId) -> Result<(), CloudError> {
        let instance = self.find(id).await?;
        if instance.state == crate::ports::cloud::InstanceState::ShuttingDown {
            return Ok(());
        }
        let instance_id = instances::instance_id(id).unwrap_or_default();
        let terminated = self.api.terminate_instance(instance_id).await;
        terminated.map_err(|error| error.on(format!("terminate instance {id}")))
    }

    async fn resolve(&self, class: &Ec2NodeClass, cluster: &ClusterFacts) -> ResolvedClass {
        let action = format!("resolve class {}", class.metadata.name.as_deref().unwrap_or_default());
        let now = self.clock.now();
        let (subnets, security_groups, amis, instance_profile) = tokio::join!(
            resolve::subnets(&self.api, &class.spec, &action),
            resolve::security_groups(&self.api, &class.spec, &action),
            resolve::amis(
                &self.api,
                &self.parameters,
                &class.spec,
                &cluster.kubernetes_version,
                now,
                &action
            ),
            self.instance_profile(class, cluster, &action),
        );
        ResolvedClass { subnets, security_groups, amis, instance_profile }
    }

    async fn instance_profile(
        &self,
        class: &Ec2NodeClass,
        cluster: &ClusterFacts,
        action: &str,
    ) -> Resolution<String> {
        let wanted = profile::wanted(class, &cluster.name, &self.region.name);
        let Some(wanted) = wanted else { return profile::resolve(&self.api, class, None, action).await };
        let known = class.status.as_ref().and_then(|status| status.instance_profile.clone());
        let key = (wanted.profile.name.clone(), known);
        let answer = self.profiles.get(&key, self.clock.now(), async {
            match profile::resolve(&self.api, class, Some(&wanted), action).await {
                Resolution::Found(name) => Ok(name),
                other => Err(other),
            }
        });
        answer.await.map_or_else(|other| other, Resolution::Found)
    }

    async fn release(&self, class: &Ec2NodeClass, cluster: &ClusterFacts) -> Result<(), CloudError> {
        let name = class.metadata.name.as_deref().unwrap_or_default();
        let action = format!("release class {name}");
        let filters = [
            Filter::tag(labels::CLUSTER_NAME_TAG, &cluster.name),
            Filter::tag(labels::EC2NODECLASS_TAG, name),
        ];
        let found = self.api.launch_templates(&filters).await.map_err(|error| error.on(&action))?;
        for template in found.into_iter().filter(|name| name.starts_with(template::NAME_PREFIX)) {
            profile::gone(self.api.delete_launch_template(&template).await)
                .map_err(|error| error.on(&action))?;
            self.templates.lock().unwrap_or_else(PoisonError::into_inner).remove(&template);
        }
        self.types.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        profile::release(&self.api, &profile::path(class, &cluster.name, &self.region.name), &action).await
    }
}

/// Why a fleet request came to nothing.
enum Failure {
    TokenMismatch,
    Cloud(CloudError),
}

/// A class may be launched from once its conditions say so, for what it is now.
fn ensure_ready(class: &Ec2NodeClass) -> Result<(), CloudError> {
    let name = class.metadata.name.as_deref().unwrap_or_default();
    let conditions = class.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let ready = conditions::find(conditions, conditions::READY);
    let refuse = |class, reason, message: String| {
        Err(CloudError::new(class, reason, format!("use class {name}"), message))
    };
    match ready {
        Some(ready) if class.metadata.generation != ready.observed_generation => refuse(
            ErrorClass::Other,
            "NodeClassReadinessUnknown",
            "it was changed, and is not looked at yet".to_owned(),
        ),
        Some(ready) if ready.status == ConditionStatus::True => Ok(()),
        Some(ready) if ready.status == ConditionStatus::False => {
            refuse(ErrorClass::NotReady, "NodeClassNotReady", format!("it is not ready: {}", ready.message))
        }
        _ => refuse(ErrorClass::Other, "NodeClassReadinessUnknown", "it is not looked at yet".to_owned()),
    }
}

/// The instance of an answer, with what the answer leaves out taken from the request.
fn identify(
    instance: &FleetInstance,
    fleet: &FleetRequest,
    types: &[InstanceType],
    request: &LaunchRequest<'_>,
) -> Result<Launched, CloudError> {
    let chosen =
        fleet.find(instance.instance_type.as_deref(), instance.zone.as_deref(), instance.subnet.as_deref());
    let choice = chosen.ok_or_else(|| {
        let message = format!("EC2 launched {} as something that was not asked for", instance.id);
        CloudError::new(ErrorClass::Other, "LaunchInDoubt", "read the fleet's answer", message)
    })?;
    let image = instance.image.as_deref().unwrap_or(&choice.image);
    let instance_type = find_type(types, &choice.instance_type, "read the fleet's answer")?;
    let provider_id = instances::provider_id(&choice.zone, &instance.id);
    Ok(launch::launched(instance_type, provider_id, &choice.zone, image, request))
}

fn find_type<'t>(
    types: &'t [InstanceType],
    name: &str,
    action: &str,
) -> Result<&'t InstanceType, CloudError> {
    types.iter().find(|instance_type| instance_type.name == name).ok_or_else(|| {
        let message = format!("the instance is of type {name}, which is not in the catalogue");
        CloudError::new(ErrorClass::Other, "LaunchInDoubt", action, message)
    })
}

impl<A: Api> CloudProvider for Ec2<A> {
    fn instance_types<'a>(
        &'a self,
        class: &'a Ec2NodeClass,
    ) -> Answer<'a, Result<Arc<[InstanceType]>, CloudError>> {
        Box::pin(async move { self.types(class).await.map(|(_, types)| types) })
    }

    fn resolve_class<'a>(
        &'a self,
        class: &'a Ec2NodeClass,
        cluster: &'a ClusterFacts,
    ) -> Answer<'a, ResolvedClass> {
        Box::pin(self.resolve(class, cluster))
    }

    fn launch<'a>(&'a self, request: LaunchRequest<'a>) -> Answer<'a, Result<Launched, CloudError>> {
        Box::pin(async move {
            let action = format!("launch claim {}", request.claim.name);
            self.launch_claim(request).await.map_err(|error| error.within(&action))
        })
    }

    fn get<'a>(&'a self, id: &'a ProviderId) -> Answer<'a, Result<Instance, CloudError>> {
        Box::pin(self.find(id))
    }

    fn list<'a>(&'a self, cluster: &'a str) -> Answer<'a, Result<Vec<Instance>, CloudError>> {
        Box::pin(async move {
            let filters = [
                Filter::tag(labels::NODEPOOL_TAG, "*"),
                Filter::tag(labels::EC2NODECLASS_TAG, "*"),
                Filter::tag(labels::CLUSTER_NAME_TAG, cluster),
            ];
            let mut found =
                self.api.instances(&filters).await.map_err(|error| error.on("list the instances"))?;
            found.sort_by(|a, b| a.provider_id.cmp(&b.provider_id));
            Ok(found)
        })
    }

    fn terminate<'a>(&'a self, id: &'a ProviderId) -> Answer<'a, Result<(), CloudError>> {
        Box::pin(self.terminate_instance(id))
    }

    fn release_class<'a>(
        &'a self,
        class: &'a Ec2NodeClass,
        cluster: &'a ClusterFacts,
    ) -> Answer<'a, Result<(), CloudError>> {
        Box::pin(self.release(class, cluster))
    }
}
