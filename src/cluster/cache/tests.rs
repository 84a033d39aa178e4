use std::convert::Infallible;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::json;

use super::*;

fn object(name: &str, data: &str) -> ConfigMap {
    serde_json::from_value(json!({ "metadata": { "name": name, "namespace": "n" }, "data": { "d": data } }))
        .unwrap()
}

fn versioned(name: &str, data: &str, version: u64) -> ConfigMap {
    let mut object = object(name, data);
    object.metadata.resource_version = Some(version.to_string());
    object
}

#[test]
fn what_was_written_is_known_at_once_and_not_forgotten_by_what_is_older() {
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
    let cache: Cache<ConfigMap> = Cache::new("ConfigMap");
    let seen = Arc::new(std::sync::Mutex::new(Vec::new()));
    let data = |object: &ConfigMap| object.data.clone().unwrap().remove("d").unwrap();
    let notes = Arc::clone(&seen);
    cache.observe(move |before, now| notes.lock().unwrap().push((before.map(data), now.map(data))));
    let mut listed = BTreeMap::new();
    let mut play = |event| cache.apply(event, &mut listed, &|object: ConfigMap| Ok::<_, Infallible>(object));
    let known = || cache.get("n", "a").map(|object| data(&object));
    let note = |before: Option<&str>, now: Option<&str>| (before.map(str::to_owned), now.map(str::to_owned));

    cache.learn(versioned("a", "made", 1), |object| object);
    assert_eq!(known(), None, "it may be gone again");
    for event in [Init, InitApply(versioned("a", "1", 1)), InitApply(versioned("b", "b", 1)), InitDone] {
        play(event);
    }
    cache.learn(versioned("a", "3", 3), |object| object);
    play(Apply(versioned("a", "2", 2)));
    cache.learn(versioned("a", "2", 2), |object| object);
    assert_eq!(known().as_deref(), Some("3"));
    for event in [Init, InitApply(versioned("a", "2", 2)), InitDone] {
        play(event);
    }
    assert_eq!(known().as_deref(), Some("3"), "a list may be older than a write, too");
    play(Apply(versioned("a", "4", 4)));
    play(Delete(versioned("a", "4", 5)));
    cache.learn(versioned("a", "3", 3), |object| object);
    assert_eq!(known(), None);
    let expected = [
        note(None, Some("1")),
        note(None, Some("b")),
        note(Some("1"), Some("3")),
        note(Some("b"), None),
        note(Some("3"), Some("4")),
        note(Some("4"), None),
    ];
    assert_eq!(*seen.lock().unwrap(), expected);
}

/// Somebody may learn the answer to a write while the watch shows a change, and whoever counts would never be right again.
#[test]
fn observers_are_told_of_changes_in_their_order_whoever_makes_them() {
    let cache: Cache<u64> = Cache::new("ConfigMap");
    cache.fill([(Key { namespace: "n".to_owned(), name: "a".to_owned() }, 0)]);
    let (begun, has_begun) = std::sync::mpsc::channel();
    let told = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&told);
    cache.observe(move |before, now| {
        if now == Some(&1) {
            begun.send(()).unwrap();
            // Time enough for the other to overtake, if it may.
            std::thread::sleep(Duration::from_millis(100));
        }
        notes.lock().unwrap().push((before.copied(), now.copied()));
    });
    let learn = |version| cache.learn(versioned("a", "d", version), |_| version);
    std::thread::scope(|scope| {
        scope.spawn(|| learn(1));
        has_begun.recv().unwrap();
        learn(2);
    });
    assert_eq!(*told.lock().unwrap(), [(Some(0), Some(1)), (Some(1), Some(2))]);
}

/// Plays events; an object whose data is `bad` cannot be read. Returns what is known, and whether it is complete.
fn play(events: Vec<watcher::Event<ConfigMap>>) -> (Vec<String>, bool) {
    let cache: Cache<String> = Cache::new("ConfigMap");
    let mut listed = BTreeMap::new();
    let keep = |object: ConfigMap| {
        let data = object.data.clone().unwrap_or_default().remove("d").unwrap_or_default();
        if data == "bad" { Err("bad data") } else { Ok(format!("{}={data}", object.name_any())) }
    };
    for event in events {
        cache.apply(event, &mut listed, &keep);
    }
    (cache.all().iter().map(|object| String::clone(object)).collect(), cache.is_synced())
}

