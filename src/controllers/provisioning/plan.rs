//! One plan: from what is known to claims that are created, pods that were promised a place, and people who were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::time::Instant;

use super::checked::{Checked, checked};
use super::machines::Machine;
use super::world::{Snapshot, World};
use super::{Provisioner, claims, notice, pools};
use crate::api::nodeclaim::NodeClaim;
use crate::api::nodepool::NodePool;
use crate::cluster::FIELD_MANAGER;
use crate::cluster::caches::{KnownClaim, known_claim};
use crate::cluster::write::within;
use crate::model::pod::PodKey;
use crate::model::workload_type::WorkloadType;
use crate::scheduling::{self, PlannedClaim, Unschedulable};

impl Provisioner {
    /// Makes a plan for all that waits, and carries it out.
    pub(super) async fn plan(&mut self) {
        let started = Instant::now();
        self.batch.close();
        self.has_changed = false;
        let world = self.world().await;
        let now = self.context.clock.now();
        let Snapshot { problem, machines, mut left_out, uids } = world.snapshot(now);
        let waited = self.fresh.iter().chain(&self.left_out).chain(&uids).map(own).collect();
        if !problem.pods.is_empty() {
            let solve = || checked(problem, scheduling::solve, scheduling::verify);
            match tokio::task::spawn_blocking(solve).await {
                Ok(checked) => {
                    self.carry_out(&checked, (&world, &machines, &uids), started).await;
                    left_out.extend(checked.plan.unschedulable);
                }
                Err(error) => tracing::error!(%error, "no plan could be made; it is tried again"),
            }
        }
        self.tell(&left_out, &uids, now);
        self.leave_out(waited, (started, now));
    }

    async fn carry_out(
        &mut self,
        checked: &Checked,
        (world, machines, uids): (&World, &BTreeMap<String, Machine>, &BTreeMap<PodKey, String>),
        started: Instant,
    ) {
        let Checked { problem, plan, violations, refused } = checked;
        for violation in violations {
            tracing::error!(%violation, "a plan did not pass its own check, and is not carried out as it is");
        }
        let solved = started.elapsed();
        self.shortages.note(problem, plan, self.context.clock.now());
        for nomination in &plan.nominations {
            if let Some(machine) = machines.get(&nomination.node) {
                self.nominate(&nomination.pods, machine, uids);
            }
        }
        let created = self.create(&plan.claims, world).await;
        for (planned, created) in plan.claims.iter().zip(&created) {
            match created {
                Created::Claim(claim) => {
                    let name = claim.model.object.name.clone();
                    let machine = Machine { claim: Some(name), ..Machine::default() };
                    self.nominate(&planned.pods, &machine, uids);
                    self.unseen.created(Arc::clone(claim), self.context.clock.now());
                }
                Created::InDoubt => self.hold(&planned.pods, uids),
                Created::Refused => {}
            }
        }
        for pod in refused {
            self.context.events.send(notice::refused(pod, uid_of(pod, uids)));
        }
        for pool in pools::barren(&problem.pools) {
            let object = world.node_pools.iter().find(|object| object.metadata.name.as_deref() == Some(pool));
            let uid = object.and_then(|object| object.metadata.uid.as_deref()).unwrap_or_default();
            self.context.events.send(notice::no_compatible_instance_types(pool, uid));
        }
        let failed = created.iter().filter(|created| !matches!(created, Created::Claim(_))).count();
        self.failures = if failed > 0 { self.failures.saturating_add(1) } else { 0 };
        tracing::info!(
            pods = problem.pods.len() + refused.len(),
            claims = created.len() - failed,
            failed_claims = failed,
            pods_on_nodes = plan.nominations.iter().map(|nomination| nomination.pods.len()).sum::<usize>(),
            pods_left_out = plan.unschedulable.len() + refused.len(),
            price = %plan.price(),
            solved_after_ms = solved.as_millis(),
            done_after_ms = started.elapsed().as_millis(),
            "planned"
        );
    }

    /// Tells pods that get no node why.
    fn tell(&mut self, left_out: &[Unschedulable], uids: &BTreeMap<PodKey, String>, now: Timestamp) {
        let events = left_out
            .iter()
            .map(|Unschedulable { pod, reasons }| notice::left_out(pod, uid_of(pod, uids), reasons));
        for event in self.told.news(events, now) {
            self.context.events.send(event);
        }
    }

    /// What has no place after a plan is looked at again later.
    fn leave_out(
        &mut self,
        mut waited: BTreeMap<PodKey, String>,
        (started, planned_at): (Instant, Timestamp),
    ) {
        self.resumes = self.nominations.with(|nominations| {
            waited.retain(|pod, uid| nominations.of(pod, uid).is_none());
            waited.iter().filter_map(|(pod, uid)| Some(nominations.pause(pod, uid, planned_at)?.until)).min()
        });
        self.left_out = waited;
        self.fresh.clear();
        self.planned = (Instant::now(), started.elapsed());
    }

