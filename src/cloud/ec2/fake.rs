//! EC2 as a script: what it holds, what it answers next, and what it was asked.

use crate::api::labels;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard};

use jiff::Timestamp;

use super::catalog::facts::{Gpu, TypeFacts, Usage};
use super::client::{
    Api, ApiResult, ClusterDescription, Filter, GroupFacts, ImageFacts, NewProfile, ProfileFacts, SubnetFacts,
};
use super::errors::ApiError;
use super::instances;
use super::launch::{FleetAnswer, FleetInstance, FleetRequest};
use super::template::LaunchTemplate;
use crate::model::instance_type::CapacityType;
use crate::ports::cloud::{Instance, InstanceState};

/// The account.
#[derive(Debug, Default)]
pub(super) struct Account {
    pub(super) types: Vec<TypeFacts>,
    pub(super) zones: Vec<&'static str>,
    pub(super) subnets: Vec<(Vec<Filter>, SubnetFacts)>,
    pub(super) groups: Vec<(Vec<Filter>, GroupFacts)>,
    pub(super) images: Vec<ImageFacts>,
    pub(super) parameters: BTreeMap<String, String>,
    pub(super) profiles: BTreeMap<String, Option<String>>,
    pub(super) roles: Vec<&'static str>,
    pub(super) templates: BTreeMap<String, LaunchTemplate>,
    /// Whether no template is shown, as if they had been made a moment later.
    pub(super) hides_templates: bool,
    pub(super) instances: Vec<Instance>,
    /// What `CreateFleet` answers next; when there is nothing, it launches the first override.
    pub(super) fleet_answers: VecDeque<ApiResult<FleetAnswer>>,
    /// What every call but `CreateFleet` answers, if it is set.
    pub(super) outage: Option<ApiError>,
    /// Names of the calls, in order.
    pub(super) calls: Vec<&'static str>,
    pub(super) fleets: Vec<FleetRequest>,
}

#[derive(Debug, Default)]
pub(super) struct Fake(Mutex<Account>);

impl Fake {
    pub(super) fn new(account: Account) -> Self {
        Self(Mutex::new(account))
    }

    pub(super) fn account(&self) -> MutexGuard<'_, Account> {
        self.0.lock().unwrap()
    }

    /// The calls since the last time this was asked.
    pub(super) fn take_calls(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.account().calls)
    }

    fn called(&self, operation: &'static str) -> ApiResult<MutexGuard<'_, Account>> {
        let mut account = self.account();
        account.calls.push(operation);
        match &account.outage {
            Some(error) => Err(error.clone()),
            None => Ok(account),
        }
    }
}

pub(super) fn refusal(operation: &'static str, code: &str) -> ApiError {
    ApiError { operation, code: code.to_owned(), message: "no".to_owned() }
}

pub(super) fn timeout() -> ApiError {
    ApiError { operation: "CreateFleet", code: String::new(), message: "the call timed out".to_owned() }
}

/// An Intel machine of the seventh generation or so.
pub(super) fn type_facts(name: &str, cpus: u64, gibibytes: u64) -> TypeFacts {
    TypeFacts {
        name: name.to_owned(),
        usage: Usage { on_demand: true, spot: true },
        architecture: "amd64".to_owned(),
        cpus,
        memory_mebibytes: gibibytes * 1024,
        manufacturer: Some("Intel".to_owned()),
        hypervisor: "nitro".to_owned(),
        interfaces: 4,
        addresses_per_interface: 15,
        ..TypeFacts::default()
    }
}

pub(super) fn with_gpu(facts: TypeFacts) -> TypeFacts {
    let gpu =
        Gpu { name: "T4".to_owned(), manufacturer: "NVIDIA".to_owned(), count: 1, memory_mebibytes: 16384 };
    TypeFacts { gpus: vec![gpu], ..facts }
}