#[test]
fn an_outage_lasts_from_its_first_failure_until_no_other_follows() {
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let first = Outage::after(None, at(0));
    let second = Outage::after(Some(first), at(30));
    assert_eq!(second.lasts(at(40)), Duration::from_secs(40));
    assert_eq!(second.lasts(at(30) + TAKEN_UP_AFTER), Duration::ZERO);
    assert_eq!(Outage::after(Some(second), at(1000)).lasts(at(1001)), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_broken_from_its_first_failure_until_all_is_known_anew() {
    use watcher::Event::{Apply, Init, InitApply, InitDone};
    let cache: Cache<ConfigMap> = Cache::new("ConfigMap");
    let (mut listed, mut broken) = (BTreeMap::new(), Vec::new());
    let told = [
        ("the first list", vec![Ok(Init), Ok(InitApply(object("a", "1"))), Ok(InitDone)], 0),
        ("a failure", vec![Err("refused")], 1),
        ("another", vec![Err("refused")], 2),
        ("a list has begun", vec![Ok(Init), Ok(InitApply(object("a", "2")))], 3),
        ("and breaks off", vec![Err("no second page"), Ok(Init)], 4),
        ("it is complete", vec![Ok(InitApply(object("a", "2"))), Ok(InitDone)], 0),
        ("a failure of the watch", vec![Err("gone")], 1),
        ("which goes on", vec![Ok(Apply(object("a", "3")))], 0),
        ("a failure before a long list", vec![Err("gone"), Ok(Init)], 1),
    ];
    for (name, events, seconds) in told {
        for event in events {
            cache.hear(event, &mut listed, &|object: ConfigMap| Ok::<_, Infallible>(object));
        }
        tokio::time::advance(Duration::from_secs(1)).await;
        broken.push((name, cache.broken_for().as_secs(), seconds));
    }
    assert!(broken.iter().all(|(_, found, expected)| found == expected), "{broken:?}");
    for page in 1..=5 {
        tokio::time::advance(TAKEN_UP_AFTER / 2).await;
        let event = Ok::<_, &str>(InitApply(object(&page.to_string(), "4")));
        cache.hear(event, &mut listed, &|object: ConfigMap| Ok::<_, Infallible>(object));
        assert!(cache.broken_for() >= page * (TAKEN_UP_AFTER / 2), "{page}: {:?}", cache.broken_for());
    }
}

#[test]
fn a_list_is_taken_over_when_it_is_complete_and_replaces_what_was_known() {
    use watcher::Event::{Apply, Init, InitApply, InitDone};
    assert_eq!(play(vec![Init, InitApply(object("a", "1"))]), (vec![], false));
    let first = || vec![Init, InitApply(object("a", "1")), InitApply(object("b", "1")), InitDone];
    assert_eq!(play(first()), (vec!["a=1".to_owned(), "b=1".to_owned()], true));
    let again =
        [first(), vec![Apply(object("c", "1")), Init, InitApply(object("b", "2")), InitDone]].concat();
    assert_eq!(play(again), (vec!["b=2".to_owned()], true));
}

#[test]
fn an_object_that_cannot_be_read_is_left_out_and_the_others_go_on() {
    use watcher::Event::{Apply, Delete, Init, InitApply, InitDone};
    let listed = vec![Init, InitApply(object("a", "bad")), InitApply(object("b", "1")), InitDone];
    assert_eq!(play(listed.clone()), (vec!["b=1".to_owned()], true));
    let broken = [listed.clone(), vec![Apply(object("b", "bad"))]].concat();
    assert_eq!(play(broken.clone()), (vec![], true));
    let mended =
        [broken, vec![Apply(object("b", "2")), Apply(object("c", "1")), Delete(object("c", "1"))]].concat();
    assert_eq!(play(mended), (vec!["b=2".to_owned()], true));
}
