//! Tells people: events, in a queue of their own, so that no decision waits for them.
//!
//! The same event is sent once in a while only. One that cannot be sent is lost, and logged: what it tells is in a status, too, or comes
//! again.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event as ApiEvent, EventType, Recorder, Reporter};
use tokio::sync::mpsc;

use super::write::within;
use crate::api::labels;
use crate::model::Event;
use crate::model::event::{Regarding, Severity};
use crate::ports::clock::Clock;

/// The same event is not sent again for so long. Karpenter's value.
const SAME_AGAIN_AFTER: SignedDuration = SignedDuration::from_mins(2);
/// For so long a recorder remembers the series that it has begun.
const ONE_SERIES_WITHIN: SignedDuration = SignedDuration::from_mins(6);
/// More events than this do not wait; a fleet of a thousand nodes makes some hundreds at once.
const MOST_WAITING: usize = 4096;
/// What the API server accepts as the note of an event, in bytes.
const LONGEST_NOTE: usize = 1024;

/// Who reports, as `kubectl describe` shows it.
const CONTROLLER: &str = "treenail";

/// Takes events to send. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Events(mpsc::Sender<Event>);

impl Events {
    /// Makes the sending end, and the task that sends. `identity` is this process's name.
    pub fn new(
        client: Client,
        identity: &str,
        clock: Arc<dyn Clock>,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        let reporter = Reporter { controller: CONTROLLER.to_owned(), instance: Some(identity.to_owned()) };
        (Self(sender), send(Sent::new(client, reporter), receiver, clock))
    }

    /// Keeps what it is told, in tests of those who tell.
    #[cfg(test)]
    pub(crate) fn kept() -> (Self, mpsc::Receiver<Event>) {
        let (sender, receiver) = mpsc::channel(MOST_WAITING);
        (Self(sender), receiver)
    }

    /// Sends the event, soon. Never waits.
    pub fn send(&self, event: Event) {
        if let Err(error) = self.0.try_send(event) {
            tracing::warn!(%error, "an event is lost");
        }
    }
}

async fn send(mut sent: Sent, mut events: mpsc::Receiver<Event>, clock: Arc<dyn Clock>) {
    while let Some(event) = events.recv().await {
        let Some(recorder) = sent.recorder(&event, clock.now()) else { continue };
        let (regarding, event) = (reference(&event.regarding), api_event(event));
        // An API server that does not answer must not keep the events behind this one for ever.
        if let Err(error) = within(recorder.publish(&event, &regarding)).await {
            tracing::warn!(%error, object = regarding.name, reason = event.reason, "an event could not be sent");
        }
    }
}

/// What was sent lately, each with its recorder and its time. A recorder takes events for one series that differ in nothing but their note, and
/// shows the note of the first: what has been corrected since would still be told.
struct Sent {
    client: Client,
    reporter: Reporter,
    lately: BTreeMap<(Regarding, &'static str, String), (Recorder, Timestamp)>,
}

impl Sent {
    const fn new(client: Client, reporter: Reporter) -> Self {
        Self { client, reporter, lately: BTreeMap::new() }
    }

    /// Whom to tell of the event; nobody, if the same was told a moment ago.
    fn recorder(&mut self, event: &Event, now: Timestamp) -> Option<Recorder> {
        self.lately.retain(|_, (_, at)| now.duration_since(*at) < ONE_SERIES_WITHIN);
        let (regarding, reason, same_if) = event.dedupe_key();
        match self.lately.entry((regarding.clone(), reason, same_if.to_owned())) {
            Entry::Occupied(mut told) => {
                let (recorder, at) = told.get_mut();
                let is_time = now.duration_since(*at) >= SAME_AGAIN_AFTER;
                is_time.then(|| {
                    *at = now;
                    recorder.clone()
                })
            }
            Entry::Vacant(new) => {
                let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
                Some(new.insert((recorder, now)).0.clone())
            }
        }
    }
}

fn api_event(event: Event) -> ApiEvent {
    let type_ = match event.severity {
        Severity::Normal => EventType::Normal,
        Severity::Warning => EventType::Warning,
    };
    let note = Some(shortened(event.message));
    // The API wants an action; ours are named by their reasons.
    ApiEvent {
        type_,
        reason: event.reason.to_owned(),
        note,
        action: event.reason.to_owned(),
        secondary: None,
    }
}

fn shortened(mut note: String) -> String {
    const MORE: &str = "...";
    if note.len() > LONGEST_NOTE {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE - MORE.len()));
        note.push_str(MORE);
    }
    note
}

