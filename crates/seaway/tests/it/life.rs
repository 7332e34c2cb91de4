//! Start, stop, kill, and what stays.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::rig::{DEADLINE, Rig, signal, text, until};

/// The owner's account over the printed link; answers the link's token.
fn set_up(rig: &Rig) -> String {
    let token = until("the set-up link is printed", || {
        rig.log().split("setup#token=").nth(1).and_then(|rest| rest.split_whitespace().next().map(str::to_owned))
    });
    let body = json!({"token": token, "email": "ada@example.org", "password": "harbour-thistle-pewter-94", "name": "Ada", "organization_name": "Desk"});
    let (status, answer) = rig.call("POST", "/api/v1/setup", Some(body), None).unwrap();
    assert!(status < 300, "{status} {answer}");
    token
}

#[test]
fn the_first_start_makes_what_is_missing_and_says_where_it_is() {
    let rig = Rig::new();
    let serving = rig.serve();
    assert_eq!(rig.data().metadata().unwrap().mode() & 0o777, 0o700);
    assert_eq!(rig.data().join("keys/master.key").metadata().unwrap().mode() & 0o777, 0o600);
    assert!(rig.log().contains("A new master key was made at"), "{}", rig.log());
    assert!(rig.log().contains("mails become files in"));
    assert!(rig.part("vault").unwrap().0);

    set_up(&rig);
    let link = rig.run(&["setup-link", "--json"]);
    let answer: Value = serde_json::from_slice(&link.stdout).unwrap();
    assert_eq!(answer, json!({"needed": false}));
    let reset = rig.run(&["user", "reset-password", "ada@example.org"]);
    assert!(reset.status.success() && text(&reset).contains("reset-password#token="), "{}", text(&reset));
    assert!(!rig.run(&["user", "reset-password", "nobody@example.org"]).status.success());

    let second = rig.run(&["serve"]);
    assert!(!second.status.success());
    assert!(text(&second).contains("another Seaway serves from"), "{}", text(&second));
    drop(serving);
}

#[test]
fn the_ingress_outlives_the_control_plane_and_comes_back_when_killed() {
    let rig = Rig::new();
    let mut serving = rig.serve();
    until("the ingress answers", || rig.part("ingress").filter(|(ok, _)| *ok));
    let first = rig.ingress_pid().unwrap();

    signal(first, Signal::KILL);
    let killed = Instant::now();
    let second = until("a new ingress runs", || rig.ingress_pid().filter(|pid| *pid != first));
    until("the new ingress answers", || rig.part("ingress").filter(|(ok, _)| *ok));
    assert!(killed.elapsed() < Duration::from_secs(2), "it took {:?}", killed.elapsed());

    signal(serving.0.id(), Signal::TERM);
    let status = until("serve ends", || serving.0.try_wait().unwrap());
    assert!(status.success(), "{status}: {}", rig.log());
    assert!(rig.log().contains("stopped"));
    assert_eq!(rig.ingress_pid(), Some(second), "the ingress went with the control plane");
    assert!(std::net::TcpStream::connect(("127.0.0.1", rig.ingress_port)).is_ok());

    let serving = rig.serve();
    until("the running ingress is found", || rig.log().contains("the ingress runs already").then_some(()));
    assert_eq!(rig.ingress_pid(), Some(second));
    // It is not a child of this one, and is watched all the same.
    signal(second, Signal::KILL);
    until("a third ingress runs", || rig.ingress_pid().filter(|pid| *pid != second));
    drop(serving);
    until("the ingress answers before it is stopped", || std::net::TcpStream::connect(("127.0.0.1", rig.ingress_port)).ok());
    let stopped = rig.run(&["stop-ingress"]);
    assert!(stopped.status.success(), "{}", text(&stopped));
    assert!(std::net::TcpStream::connect(("127.0.0.1", rig.ingress_port)).is_err());
}

#[test]
fn a_wrong_or_missing_key_seals_the_instance_and_makes_no_new_one() {
    let rig = Rig::new();
    let serving = rig.serve();
    set_up(&rig);
    drop(serving);
    let key = rig.data().join("keys/master.key");
    let right = std::fs::read(&key).unwrap();

    std::fs::remove_file(&key).unwrap();
    let serving = rig.serve();
    let (ok, detail) = rig.part("vault").unwrap();
    assert!(!ok && detail.contains("sealed") && detail.contains("restore the key file"), "{detail}");
    let (status, answer) = rig.call("POST", "/api/v1/password-resets", Some(json!({"email": "ada@example.org"})), None).unwrap();
    assert_eq!((status, answer["code"].as_str()), (503, Some("sealed")), "{answer}");
    assert!(!key.exists(), "a new key was made");
    let doctor = rig.run(&["doctor", "--json"]);
    let report: Value = serde_json::from_slice(&doctor.stdout).unwrap();
    let line = report["checks"].as_array().unwrap().iter().find(|check| check["name"] == "master key").unwrap().clone();
    assert!(line["ok"] == false && line["remedy"].is_string(), "{line}");
    drop(serving);

    std::fs::write(&key, right).unwrap();
    std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let _serving = rig.serve();
    assert!(rig.part("vault").unwrap().0);
}

