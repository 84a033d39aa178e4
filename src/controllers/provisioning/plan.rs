//! One plan: from what is known to claims that are created, pods that were promised a place, and people who were told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::time::Instant;

use super::checked::{Checked, checked, headline};
use super::machines::Machine;
use super::world::{Snapshot, World};
use super::{Provisioner, Scope, claims, notice, pools};
use crate::api::nodeclaim::NodeClaim;
use crate::api::nodepool::NodePool;
use crate::cluster::FIELD_MANAGER;
use crate::cluster::caches::{KnownClaim, known_claim};
use crate::cluster::write::within;
use crate::model::Event;
use crate::model::pod::PodKey;
use crate::model::workload_type::WorkloadType;
use crate::scheduling::{self, PlannedClaim, Unschedulable};

/// So many claims are created at once.
const CREATIONS_AT_ONCE: usize = 50;
/// So many pods of a plan are told where they will run: of a plan for thousands, the others see it by running.
const MOST_NOMINATED: usize = 500;

impl Provisioner {
    /// Makes a plan for those that wait, and carries it out.
    pub(super) async fn plan(&mut self, scope: Scope) {
        let started = Instant::now();
        self.batch.close();
        if scope == Scope::All {
            self.has_changed = false;
        }
        let world = self.world(scope).await;
        let now = self.context.clock.now();
        let Snapshot { problem, machines, mut left_out, uids } = world.snapshot(now);
        let waited = self.fresh.iter().chain(&self.left_out).chain(&uids).map(own).collect();
        if !problem.pods.is_empty() {
            let solve = || checked(problem, scheduling::solve, scheduling::verify);
            match tokio::task::spawn_blocking(solve).await {
                Ok(checked) => {
                    self.shortages.note(scope, &checked.problem, &checked.plan, self.context.clock.now());
                    self.carry_out(&checked, (&world, &machines, &uids), started).await;
                    left_out.extend(checked.plan.unschedulable);
                }
                Err(error) => tracing::error!(%error, "no plan could be made; it is tried again"),
            }
        }
        self.tell(scope, &left_out, &uids, now);
        self.leave_out(scope, waited, (started, now));
    }

