//! EC2 behind the trait of `ports`: the order of the calls, and nothing else.
//!
//! What is asked for and what answers mean is computed in pure files: `catalog`, `offerings`, `pricing` (what can be bought),
//! `selection`, `launch`, `template`, `userdata` (what is launched), `errors` (what failures mean). `client` is the trait of the calls,
//! `sdk` makes them over the network, `cache` remembers; `claim`, `templates`, `resolve` and `profile` are what takes several calls. On-demand capacity and AL2023 images only; batching, spot,
//! reservations, placement groups and drift are not built yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

pub mod cache;
pub mod catalog;
mod claim;
pub mod client;
pub mod errors;
#[cfg(test)]
mod fake;
mod instances;
pub mod launch;
mod obstacle;
mod offerings;
pub mod pricing;
mod profile;
mod resolve;
#[cfg(feature = "ec2")]
pub mod sdk;
mod selection;
pub mod template;
mod templates;
#[cfg(test)]
mod tests;
pub mod userdata;

use cache::{Answers, Mark, Unavailable};
use catalog::{Assumptions, Catalog, Region, Shape};
use client::{Api, Filter};
use pricing::Prices;
use templates::Templates;

use crate::api::ec2nodeclass::Ec2NodeClass;
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
    /// The catalogue that the first caller read, all others waiting for it.
    first_catalog: OnceCell<Arc<Catalog>>,
    /// The one that was read last, once that is another.
    newer_catalog: Mutex<Option<Arc<Catalog>>>,
    parameters: Answers<String, Option<String>>,
    profiles: Answers<(String, Option<String>), String>,
    unavailable: Unavailable,
    templates: Templates,
    /// The last list of types of each class, by the class's name, and what it was computed from.
    types: Mutex<BTreeMap<String, TypesOfClass>>,
}

/// A list of types, and what it was computed from.
type TypesOfClass = (TypesKey, Arc<[InstanceType]>);

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
            first_catalog: OnceCell::new(),
            newer_catalog: Mutex::default(),
            parameters: Answers::lasting(cache::PARAMETERS),
            profiles: Answers::lasting(cache::INSTANCE_PROFILES),
            unavailable: Unavailable::default(),
            templates: Templates::default(),
            types: Mutex::default(),
        }
    }

    /// What whoever starts the program should read once.
    #[must_use]
    pub fn notice(&self) -> Option<&str> {
        self.region.prices.notice()
    }

    /// Of an EKS cluster, for [`ClusterFacts`]: the range of addresses that its Services get, and the URL of its API server if EKS names it.
    ///
    /// # Errors
    /// EKS has refused or not answered, or the cluster has no IPv4 range.
    pub async fn cluster_network(&self, cluster: &str) -> Result<(String, Option<String>), CloudError> {
        let action = format!("read the network of cluster {cluster}");
        let found = self.api.cluster(cluster).await.map_err(|error| error.on(&action))?;
        let service_cidr = found.service_cidr.ok_or_else(|| {
            let message = "EKS knows no IPv4 range of it; IPv6 clusters are not supported yet";
            CloudError::new(ErrorClass::NotReady, "ClusterCIDRResolutionFailed", action, message)
        })?;
        Ok((service_cidr, found.endpoint))
    }

    /// Reads the instance types anew; to be called every [`cache::INSTANCE_TYPES`]. Nobody waits for it, and what was known before
    /// stands until the new is there. Whoever needs the types first reads them without this.
    pub async fn refresh(&self) -> Result<(), CloudError> {
        let catalog = self.read_catalog().await?;
        *self.newer_catalog.lock().unwrap_or_else(PoisonError::into_inner) = Some(catalog);
        Ok(())
    }

    async fn catalog(&self) -> Result<Arc<Catalog>, CloudError> {
        let newer = self.newer_catalog.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match newer {
            Some(newer) => Ok(newer),
            None => self.first_catalog.get_or_try_init(|| self.read_catalog()).await.cloned(),
        }
    }

    async fn read_catalog(&self) -> Result<Arc<Catalog>, CloudError> {
        let read = tokio::try_join!(self.api.instance_types(), self.api.type_zones());
        let (types, zones) = read.map_err(|error| error.on("read the instance types"))?;
        Ok(Arc::new(Catalog::new(types, zones)))
    }

    /// The types of a class, and what they were computed from.
    async fn types(&self, class: &Ec2NodeClass) -> Result<TypesOfClass, CloudError> {
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

    async fn terminate_instance(&self, cluster: &str, id: &ProviderId) -> Result<(), CloudError> {
        let instance = self.find(id).await?;
        if !instances::is_of_cluster(&instance, cluster) {
            let action = format!("terminate instance {id}");
            let message = format!(
                "it has not the tags of an instance of cluster {cluster}, so it may be anybody's; if it is to go, terminate it by hand, \
                 else take its ID out of the status of the NodeClaim"
            );
            return Err(CloudError::new(ErrorClass::Unauthorised, "InstanceNotOfCluster", action, message));
        }
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
        let obstacle = obstacle::obstacle(class, cluster);
        ResolvedClass { obstacle, subnets, security_groups, amis, instance_profile }
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
        self.types.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        if let Some(wanted) = profile::wanted(class, &cluster.name, &self.region.name) {
            self.profiles.forget(|(name, _)| *name == wanted.profile.name);
        }
        self.templates.release(&self.api, &cluster.name, name, &action).await?;
        profile::release(&self.api, &profile::path(class, &cluster.name, &self.region.name), &action).await
    }
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
            let filters = instances::of_cluster(cluster);
            let mut found =
                self.api.instances(&filters).await.map_err(|error| error.on("list the instances"))?;
            found.sort_by(|a, b| a.provider_id.cmp(&b.provider_id));
            Ok(found)
        })
    }

    fn find_of_claim<'a>(
        &'a self,
        cluster: &'a str,
        claim_uid: &'a str,
    ) -> Answer<'a, Result<Option<Instance>, CloudError>> {
        Box::pin(self.instance_of(claim_uid, instances::of_cluster(cluster), "look for the claim's instance"))
    }

    fn terminate<'a>(&'a self, cluster: &'a str, id: &'a ProviderId) -> Answer<'a, Result<(), CloudError>> {
        Box::pin(self.terminate_instance(cluster, id))
    }

    fn release_class<'a>(
        &'a self,
        class: &'a Ec2NodeClass,
        cluster: &'a ClusterFacts,
    ) -> Answer<'a, Result<(), CloudError>> {
        Box::pin(self.release(class, cluster))
    }
}
