//! The client's verbs against a real control plane (without an engine: nothing is deployed here; tests/e2e/client_alone.py does).

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::rig::{Rig, Serving, until};

const EMAIL: &str = "ada@example.org";
const PASSWORD: &str = "harbour-thistle-pewter-94";

struct Said {
    code: i32,
    out: String,
    err: String,
}

impl Said {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    fn fine(self) -> Self {
        assert_eq!(self.code, 0, "{}{}", self.out, self.err);
        self
    }
}

/// A verb with this input, as the person whose home is `home`.
fn run_as(rig: &Rig, home: &str, words: &[&str], input: &str) -> Said {
    let folder = rig.data().parent().unwrap().join(home);
    std::fs::create_dir_all(&folder).unwrap();
    let mut command = rig.command(words);
    command.env("HOME", &folder).current_dir(&folder).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A verb that reads nothing has closed it.
    let _closed = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said { code: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn run(rig: &Rig, words: &[&str], input: &str) -> Said {
    run_as(rig, "ada", words, input)
}

fn link(rig: &Rig) -> String {
    until("the set-up link is printed", || rig.log().split_whitespace().find(|word| word.contains("/setup#token=")).map(str::to_owned))
}

/// An instance that Ada set up with the client.
fn set_up() -> (Rig, Serving) {
    let rig = Rig::new();
    let serving = rig.serve();
    let words = ["setup", &link(&rig), "--email", EMAIL, "--name", "Ada", "-o", "Desk"];
    let said = run(&rig, &words, &format!("{PASSWORD}\n")).fine();
    assert!(said.out.contains("is yours"), "{}", said.out);
    assert!(!format!("{}{}", said.out, said.err).contains(PASSWORD));
    (rig, serving)
}

#[test]
fn the_first_person_sets_up_and_signs_in_and_out() {
    let rig = Rig::new();
    let _serving = rig.serve();
    let link = link(&rig);
    let words = ["setup", link.as_str(), "--email", EMAIL, "--name", "Ada", "-o", "Desk"];
    // A weak password and an empty input are said, and the link still works.
    let weak = run(&rig, &words, "passwordpassword\n");
    assert!(weak.code == 1 && weak.err.contains("password"), "{}", weak.err);
    let empty = run(&rig, &words, "");
    assert!(empty.code == 2 && empty.err.contains("pipe it in"), "{}", empty.err);
    run(&rig, &words, &format!("{PASSWORD}\n")).fine();
    let again = run(&rig, &words, &format!("{PASSWORD}\n"));
    assert!(again.code == 1 && again.err.contains("seaway login"), "{}", again.err);

    let who = run(&rig, &["whoami", "--json"], "").json();
    assert_eq!((who["me"]["email"].as_str(), who["organizations"][0]["role"].as_str()), (Some(EMAIL), Some("owner")));
    // Tokens and sessions are guarded by the password.
    let tokens = run(&rig, &["tokens", "ls", "--json"], &format!("{PASSWORD}\n")).json();
    assert_eq!(tokens.as_array().unwrap().len(), 1);
    let wrong = run(&rig, &["tokens", "ls"], "not-the-right-password\n");
    assert_eq!(wrong.code, 3, "{}", wrong.err);
    let made = run(
        &rig,
        &["tokens", "create", "ci", "--scope", "organization:read", "--scope", "projects:read", "--json"],
        &format!("{PASSWORD}\n"),
    )
    .json();
    let (id, text) = (made["id"].as_str().unwrap(), made["text"].as_str().unwrap());
    let foreign = run_as(&rig, "ci", &["login", &rig.url(), "--token", "-"], &format!("{text}\n")).fine();
    assert!(!foreign.out.contains(text));
    run_as(&rig, "ci", &["projects", "ls"], "").fine();
    let narrow = run_as(&rig, "ci", &["projects", "create", "x"], "");
    assert!(narrow.code == 1 && narrow.err.contains("scope-missing"), "{}", narrow.err);
    run(&rig, &["tokens", "revoke", id], &format!("{PASSWORD}\n")).fine();
    assert_eq!(run_as(&rig, "ci", &["whoami"], "").code, 3);
    let sessions = run(&rig, &["sessions", "ls", "--json"], &format!("{PASSWORD}\n")).json();
    assert_eq!(sessions.as_array().unwrap().iter().filter(|one| one["current"] == true).count(), 1, "{sessions}");

    assert!(run(&rig, &["logout"], "").fine().out.contains("revoked"));
    let out = run(&rig, &["whoami"], "");
    assert!(out.code == 3 && out.err.contains("seaway login"), "{}", out.err);
    run(&rig, &["login", &rig.url(), "--email", EMAIL], &format!("{PASSWORD}\n")).fine();
    run(&rig, &["whoami"], "").fine();
}

#[test]
fn a_service_is_made_and_configured_without_the_api() {
    let (rig, _serving) = set_up();
    let fine = |words: &[&str]| run(&rig, words, "").fine();
    let json = |words: &[&str]| run(&rig, &[words, &["--json"]].concat(), "").json();
    fine(&["projects", "create", "Shop"]);
    assert_eq!(json(&["projects", "rename", "shop", "Store", "--slug", "store"])["slug"], "store");
    fine(&["environments", "create", "Staging", "-p", "store"]);
    assert_eq!(json(&["envs", "ls", "-p", "store"]).as_array().unwrap().len(), 2);
    fine(&["services", "create", "web", "-p", "store", "--port", "8080"]);
    let missing = run(&rig, &["status", "-a", "store/nothing"], "");
    assert!(missing.code == 4 && missing.err.contains("there are: web"), "{}", missing.err);
    fine(&["link", "-a", "store/web"]);

    let credential =
        run(&rig, &["credentials", "add", "git-token", "ci", "--host", "git.example.org", "--json"], "ghp_0123456789abcdef\n").json();
    assert_eq!(credential["kind"], "git_token");
    let known_hosts = "git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFzUHX3BQW7bHH+T5r5DhiI0uD3nLBC3UqiFbFPVxLQW\n";
    let key = run(&rig, &["credentials", "add", "deploy-key", "deploy", "--known-hosts", "-"], known_hosts).fine();
    assert!(key.out.contains("ssh-ed25519 "), "{}", key.out);
    fine(&["source", "git", "https://git.example.org/ada/desk.git", "--ref", "main", "--credential", "ci"]);
    let source = json(&["source", "show"]);
    assert_eq!((&source["url"], &source["credential"]), (&json!("https://git.example.org/ada/desk.git"), &credential["id"]));
    let used = run(&rig, &["credentials", "rm", "ci", "-y"], "");
    assert!(used.code == 1, "a credential in use was removed: {}", used.out);

    fine(&["builder", "static", "--folder", "public"]);
    fine(&["health", "http", "/healthz", "--interval", "50ms", "--deadline", "20s"]);
    fine(&["processes", "set", "worker", "--replicas", "2", "--memory", "256m", "--cpu", "0.5", "--", "python3", "worker.py"]);
    fine(&["settings", "set", "drain_seconds=1m", "build_limits.memory_bytes=1g", r#"release_command=["./migrate"]"#]);
    fine(&["settings", "unset", "release_command"]);
    let configuration = json(&["settings", "get"]);
    assert_eq!(configuration["builder"], json!({"type": "static", "folder": "public", "single_page": false}));
    assert_eq!(configuration["health"]["probe"], json!({"type": "http", "path": "/healthz"}));
    assert_eq!((&configuration["health"]["interval_ms"], &configuration["drain_seconds"]), (&json!(50), &json!(60)));
    assert_eq!(configuration["build_limits"]["memory_bytes"], 1 << 30);
    assert_eq!((&configuration["release_command"], &configuration["port"]), (&Value::Null, &json!(8080)));
    let worker = configuration["processes"].as_array().unwrap().iter().find(|one| one["name"] == "worker").unwrap();
    assert_eq!((&worker["command"], &worker["limits"]["cpu_millis"]), (&json!(["python3", "worker.py"]), &json!(500)));
    assert_eq!(fine(&["settings", "get", "port"]).out, "8080\n");
    let unknown = run(&rig, &["settings", "set", "prot=1"], "");
    assert!(unknown.code == 1 && unknown.err.contains("prot"), "{}", unknown.err);

    run(&rig, &["files", "set", "config", "-", "--plain", "--path", "/etc/app/config.toml"], "answer = 42\n").fine();
    assert_eq!(fine(&["files", "get", "config"]).out, "answer = 42\n");
    run(&rig, &["files", "set", "key", "-", "--draft"], "hidden\n").fine();
    assert_eq!(run(&rig, &["files", "get", "key"], "").code, 1, "a secret file was shown");
    // A service that writes a volume never has two writers.
    let two = run(&rig, &["volumes", "add", "data", "--path", "/data"], "");
    assert!(two.code == 1 && two.err.contains("at most one replica"), "{}", two.err);
    fine(&["processes", "remove", "worker"]);
    fine(&["volumes", "add", "data", "--path", "/data"]);
    assert_eq!(json(&["volumes", "ls"])[0]["path"], "/data");
    assert_eq!(json(&["settings", "get"])["mounts"].as_array().unwrap().len(), 2);
    fine(&["files", "remove", "config"]);
    assert_eq!(json(&["settings", "get"])["mounts"].as_array().unwrap().len(), 1);
    assert_eq!(run(&rig, &["volumes", "rm", "data", "-y"], "").code, 1, "a mounted volume was deleted");
    fine(&["volumes", "unmount", "data"]);

    run(&rig, &["env", "set", "--secret", "API_KEY"], "s3cret value\n").fine();
    assert!(!fine(&["env", "ls"]).out.contains("s3cret"));
    assert_eq!(fine(&["env", "get", "API_KEY", "--reveal"]).out, "s3cret value\n");
    fine(&["env", "set", "PLAIN=1"]);
    fine(&["env", "set", "PLAIN=2"]);
    assert_eq!(json(&["env", "history", "PLAIN"]).as_array().unwrap().len(), 2);
    fine(&["env", "restore", "PLAIN", "1"]);
    assert_eq!(fine(&["env", "get", "PLAIN"]).out, "1\n");

    fine(&["tags", "create", "mine"]);
    assert_eq!(json(&["tags", "assign", "mine"])[0]["name"], "mine");
    assert!(fine(&["search", "sto"]).out.contains("store"));
    assert!(fine(&["overview"]).out.contains("1 projects"));
    assert!(fine(&["audit", "ls", "--action", "credential.created"]).out.contains("ci"));
    assert!(fine(&["domains", "add", "shop.example.org"]).out.contains("shop.example.org"));
    fine(&["domains", "rm", "shop.example.org"]);

    // Without a terminal nothing is deleted by chance.
    let careful = run(&rig, &["services", "delete"], "");
    assert!(careful.code == 2 && careful.err.contains("volumes") && careful.err.contains("--yes"), "{}", careful.err);
    let gone = json(&["services", "delete", "--volumes", "-y"]);
    assert_eq!((&gone["deleted"], &gone["plan"]["services"].as_array().map(Vec::len)), (&json!("web"), &Some(1)));
    fine(&["projects", "delete", "store", "-y"]);
}

#[test]
fn people_join_by_invitation_and_the_operator_opens_the_sign_up() {
    let (rig, _serving) = set_up();
    let with_password = |words: &[&str]| run(&rig, words, &format!("{PASSWORD}\n")).fine();
    let (email, password) = ("bert@example.org", "meadow-copper-violin-31");
    let closed = run_as(&rig, "bert", &["sign-up", &rig.url(), "--email", email, "--name", "Bert"], &format!("{password}\n"));
    assert!(closed.code == 1 && closed.err.contains("sign-up-closed"), "{}", closed.err);
    with_password(&["instance", "set", "sign_up=open", "limits.members_per_organization=50"]);
    assert!(run(&rig, &["instance", "show"], "").fine().out.contains("open"));
    let instance: Value = serde_json::from_str(&with_password(&["instance", "get", "--json"]).out).unwrap();
    assert_eq!(instance["limits"], json!({"organizations_per_user": 20, "members_per_organization": 50}));

    let words = ["sign-up", &rig.url(), "--email", email, "--name", "Bert"];
    let next = run_as(&rig, "bert", &words, &format!("{password}\n")).fine();
    assert!(next.out.contains("seaway verify-email"), "{}", next.out);
    let code = until("the code is mailed", || {
        let mails = std::fs::read_dir(rig.data().join("outbox")).ok()?;
        let texts = mails.filter_map(|mail| std::fs::read_to_string(mail.ok()?.path()).ok());
        let mail = texts.filter(|text| text.contains(email)).find(|text| text.contains("code"))?;
        let digits = |word: &str| word.len() == 6 && word.chars().all(|letter| letter.is_ascii_digit());
        mail.split(|letter: char| !letter.is_ascii_alphanumeric()).find(|word| digits(word)).map(str::to_owned)
    });
    run_as(&rig, "bert", &["verify-email", email, &code, "--url", &rig.url()], "").fine();
    run_as(&rig, "bert", &["login", &rig.url(), "--email", email], &format!("{password}\n")).fine();

    let invitation = run(&rig, &["invitations", "create", email, "--role", "viewer"], "").fine();
    assert!(run(&rig, &["invitations", "ls"], "").fine().out.contains(email));
    let joined = run_as(&rig, "bert", &["invitations", "accept", invitation.out.trim()], &format!("{password}\n")).fine();
    assert!(joined.out.contains("viewer"), "{}", joined.out);
    run_as(&rig, "bert", &["orgs", "switch", "desk"], "").fine();
    assert_eq!(run_as(&rig, "bert", &["projects", "create", "x"], "").code, 1, "a viewer made a project");
    run(&rig, &["members", "set-role", email, "member"], "").fine();
    run_as(&rig, "bert", &["projects", "create", "x"], "").fine();
    run(&rig, &["members", "rm", email, "-y"], "").fine();
    assert!(!run(&rig, &["members", "ls"], "").fine().out.contains(email));
    assert!(run(&rig, &["invitations", "revoke", "nobody@example.org"], "").code == 4);
}

#[test]
fn a_folder_with_a_remote_becomes_a_service_in_one_step() {
    let (rig, _serving) = set_up();
    let git = rig.data().parent().unwrap().join("ada/.git");
    std::fs::create_dir_all(&git).unwrap();
    std::fs::write(git.join("config"), "[remote \"origin\"]\n\turl = https://ada:ghp_secret@git.example.org/ada/desk.git\n").unwrap();
    std::fs::write(git.join("HEAD"), "ref: refs/heads/main\n").unwrap();
    let unnamed = run(&rig, &["init"], "");
    assert!(unnamed.code == 2 && unnamed.err.contains("--project"), "{}", unnamed.err);
    let said = run(&rig, &["init", "-y"], "").fine();
    assert!(said.err.contains("password in the remote's address was left out") && !said.err.contains("ghp_secret"), "{}", said.err);
    let source = run(&rig, &["source", "show", "--json"], "").json();
    assert_eq!((&source["url"], &source["reference"]), (&json!("https://git.example.org/ada/desk.git"), &json!("main")));
    // Again: what is there is taken.
    run(&rig, &["init", "-y"], "").fine();
    assert_eq!(run(&rig, &["services", "ls", "--json"], "").json().as_array().unwrap().len(), 1);
    assert!(run(&rig, &["open", "--print"], "").fine().out.starts_with("http://desk-production-desk."));
}