impl Account {
    fn launch(&mut self, request: &FleetRequest) -> FleetAnswer {
        let choice = &request.configs[0].overrides[0];
        let id = format!("i-{}", self.instances.len() + 1);
        self.instances.push(Instance {
            provider_id: instances::provider_id(&choice.zone, &id),
            state: InstanceState::Pending,
            instance_type: choice.instance_type.clone(),
            zone: choice.zone.clone(),
            capacity_type: CapacityType::OnDemand,
            image_id: choice.image.clone(),
            launched_at: Timestamp::UNIX_EPOCH,
            tags: request.tags.clone(),
        });
        // No more than EC2 always says.
        let instance = FleetInstance {
            id,
            instance_type: Some(choice.instance_type.clone()),
            subnet: Some(choice.subnet.clone()),
            ..FleetInstance::default()
        };
        FleetAnswer { instances: vec![instance], errors: Vec::new() }
    }
}

fn matches(instance: &Instance, filter: &Filter) -> bool {
    let value = match filter.name.as_str() {
        "instance-id" => instances::instance_id(&instance.provider_id),
        "tag-key" => return filter.values.iter().any(|key| instance.tags.contains_key(key)),
        name => instance.tags.get(name.strip_prefix("tag:").unwrap()).map(String::as_str),
    };
    filter.values.iter().any(|wanted| match wanted.strip_suffix('*') {
        Some(start) => value.is_some_and(|value| value.starts_with(start)),
        None => value == Some(wanted),
    })
}

impl Api for Fake {
    async fn instance_types(&self) -> ApiResult<Vec<TypeFacts>> {
        Ok(self.called("DescribeInstanceTypes")?.types.clone())
    }

    async fn type_zones(&self) -> ApiResult<Vec<(String, String)>> {
        let account = self.called("DescribeInstanceTypeOfferings")?;
        let pairs = account
            .types
            .iter()
            .flat_map(|facts| account.zones.iter().map(|zone| (facts.name.clone(), (*zone).to_owned())));
        Ok(pairs.collect())
    }

    async fn subnets(&self, filters: &[Filter]) -> ApiResult<Vec<SubnetFacts>> {
        let account = self.called("DescribeSubnets")?;
        let found = account.subnets.iter().filter(|(answers, _)| answers == filters);
        Ok(found.map(|(_, facts)| facts.clone()).collect())
    }

    async fn security_groups(&self, filters: &[Filter]) -> ApiResult<Vec<GroupFacts>> {
        let account = self.called("DescribeSecurityGroups")?;
        let found = account.groups.iter().filter(|(answers, _)| answers == filters);
        Ok(found.map(|(_, facts)| facts.clone()).collect())
    }

    async fn images(&self, ids: &[String]) -> ApiResult<Vec<ImageFacts>> {
        let account = self.called("DescribeImages")?;
        Ok(account.images.iter().filter(|image| ids.contains(&image.id)).cloned().collect())
    }

    async fn parameter(&self, name: &str) -> ApiResult<Option<String>> {
        Ok(self.called("GetParameter")?.parameters.get(name).cloned())
    }

    async fn cluster(&self, _: &str) -> ApiResult<ClusterDescription> {
        self.called("DescribeCluster").map(|_| ClusterDescription::default())
    }

    async fn instance_profile(&self, name: &str) -> ApiResult<Option<ProfileFacts>> {
        let account = self.called("GetInstanceProfile")?;
        let found = account.profiles.get(name);
        Ok(found.map(|role| ProfileFacts { name: name.to_owned(), role: role.clone() }))
    }

    async fn create_instance_profile(&self, profile: &NewProfile) -> ApiResult<()> {
        let mut account = self.called("CreateInstanceProfile")?;
        if account.profiles.contains_key(&profile.name) {
            return Err(refusal("CreateInstanceProfile", "EntityAlreadyExists"));
        }
        account.profiles.insert(profile.name.clone(), None);
        Ok(())
    }

    async fn add_role(&self, profile: &str, role: &str) -> ApiResult<()> {
        let mut account = self.called("AddRoleToInstanceProfile")?;
        if !account.roles.contains(&role) {
            return Err(refusal("AddRoleToInstanceProfile", "NoSuchEntity"));
        }
        account.profiles.insert(profile.to_owned(), Some(role.to_owned()));
        Ok(())
    }

