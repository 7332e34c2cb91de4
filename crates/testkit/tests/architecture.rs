//! The direction of the crates' edges (ARCHITECTURE.md), who may know which outside library, and what must not be in the tree.
//! To add a crate: its row in [`EDGES`], with the crates that it may name.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::{collections::BTreeSet, path::PathBuf, process::Command};

use serde_json::Value;

/// crate → the crates of this workspace that it may depend on. Tests may use `testkit` on top, and look into the store.
const EDGES: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("fileserver", &[]),
    ("contract", &["domain"]),
    ("vault", &["domain"]),
    ("store", &["domain"]),
    ("ingress", &["domain"]),
    ("mail", &["domain"]),
    ("deployer", &["domain", "ingress"]),
    ("jobs", &["domain", "store"]),
    ("control", &["domain", "contract", "vault", "store", "jobs", "deployer", "mail"]),
    ("api", &["domain", "contract", "control", "vault"]),
    ("cli", &["domain", "contract"]),
    ("seaway", &["domain", "contract", "vault", "store", "jobs", "deployer", "ingress", "mail", "control", "api", "cli"]),
    ("testkit", &["domain", "contract", "vault", "store", "jobs", "deployer", "ingress", "mail", "control", "api"]),
];

/// outside library → the crates that may know it.
const OWNERS: &[(&str, &[&str])] = &[
    ("bollard", &["deployer"]),
    ("lettre", &["mail"]),
    ("actix-web", &["api", "testkit"]),
    ("actix-ws", &["api"]),
    ("sqlx", &["store", "testkit"]),
    ("aes-gcm", &["vault"]),
    // The ingress checks visitors' passwords of a route, which it knows as hashes.
    ("argon2", &["vault", "ingress"]),
];

/// One TLS provider (ring), and no library under a licence that would reach into ours.
const BANNED: &[&str] = &["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "sozu-lib", "actix-governor"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn metadata(more: &[&str]) -> Value {
    #[expect(clippy::disallowed_methods, reason = "the test asks cargo itself")]
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--offline"])
        .args(more)
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// (package, dependency, is it only for tests) of every declared edge of the workspace.
fn declared() -> Vec<(String, String, bool)> {
    let metadata = metadata(&["--no-deps"]);
    let mut edges = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        assert!(EDGES.iter().any(|(known, _)| *known == name), "crate `{name}` has no row in EDGES: say what it may depend on");
        for dependency in package["dependencies"].as_array().unwrap() {
            let only_tests = dependency["kind"].as_str() == Some("dev");
            edges.push((name.to_owned(), dependency["name"].as_str().unwrap().to_owned(), only_tests));
        }
    }
    assert!(edges.len() > EDGES.len(), "cargo metadata told too little: {edges:?}");
    edges
}

#[test]
fn edges_between_crates_point_the_right_way() {
    let ours: BTreeSet<&str> = EDGES.iter().map(|(name, _)| *name).collect();
    let wrong: Vec<String> = declared()
        .into_iter()
        .filter(|(_, to, only_tests)| ours.contains(to.as_str()) && !(*only_tests && (to == "testkit" || to == "store")))
        .filter(|(from, to, _)| !EDGES.iter().any(|(name, allowed)| name == from && allowed.contains(&to.as_str())))
        .map(|(from, to, _)| format!("{from} -> {to}"))
        .collect();
    assert!(wrong.is_empty(), "edges that point the wrong way: {wrong:?}");
}

#[test]
fn outside_libraries_stay_with_their_owner() {
    let wrong: Vec<String> = declared()
        .into_iter()
        .filter(|(_, _, only_tests)| !only_tests)
        .filter(|(from, to, _)| OWNERS.iter().any(|(library, owners)| library == to && !owners.contains(&from.as_str())))
        .map(|(from, to, _)| format!("{from} -> {to}"))
        .collect();
    assert!(wrong.is_empty(), "libraries outside their crate: {wrong:?}");
}

#[test]
fn banned_libraries_are_not_in_the_tree() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let names: BTreeSet<&str> = lock.lines().filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"')).collect();
    assert!(names.contains("rustls"), "Cargo.lock was not read");
    let found: Vec<&&str> = BANNED.iter().filter(|name| names.contains(**name)).collect();
    assert!(found.is_empty(), "banned: {found:?}");
}

/// The list `allow` of deny.toml.
fn licences_allowed() -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let list = text.split("allow = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
    list.split(',').map(|entry| entry.trim().trim_matches('"').to_owned()).filter(|entry| !entry.is_empty()).collect()
}

/// Whether an SPDX expression can be met with the allowed licences alone. `/` is how old crates write OR.
fn may_be_used(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let mut words = spaced.split_whitespace().peekable();
    let met = any_of(&mut words, allowed);
    met && words.next().is_none()
}

type Words<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(words: &mut Words, allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(words, allowed);
    while words.next_if_eq(&"OR").is_some() {
        met |= all_of(words, allowed);
    }
    met
}

fn all_of(words: &mut Words, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, allowed);
    while words.next_if_eq(&"AND").is_some() {
        met &= one(words, allowed);
    }
    met
}

fn one(words: &mut Words, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.next() else { return false };
    if word == "(" {
        let met = any_of(words, allowed);
        return words.next() == Some(")") && met;
    }
    match words.next_if_eq(&"WITH") {
        Some(_) => words.next().is_some_and(|exception| allowed.contains(&format!("{word} WITH {exception}"))),
        None => allowed.contains(word),
    }
}

#[test]
fn licence_expressions_are_read_as_they_mean() {
    let allowed: BTreeSet<String> = ["MIT", "Apache-2.0", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into();
    for (expression, expected) in [
        ("MIT", true),
        ("GPL-3.0", false),
        ("GPL-3.0 OR MIT", true),
        ("GPL-3.0/MIT", true),
        ("GPL-3.0 AND MIT", false),
        ("(GPL-3.0 OR MIT) AND Apache-2.0", true),
        ("MIT AND (GPL-3.0 OR AGPL-3.0)", false),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", true),
        ("Apache-2.0 WITH other", false),
        ("MIT OR", true),
        ("(MIT", false),
        ("", false),
    ] {
        assert_eq!(may_be_used(expression, &allowed), expected, "{expression:?}");
    }
}

/// What cargo-deny would refuse, with the same list, also where it is not installed.
#[test]
fn every_library_is_under_a_licence_that_deny_toml_allows() {
    let allowed = licences_allowed();
    assert!(allowed.contains("MIT") && !allowed.iter().any(|licence| licence.contains("GPL")), "{allowed:?}");
    // The platforms of deny.toml; what other systems would need is neither fetched nor built.
    let metadata = metadata(&["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let used: BTreeSet<&str> = metadata["resolve"]["nodes"].as_array().unwrap().iter().map(|node| node["id"].as_str().unwrap()).collect();
    let mut wrong = Vec::new();
    let mut looked_at = 0;
    for package in metadata["packages"].as_array().unwrap() {
        if !used.contains(package["id"].as_str().unwrap()) {
            continue;
        }
        looked_at += 1;
        let expression = package["license"].as_str().unwrap_or("");
        if !may_be_used(expression, &allowed) {
            wrong.push(format!("{} {}: {expression:?}", package["name"], package["version"]));
        }
    }
    assert!(looked_at > 200, "only {looked_at} libraries were looked at");
    assert!(wrong.is_empty(), "licences that deny.toml does not allow: {wrong:#?}");
}
