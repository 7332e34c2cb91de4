//! Builds with a real engine. `tests/dockerd.sh` starts one and `tests/images/build.sh` makes `seaway-test/base`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bollard::Docker;
use deployer::builder::{BuilderChoice, Workshop, WorkshopSettings};
use deployer::egress::EgressPolicy;
use deployer::output::KeptLines;
use deployer::process::Runner;
use deployer::protocol::{BuildOrder, Built, NoJournal};
use domain::deployment::{Cause, Failure};
use domain::id::DeploymentId;
use domain::service::Builder;
use domain::{Secret, SystemClock, SystemEntropy};
use tokio_util::sync::CancellationToken;

use crate::orders::archive_order;

const SOCKET: &str = "/var/run/docker.sock";

struct Bench {
    docker: Docker,
    folder: tempfile::TempDir,
    lines: Arc<KeptLines>,
    choice: BuilderChoice,
}

impl Bench {
    async fn new(choice: BuilderChoice) -> Self {
        let docker = Docker::connect_with_unix(SOCKET, 120, bollard::API_DEFAULT_VERSION)
            .unwrap()
            .negotiate_version()
            .await
            .expect("a Docker engine runs (tests/dockerd.sh)");
        docker.inspect_image("seaway-test/base").await.expect("the test images are built (tests/images/build.sh)");
        Self { docker, folder: tempfile::tempdir().unwrap(), lines: Arc::default(), choice }
    }

    fn workshop(&self) -> Workshop {
        let settings = WorkshopSettings {
            instance: "test".into(),
            work_dir: self.folder.path().join("work"),
            secret_dir: "/dev/shm/seaway-test-build".into(),
            engine_socket: SOCKET.into(),
            egress: EgressPolicy::default(),
            fileserver: Some(fileserver()),
            frontends: Vec::new(),
            add_from_network: false,
            builder: self.choice,
        };
        Workshop::new(self.docker.clone(), Runner::new(), settings)
    }

    /// An order whose source is an archive of the files.
    fn order(&self, files: &[(&str, &str)]) -> BuildOrder {
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, text)| (*name, text.as_bytes())).collect();
        archive_order(self.folder.path(), &files)
    }

    async fn build(&self, order: BuildOrder) -> Result<Built, Failure> {
        self.workshop().build(order, &NoJournal, &*self.lines, CancellationToken::new()).await
    }

    async fn remove(&self, image: &str) {
        self.docker.remove_image(image, None::<bollard::query_parameters::RemoveImageOptions>, None).await.unwrap();
    }

    fn log(&self) -> String {
        self.lines.lines().join("\n")
    }
}

fn dockerfile(secrets: &[&str]) -> Builder {
    match Builder::default() {
        Builder::Dockerfile { path, context, target, arguments, .. } => {
            Builder::Dockerfile { path, context, target, arguments, secrets: secrets.iter().map(|name| (*name).to_owned()).collect() }
        }
        other => other,
    }
}

