use futures::StreamExt;
use serde_json::{Value, json};
use tower::ServiceExt;

use super::*;

/// A judge that does what the request's `object` says.
struct Obedient;

impl Judge for Obedient {
    fn judge(
        self: Arc<Self>,
        route: Route,
        body: Bytes,
    ) -> BoxFuture<'static, Result<Judgement, JudgeError>> {
        Box::pin(async move {
            let review: Value =
                serde_json::from_slice(&body).map_err(|error| JudgeError::BadRequest(error.to_string()))?;
            let request = &review["request"];
            match request["object"].as_str() {
                Some("panic") => panic!("told to"),
                Some("sleep") => tokio::time::sleep(Duration::from_hours(1)).await,
                _ => {}
            }
            let uid = request["uid"].as_str().unwrap_or_default().to_owned();
            Ok(Judgement {
                uid,
                answer: Answer {
                    refusal: Some(format!("{:?} {}", route.endpoint, route.is_typed)),
                    ..Answer::default()
                },
            })
        })
    }
}

fn review(object: &str) -> String {
    let request = json!({ "uid": "u-1", "object": object });
    json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request }).to_string()
}

/// A call as API servers make them: it says how long it is.
fn request(path: &str, body: impl Into<Bytes>) -> HttpRequest {
    let body = body.into();
    let length = body.len();
    HttpRequest::post(path).header(header::CONTENT_LENGTH, length).body(Body::from(body)).unwrap()
}

/// A call that says that it is so long, and then never sends anything.
fn endless(path: &str, length: usize) -> HttpRequest {
    let body = Body::from_stream(futures::stream::pending::<Result<Bytes, std::io::Error>>());
    HttpRequest::post(path).header(header::CONTENT_LENGTH, length).body(body).unwrap()
}

async fn call(shutdown: Shutdown, path: &str, body: impl Into<Bytes>) -> (StatusCode, String, bool) {
    let request = request(path, body);
    let response = router(Arc::new(Obedient), shutdown).oneshot(request).await.unwrap();
    let status = response.status();
    let closes = response.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned(), closes)
}

#[tokio::test]
async fn the_path_tells_what_is_asked_and_the_answer_carries_the_uid() {
    let paths = [
        ("/mutate", "Mutate false"),
        ("/mutate/typed", "Mutate true"),
        ("/validate?timeout=3s", "Validate false"),
        ("/validate/typed?timeout=3s", "Validate true"),
    ];
    for (path, route) in paths {
        let (status, body, closes) = call(Shutdown::default(), path, review("")).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, closes), (StatusCode::OK, false));
        assert_eq!(
            (&body["response"]["uid"], &body["response"]["status"]["message"]),
            (&json!("u-1"), &json!(route))
        );
    }
}

#[tokio::test]
async fn what_goes_wrong_is_a_failed_call_and_never_an_allow() {
    let cases = [
        ("/validate", "no json".to_owned(), StatusCode::BAD_REQUEST),
        ("/validate", review("panic"), StatusCode::INTERNAL_SERVER_ERROR),
        ("/nowhere", review(""), StatusCode::NOT_FOUND),
    ];
    for (path, body, expected) in cases {
        let (status, answer, _) = call(Shutdown::default(), path, body).await;
        assert_eq!(status, expected, "{path}: {answer}");
        assert!(!answer.contains("allowed"), "{answer}");
    }
}

