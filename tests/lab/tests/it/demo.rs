//! The demo as a person runs it: the whole story, and what it says when something is missing.

use std::process::{Command, Output};

/// Plays the demo with the Treenail that was built for these tests, and sees that it leaves no file.
fn demo(arguments: &[&str]) -> Output {
    let temporary = tempfile::tempdir().unwrap();
    let played = Command::new(env!("CARGO_BIN_EXE_lab"))
        .arg("demo")
        .args(arguments)
        .env("TMPDIR", temporary.path())
        .output()
        .expect("start lab demo");
    let left: Vec<_> = std::fs::read_dir(temporary.path()).unwrap().flatten().collect();
    assert!(left.is_empty(), "left behind: {left:?}");
    played
}

/// The demo ends badly, and the last thing it says is which scene went wrong.
fn names_its_scene(without: &str, scene: &str) {
    let played = demo(&["--without", without]);
    assert_eq!(played.status.code(), Some(1));
    let complaint = String::from_utf8_lossy(&played.stderr);
    assert!(complaint.starts_with(&format!("lab: {scene} did not come out as it should")), "{complaint}");
}

#[test]
fn the_whole_story_comes_out_as_it_should() {
    let played = demo(&[]);
    let story = String::from_utf8_lossy(&played.stdout);
    assert!(played.status.success(), "{story}\n{}", String::from_utf8_lossy(&played.stderr));
    let scenes = story.lines().filter_map(|line| line.split_once(". ")?.0.parse().ok());
    assert_eq!(scenes.collect::<Vec<u8>>(), [1, 2, 3, 4, 5, 6, 7], "{story}");
    assert!(!story.contains('\u{1b}'), "there are colours only on a terminal");
}

#[test]
fn without_the_webhook_the_pods_are_not_patched() {
    names_its_scene("webhook", "scene 3 (pods are patched)");
}

#[test]
fn without_the_controller_the_types_are_not_ready() {
    names_its_scene("controller", "scene 1 (pools and types)");
}