    async fn remove_role(&self, profile: &str, _: &str) -> ApiResult<()> {
        self.called("RemoveRoleFromInstanceProfile")?.profiles.insert(profile.to_owned(), None);
        Ok(())
    }

    async fn delete_instance_profile(&self, name: &str) -> ApiResult<()> {
        let removed = self.called("DeleteInstanceProfile")?.profiles.remove(name);
        removed.map(|_| ()).ok_or_else(|| refusal("DeleteInstanceProfile", "NoSuchEntity"))
    }

    async fn instance_profiles(&self, _: &str) -> ApiResult<Vec<ProfileFacts>> {
        let account = self.called("ListInstanceProfiles")?;
        let facts = |(name, role): (&String, &Option<String>)| ProfileFacts {
            name: name.clone(),
            role: role.clone(),
        };
        Ok(account.profiles.iter().map(facts).collect())
    }

    async fn launch_templates(&self, filters: &[Filter]) -> ApiResult<Vec<String>> {
        let account = self.called("DescribeLaunchTemplates")?;
        if account.hides_templates {
            return Ok(Vec::new());
        }
        let passes = |(name, template): &(&String, &LaunchTemplate)| {
            filters.iter().all(|filter| match filter.name.as_str() {
                "launch-template-name" => filter.values.contains(name),
                name => {
                    let value = template.tags.get(name.strip_prefix("tag:").unwrap());
                    value.is_some_and(|value| filter.values.contains(value))
                }
            })
        };
        Ok(account.templates.iter().filter(passes).map(|(name, _)| name.clone()).collect())
    }

    async fn create_launch_template(&self, template: &LaunchTemplate) -> ApiResult<()> {
        let mut account = self.called("CreateLaunchTemplate")?;
        match account.templates.insert(template.name(), template.clone()) {
            Some(_) => {
                Err(refusal("CreateLaunchTemplate", "InvalidLaunchTemplateName.AlreadyExistsException"))
            }
            None => Ok(()),
        }
    }

    async fn delete_launch_template(&self, name: &str) -> ApiResult<()> {
        let removed = self.called("DeleteLaunchTemplate")?.templates.remove(name);
        let missing = || refusal("DeleteLaunchTemplate", "InvalidLaunchTemplateName.NotFoundException");
        removed.map(|_| ()).ok_or_else(missing)
    }

    async fn create_fleet(&self, request: &FleetRequest) -> ApiResult<FleetAnswer> {
        let mut account = self.account();
        account.calls.push("CreateFleet");
        account.fleets.push(request.clone());
        if let Some(answer) = account.fleet_answers.pop_front() {
            return answer;
        }
        if request.configs.iter().any(|config| !account.templates.contains_key(&config.template)) {
            return Err(refusal("CreateFleet", "InvalidLaunchTemplateName.NotFoundException"));
        }
        if let Some(instance) =
            account.instances.iter().find(|instance| instance.tags[labels::CLIENT_TOKEN_TAG] == request.token)
        {
            let instance = FleetInstance {
                id: instances::instance_id(&instance.provider_id).unwrap().to_owned(),
                instance_type: Some(instance.instance_type.clone()),
                ..FleetInstance::default()
            };
            return Ok(FleetAnswer { instances: vec![instance], errors: Vec::new() });
        }
        Ok(account.launch(request))
    }

    async fn instances(&self, filters: &[Filter]) -> ApiResult<Vec<Instance>> {
        let account = self.called("DescribeInstances")?;
        let found = account
            .instances
            .iter()
            .filter(|instance| filters.iter().all(|filter| matches(instance, filter)));
        Ok(found.cloned().collect())
    }

    async fn terminate_instance(&self, id: &str) -> ApiResult<()> {
        let mut account = self.called("TerminateInstances")?;
        for instance in &mut account.instances {
            if instances::instance_id(&instance.provider_id) == Some(id) {
                instance.state = InstanceState::ShuttingDown;
            }
        }
        Ok(())
    }
}
