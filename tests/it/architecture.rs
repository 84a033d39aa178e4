//! The layers, enforced: a file imports its own layer's listed peers or lower layers, never up.

use std::fs;
use std::path::{Path, PathBuf};

/// Module, its layer, and the modules of the same layer that it may import.
const MODULES: &[(&str, u8, &[&str])] = &[
    ("api", 0, &[]),
    ("model", 1, &[]),
    ("admission", 2, &[]),
    ("scheduling", 2, &[]),
    ("disruption", 2, &["scheduling"]),
    ("lifecycle", 2, &[]),
    ("ports", 3, &[]),
    ("config", 3, &[]),
    ("cluster", 4, &["telemetry"]),
    ("cloud", 4, &["telemetry"]),
    ("tls", 4, &["telemetry"]),
    ("telemetry", 4, &[]),
    ("controllers", 5, &[]),
    ("server", 5, &[]),
    ("app", 6, &["cli"]),
    ("cli", 6, &["app"]),
];

/// What the pure layers (0 to 2), and files elsewhere that call themselves pure, do without: I/O, clocks, tasks, randomness, logging, hash order.
const IMPURE: &[&str] = &[
    "Mutex",
    "{env",
    "{fs",
    "kube::Api",
    "kube::api",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "std::time::Instant",
    "SystemTime",
    "tokio",
    "async fn",
    ".await",
    "tracing",
    "HashMap",
    "HashSet",
    "rand::",
    "kube::Client",
    "Timestamp::now",
    "println!",
];

/// Values, although they come from a module that also asks an API server.
const VALUES: &[&str] = &["kube::api::ObjectMeta"];

fn layer(module: &str) -> Option<(u8, &'static [&'static str])> {
    MODULES.iter().find(|(name, ..)| *name == module).map(|(_, layer, peers)| (*layer, *peers))
}

/// What a file of `module` does that its layer may not.
fn violations(module: &str, source: &str) -> Vec<String> {
    let Some((own_layer, peers)) = layer(module) else {
        return vec![format!("module {module} has no layer")];
    };
    let code: Vec<_> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let mut found = Vec::new();
    for imported in imports(&code) {
        let allowed = imported == module
            || peers.contains(&imported.as_str())
            || layer(&imported).is_some_and(|(other, _)| other < own_layer);
        if !allowed {
            found.push(format!("imports crate::{imported}"));
        }
    }
    if own_layer <= 2 || calls_itself_pure(source) {
        let code = VALUES.iter().fold(without_tests(&code), |code, value| code.replace(value, ""));
        found.extend(IMPURE.iter().filter(|word| code.contains(**word)).map(|word| format!("uses {word}")));
    }
    found
}

/// Whether the file's first words promise it: `Pure.`, or what else such a sentence begins with.
fn calls_itself_pure(source: &str) -> bool {
    let header = source.lines().take_while(|line| line.starts_with("//!"));
    let mut words = header.flat_map(|line| line.split(|letter: char| !letter.is_alphanumeric()));
    words.any(|word| word == "Pure")
}

/// Tests may do what the code may not: takes every module out that is compiled for tests only.
fn without_tests(code: &str) -> String {
    let mut kept = String::new();
    let mut lines = code.lines();
    while let Some(line) = lines.next() {
        if line != "#[cfg(test)]" {
            kept.push_str(line);
            kept.push('\n');
            continue;
        }
        // Formatted code closes a top-level item in the first column.
        let item = lines.next().unwrap_or_default();
        if item.ends_with('{') {
            let _ = lines.find(|line| *line == "}");
        }
    }
    kept
}

