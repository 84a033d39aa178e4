//! The instance types of every node class: asked of the cloud, and indexed once for all who plan with them.
//!
//! Whoever reads what is known does not wait for the cloud, and is told of changes. Only a plan asks the cloud itself before ([`Catalogs::ask_all`]),
//! and waits for its answer, though not for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use kube::ResourceExt;
use tokio::sync::watch;

use crate::api::conditions::ConditionStatus;
use crate::api::ec2nodeclass::Ec2NodeClass;
use crate::api::nodepool::NodePool;
use crate::cluster::cache::Cache;
use crate::model::{self, InstanceType, Requirement, Requirements};
use crate::ports::cloud::CloudProvider;
use crate::scheduling::Catalog;

/// How often the cloud is asked again: prices and capacity change. It answers from memory, if nothing has.
const ASK_EVERY: Duration = Duration::from_mins(1);
/// So long the cloud has for an answer.
const ANSWERED_WITHIN: Duration = Duration::from_secs(30);

/// What is known of the types of a class.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassTypes {
    /// Nothing can be launched from the class, or the cloud has never been able to say.
    Unknown,
    /// These.
    Known(KnownTypes),
}

/// The types of a class.
#[derive(Clone, Debug)]
pub struct KnownTypes {
    /// The generation of the class that they were asked for.
    pub generation: i64,
    /// The types, indexed. Another list of types is another catalogue.
    pub catalog: Arc<Catalog>,
    /// The list that it was made from.
    types: Arc<[InstanceType]>,
}

/// What is known of all classes, by name. Cheap to clone, all clones see the same.
#[derive(Clone, Debug, Default)]
pub struct Catalogs(watch::Sender<BTreeMap<String, ClassTypes>>);

impl KnownTypes {
    /// Indexes the types that the cloud has for a class of this generation.
    #[must_use]
    pub fn of(generation: i64, types: Arc<[InstanceType]>) -> Self {
        Self { generation, catalog: Arc::new(Catalog::new(types.to_vec())), types }
    }
}

impl PartialEq for KnownTypes {
    fn eq(&self, other: &Self) -> bool {
        self.generation == other.generation && Arc::ptr_eq(&self.catalog, &other.catalog)
    }
}