#[test]
fn what_cannot_work_is_refused_by_name_before_anything_is_made() {
    let rig = Rig::new();
    for (words, expected) in [
        (vec!["serve", "--set", "lisen=1"], "lisen"),
        (vec!["serve", "--set", "master_key=changeme"], "master_key"),
        (vec!["migrate", "--set", "database_url=postgres://a:password@127.0.0.1:1/x"], "database_url"),
        (vec!["agent"], "several servers"),
    ] {
        let output = rig.run(&words);
        assert!(!output.status.success());
        assert!(text(&output).contains(expected), "{words:?}: {}", text(&output));
    }
    assert!(!rig.data().exists());
    let began = Instant::now();
    let taken = std::net::TcpListener::bind(("127.0.0.1", rig.port)).unwrap();
    let output = rig.run(&["serve", "--without-ingress"]);
    assert!(!output.status.success() && text(&output).contains("the port is taken"), "{}", text(&output));
    assert!(began.elapsed() < DEADLINE);
    drop(taken);
}

#[test]
fn the_client_says_what_is_missing_without_asking() {
    let rig = Rig::new();
    let code = |words: &[&str]| rig.run(words).status.code();
    assert_eq!(code(&["whoami"]), Some(3), "no instance is known");
    assert_eq!(code(&["login", &rig.url()]), Some(2), "no terminal to ask at");
    assert_eq!(code(&["--url", &rig.url(), "whoami"]), Some(3), "no token");
    let unreachable = rig.command(&["--url", &rig.url(), "--json", "whoami"]).env("SEAWAY_TOKEN", "sea_pat_x").output().unwrap();
    assert_eq!(unreachable.status.code(), Some(5));
    let error: Value = serde_json::from_slice(&unreachable.stderr).unwrap();
    assert_eq!(error["error"]["code"], "unreachable");
    let _serving = rig.serve();
    let refused = rig.command(&["--url", &rig.url(), "whoami"]).env("SEAWAY_TOKEN", "sea_pat_x").output().unwrap();
    assert_eq!(refused.status.code(), Some(3), "{}", text(&refused));
    assert!(text(&rig.run(&["completions", "bash"])).contains("_seaway"));
}

/// As a unit or a container shows the data folder to it: only `ingress` can be entered, nothing beside it written or listed.
#[test]
fn the_ingress_needs_nothing_but_its_own_part_of_the_data_folder() {
    let rig = Rig::new();
    std::fs::create_dir_all(rig.data().join("ingress")).unwrap();
    std::fs::set_permissions(rig.data(), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(rig.data().join("ingress"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut ingress = rig.start(&["ingress"]);
    until("the ingress listens", || std::net::TcpStream::connect(("127.0.0.1", rig.ingress_port)).ok());
    assert_eq!(rig.data().metadata().unwrap().mode() & 0o777, 0o755, "the folder above is not the ingress' to change");
    assert_eq!(rig.data().join("ingress").metadata().unwrap().mode() & 0o777, 0o700);
    let names: Vec<_> = rig.data().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["ingress"], "the ingress made something beside its folder");
    signal(ingress.0.id(), Signal::TERM);
    assert!(until("the ingress ends", || ingress.0.try_wait().unwrap()).success());
}

/// What `deploy/*.service` and `docker-compose.yml` start is a verb with options that exist.
#[test]
fn units_and_compose_start_verbs_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let rig = Rig::new();
    let mut started: Vec<Vec<String>> = Vec::new();
    for unit in ["deploy/seaway.service", "deploy/seaway-ingress.service"] {
        let text = std::fs::read_to_string(root.join(unit)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/seaway ")).unwrap();
        started.push(line.split_whitespace().map(str::to_owned).collect());
    }
    let compose = std::fs::read_to_string(root.join("docker-compose.yml")).unwrap();
    started.extend(compose.lines().filter_map(|line| {
        let list = line.trim().strip_prefix("command: [")?.strip_suffix(']')?;
        Some(list.split(", ").map(|word| word.trim_matches('"').to_owned()).collect())
    }));
    assert_eq!(started.len(), 4, "{started:?}");
    for mut words in started {
        words.push("--help".to_owned());
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let told = rig.run(&words);
        assert!(told.status.success(), "{words:?}: {}", text(&told));
        let verb = format!("Usage: seaway {}", words[0]);
        assert!(String::from_utf8_lossy(&told.stdout).contains(&verb), "{words:?} is no verb: {}", text(&told));
    }
}