/// The first segments behind every `crate::`, grouped ones too.
fn imports(code: &str) -> Vec<String> {
    let segment =
        |text: &str| text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect();
    let mut found: Vec<String> = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            found.push(segment(rest));
            continue;
        };
        let mut depth = 0;
        let mut start = true;
        for (position, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => start = true,
                _ if start && letter.is_alphabetic() => {
                    found.push(segment(group.get(position..).unwrap_or_default()));
                    start = false;
                }
                _ => {}
            }
        }
    }
    // `crate::Name` is the crate's own root, which holds no code of a layer.
    found.retain(|name: &String| name.starts_with(|letter: char| letter.is_lowercase()));
    found
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            found.extend(sources(&entry.path()));
        } else if entry.path().extension().is_some_and(|extension| extension == "rs") {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

#[test]
fn every_file_keeps_to_its_layer() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for path in sources(&root) {
        let relative = path.strip_prefix(&root).unwrap();
        let module =
            relative.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        // The two roots only name modules and dispatch.
        if ["main", "lib"].contains(&module) || relative.ends_with("tests.rs") {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        found.extend(
            violations(module, &source).into_iter().map(|what| format!("src/{}: {what}", relative.display())),
        );
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn what_breaks_the_layers_is_found() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("model", "use crate::api::labels;", &[]),
        ("model", "use crate::admission::decide;", &["imports crate::admission"]),
        ("model", "use crate::{api::labels, cluster::{self, watch}};", &["imports crate::cluster"]),
        ("disruption", "use crate::scheduling::solve;", &[]),
        ("scheduling", "fn f() { crate::disruption::decide(); }", &["imports crate::disruption"]),
        ("model", "// use crate::cluster;\n/// [`crate::server`]", &[]),
        ("admission", "use std::collections::HashMap;", &["uses HashMap"]),
        ("lifecycle", "async fn f() {}", &["uses async fn"]),
        ("lifecycle", "#[cfg(test)]\nmod tests {\n    use std::collections::HashMap;\n}", &[]),
        ("model", "#[cfg(test)]\nmod tests;\n\nfn f() { tokio::spawn(g()); }", &["uses tokio"]),
        ("model", "#[cfg(test)]\nmod tests {\n    use tokio::test;\n}\nuse std::fs;", &["uses std::fs"]),
        ("model", "use std::{env, fs};", &["uses {env"]),
        ("model", "use std::sync::Mutex;", &["uses Mutex"]),
        ("admission", "use kube::Api;", &["uses kube::Api"]),
        ("controllers", "//! Decides. Pure.\n\nuse std::sync::Mutex;", &["uses Mutex"]),
        ("controllers", "//! Decides.\n//!\n//! Pure: and so on.\nasync fn f() {}", &["uses async fn"]),
        ("controllers", "//! Pure.\nuse kube::api::ObjectMeta;", &[]),
        ("controllers", "//! Pure.\nuse kube::api::{Api, ObjectMeta};", &["uses kube::api"]),
        ("controllers", "//! Carries out what the pure part decides.\nuse std::sync::Mutex;", &[]),
        ("controllers", "//! Drives.\n/// Pure.\nasync fn f() {}", &[]),
        ("cluster", "use crate::telemetry::logs; use crate::cloud::ec2;", &["imports crate::cloud"]),
        ("novelty", "", &["module novelty has no layer"]),
    ];
    for (module, source, expected) in cases {
        assert_eq!(violations(module, source), *expected, "{module}: {source}");
    }
}

/// The words in backticks of a text, outside of code blocks.
fn quoted(text: &str) -> Vec<&str> {
    let outside = text.split("```").step_by(2);
    outside.flat_map(|part| part.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn every_file_and_folder_that_architecture_names_exists_and_no_module_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let words = quoted(&text);
    for (module, ..) in MODULES {
        assert!(words.contains(module), "ARCHITECTURE.md does not name {module}");
    }
    let paths: Vec<_> = words.into_iter().filter(|word| is_path(word)).collect();
    assert!(paths.len() > 50, "{paths:?}");
    let missing = missing(&paths);
    assert!(missing.is_empty(), "ARCHITECTURE.md names {missing:?}");
}

#[test]
fn every_file_that_the_other_documents_name_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for document in ["README.md", "CONTRIBUTING.md", "docs/install.md", "certs/README.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let named = text.split(|end: char| end.is_whitespace() || "`()[],;:\"'".contains(end));
        let is_ours = |word: &&str| {
            ["manifests/", "docs/", "certs/", "src/", "tests/"].iter().any(|start| word.starts_with(start))
                && is_path(word)
        };
        let paths: Vec<_> = named.map(|word| word.trim_end_matches('.')).filter(is_ours).collect();
        let missing = missing(&paths);
        assert!(missing.is_empty(), "{document} names {missing:?}");
    }
}

fn is_path(word: &str) -> bool {
    let is_file = [".rs", ".yaml", ".py", ".sh", ".md", ".json"].iter().any(|kind| word.ends_with(kind));
    !word.contains([' ', '*']) && (is_file || word.ends_with('/') || word.starts_with("tests/"))
}

/// Those of the paths, each of which may leave out its beginning, that do not exist.
fn missing<'p>(paths: &[&'p str]) -> Vec<&'p str> {
    let mut there = Vec::new();
    for folder in ["src", "tests", "manifests", "certs", "docs"] {
        everything(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut there);
    }
    let is_there = |path: &str| there.iter().any(|known| known.ends_with(path.trim_end_matches('/')));
    paths.iter().copied().filter(|path| !is_there(path)).collect()
}

/// Every file and folder below.
fn everything(folder: &Path, found: &mut Vec<PathBuf>) {
    found.push(folder.to_owned());
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { everything(&path, found) } else { found.push(path) }
    }
}