    async fn world(&mut self) -> World {
        let caches = self.context.caches.clone();
        let classes = caches.node_classes.all();
        self.catalogs.ask_all(&*self.cloud, &classes).await;
        // The pods are read last: what has been bound by now needs no node.
        let mut claims = caches.node_claims.all();
        let known: BTreeSet<&str> = claims.iter().map(|claim| claim.model.object.name.as_str()).collect();
        let unseen = self.unseen.all().filter(|claim| !known.contains(claim.model.object.name.as_str()));
        let unseen: Vec<_> = unseen.map(Arc::clone).collect();
        claims.extend(unseen);
        let workload_types = caches.workload_types.all();
        let workload_types = workload_types.iter().map(|object| WorkloadType::read(object));
        let (waiting, daemons) = (self.pending.waiting(), caches.daemons.all());
        let keys = waiting.keys().chain(daemons.iter().map(|daemon| &daemon.key));
        let namespaces: BTreeSet<&str> = keys.map(|pod| pod.namespace.as_str()).collect();
        let labels = |name: &&str| Some(((*name).to_owned(), caches.namespaces.get("", name)?));
        World {
            nodes: caches.nodes.all(),
            claims,
            node_pools: caches.node_pools.all(),
            node_classes: classes
                .into_iter()
                .filter_map(|class| Some((class.metadata.name.clone()?, class)))
                .collect(),
            types: self.catalogs.all(),
            workload_types: workload_types.map(|read| (read.name.clone(), read)).collect(),
            namespaces: namespaces.iter().filter_map(labels).collect(),
            exempt_namespaces: Arc::clone(&self.context.exempt_namespaces),
            nominations: self.nominations.now(),
            shortages: self.shortages.clone(),
            pods: caches.pods.all(),
            daemons,
        }
    }

    /// The pods of a claim that may have been created are not planned for until that is known: it has their place.
    fn hold(&mut self, pods: &[PodKey], uids: &BTreeMap<PodKey, String>) {
        // No object has a name like this.
        let place = format!("?{}", pods.first().map(ToString::to_string).unwrap_or_default());
        self.nominations.with(|nominations| {
            for pod in pods {
                nominations.nominate(pod.clone(), uid_of(pod, uids), &place);
            }
        });
        self.unseen.in_doubt(place, self.context.clock.now());
    }

    fn nominate(&self, pods: &[PodKey], machine: &Machine, uids: &BTreeMap<PodKey, String>) {
        for pod in pods {
            let uid = uid_of(pod, uids);
            self.nominations.with(|nominations| nominations.nominate(pod.clone(), uid, machine.key()));
            self.context.events.send(notice::nominated(pod, uid, machine));
        }
    }

    /// Creates the claims of a plan, all at once. One that cannot be created does not keep the others back.
    async fn create(&self, planned: &[PlannedClaim], world: &World) -> Vec<Created> {
        let pools = world.node_pools.iter();
        let pools: BTreeMap<_, _> =
            pools.filter_map(|pool| Some((pool.metadata.name.as_deref()?, &**pool))).collect();
        let create = async |planned: &PlannedClaim| {
            let Some(pool) = pools.get(planned.pool.as_str()) else { return Created::Refused };
            let (outcome, error) = match self.create_one(planned, pool).await {
                Ok(claim) => return Created::Claim(Arc::new(known_claim(claim))),
                Err(error @ CreateError::Refused(_)) => (Created::Refused, error),
                Err(error @ CreateError::InDoubt(_)) => (Created::InDoubt, error),
            };
            tracing::warn!(node_pool = planned.pool, %error, "a claim could not be created");
            let uid = pool.metadata.uid.as_deref().unwrap_or_default();
            self.context.events.send(notice::claim_not_created(&planned.pool, uid, &error.to_string()));
            outcome
        };
        futures::future::join_all(planned.iter().map(create)).await
    }

    async fn create_one(&self, planned: &PlannedClaim, pool: &NodePool) -> Result<NodeClaim, CreateError> {
        let claims: Api<NodeClaim> = Api::all(self.context.client.clone());
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let object = claims::node_claim(planned, pool);
        within(claims.create(&parameters, &object)).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code < 500 => CreateError::Refused(status.message),
            error => CreateError::InDoubt(error.to_string()),
        })
    }
}

/// What became of a planned claim.
enum Created {
    /// It exists.
    Claim(Arc<KnownClaim>),
    /// It does not.
    Refused,
    /// Nobody knows.
    InDoubt,
}

/// Why there is no answer that says that the claim exists.
#[derive(Debug, thiserror::Error)]
enum CreateError {
    /// The API server does not create it.
    #[error("{0}")]
    Refused(String),
    /// The call may have taken effect.
    #[error("{0}")]
    InDoubt(String),
}

fn uid_of<'u>(pod: &PodKey, uids: &'u BTreeMap<PodKey, String>) -> &'u str {
    uids.get(pod).map(String::as_str).unwrap_or_default()
}

fn own((pod, uid): (&PodKey, &String)) -> (PodKey, String) {
    (pod.clone(), uid.clone())
}