impl Catalogs {
    /// What is known of all classes; absent are those for which the cloud has not answered for the first time.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, ClassTypes> {
        self.0.borrow().clone()
    }

    /// What is known of the class; nothing while the cloud has not answered for the first time.
    #[must_use]
    pub fn of(&self, class: &str) -> Option<ClassTypes> {
        self.0.borrow().get(class).cloned()
    }

    /// Why no instance type meets the requirements of the pool, be there capacity or not, and what to do; nothing where one does, or where
    /// that is not known of its class as it is now.
    #[must_use]
    pub fn no_type(&self, pool: &NodePool, class: Option<&Ec2NodeClass>) -> Option<String> {
        let reference = &pool.spec.template.spec.node_class_ref;
        let Some(ClassTypes::Known(known)) = self.of(&reference.name).filter(|_| reference.is_ec2()) else {
            return None;
        };
        let class = class?;
        let is_of_now = class.metadata.generation.unwrap_or_default() == known.generation;
        let pool = model::NodePool::from_api(pool).ok().filter(|_| is_of_now)?;
        no_type(&pool, &reference.name, &known.catalog).or_else(|| no_image(&pool, class, &known.catalog))
    }

    /// Changes whenever what is known does.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<BTreeMap<String, ClassTypes>> {
        self.0.subscribe()
    }

    /// Asks the cloud for all of these classes now: a plan must know what has turned out to be unavailable since. Others are forgotten.
    pub async fn ask_all(&self, cloud: &dyn CloudProvider, classes: &[Arc<Ec2NodeClass>]) {
        self.forget_all_but(classes);
        futures::future::join_all(classes.iter().map(|class| self.ask(cloud, class))).await;
    }

    /// Keeps them while `leads` says so, for as long as it is awaited.
    pub async fn keep(
        self,
        cloud: Arc<dyn CloudProvider>,
        classes: Cache<Ec2NodeClass>,
        mut leads: watch::Receiver<bool>,
    ) {
        let mut changes = classes.changes();
        loop {
            changes.mark_unchanged();
            if classes.is_synced() && *leads.borrow_and_update() {
                self.ask_all(&*cloud, &classes.all()).await;
            }
            tokio::select! {
                // All arms only wait; whatever changed, every class is asked for again.
                _ = changes.changed() => {}
                _ = leads.changed() => {}
                () = tokio::time::sleep(ASK_EVERY) => {}
            }
        }
    }

    fn forget_all_but(&self, classes: &[Arc<Ec2NodeClass>]) {
        self.0.send_if_modified(|known| {
            let before = known.len();
            known.retain(|name, _| classes.iter().any(|class| class.name_any() == *name));
            known.len() != before
        });
    }

    async fn ask(&self, cloud: &dyn CloudProvider, class: &Ec2NodeClass) {
        let name = class.name_any();
        let is_deleted = class.metadata.deletion_timestamp.is_some();
        if is_deleted && self.of(&name).is_some() {
            // Nothing is launched from it any more, but nodes that were still cost what they cost.
            return;
        }
        if !is_ready(class) {
            self.know(name, None);
            return;
        }
        let answer = tokio::time::timeout(ANSWERED_WITHIN, cloud.instance_types(class)).await;
        let error = match answer {
            Ok(Ok(types)) => {
                let generation = class.metadata.generation.unwrap_or_default();
                return self.know(name, Some((generation, types)));
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("no answer within {} s", ANSWERED_WITHIN.as_secs()),
        };
        tracing::warn!(
            node_class = name,
            error,
            "the cloud does not say its instance types; what was known still stands"
        );
        if self.of(&name).is_none() {
            self.know(name, None);
        }
    }

    fn know(&self, class: String, found: Option<(i64, Arc<[InstanceType]>)>) {
        let before = self.of(&class);
        let now = match (&before, found) {
            (Some(ClassTypes::Unknown), None) => return,
            (_, None) => ClassTypes::Unknown,
            (Some(ClassTypes::Known(known)), Some((generation, types)))
                if Arc::ptr_eq(&known.types, &types) =>
            {
                if known.generation == generation {
                    return;
                }
                ClassTypes::Known(KnownTypes { generation, ..known.clone() })
            }
            (_, Some((generation, types))) => ClassTypes::Known(KnownTypes::of(generation, types)),
        };
        self.0.send_modify(|known| drop(known.insert(class, now)));
    }
}

fn no_type(pool: &model::NodePool, class: &str, catalog: &Catalog) -> Option<String> {
    let unmet = catalog.unmet(&pool.requirements)?;
    Some(match catalog.without_subnet(&pool.requirements) {
        Some(zones) => format!(
            "the instance types that will do are offered with {zones}, where EC2NodeClass {class} has no subnet; allow others, or let \
             spec.subnetSelectorTerms of the class select one there"
        ),
        None => format!("{unmet}; correct the requirements, or allow more"),
    })
}

/// Why none of the images that the class has runs on an instance type of the pool, and what to do; nothing where one does, or no image is known.
#[must_use]
pub fn no_image(pool: &model::NodePool, class: &Ec2NodeClass, catalog: &Catalog) -> Option<String> {
    let images = class.status.as_ref()?.amis.iter().map(|image| {
        let requirements = image.requirements.iter();
        requirements.map(|entry| Requirement::parse(&entry.key, &entry.operator, &entry.values)).collect()
    });
    // An image that cannot be read is a problem of the class.
    let images: Vec<Requirements> = images.collect::<Result<_, _>>().ok()?;
    let runs = |candidate: &InstanceType| images.iter().any(|image| candidate.requirements.intersects(image));
    if images.is_empty() || catalog.has_type(&pool.requirements, runs) {
        return None;
    }
    let required: BTreeSet<_> = images.iter().map(ToString::to_string).collect();
    let name = class.name_any();
    Some(format!(
        "no image of EC2NodeClass {name} runs on an instance type that the pool allows (its images require {}); allow others, or let \
         spec.amiSelectorTerms of the class select an image for these",
        required.into_iter().collect::<Vec<_>>().join("; or ")
    ))
}

