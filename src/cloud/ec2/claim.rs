//! Launching a claim: the order of the calls, what is tried again, and how an instance is found whose launch was forgotten.
//!
//! Nothing is launched twice: a repeated request is the same request to EC2 by its token, and where it asks for something else by
//! now, the instance is found by the tag that holds the token. Only a fleet that is answered without an instance is the last word on its
//! token; a call that is refused says nothing of what earlier ones with the token did.

use super::client::{Api, Filter};
use super::launch::{self, FleetAnswer, FleetInstance, FleetRequest, Inputs, Launch};
use super::{Ec2, errors, instances};
use crate::api::conditions::{self, ConditionStatus};
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::labels;
use crate::model::InstanceType;
use crate::ports::cloud::{Instance, InstanceState, LaunchRequest, Launched};
use crate::ports::{CloudError, ErrorClass};

/// Why a fleet request came to nothing.
enum Failure {
    /// Its token was used with other parameters before.
    TokenMismatch,
    /// Anything else.
    Cloud(CloudError),
}

impl<A: Api> Ec2<A> {
    pub(super) async fn launch_claim(&self, request: LaunchRequest<'_>) -> Result<Launched, CloudError> {
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
            self.templates.forget(&launch.templates);
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
            self.templates.ensure(&self.api, &launch.templates).await.map_err(Failure::Cloud)?;
            let error = match self.api.create_fleet(&launch.request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if error.is_token_mismatch() {
                return Err(Failure::TokenMismatch);
            }
            if !errors::is_template_gone(&error.code) || is_second_try {
                let mut error = error.on("ask for an instance");
                if matches!(error.class, ErrorClass::NotFound | ErrorClass::NoCapacity) {
                    // "Not found" would be the instance, to whoever launches. And a refusal of the whole call (a quota on fleets) says of no
                    // offering that it is short: a plan that is made anew would ask for the same at once, so the claim has to wait.
                    error.class = ErrorClass::Other;
                }
                // Not the last word on its token: EC2 judges caller and permissions before it looks whether it knows the token, so that
                // an earlier call may have launched.
                return Err(Failure::Cloud(error));
            }
            self.templates.forget(&launch.templates);
            is_second_try = true;
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
        let found = self.instance_of(request.claim.uid, Vec::new(), action).await?;
        // What is being terminated will never be a node.
        let Some(instance) = found.filter(|instance| instance.state != InstanceState::ShuttingDown) else {
            let message = "EC2 remembers the launch, and shows no instance of it; it may appear in a moment";
            return Err(CloudError::new(ErrorClass::Other, "LaunchInDoubt", action, message).spent());
        };
        let instance_type = find_type(types, &instance.instance_type, action)?;
        Ok(launch::launched(instance_type, instance.provider_id, &instance.zone, &instance.image_id, request))
    }

    /// The instance that any attempt of the claim launched, of those that pass the filters. One that runs or will goes before one that was
    /// stopped, and that before one that ends.
    pub(super) async fn instance_of(
        &self,
        claim_uid: &str,
        mut filters: Vec<Filter>,
        action: &str,
    ) -> Result<Option<Instance>, CloudError> {
        filters.push(Filter::tag(labels::CLIENT_TOKEN_TAG, &format!("{claim_uid}-*")));
        let found = self.api.instances(&filters).await.map_err(|error| error.on(action))?;
        let rank = |instance: &Instance| match instance.state {
            InstanceState::Pending | InstanceState::Running => 0,
            InstanceState::Stopped => 1,
            InstanceState::ShuttingDown => 2,
        };
        let order =
            |instance: &Instance| (rank(instance), instance.launched_at, instance.provider_id.clone());
        let its = found.into_iter().filter(|instance| instance.claim_uid() == Some(claim_uid));
        Ok(its.min_by_key(order))
    }
}

/// A class may be launched from once its conditions say so, for what it is now.
fn ensure_ready(class: &Ec2NodeClass) -> Result<(), CloudError> {
    let name = class.metadata.name.as_deref().unwrap_or_default();
    let conditions = class.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    let refuse = |class, reason, message: String| {
        Err(CloudError::new(class, reason, format!("use class {name}"), message))
    };
    match conditions::find(conditions, conditions::READY) {
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
    let action = "read the fleet's answer";
    let chosen =
        fleet.find(instance.instance_type.as_deref(), instance.zone.as_deref(), instance.subnet.as_deref());
    let choice = chosen.ok_or_else(|| {
        let message = format!("EC2 launched {} as something that was not asked for", instance.id);
        CloudError::new(ErrorClass::Other, "LaunchInDoubt", action, message)
    })?;
    let image = instance.image.as_deref().unwrap_or(&choice.image);
    let instance_type = find_type(types, &choice.instance_type, action)?;
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
