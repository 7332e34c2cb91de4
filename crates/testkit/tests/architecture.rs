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
    ("argon2", &["vault"]),
];

/// One TLS provider (ring), and no library under a licence that would reach into ours.
const BANNED: &[&str] = &["openssl", "openssl-sys", "native-tls", "aws-lc-rs", "aws-lc-sys", "sozu-lib", "actix-governor"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// (package, dependency, is it only for tests) of every declared edge of the workspace.
fn declared() -> Vec<(String, String, bool)> {
    #[expect(clippy::disallowed_methods, reason = "the test asks cargo itself")]
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
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