/// Whether nodes can be launched from the class as it is written now.
fn is_ready(class: &Ec2NodeClass) -> bool {
    class.current_readiness().is_some_and(|ready| ready.status == ConditionStatus::True)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::controllers::testing::FakeCloud;
    use crate::model::instance_type::{CapacityType, MachineResources, Offering};
    use crate::model::testing::requirements;
    use crate::model::{Price, label};

    #[test]
    fn a_catalogue_is_made_once_for_each_list_of_types() {
        let catalogs = Catalogs::default();
        let mut changes = catalogs.changes();
        let mut catalog = |generation, types: Option<&Arc<[InstanceType]>>| {
            changes.mark_unchanged();
            catalogs.know("default".to_owned(), types.map(|types| (generation, Arc::clone(types))));
            let known = match catalogs.of("default") {
                Some(ClassTypes::Known(known)) => Some((known.generation, known.catalog)),
                Some(ClassTypes::Unknown) | None => None,
            };
            (known, changes.has_changed().unwrap())
        };
        let (first, second): (Arc<[InstanceType]>, Arc<[InstanceType]>) = (Arc::new([]), Arc::new([]));
        assert!(matches!(catalog(1, None), (None, true)));
        assert!(matches!(catalog(1, None), (None, false)));
        let (Some((_, made)), true) = catalog(1, Some(&first)) else { panic!() };
        let (Some((1, same)), false) = catalog(1, Some(&first)) else { panic!() };
        let (Some((2, newer)), true) = catalog(2, Some(&first)) else { panic!() };
        assert!(Arc::ptr_eq(&made, &same) && Arc::ptr_eq(&made, &newer));
        let (Some((2, other)), true) = catalog(2, Some(&second)) else { panic!() };
        assert!(!Arc::ptr_eq(&made, &other));
    }

    /// A type of this name for `amd64`, offered in `us-east-1a` and `us-east-1d`, in a class that has a subnet in the former alone.
    fn instance_type(name: &str, gpus: Option<&str>) -> InstanceType {
        let offering = |zone: &str| Offering {
            zone: zone.to_owned(),
            capacity_type: CapacityType::OnDemand,
            labels: BTreeMap::new(),
            price: Price::ZERO,
            is_available: zone == "us-east-1a",
        };
        let of_type = [(label::INSTANCE_TYPE, name), (label::ARCH, "amd64"), (label::ZONE, "us-east-1a")];
        let mut requirements = Requirements::from_labels(of_type);
        requirements.add(match gpus {
            Some(count) => Requirement::one_of("karpenter.k8s.aws/instance-gpu-count", [count]),
            None => Requirement::does_not_exist("karpenter.k8s.aws/instance-gpu-count"),
        });
        let offerings = vec![offering("us-east-1a"), offering("us-east-1d")];
        InstanceType {
            name: name.to_owned(),
            requirements,
            offerings,
            resources: MachineResources::default(),
        }
    }

    fn pool_of(wanted: &str) -> model::NodePool {
        model::NodePool { requirements: requirements(wanted), ..model::NodePool::default() }
    }

    #[test]
    fn a_pool_of_zones_without_a_subnet_is_told_so() {
        let mut elsewhere = instance_type("p5.48xlarge", Some("8"));
        elsewhere.offerings.retain(|offering| offering.zone == "us-east-1d");
        let catalog = Catalog::new(vec![instance_type("c7i.large", None), elsewhere]);
        let told = |wanted: &str| no_type(&pool_of(wanted), "default", &catalog);
        assert_eq!(told("topology.kubernetes.io/zone In us-east-1a us-east-1d"), None);
        let expected = "the instance types that will do are offered with topology.kubernetes.io/zone In [us-east-1d], where EC2NodeClass default has no subnet; allow others, or let spec.subnetSelectorTerms of the class select one there";
        for lacking in [
            "topology.kubernetes.io/zone In us-east-1d",
            "node.kubernetes.io/instance-type In p5.48xlarge",
            "node.kubernetes.io/instance-type In p5.48xlarge, topology.kubernetes.io/zone In us-east-1a us-east-1d",
            "node.kubernetes.io/instance-type In p5.48xlarge, topology.kubernetes.io/zone NotIn us-east-1b",
        ] {
            assert_eq!(told(lacking).as_deref(), Some(expected), "{lacking}");
        }
        for (absent, expected) in [
            (
                "topology.kubernetes.io/zone In us-east-1x",
                "no instance type has topology.kubernetes.io/zone In [us-east-1x]",
            ),
            (
                "node.kubernetes.io/instance-type In p5.48xlarge, topology.kubernetes.io/zone In us-east-1a",
                "no instance type has node.kubernetes.io/instance-type In [p5.48xlarge] and topology.kubernetes.io/zone In [us-east-1a]",
            ),
        ] {
            let told = told(absent).unwrap();
            assert!(told.starts_with(expected), "{told}");
        }
    }

    /// A class whose images have these requirements.
    fn class_of(images: &[Value]) -> Ec2NodeClass {
        let images = images.iter().map(|requirements| json!({ "id": "ami-1", "requirements": requirements }));
        serde_json::from_value(json!({
            "metadata": { "name": "default", "generation": 1 },
            "spec": { "amiSelectorTerms": [], "subnetSelectorTerms": [], "securityGroupSelectorTerms": [] },
            "status": { "amis": images.collect::<Vec<_>>() },
        }))
        .unwrap()
    }

    #[test]
    fn a_pool_of_types_that_no_image_runs_on_is_told_so() {
        let types = [("c7i.large", None), ("g6.xlarge", Some("1"))];
        let types: Vec<_> = types.into_iter().map(|(name, gpus)| instance_type(name, gpus)).collect();
        let pools: Arc<[InstanceType]> = types.into();
        let catalogs = Catalogs::default();
        catalogs.know("default".to_owned(), Some((1, pools)));
        let arch = |arch: &str| json!({ "key": "kubernetes.io/arch", "operator": "In", "values": [arch] });
        let standard = json!([arch("amd64"), { "key": "karpenter.k8s.aws/instance-gpu-count", "operator": "DoesNotExist" }]);
        let for_arm = json!([arch("arm64")]);
        let told = |instance_types: &[&str], class: &Ec2NodeClass| {
            let of_pool =
                json!([{ "key": label::INSTANCE_TYPE, "operator": "In", "values": instance_types }]);
            let reference =
                json!({ "group": "karpenter.k8s.aws", "kind": "EC2NodeClass", "name": "default" });
            let spec =
                json!({ "template": { "spec": { "nodeClassRef": reference, "requirements": of_pool } } });
            let pool = serde_json::from_value(json!({ "metadata": { "name": "p" }, "spec": spec })).unwrap();
            catalogs.no_type(&pool, Some(class))
        };
        let without_gpu = class_of(&[standard.clone(), for_arm]);
        let expected = "no image of EC2NodeClass default runs on an instance type that the pool allows (its images require karpenter.k8s.aws/instance-gpu-count DoesNotExist, kubernetes.io/arch In [amd64]; or kubernetes.io/arch In [arm64]); allow others, or let spec.amiSelectorTerms of the class select an image for these";
        assert_eq!(told(&["g6.xlarge"], &without_gpu).as_deref(), Some(expected));
        assert_eq!(told(&["g6.xlarge", "c7i.large"], &without_gpu), None, "one will do");
        assert_eq!(told(&["g6.xlarge"], &class_of(&[standard, json!([arch("amd64")])])), None);
        assert_eq!(told(&["g6.xlarge"], &class_of(&[])), None, "the class itself says that it has none");
    }

    #[tokio::test]
    async fn what_is_known_of_a_class_stays_while_it_is_being_deleted() {
        let ready = json!({ "type": "Ready", "status": "True", "reason": "Ready", "message": "", "observedGeneration": 1, "lastTransitionTime": "2026-11-01T00:00:00Z" });
        let object = json!({
            "metadata": { "name": "default", "generation": 1 },
            "spec": { "amiSelectorTerms": [], "subnetSelectorTerms": [], "securityGroupSelectorTerms": [] },
            "status": { "conditions": [ready] },
        });
        let mut class: Ec2NodeClass = serde_json::from_value(object).unwrap();
        let (catalogs, cloud) = (Catalogs::default(), FakeCloud::default());
        catalogs.ask_all(&cloud, &[Arc::new(class.clone())]).await;
        let known = catalogs.of("default").unwrap();
        assert!(matches!(known, ClassTypes::Known(_)));
        class.metadata.generation = Some(2);
        let changed = Arc::new(class.clone());
        class.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            "2026-11-02T00:00:00Z".parse().unwrap(),
        ));
        catalogs.ask_all(&cloud, &[Arc::new(class)]).await;
        assert_eq!(catalogs.of("default"), Some(known));
        catalogs.ask_all(&cloud, &[changed]).await;
        assert_eq!(catalogs.of("default"), Some(ClassTypes::Unknown));
        catalogs.ask_all(&cloud, &[]).await;
        assert_eq!(catalogs.of("default"), None);
    }
}
