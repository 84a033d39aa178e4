//! All machines: one for each running instance, switched off when the instance goes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::api::Api;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::machine::{Machine, Setup, Unknown};
use super::pods;
use crate::ec2::{Instance, Query};

/// How often the instances are listed when no call through the front says that they changed.
const LIST_EVERY: Duration = Duration::from_secs(1);
/// Between two tries of a machine, or of a pod's life, that met an error.
const TRIES_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How the boot of an instance's machine went.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Boot {
    /// Under way.
    Booting,
    /// EC2 has not told the machine what it is, and why; it is asked again.
    Untold(String),
    /// The node of this name is registered.
    Registered(String),
    /// The machine has not joined, and why.
    Failed(String),
    /// The instance is no longer running.
    Off,
}

type Boots = Arc<Mutex<BTreeMap<String, Boot>>>;

/// The hollow kubelets of a lab.
#[derive(Debug)]
pub struct Kubelets {
    boots: Boots,
    // Ends everything when the kubelets go.
    _running: JoinSet<()>,
}

impl Kubelets {
    /// Starts them: `query` lists the instances, `client` watches the pods.
    #[must_use]
    pub fn start(query: Query, client: Client, changed: watch::Receiver<u64>) -> Self {
        let boots = Boots::default();
        let mut running = JoinSet::new();
        running.spawn(run(query, client, changed, Arc::clone(&boots)));
        Self { boots, _running: running }
    }

    /// How each instance's boot went, by instance id.
    #[must_use]
    pub fn boots(&self) -> BTreeMap<String, Boot> {
        self.boots.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The machines that are on, by node name, and the pods that they run.
#[derive(Default)]
struct Machines {
    on: BTreeMap<String, Machine>,
    /// Instance id to node name, and the machine's own task.
    tasks: BTreeMap<String, AbortHandle>,
    names: BTreeMap<String, String>,
    /// Instances that are gone for good.
    off: BTreeSet<String>,
    /// Every bound pod by uid: the sender keeps its life going.
    pods: BTreeMap<String, Bound>,
}

struct Bound {
    latest: watch::Sender<Pod>,
    /// The life on its machine; nothing while the machine is not on.
    life: Option<AbortHandle>,
}

enum Event {
    Instances(Vec<Instance>),
    Registered(String, Machine),
    Pod(Box<watcher::Event<Pod>>),
}

async fn run(query: Query, client: Client, mut changed: watch::Receiver<u64>, boots: Boots) {
    let bound = watcher::Config::default().fields("spec.nodeName!=");
    let mut pod_events = watcher(Api::<Pod>::all(client), bound).default_backoff().boxed();
    let (registered, mut registrations) = unbounded_channel();
    let mut machines = Machines::default();
    let mut tasks = JoinSet::new();
    let mut listed = BTreeSet::new();
    loop {
        let event = tokio::select! {
            // Every arm only waits for the next item of a queue or stream; nothing is lost when another comes first.
            Some((id, machine)) = registrations.recv() => Event::Registered(id, machine),
            Some(Ok(event)) = pod_events.next() => Event::Pod(Box::new(event)),
            instances = next_instances(&query, &mut changed) => Event::Instances(instances),
            Some(_) = tasks.join_next() => continue,
        };
        match event {
            Event::Instances(instances) => {
                for instance in instances {
                    let known = machines.tasks.contains_key(&instance.id);
                    match instance.state.as_str() {
                        "running" if !known => {
                            note(&boots, &instance.id, Boot::Booting);
                            let (id, registered) = (instance.id.clone(), registered.clone());
                            let task =
                                tasks.spawn(boot(query.clone(), instance, Arc::clone(&boots), registered));
                            machines.tasks.insert(id, task);
                        }
                        "shutting-down" | "terminated" | "stopping" | "stopped"
                            if known && !machines.off.contains(&instance.id) =>
                        {
                            machines.switch_off(&instance.id);
                            note(&boots, &instance.id, Boot::Off);
                        }
                        _ => {}
                    }
                }
            }
            // An instance may be terminated between its machine's registration and its being heard of here.
            Event::Registered(id, _) if machines.off.contains(&id) => {}
            Event::Registered(id, machine) => machines.switch_on(&mut tasks, id, machine),
            Event::Pod(event) => match *event {
                watcher::Event::Delete(pod) => machines.forget(&pod),
                watcher::Event::Apply(pod) => machines.show(&mut tasks, pod),
                watcher::Event::Init => listed.clear(),
                watcher::Event::InitApply(pod) => {
                    listed.insert(pod.uid().unwrap_or_default());
                    machines.show(&mut tasks, pod);
                }
                watcher::Event::InitDone => machines.pods.retain(|uid, _| listed.contains(uid)),
            },
        }
    }
}

async fn next_instances(query: &Query, changed: &mut watch::Receiver<u64>) -> Vec<Instance> {
    loop {
        let _ = tokio::time::timeout(LIST_EVERY, changed.changed()).await;
        if let Ok(instances) = query.instances().await {
            return instances;
        }
    }
}

/// Boots a machine and keeps it on. What is wrong in its user data stays wrong; EC2 and a cluster that do not answer are tried
/// again, as a kubelet does.
async fn boot(
    query: Query,
    instance: Instance,
    boots: Boots,
    registered: UnboundedSender<(String, Machine)>,
) {
    let id = instance.id.clone();
    let setup = loop {
        match Setup::read(&query, &instance).await {
            Ok(setup) => break setup,
            Err(Unknown::Wrong(error)) => return note(&boots, &id, Boot::Failed(format!("{error:#}"))),
            Err(Unknown::Untold(error)) => note(&boots, &id, Boot::Untold(format!("{error:#}"))),
        }
        tokio::time::sleep(TRIES_AGAIN_AFTER).await;
    };
    let machine = loop {
        match Machine::join(&setup).await {
            Ok(machine) => break machine,
            Err(error) => note(&boots, &id, Boot::Failed(format!("{error:#}"))),
        }
        tokio::time::sleep(TRIES_AGAIN_AFTER).await;
    };
    note(&boots, &id, Boot::Registered(machine.name.clone()));
    let _ = registered.send((id, machine.clone()));
    machine.keep_alive().await;
}

fn note(boots: &Boots, id: &str, boot: Boot) {
    boots.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned(), boot);
}

impl Machines {
    fn switch_on(&mut self, tasks: &mut JoinSet<()>, id: String, machine: Machine) {
        self.names.insert(id, machine.name.clone());
        self.on.insert(machine.name.clone(), machine);
        for bound in self.pods.values_mut() {
            bound.start(tasks, &self.on);
        }
    }

