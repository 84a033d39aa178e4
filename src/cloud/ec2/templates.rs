//! Launch templates in EC2: made when they are missing, removed with their class.
//!
//! That a template exists is believed until a launch says otherwise; templates that are not used any more stay until their class
//! goes (`docs/adr/0003-launch-templates-beside-karpenter.md`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use futures::future::try_join_all;

use super::client::{Api, Filter};
use super::profile::gone;
use super::template::{LaunchTemplate, NAME_PREFIX};
use crate::api::labels;
use crate::ports::CloudError;

/// The names of those that exist, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Templates(Mutex<BTreeSet<String>>);

impl Templates {
    /// Makes the templates that are missing. Whoever makes an equal one at the same time makes the same one.
    pub(super) async fn ensure(
        &self,
        api: &impl Api,
        templates: &[LaunchTemplate],
    ) -> Result<(), CloudError> {
        let missing: BTreeMap<String, &LaunchTemplate> = {
            let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let named = templates.iter().map(|template| (template.name(), template));
            named.filter(|(name, _)| !known.contains(name)).collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        let names = Filter::new("launch-template-name", missing.keys().cloned());
        let found = api.launch_templates(&[names]).await;
        let found = found.map_err(|error| error.on("look for launch templates"))?;
        let to_create = missing.iter().filter(|(name, _)| !found.contains(name));
        try_join_all(to_create.map(
            async |(name, template)| match api.create_launch_template(template).await {
                Err(error) if !error.is_exists() => Err(error.on(format!("create launch template {name}"))),
                _ => Ok(()),
            },
        ))
        .await?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(missing.into_keys());
        Ok(())
    }

    /// Believes no longer that these exist.
    pub(super) fn forget(&self, templates: &[LaunchTemplate]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for template in templates {
            known.remove(&template.name());
        }
    }

    /// Deletes those of a class that are ours: Karpenter's have the same tags.
    pub(super) async fn release(
        &self,
        api: &impl Api,
        cluster: &str,
        class: &str,
        action: &str,
    ) -> Result<(), CloudError> {
        let filters =
            [Filter::tag(labels::CLUSTER_NAME_TAG, cluster), Filter::tag(labels::EC2NODECLASS_TAG, class)];
        let found = api.launch_templates(&filters).await.map_err(|error| error.on(action))?;
        for template in found.into_iter().filter(|name| name.starts_with(NAME_PREFIX)) {
            gone(api.delete_launch_template(&template).await).map_err(|error| error.on(action))?;
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&template);
        }
        Ok(())
    }
}