fn reference(regarding: &Regarding) -> ObjectReference {
    let cluster_scoped = |version: String, kind: &str, name: &str, uid: &str| ObjectReference {
        api_version: Some(version),
        kind: Some(kind.to_owned()),
        name: Some(name.to_owned()),
        uid: Some(uid.to_owned()),
        ..ObjectReference::default()
    };
    let karpenter = || format!("{}/v1", labels::KARPENTER_GROUP);
    match regarding {
        Regarding::NodeClaim { name, uid } => cluster_scoped(karpenter(), "NodeClaim", name, uid),
        Regarding::NodePool { name, uid } => cluster_scoped(karpenter(), "NodePool", name, uid),
        Regarding::NodeClass { name, uid } => {
            cluster_scoped(format!("{}/v1", labels::KARPENTER_AWS_GROUP), "EC2NodeClass", name, uid)
        }
        Regarding::WorkloadType { name, uid } => {
            cluster_scoped("treenail.dev/v1alpha1".to_owned(), "WorkloadType", name, uid)
        }
        Regarding::Node { name, uid } => cluster_scoped("v1".to_owned(), "Node", name, uid),
        Regarding::Pod { key, uid } => ObjectReference {
            namespace: Some(key.namespace.clone()),
            ..cluster_scoped("v1".to_owned(), "Pod", &key.name, uid)
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::cluster::testing::{Call, api_server, slow_api_server};
    use crate::ports::clock::ManualClock;

    fn event(reason: &'static str, same_if: &str) -> Event {
        Event {
            regarding: Regarding::Node { name: "n".to_owned(), uid: "u".to_owned() },
            severity: Severity::Normal,
            reason,
            message: format!("{reason} at some time"),
            same_if: same_if.to_owned(),
        }
    }

    #[tokio::test]
    async fn the_same_event_is_sent_once_in_a_while() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (client, _) = api_server(|call| panic!("{}", call.line));
        let mut sent = Sent::new(client, Reporter::from("test"));
        let mut is_sent =
            |reason, same_if, second| sent.recorder(&event(reason, same_if), at(second)).is_some();
        assert!(is_sent("Drain", "a", 0));
        assert!(!is_sent("Drain", "a", 100));
        assert!(is_sent("Drain", "b", 100));
        assert!(is_sent("Launch", "a", 100));
        assert!(!is_sent("Drain", "a", 119));
        assert!(is_sent("Drain", "a", 120));
        assert!(!is_sent("Drain", "a", 220));
        assert!(is_sent("Drain", "a", 480));
        assert_eq!(sent.lately.len(), 1, "what was sent long ago is forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn an_event_that_gets_no_answer_does_not_keep_the_next_one_waiting() {
        let first = |call: &Call| call.body["reason"] == "First";
        let time = move |call: &Call| Duration::from_secs(if first(call) { 3600 } else { 0 });
        let (client, calls) = slow_api_server(time, |call| (201, call.body.clone()));
        let (events, sending) = Events::new(client, "test", Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH)));
        events.send(event("First", ""));
        events.send(event("Second", ""));
        let sent = tokio::time::timeout(Duration::from_mins(1), sending).await;
        assert!(sent.is_err(), "it sends for as long as anybody may tell something");
        let reasons: Vec<_> = calls.take().iter().map(|call| call.body["reason"].clone()).collect();
        assert_eq!(reasons, ["First", "Second"]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_told_anew_about_an_object_is_an_event_of_its_own_and_what_is_told_again_is_none() {
        let (client, calls) = api_server(|call| {
            // As the API server names it.
            let mut event = call.body.clone();
            event["metadata"]["name"] = "named".into();
            (if call.line.starts_with("POST") { 201 } else { 200 }, event)
        });
        let clock = Arc::new(ManualClock::at(Timestamp::UNIX_EPOCH));
        let (events, sending) = Events::new(client, "test", Arc::<ManualClock>::clone(&clock));
        let tell = |message: &str| {
            // What is in the way, and how much of it.
            let (state, _) = message.split_once(':').unwrap_or((message, ""));
            events.send(Event { message: message.to_owned(), ..event("FailedScheduling", state) });
        };
        let mut sending = std::pin::pin!(sending);
        let mut lines = Vec::new();
        for message in ["no label", "limit: 4 held", "no label", "limit: 8 held"] {
            tell(message);
            assert!(tokio::time::timeout(Duration::from_millis(200), &mut sending).await.is_err());
            lines.extend(calls.take().into_iter().map(|call| {
                format!(
                    "{} {}",
                    call.line.split(' ').next().unwrap(),
                    call.body["note"].as_str().unwrap_or_default()
                )
            }));
            clock.advance(Duration::from_mins(2));
        }
        assert_eq!(lines, ["POST no label", "POST limit: 4 held", "PATCH no label", "PATCH limit: 4 held"]);
    }

    #[test]
    fn a_note_is_as_long_as_the_api_allows_and_stays_text() {
        assert_eq!(shortened("short".to_owned()), "short");
        let long = shortened("ü".repeat(1000));
        assert!(long.len() <= 1024 && long.ends_with("ü..."), "{}", long.len());
    }
}
