use serde_json::json;

use super::*;
use crate::cluster::testing::{Call, api_server, refusal};

/// Looks at a Lease again and again, `(seconds passed, holder, second of renewal)`, and steps as candidate `me`.
fn check(looks: &[(u64, &str, i64)], expected: Step) {
    let mut observation = Observation::default();
    for (passed, holder, renewed) in looks {
        let renewed = Timestamp::from_second(*renewed).ok();
        observation.look(holder, renewed, Duration::from_secs(*passed));
    }
    assert_eq!(observation.step("me", DURATION), expected, "{looks:?}");
}

#[test]
fn a_lease_is_taken_when_it_is_free_left_or_ours() {
    let follow = || Step::Follow("other".to_owned());
    check(&[], Step::Take { transition: true });
    check(&[(0, "", 0)], Step::Take { transition: true });
    check(&[(0, "me", 0)], Step::Take { transition: false });
    check(&[(0, "me", 0), (60, "me", 0)], Step::Take { transition: false });
    check(&[(0, "other", 0)], follow());
    check(&[(0, "other", 0), (14, "other", 0)], follow());
    check(&[(0, "other", 0), (15, "other", 0)], Step::Take { transition: true });
    check(&[(0, "other", 0), (14, "other", 9), (14, "other", 9)], follow());
    check(&[(0, "other", 0), (9, "third", 0), (9, "third", 0)], Step::Follow("third".to_owned()));
}

#[test]
fn a_first_look_never_takes_a_lease_however_old_its_renewal_is() {
    // The holder's clock may be far behind; only what was watched counts.
    check(&[(3600, "other", 0)], Step::Follow("other".to_owned()));
}

/// What a candidate `me` writes in one turn, and who leads then, where the Lease has this holder; nothing where there is none.
async fn turn(holder: Option<&str>, may_lead: bool) -> (Vec<String>, Leadership) {
    let lease = holder.map(|holder| {
        json!({ "metadata": { "name": "l", "resourceVersion": "1" }, "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15 } })
    });
    let (client, calls) = api_server(move |call| match call.line.split(' ').next() {
        Some("GET") => lease.clone().map_or_else(|| refusal(404, "there is none"), |lease| (200, lease)),
        _ => (200, call.body.clone()),
    });
    let candidate = Candidate::new(client, "s", "l", "me".to_owned());
    let now = Timestamp::UNIX_EPOCH;
    let leader = candidate.turn(&mut Observation::default(), Duration::ZERO, now, may_lead).await.unwrap();
    let is_write = |call: &Call| !call.line.starts_with("GET");
    let written = |call: Call| format!("{} {}", call.line, call.body["spec"]["holderIdentity"]);
    (calls.take().into_iter().filter(is_write).map(written).collect(), leader)
}

#[tokio::test]
async fn who_may_not_lead_takes_no_lease_and_gives_up_its_own() {
    let put =
        |holder: &str| vec![format!("PUT /apis/coordination.k8s.io/v1/namespaces/s/leases/l \"{holder}\"")];
    let created = vec!["POST /apis/coordination.k8s.io/v1/namespaces/s/leases \"me\"".to_owned()];
    assert_eq!(turn(None, true).await, (created, Leadership::Ours));
    assert_eq!(turn(Some(""), true).await, (put("me"), Leadership::Ours));
    assert_eq!(turn(Some("me"), true).await, (put("me"), Leadership::Ours));
    assert_eq!(turn(None, false).await, (vec![], Leadership::Nobody));
    assert_eq!(turn(Some(""), false).await, (vec![], Leadership::Nobody));
    assert_eq!(turn(Some("me"), false).await, (put(""), Leadership::Nobody));
    for may_lead in [true, false] {
        let expected = (vec![], Leadership::Other("other".to_owned()));
        assert_eq!(turn(Some("other"), may_lead).await, expected);
    }
}