    /// The machine falls silent: no heartbeat, and nobody looks after its pods.
    fn switch_off(&mut self, id: &str) {
        if let Some(task) = self.tasks.get(id) {
            task.abort();
        }
        self.off.insert(id.to_owned());
        let Some(name) = self.names.remove(id) else { return };
        self.on.remove(&name);
        for bound in self.pods.values().filter(|bound| bound.node() == name) {
            if let Some(life) = &bound.life {
                life.abort();
            }
        }
    }

    fn show(&mut self, tasks: &mut JoinSet<()>, pod: Pod) {
        let uid = pod.uid().unwrap_or_default();
        if let Some(bound) = self.pods.get_mut(&uid) {
            bound.latest.send_replace(pod);
        } else {
            let mut bound = Bound { latest: watch::Sender::new(pod), life: None };
            bound.start(tasks, &self.on);
            self.pods.insert(uid, bound);
        }
    }

    fn forget(&mut self, pod: &Pod) {
        self.pods.remove(&pod.uid().unwrap_or_default());
    }
}

impl Bound {
    fn node(&self) -> String {
        let pod = self.latest.borrow();
        pod.spec.as_ref().and_then(|spec| spec.node_name.clone()).unwrap_or_default()
    }

    fn start(&mut self, tasks: &mut JoinSet<()>, on: &BTreeMap<String, Machine>) {
        if self.life.is_some() {
            return;
        }
        let Some(machine) = on.get(&self.node()) else { return };
        let (machine, pod) = (machine.clone(), self.latest.subscribe());
        self.life = Some(tasks.spawn(async move {
            // An error is tried again until the pod is gone, which closes the channel.
            while pods::live(machine.clone(), pod.clone()).await.is_err() && pod.has_changed().is_ok() {
                tokio::time::sleep(TRIES_AGAIN_AFTER).await;
            }
        }));
    }
}