async fn builds_and_repeats(choice: BuilderChoice) {
    let bench = Bench::new(choice).await;
    // A mark of its own, so that no step is answered from the cache of an earlier run.
    let mark = DeploymentId::new(&SystemClock, &SystemEntropy).to_string();
    let text = "FROM seaway-test/base\nARG WHO=nobody\nCOPY . /app\nRUN echo hello-$WHO && ls /app\nEXPOSE 8080\nCMD [\"true\"]\n";
    let mut order = bench.order(&[("Dockerfile", text), ("a.txt", &mark), ("node_modules/big", "x"), (".dockerignore", "node_modules\n")]);
    order.builder = Builder::Dockerfile {
        path: "Dockerfile".into(),
        context: ".".into(),
        target: None,
        arguments: BTreeMap::from([("WHO".into(), "ada".into())]),
        secrets: vec![],
    };
    let again = BuildOrder {
        operation: order.operation,
        service: order.service,
        builder: order.builder.clone(),
        ..bench.order(&[("x", "not looked at")])
    };
    let built = bench.build(order).await.unwrap();
    let log = bench.log();
    assert!(log.contains("hello-ada") && log.contains("a.txt") && !log.contains("node_modules"), "{log}");
    assert_eq!(built.exposed_ports, vec![8080]);
    assert!(built.size_bytes > 0);
    assert_eq!(bench.build(again).await.unwrap().image, built.image);
    let labels = bench.docker.inspect_image(&built.image).await.unwrap().config.unwrap().labels.unwrap();
    assert_eq!((labels["seaway.instance"].as_str(), labels["seaway.tenant"].as_str()), ("test", "org_test"));
    bench.remove(&built.image).await;
    assert_eq!(std::fs::read_dir(bench.folder.path().join("work")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn buildkit_builds_and_repeats() {
    builds_and_repeats(BuilderChoice::Auto).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_classic_builder_builds_and_repeats() {
    builds_and_repeats(BuilderChoice::Classic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_secret_is_there_for_its_step_and_nowhere_else() {
    let bench = Bench::new(BuilderChoice::Auto).await;
    let secret = format!("canary-{}", DeploymentId::new(&SystemClock, &SystemEntropy));
    let text = &format!(
        "FROM seaway-test/base\nENV MARK={}\nRUN --mount=type=secret,id=TOKEN cat /run/secrets/TOKEN && test $(wc -c < /run/secrets/TOKEN) -gt 10 && base64 /run/secrets/TOKEN\n",
        DeploymentId::new(&SystemClock, &SystemEntropy)
    );
    let mut order = bench.order(&[("Dockerfile", text)]);
    order.builder = dockerfile(&["TOKEN"]);
    order.secrets = BTreeMap::from([("TOKEN".into(), Secret::new(secret.clone()))]);
    let built = bench.build(order).await.unwrap();
    assert!(bench.log().contains("[masked]"), "{}", bench.log());
    assert!(!bench.log().contains(&secret), "{}", bench.log());
    let history = format!(
        "{:?}{:?}",
        bench.docker.image_history(&built.image).await.unwrap(),
        bench.docker.inspect_image(&built.image).await.unwrap()
    );
    assert!(!history.contains(&secret));
    bench.remove(&built.image).await;
    let classic = Bench::new(BuilderChoice::Classic).await;
    let mut order = classic.order(&[("Dockerfile", text)]);
    order.builder = dockerfile(&["TOKEN"]);
    order.secrets = BTreeMap::from([("TOKEN".into(), Secret::new(secret))]);
    assert!(classic.build(order).await.unwrap_err().message.contains("need BuildKit"));
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_dockerfiles_have_clear_failures() {
    for choice in [BuilderChoice::Auto, BuilderChoice::Classic] {
        let bench = Bench::new(choice).await;
        let cases: &[(&str, &str, Cause, &str)] = &[
            ("Other", "FROM x", Cause::Build, "There are: Other"),
            ("Dockerfile", "FROM seaway-test/base\nFORM x\n", Cause::Build, "line 2"),
            ("Dockerfile", " \n", Cause::Build, "empty"),
            ("Dockerfile", "FROM seaway-test/base\nRUN echo last words && exit 3\n", Cause::Build, "exit code 3"),
            ("Dockerfile", "# syntax=evil/frontend:1\nFROM seaway-test/base\n", Cause::Build, "frontend"),
            ("Dockerfile", "FROM seaway-test/base\nCOPY ../../etc/passwd /x\nCOPY missing /y\n", Cause::Build, ""),
        ];
        for (name, text, cause, message) in cases {
            let failure = bench.build(bench.order(&[(name, text), ("z/file", "x")])).await.unwrap_err();
            assert_eq!(failure.cause, *cause, "{choice:?} {failure:?}");
            assert!(failure.message.contains(message), "{choice:?} {text}: {failure:?}");
            if text.contains("last words") {
                assert!(failure.log_tail.iter().any(|line| line.contains("last words")), "{failure:?}");
                assert_eq!(failure.exit_code, Some(3));
            }
        }
        let failure = bench.build(bench.order(&[("Dockerfile", "FROM seaway-test/no-such-image:1\n")])).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Image, "{choice:?} {failure:?}");
        let mut order = bench.order(&[("Dockerfile", "FROM scratch\n")]);
        order.builder = Builder::Dockerfile {
            path: "../../etc/passwd".into(),
            context: ".".into(),
            target: None,
            arguments: BTreeMap::new(),
            secrets: vec![],
        };
        assert_eq!(bench.build(order).await.unwrap_err().cause, Cause::Source);
    }
}

fn running(marker: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| {
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains(marker) && line.contains("sleep")
        })
    })
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancel_and_time_out_stop_the_step() {
    for (number, choice) in [BuilderChoice::Auto, BuilderChoice::Classic].into_iter().enumerate() {
        let bench = Bench::new(choice).await;
        let seconds = 4_000 + number + std::process::id() as usize % 1000 * 10;
        let marker = format!("sleep {seconds}");
        let text = format!("FROM seaway-test/base\nRUN sleep {seconds}\n");
        let cancel = CancellationToken::new();
        let (workshop, lines, token, order) =
            (bench.workshop(), bench.lines.clone(), cancel.clone(), bench.order(&[("Dockerfile", &text)]));
        let task = tokio::spawn(async move { workshop.build(order, &NoJournal, &*lines, token).await });
        until("the step runs", || running(&marker)).await;
        cancel.cancel();
        assert!(task.await.unwrap().unwrap_err().message.contains("canceled"));
        until("the step is gone after the cancel", || !running(&marker)).await;
        let mut order = bench.order(&[("Dockerfile", &text)]);
        order.limits.timeout_seconds = 3;
        assert_eq!(bench.build(order).await.unwrap_err().cause, Cause::BuildTimeout);
        until("the step is gone after the time-out", || !running(&marker)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_step_that_eats_memory_is_stopped() {
    // `tail` keeps a line that does not end: gigabytes, of which the limit allows a part. Without a limit it succeeds.
    const EAT: &str = "head -c 4000000000 /dev/zero | tail > /dev/null";
    let plain = format!("FROM seaway-test/base\nRUN {EAT}\n");
    let without_environment = format!("FROM seaway-test/base\nRUN [\"/usr/bin/env\", \"-i\", \"/bin/sh\", \"-c\", \"{EAT}\"]\n");
    for (choice, dockerfile_text) in
        [(BuilderChoice::Auto, &plain), (BuilderChoice::Auto, &without_environment), (BuilderChoice::Classic, &plain)]
    {
        let bench = Bench::new(choice).await;
        let mut order = bench.order(&[("Dockerfile", dockerfile_text)]);
        order.builder = dockerfile(&[]);
        order.cache = false;
        order.limits.memory_bytes = 64 * 1024 * 1024;
        let failure = bench.build(order).await.expect_err(&format!("{choice:?} lets it"));
        assert_eq!(failure.cause, Cause::OutOfMemory, "{choice:?} {failure:?}");
        assert!(failure.message.contains("64 MiB"), "{failure:?}");
    }
}

/// The statically linked file server: from `SEAWAY_FILESERVER`, else built here once.
fn fileserver() -> std::path::PathBuf {
    static BUILT: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    BUILT
        .get_or_init(|| {
            if let Some(path) = std::env::var_os("SEAWAY_FILESERVER") {
                return path.into();
            }
            let workspace = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
            let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("fileserver");
            let built = std::process::Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--offline", "--package", "fileserver", "--target", "x86_64-unknown-linux-gnu", "--target-dir"])
                .arg(&target)
                .env("RUSTFLAGS", "-C target-feature=+crt-static")
                .current_dir(workspace)
                .status()
                .expect("cargo runs");
            assert!(built.success(), "the file server cannot be built");
            target.join("x86_64-unknown-linux-gnu/debug/seaway-fileserver")
        })
        .clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_static_site_is_served_without_a_base_image() {
    let bench = Bench::new(BuilderChoice::Auto).await;
    let mut order = bench.order(&[("public/index.html", "<h1>home</h1>"), ("public/app.js", "1"), ("secret.txt", "not published")]);
    order.builder = Builder::Static { folder: "public".into(), single_page: true };
    let built = bench.build(order).await.unwrap();
    assert_eq!((built.builder.as_str(), built.exposed_ports.as_slice()), ("static", [3000].as_slice()));
    let run = |arguments: &[&str]| {
        let output = std::process::Command::new("/usr/bin/docker")
            .args(["-H", "unix:///var/run/docker.sock"])
            .args(arguments)
            .output()
            .expect("the docker client is installed");
        assert!(output.status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let container = run(&["run", "--detach", "--read-only", "--cap-drop=ALL", "--env", "PORT=8123", &built.image]);
    let address = run(&["inspect", "--format", "{{.NetworkSettings.IPAddress}}", &container]);
    let url = format!("http://{address}:8123");
    let policy = EgressPolicy {
        allow: vec!["172.16.0.0/12".parse().unwrap(), "192.168.0.0/16".parse().unwrap()],
        plain_http: true,
        ..EgressPolicy::default()
    };
    let client = policy.client(&url.parse().unwrap(), Duration::from_secs(5)).await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(15);
    let home = loop {
        match client.get(&url).send().await {
            Ok(answer) => break answer.text().await.unwrap(),
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(home, "<h1>home</h1>");
    assert_eq!(client.get(format!("{url}/a/route")).send().await.unwrap().text().await.unwrap(), home);
    let secret = client.get(format!("{url}/secret.txt")).send().await.unwrap().text().await.unwrap();
    assert!(!secret.contains("not published"));
    // It ends at once at SIGTERM although it is process 1.
    let started = Instant::now();
    run(&["stop", "--time", "30", &container]);
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(run(&["inspect", "--format", "{{.State.ExitCode}}", &container]), "0");
    run(&["rm", &container]);
    bench.remove(&built.image).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_do_not_share_the_cache() {
    let bench = Bench::new(BuilderChoice::Auto).await;
    let mark = DeploymentId::new(&SystemClock, &SystemEntropy);
    // Prints what the step before it in the same cache mount has left, then leaves something.
    let text = format!(
        "FROM seaway-test/base\nRUN --mount=type=cache,target=/cache,id={mark} echo found-$(ls /cache)- && touch /cache/left && echo {mark} > /made\n"
    );
    let tries = [("org_a", "found--"), ("org_a", "CACHED"), ("org_b", "found--"), ("org_a", "CACHED")];
    for (tenant, expected) in tries {
        let mut order = bench.order(&[("Dockerfile", &text)]);
        order.tenant = tenant.into();
        let before = bench.lines.lines().len();
        let built = bench.build(order).await.unwrap();
        let log = bench.lines.lines()[before..].join("\n");
        assert!(log.contains(expected), "{tenant}: {log}");
        bench.remove(&format!("seaway/{}", built_tag(&bench, &built).await)).await;
    }
}

async fn built_tag(bench: &Bench, built: &Built) -> String {
    let tags = bench.docker.inspect_image(&built.image).await.unwrap().repo_tags.unwrap();
    tags.last().unwrap().strip_prefix("seaway/").unwrap().to_owned()
}
