//! The demo notices what is missing, and names the scene.

use treenail_lab::demo::{Options, Withheld, play};

use crate::support::world::treenail;

fn without(part: Withheld) -> String {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let options = Options { treenail: treenail(), keep: false, without: Some(part) };
    format!(
        "{:#}",
        runtime.block_on(play(options)).expect_err("the demo went well without a part of Treenail")
    )
}

#[test]
fn without_the_webhook_the_pods_are_not_patched() {
    let error = without(Withheld::Webhook);
    assert!(error.starts_with("scene 3 (pods are patched)"), "{error}");
}

#[test]
fn without_the_controller_the_types_are_not_ready() {
    let error = without(Withheld::Controller);
    assert!(error.starts_with("scene 1 (pools and types)"), "{error}");
}