#[tokio::test]
async fn a_large_review_that_panics_is_a_failed_call_too() {
    let large = review("panic").replace("\"u-1\"", &format!("\"u-1\",\"padding\":\"{}\"", "x".repeat(LARGE)));
    assert_eq!(call(Shutdown::default(), "/validate", large).await.0, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_too_late_is_a_failed_call() {
    let started = tokio::time::Instant::now();
    let (status, ..) = call(Shutdown::default(), "/validate?timeout=3s", review("sleep")).await;
    assert_eq!((status, started.elapsed()), (StatusCode::SERVICE_UNAVAILABLE, Duration::from_millis(2700)));
}

#[tokio::test]
async fn a_body_past_the_limit_or_of_no_stated_length_is_refused_before_it_is_read() {
    let without_length = || HttpRequest::post("/validate").body(Body::from(review(""))).unwrap();
    let unreadable_length =
        HttpRequest::post("/validate").header(header::CONTENT_LENGTH, "many").body(Body::from(review("")));
    let cases = [
        (endless("/validate", BODY_LIMIT + 1), StatusCode::PAYLOAD_TOO_LARGE),
        (without_length(), StatusCode::LENGTH_REQUIRED),
        (unreadable_length.unwrap(), StatusCode::LENGTH_REQUIRED),
    ];
    for (request, expected) in cases {
        let response = router(Arc::new(Obedient), Shutdown::default()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), expected);
    }
}

#[tokio::test]
async fn a_body_that_is_longer_than_it_says_is_refused() {
    let lying = HttpRequest::post("/validate").header(header::CONTENT_LENGTH, 3).body(Body::from(review("")));
    let response = router(Arc::new(Obedient), Shutdown::default()).oneshot(lying.unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

/// The same call by somebody.
fn from(address: [u8; 4], mut request: HttpRequest) -> HttpRequest {
    request.extensions_mut().insert(Caller(address.into()));
    request
}

#[tokio::test(start_paused = true)]
async fn bodies_that_are_never_sent_hold_no_room_of_others_and_their_own_only_for_a_moment() {
    const STRANGER: [u8; 4] = [127, 0, 0, 1];
    for length in [LARGE, BODY_LIMIT] {
        let router = router(Arc::new(Obedient), Shutdown::default());
        let attack = || from(STRANGER, endless("/validate?timeout=10s", length));
        let stuck: Vec<_> = (0..512).map(|_| tokio::spawn(router.clone().oneshot(attack()))).collect();
        tokio::task::yield_now().await;
        let started = Instant::now();
        let padding = "x".repeat(length - 200);
        let innocent = || review("").replace("\"u-1\"", &format!("\"u-1\",\"padding\":\"{padding}\""));
        let innocent = || request("/validate?timeout=3s", innocent());
        let call = async |request: HttpRequest| router.clone().oneshot(request).await.unwrap().status();
        assert_eq!(call(from([127, 0, 0, 2], innocent())).await, StatusCode::OK);
        assert_eq!(started.elapsed(), Duration::ZERO);
        // Whoever shares the strangers' address waits in their queue, and hears in time that it has to try again.
        assert_eq!(call(from(STRANGER, innocent())).await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(started.elapsed(), ROOM_WITHIN);
        for call in stuck {
            assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        assert!(started.elapsed() < ROOM_WITHIN + 2 * QUARTER_WITHIN, "{:?}", started.elapsed());
        assert_eq!(call(from(STRANGER, innocent())).await, StatusCode::OK);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_is_read_for_as_long_as_it_arrives_steadily() {
    let whole = review("");
    // Pieces of the review, each after so many milliseconds, and when the call is answered how.
    let cases = [
        (&[(400, 4), (400, 4), (400, 4), (400, 4)][..], 1600, StatusCode::OK),
        (&[(0, 1)], 0, StatusCode::OK),
        (&[(499, 1)], 499, StatusCode::OK),
        (&[(501, 1)], 500, StatusCode::SERVICE_UNAVAILABLE),
        // All but the last is there, and then nothing comes.
        (&[(0, 2), (501, 2)], 500, StatusCode::SERVICE_UNAVAILABLE),
        // Something comes all the time, and too little.
        (&[(300, 20), (300, 20), (300, 20)], 500, StatusCode::SERVICE_UNAVAILABLE),
    ];
    for (pieces, answered, status) in cases {
        let (length, mut rest) = (whole.len(), Bytes::from(whole.clone()));
        let pieces: Vec<_> = pieces
            .iter()
            .map(|(wait, part)| (*wait, rest.split_to(length.div_ceil(*part).min(rest.len()))))
            .collect();
        let body = futures::stream::iter(pieces).then(async |(wait, piece)| {
            tokio::time::sleep(Duration::from_millis(wait)).await;
            Ok::<_, std::io::Error>(piece)
        });
        let request = HttpRequest::post("/validate").header(header::CONTENT_LENGTH, length);
        let request = request.body(Body::from_stream(body)).unwrap();
        let started = Instant::now();
        let response = router(Arc::new(Obedient), Shutdown::default()).oneshot(request).await.unwrap();
        let expected = (status, Duration::from_millis(answered));
        assert_eq!((response.status(), started.elapsed()), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn large_bodies_do_not_keep_small_ones_waiting() {
    let router = router(Arc::new(Obedient), Shutdown::default());
    let stuck: Vec<_> = (0..100)
        .map(|_| tokio::spawn(router.clone().oneshot(endless("/validate?timeout=10s", BODY_LIMIT))))
        .collect();
    tokio::task::yield_now().await;
    let started = tokio::time::Instant::now();
    let small = router.clone().oneshot(request("/validate?timeout=1s", review("")));
    assert_eq!(small.await.unwrap().status(), StatusCode::OK);
    assert_eq!(started.elapsed(), Duration::ZERO);
    drop(stuck);
}

#[tokio::test]
async fn a_webhook_that_leaves_still_answers_and_closes_the_connection() {
    let shutdown = Shutdown::default();
    shutdown.leave(Duration::ZERO).await;
    let (status, _, closes) = call(shutdown, "/validate", review("")).await;
    assert_eq!((status, closes), (StatusCode::OK, true));
}

#[test]
fn the_api_servers_timeout_is_read_and_kept_within_reason() {
    let cases = [
        ("timeout=3s", 2700),
        ("a=b&timeout=2s", 1700),
        ("", 9700),
        ("timeout=x", 9700),
        ("timeout=0s", 700),
        ("timeout=900s", 9700),
    ];
    for (query, milliseconds) in cases {
        assert_eq!(timeout_of(query), Duration::from_millis(milliseconds), "{query}");
    }
}
