//! Disks that are full: one of Seaway's own, one of the engine's. Small file systems are mounted for it, so these tests need root.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use deployer::builder::BuilderChoice;
use deployer::protocol::*;
use domain::deployment::Cause;
use domain::service::Builder;

use crate::isolation::{build, build_order};
use crate::orders::archive_order;
use crate::world::*;

fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program} is installed: {error}"));
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A small file system; unmounted at the end.
struct Mounted(PathBuf);

impl Mounted {
    fn tmpfs(folder: &Path, size: &str) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        run("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs", folder.to_str().unwrap()]);
        Self(folder.to_owned())
    }

    fn ext4(image: &Path, size_bytes: u64, folder: &Path) -> Self {
        std::fs::File::create(image).unwrap().set_len(size_bytes).unwrap();
        run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
        std::fs::create_dir_all(folder).unwrap();
        run("mount", &["-o", "loop", image.to_str().unwrap(), folder.to_str().unwrap()]);
        Self(folder.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _gone = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A Docker daemon of the test's own, on a disk of 700 MB.
struct SmallEngine {
    daemon: Child,
    socket: PathBuf,
    disk: Mounted,
    _folder: tempfile::TempDir,
}

impl SmallEngine {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let base = folder.path().to_owned();
        let path = |name: &str| base.join(name);
        let disk = Mounted::ext4(&path("disk"), 700 << 20, &path("root"));
        let socket = path("docker.sock");
        let log = std::fs::File::create(path("log")).unwrap();
        // In a network of its own: two daemons in one would both take `docker0` for theirs.
        let daemon = Command::new("unshare")
            .args(["--net", "--", "dockerd"])
            .arg(format!("--host=unix://{}", socket.display()))
            .arg(format!("--data-root={}", path("root").display()))
            .arg(format!("--exec-root={}", path("exec").display()))
            .arg(format!("--pidfile={}", path("pid").display()))
            .args(["--iptables=false", "--ip6tables=false", "--log-level=warn"])
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("unshare and dockerd are installed");
        let engine = Self { daemon, socket, disk, _folder: folder };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !engine.docker(&["version"]).status.success() {
            assert!(Instant::now() < deadline, "the second daemon does not answer: {}", std::fs::read_to_string(path("log")).unwrap());
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut saved = Command::new("docker").args(["save", "seaway-test/base"]).stdout(Stdio::piped()).spawn().unwrap();
        let loaded = Command::new("docker").args(["-H", &engine.host(), "load"]).stdin(saved.stdout.take().unwrap()).output().unwrap();
        assert!(saved.wait().unwrap().success() && loaded.status.success(), "run tests/images/build.sh: seaway-test/base is missing");
        engine
    }

    fn host(&self) -> String {
        format!("unix://{}", self.socket.display())
    }

    fn docker(&self, arguments: &[&str]) -> std::process::Output {
        Command::new("docker").args(["-H", &self.host()]).args(arguments).output().expect("docker is installed")
    }
}

impl Drop for SmallEngine {
    fn drop(&mut self) {
        // Politely, so that it ends its containerd as well.
        let _gone = Command::new("kill").arg(self.daemon.id().to_string()).status();
        let _gone = self.daemon.wait();
    }
}

/// Bytes that no file system can make smaller.
fn noise(size_bytes: usize) -> Vec<u8> {
    use domain::Entropy;
    let mut bytes = vec![0; size_bytes];
    domain::SystemEntropy.fill(&mut bytes);
    bytes
}

fn with_file(world: &World, dockerfile: &str, size_bytes: usize) -> BuildOrder {
    let files: [(&str, &[u8]); 2] = [("Dockerfile", dockerfile.as_bytes()), ("blob", &noise(size_bytes))];
    BuildOrder { cache: false, ..archive_order(world.folder.path(), &files) }
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_no_build_begins_and_a_rollback_does() {
    let world = World::with(|config| {
        config.disk = deployer::disk::DiskSettings { used_percent_max: 1, build_cache_bytes_max: None, ..Default::default() };
    })
    .await;
    let app = App::new();
    let failure = build(&world, build_order(&world, "FROM seaway-test/base\n")).await.unwrap_err();
    assert_eq!(failure.cause, Cause::DiskFull, "{failure:?}");
    assert!(failure.message.contains("from 1 % on no build begins") && failure.next_step.contains("disk_used_percent_max"), "{failure:?}");
    let part = world.server.health().await.parts.into_iter().find(|part| part.name == "disk").unwrap();
    assert!(!part.ok && part.detail.contains("no build begins"), "{part:?}");
    // A release whose image is there is what a rollback, a restart and a change of size put up.
    world.apply(app.order(&world, 1, &[])).await.unwrap();
    world.apply(app.order(&world, 2, &[])).await.unwrap();
    assert!(world.get(&app.host, "/").await.1.contains("v2"));
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_fills_while_a_source_is_fetched_stops_that_deployment_only() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Mounted::tmpfs(&folder.path().join("small"), "24m");
    let world = World::with(|config| config.state_dir = disk.0.join("state")).await;
    let app = App::new();
    world.apply(app.order(&world, 1, &[])).await.unwrap();
    let failure = build(&world, with_file(&world, "FROM seaway-test/base\n", 40 << 20)).await.unwrap_err();
    assert_eq!(failure.cause, Cause::DiskFull, "{failure:?}");
    assert!(!failure.next_step.is_empty(), "{failure:?}");
    assert!(world.get(&app.host, "/").await.1.contains("v1"), "what runs goes on");
    // Nothing of it is left, so the next one needs no restart and no help.
    let built = build(&world, with_file(&world, "FROM seaway-test/base\nCOPY blob /blob\n", 1 << 20)).await.unwrap();
    world.apply(app.order(&world, 2, &[])).await.unwrap();
    assert!(world.get(&app.host, "/").await.1.contains("v2"));
    let tag = world.docker.inspect_image(&built.image).await.unwrap().repo_tags.unwrap().remove(0);
    world.docker.remove_image(&tag, None::<bollard::query_parameters::RemoveImageOptions>, None).await.unwrap();
    world.end(&[&app]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_of_the_engine_that_fills_during_a_build_is_named_and_the_cache_gives_it_back() {
    let engine = SmallEngine::start();
    for choice in [BuilderChoice::Auto, BuilderChoice::Classic] {
        let world = World::with(|config| {
            config.docker_socket = engine.socket.clone();
            config.firewall = deployer::network::firewall::FirewallMode::Off;
            config.builder = choice;
            config.disk.build_cache_bytes_min = 1 << 20;
        })
        .await;
        let fills = "FROM seaway-test/base\nRUN dd if=/dev/zero of=/big bs=1048576 count=900\n";
        for order in [
            with_file(&world, "FROM seaway-test/base\nCOPY blob /a\nCOPY blob /b\nRUN cat /a /b /a /b > /c\n", 100 << 20),
            build_order(&world, fills),
        ] {
            let failure = build(&world, order).await.unwrap_err();
            assert_eq!(failure.cause, Cause::DiskFull, "{choice:?} {failure:?}");
            assert!(failure.next_step.contains("pace"), "{failure:?}");
            // What the classic builder leaves of a failed build is images without a name, which are the operator's to remove.
            assert!(engine.docker(&["image", "prune", "--force"]).status.success());
        }
        world.server.shutdown().await;
    }
    // A server that looks after its disk finds it full, takes the cache away and lets the next build in.
    let folder = tempfile::tempdir().unwrap();
    // The machine's own disk may be fuller than the engine's.
    let own = Mounted::tmpfs(&folder.path().join("own"), "1g");
    let world = World::with(|config| {
        config.state_dir = own.0.join("state");
        config.docker_socket = engine.socket.clone();
        config.firewall = deployer::network::firewall::FirewallMode::Off;
        config.disk =
            deployer::disk::DiskSettings { used_percent_max: 50, clean_percent: 40, build_cache_bytes_min: 1 << 20, ..Default::default() };
    })
    .await;
    let used = || deployer::disk::usage(&engine.disk.0).unwrap().used_percent;
    // A build whose image is gone again leaves its cache.
    let mut order = with_file(&world, "FROM seaway-test/base\nCOPY blob /blob\nRUN cat /blob /blob > /twice\n", 100 << 20);
    order.cache = true;
    let built = build(&world, order).await.unwrap();
    assert!(engine.docker(&["image", "rm", "--force", &built.image]).status.success());
    assert!(used() >= 40, "the cache fills {} %", used());
    let planned = world.server.sweep(Intended::default(), SweepMode::Simulate).await.unwrap();
    assert!(planned.removed.iter().any(|line| line.starts_with("build cache")) && planned.bytes_freed > 100 << 20, "{planned:?}");
    assert!(used() >= 40, "a simulation removes nothing");
    let done = world.server.sweep(Intended::default(), SweepMode::Act).await.unwrap();
    assert!(done.removed.iter().any(|line| line.starts_with("build cache")), "{done:?}");
    assert!(used() < 40, "{} % after {done:?}", used());
    assert!(engine.docker(&["image", "inspect", "seaway-test/base"]).status.success(), "a foreign image stays");
    // Beyond the threshold a build that asks for admission brings the clean-up itself.
    let mut order = with_file(&world, "FROM seaway-test/base\nCOPY blob /blob\nRUN cat /blob /blob > /more\n", 100 << 20);
    order.cache = true;
    let built = build(&world, order).await.unwrap();
    assert!(engine.docker(&["image", "rm", "--force", &built.image]).status.success());
    assert!(used() >= 50, "the cache fills {} %", used());
    let mut order = build_order(&world, "FROM seaway-test/base\nRUN echo small\n");
    order.builder =
        Builder::Dockerfile { path: "Dockerfile".into(), context: ".".into(), target: None, arguments: BTreeMap::new(), secrets: vec![] };
    build(&world, order).await.unwrap();
    assert!(used() < 50, "{} %", used());
    world.server.shutdown().await;
}
