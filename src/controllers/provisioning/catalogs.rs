//! The instance types of each class, indexed once for each list that the cloud gives.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::world::Types;
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::model::InstanceType;
use crate::ports::cloud::CloudProvider;
use crate::scheduling::Catalog;

/// A cloud that has not answered by then is asked again with the next plan.
const PATIENCE: Duration = Duration::from_secs(30);

/// What was indexed last, by the class's name.
pub(super) struct Catalogs {
    cloud: Arc<dyn CloudProvider>,
    known: BTreeMap<String, (Arc<[InstanceType]>, Arc<Catalog>)>,
}

impl Catalogs {
    pub(super) fn new(cloud: Arc<dyn CloudProvider>) -> Self {
        Self { cloud, known: BTreeMap::new() }
    }

    /// The instance types of these classes now. Classes that are not among them are forgotten.
    pub(super) async fn of(
        &mut self,
        classes: &BTreeMap<String, Arc<Ec2NodeClass>>,
    ) -> BTreeMap<String, Types> {
        let ask = async |class: &Ec2NodeClass| {
            let answer = tokio::time::timeout(PATIENCE, self.cloud.instance_types(class)).await;
            answer
                .map_err(|_| format!("the cloud has not answered within {PATIENCE:?}"))?
                .map_err(|error| error.to_string())
        };
        let answers = futures::future::join_all(classes.values().map(|class| ask(class))).await;
        let mut known = BTreeMap::new();
        let mut found = BTreeMap::new();
        for (name, answer) in classes.keys().zip(answers) {
            let types = match answer {
                Ok(list) => {
                    let before = self.known.remove(name).filter(|(before, _)| Arc::ptr_eq(before, &list));
                    let catalog = match before {
                        Some((_, catalog)) => Ok(catalog),
                        None => index(&list).await,
                    };
                    if let Ok(catalog) = &catalog {
                        known.insert(name.clone(), (list, Arc::clone(catalog)));
                    }
                    catalog
                }
                Err(error) => {
                    tracing::warn!(node_class = name, error, "the instance types are not known");
                    Err(error)
                }
            };
            found.insert(name.clone(), types);
        }
        self.known = known;
        found
    }
}

/// Takes some milliseconds for the thousand types of a region.
async fn index(list: &Arc<[InstanceType]>) -> Types {
    let list = Arc::clone(list);
    let indexed = tokio::task::spawn_blocking(move || Arc::new(Catalog::new(list.to_vec()))).await;
    indexed.map_err(|error| format!("they could not be indexed: {error}"))
}