    async fn carry_out(
        &mut self,
        checked: &Checked,
        (world, machines, uids): (&World, &BTreeMap<String, Machine>, &BTreeMap<PodKey, String>),
        started: Instant,
    ) {
        let Checked { problem, plan, violations, refused } = checked;
        for violation in violations {
            tracing::error!(%violation, "{}", headline(violation));
        }
        let solved = started.elapsed();
        let mut told = Vec::new();
        for nomination in &plan.nominations {
            if let Some(machine) = machines.get(&nomination.node) {
                told.extend(self.nominate(&nomination.pods, machine, uids));
            }
        }
        let created = self.create(&plan.claims, world).await;
        for (planned, created) in plan.claims.iter().zip(&created) {
            match created {
                Created::Claim(claim) => {
                    let name = claim.model.object.name.clone();
                    let machine = Machine { claim: Some(name), ..Machine::default() };
                    told.extend(self.nominate(&planned.pods, &machine, uids));
                    self.unseen.created(Arc::clone(claim), self.context.clock.now());
                }
                Created::InDoubt { is_answered } => self.hold(&planned.pods, uids, *is_answered),
                Created::Refused => self.refuse(&planned.pods, uids),
            }
        }
        for event in told.into_iter().take(MOST_NOMINATED) {
            self.context.events.send(event);
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

    /// Tells pods that get no node why. Namespaces take turns, so that none of them can use up what is told at once.
    fn tell(
        &mut self,
        scope: Scope,
        left_out: &[Unschedulable],
        uids: &BTreeMap<PodKey, String>,
        now: Timestamp,
    ) {
        let events = { notice::in_turn(left_out).into_iter() }
            .map(|left_out| notice::left_out(&left_out.pod, uid_of(&left_out.pod, uids), &left_out.reasons));
        let news = match scope {
            Scope::All => self.told.news(events, now),
            Scope::Fresh => self.told.further(events, now),
        };
        for event in news {
            self.context.events.send(event);
        }
    }

    /// What has no place after a plan is looked at again later.
    fn leave_out(
        &mut self,
        scope: Scope,
        mut waited: BTreeMap<PodKey, String>,
        (started, planned_at): (Instant, Timestamp),
    ) {
        self.resumes = self.nominations.with(|nominations| {
            waited.retain(|pod, uid| nominations.of(pod, uid).is_none());
            waited.iter().filter_map(|(pod, uid)| Some(nominations.pause(pod, uid, planned_at)?.until)).min()
        });
        self.left_out = waited;
        self.fresh.clear();
        if scope == Scope::All {
            self.planned = (Instant::now(), started.elapsed());
        }
    }

    async fn world(&mut self, scope: Scope) -> World {
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
            put_off: if scope == Scope::Fresh { self.left_out.clone() } else { BTreeMap::new() },
            pods: caches.pods.all(),
            daemons,
        }
    }

    /// The pods of a claim that may have been created are not planned for until that is known: it has their place.
    fn hold(&mut self, pods: &[PodKey], uids: &BTreeMap<PodKey, String>, is_answered: bool) {
        let Some(first) = pods.first() else { return };
        let place = self.unseen.in_doubt(first, is_answered, self.context.clock.now());
        self.nominations.with(|nominations| {
            for pod in pods {
                nominations.nominate(pod.clone(), uid_of(pod, uids), &place);
            }
        });
    }

    /// The pods of a claim that was refused wait a while before another is tried for them.
    fn refuse(&self, pods: &[PodKey], uids: &BTreeMap<PodKey, String>) {
        let now = self.context.clock.now();
        self.nominations.with(|nominations| {
            for pod in pods {
                nominations.refused(pod, uid_of(pod, uids), now);
            }
        });
    }

    /// Promises the pods their places. Returns what is to be told of it.
    fn nominate(&self, pods: &[PodKey], machine: &Machine, uids: &BTreeMap<PodKey, String>) -> Vec<Event> {
        self.nominations.with(|nominations| {
            for pod in pods {
                nominations.nominate(pod.clone(), uid_of(pod, uids), machine.key());
            }
        });
        pods.iter().map(|pod| notice::nominated(pod, uid_of(pod, uids), machine)).collect()
    }

    /// Creates the claims of a plan, many at once. One that cannot be created does not keep the others back.
    async fn create(&self, planned: &[PlannedClaim], world: &World) -> Vec<Created> {
        let pools = world.node_pools.iter();
        let pools: BTreeMap<_, _> =
            pools.filter_map(|pool| Some((pool.metadata.name.as_deref()?, &**pool))).collect();
        let create = async |planned: &PlannedClaim| {
            let Some(pool) = pools.get(planned.pool.as_str()) else { return Created::Refused };
            let (outcome, error) = match self.create_one(planned, pool).await {
                Ok(claim) => return Created::Claim(Arc::new(known_claim(claim))),
                Err(error @ CreateError::Refused(_)) => (Created::Refused, error),
                Err(error @ CreateError::Failed(_)) => (Created::InDoubt { is_answered: true }, error),
                Err(error @ CreateError::NoAnswer(_)) => (Created::InDoubt { is_answered: false }, error),
            };
            tracing::warn!(node_pool = planned.pool, %error, "a claim could not be created");
            let uid = pool.metadata.uid.as_deref().unwrap_or_default();
            self.context.events.send(notice::claim_not_created(&planned.pool, uid, &error.to_string()));
            outcome
        };
        futures::stream::iter(planned.iter().map(create)).buffered(CREATIONS_AT_ONCE).collect().await
    }

    async fn create_one(&self, planned: &PlannedClaim, pool: &NodePool) -> Result<NodeClaim, CreateError> {
        let claims: Api<NodeClaim> = Api::all(self.context.client.clone());
        let parameters =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let object = claims::node_claim(planned, pool);
        within(claims.create(&parameters, &object)).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code < 500 => CreateError::Refused(status.message),
            kube::Error::Api(status) => CreateError::Failed(status.message),
            error => CreateError::NoAnswer(error.to_string()),
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
    InDoubt {
        /// Whether the API server has answered with an error, so that it has ended what it did.
        is_answered: bool,
    },
}

/// Why there is no answer that says that the claim exists.
#[derive(Debug, thiserror::Error)]
enum CreateError {
    /// The API server does not create it.
    #[error("{0}")]
    Refused(String),
    /// The API server has failed at it, and may have done it.
    #[error("{0}")]
    Failed(String),
    /// There was no answer. It may still be done.
    #[error("{0}")]
    NoAnswer(String),
}

fn uid_of<'u>(pod: &PodKey, uids: &'u BTreeMap<PodKey, String>) -> &'u str {
    uids.get(pod).map(String::as_str).unwrap_or_default()
}

fn own((pod, uid): (&PodKey, &String)) -> (PodKey, String) {
    (pod.clone(), uid.clone())
}
