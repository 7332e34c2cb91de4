//! Git over http and ssh, and archives: what must work and what must be refused.

use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::Path;

use deployer::egress::EgressPolicy;
use deployer::mask::Masker;
use deployer::output::{KeptLines, Lines};
use deployer::process::Runner;
use deployer::protocol::{GitCredential, LogChannel};
use deployer::source::git::{GitOrder, fetch};
use deployer::source::{Fetched, SourceContext, archive};
use domain::Secret;
use domain::deployment::{Cause, Failure};
use domain::service::BuildLimits;
use tokio_util::sync::CancellationToken;

use crate::git_server::{git, key, repository, serve_http, serve_ssh};

struct Bench {
    runner: Runner,
    egress: EgressPolicy,
    work: tempfile::TempDir,
    secrets: tempfile::TempDir,
    limits: BuildLimits,
    cancel: CancellationToken,
    lines: KeptLines,
    masker: Masker,
}

impl Bench {
    fn new() -> Self {
        Self {
            runner: Runner::recording(),
            egress: EgressPolicy { allow: vec!["127.0.0.0/8".parse().unwrap()], plain_http: true, ..EgressPolicy::default() },
            work: tempfile::tempdir().unwrap(),
            secrets: tempfile::tempdir_in("/dev/shm").unwrap(),
            limits: BuildLimits::default(),
            cancel: CancellationToken::new(),
            lines: KeptLines::default(),
            masker: Masker::default(),
        }
    }

    fn context(&self) -> SourceContext<'_> {
        SourceContext {
            runner: &self.runner,
            egress: &self.egress,
            work_base: self.work.path(),
            secret_base: self.secrets.path(),
            limits: &self.limits,
            lines: Lines { sink: &self.lines, masker: &self.masker, channel: LogChannel::Platform, origin: "fetch" },
            cancel: &self.cancel,
        }
    }

    async fn git(
        &self,
        url: &str,
        reference: Option<&str>,
        commit: Option<&str>,
        credential: Option<&GitCredential>,
    ) -> Result<Fetched, Failure> {
        fetch(&self.context(), &GitOrder { url, reference, commit, credential, submodules: true, lfs: true }).await
    }

    fn assert_nothing_left(&self) {
        assert_eq!(std::fs::read_dir(self.work.path()).unwrap().count(), 0, "a source is left");
        assert_eq!(std::fs::read_dir(self.secrets.path()).unwrap().count(), 0, "a credential is left");
    }
}

fn read(fetched: &Fetched, file: &str) -> String {
    std::fs::read_to_string(fetched.path().join(file)).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_tags_commits_and_unusual_names() {
    let root = tempfile::tempdir().unwrap();
    let app = repository(root.path(), "app", &[("a.txt", "one")]);
    let first = git(&app, &["rev-parse", "HEAD"]);
    git(&app, &["tag", "-a", "v1", "-m", "tag"]);
    for branch in ["main;id", "feature/#123", "a+b", "$(touch${IFS}canary)", "ünïcode"] {
        git(&app, &["branch", branch]);
    }
    std::fs::write(app.join("a.txt"), "two").unwrap();
    git(&app, &["commit", "-qam", "second: ünï"]);
    let second = git(&app, &["rev-parse", "HEAD"]);
    let port = serve_http(root.path(), None).await;
    let url = format!("http://127.0.0.1:{port}/app/.git");
    let bench = Bench::new();
    let head = bench.git(&url, None, None, None).await.unwrap();
    assert_eq!(
        (head.revision.id.as_str(), head.revision.subject.as_deref(), head.revision.author.as_deref()),
        (second.as_str(), Some("second: ünï"), Some("Ada"))
    );
    assert_eq!(read(&head, "a.txt"), "two");
    assert!(!head.path().join(".git").exists());
    drop(head);
    for name in ["v1", "main;id", "feature/#123", "a+b", "$(touch${IFS}canary)", "ünïcode"] {
        assert_eq!(bench.git(&url, Some(name), None, None).await.unwrap().revision.id, first, "{name}");
    }
    // The commit of the event, not the head of the branch by now.
    assert_eq!(bench.git(&url, Some("main"), Some(&first), None).await.unwrap().revision.id, first);
    // A host that moved the repository.
    let moved = format!("http://127.0.0.1:{port}/moved/app/.git");
    assert_eq!(bench.git(&moved, None, None, None).await.unwrap().revision.id, second);
    for (reference, commit) in [(Some("nope"), None), (None, Some("1111111111111111111111111111111111111111"))] {
        let failure = bench.git(&url, reference, commit, None).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Clone);
        assert!(failure.message.contains("feature/#123"), "{}", failure.message);
    }
    for name in ["--upload-pack=touch canary", "-x"] {
        assert!(bench.git(&url, Some(name), None, None).await.unwrap_err().message.contains("begins with"), "{name}");
    }
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_used_and_seen_nowhere() {
    let root = tempfile::tempdir().unwrap();
    repository(root.path(), "app", &[("a.txt", "one")]);
    let port = serve_http(root.path(), Some("s3cr3t/t:ken@x")).await;
    let url = format!("http://127.0.0.1:{port}/app/.git");
    let bench = Bench::new();
    let token = |text: &str| GitCredential::Token { username: String::new(), token: Secret::new(text.to_owned()) };
    let fetched = bench.git(&url, None, None, Some(&token("s3cr3t/t:ken@x"))).await.unwrap();
    assert_eq!(read(&fetched, "a.txt"), "one");
    drop(fetched);
    for started in bench.runner.recorded() {
        assert!(!format!("{started:?}").contains("s3cr3t"), "{started:?}");
        let environment: std::collections::BTreeMap<_, _> = started.environment.into_iter().collect();
        assert_eq!(environment["GIT_ALLOW_PROTOCOL"], "https:ssh:http");
        assert_eq!(environment["GIT_TERMINAL_PROMPT"], "0");
    }
    let private = bench.git(&url, None, None, Some(&token("wrong"))).await.unwrap_err();
    let anonymous = bench.git(&url, None, None, None).await.unwrap_err();
    let missing = bench.git(&format!("http://127.0.0.1:{port}/nope/.git"), None, None, Some(&token("s3cr3t/t:ken@x"))).await.unwrap_err();
    for failure in [&private, &anonymous, &missing] {
        assert!(failure.message.contains("does not exist, or this credential may not read it"), "{failure:?}");
    }
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn unreachable_refused_and_foreign_transports() {
    let mut bench = Bench::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let failure = bench.git(&format!("http://127.0.0.1:{free}/x"), None, None, None).await.unwrap_err();
    assert!(failure.message.contains("does not answer"), "{failure:?}");
    for url in ["ext::sh -c touch% canary", "ext::id", "file:///etc", "/etc", "--upload-pack=x", "ssh://-oProxyCommand=x/y"] {
        assert_eq!(bench.git(url, None, None, None).await.unwrap_err().cause, Cause::Clone, "{url}");
    }
    bench.egress.allow.clear();
    let failure = bench.git(&format!("http://127.0.0.1:{free}/x"), None, None, None).await.unwrap_err();
    assert!(failure.message.contains("loopback"), "{failure:?}");
    assert_eq!(bench.git("https://no-such-host.invalid/x", None, None, None).await.unwrap_err().cause, Cause::Clone);
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_links_and_cancel() {
    let root = tempfile::tempdir().unwrap();
    let app = repository(root.path(), "app", &[("a.txt", "one")]);
    symlink("/etc/passwd", app.join("leak")).unwrap();
    git(&app, &["add", "-A"]);
    git(&app, &["commit", "-qm", "link"]);
    let big = repository(root.path(), "big", &[("a.txt", "one")]);
    // Not compressible, so that the pack itself is large.
    let mut state = 1u64;
    let noise: Vec<u8> = (0..20_000_000)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state & 0xff) as u8
        })
        .collect();
    std::fs::write(big.join("noise"), noise).unwrap();
    git(&big, &["add", "-A"]);
    git(&big, &["commit", "-qm", "big"]);
    let zeros = repository(root.path(), "zeros", &[("a.txt", "one")]);
    std::fs::File::create(zeros.join("zeros")).unwrap().set_len(200_000_000).unwrap();
    git(&zeros, &["add", "-A"]);
    git(&zeros, &["commit", "-qm", "zeros"]);
    let port = serve_http(root.path(), None).await;
    let mut bench = Bench::new();
    let failure = bench.git(&format!("http://127.0.0.1:{port}/app/.git"), None, None, None).await.unwrap_err();
    assert_eq!(failure.cause, Cause::Source);
    assert!(failure.message.contains("“leak”"), "{failure:?}");
    bench.limits.source_bytes_max = 5_000_000;
    for name in ["big", "zeros"] {
        let failure = bench.git(&format!("http://127.0.0.1:{port}/{name}/.git"), None, None, None).await.unwrap_err();
        assert_eq!(failure.cause, Cause::Source, "{failure:?}");
        assert!(failure.message.contains("larger"), "{failure:?}");
    }
    bench.cancel.cancel();
    assert!(bench.git(&format!("http://127.0.0.1:{port}/big/.git"), None, None, None).await.unwrap_err().message.contains("canceled"));
    bench.assert_nothing_left();
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_and_hooks() {
    let root = tempfile::tempdir().unwrap();
    let port = serve_http(root.path(), None).await;
    repository(root.path(), "inner", &[("deep.txt", "deep")]);
    let lib = repository(root.path(), "lib", &[("lib.txt", "lib")]);
    let add = |folder: &Path, name: &str, address: &str, place: &str| {
        git(folder, &["submodule", "add", "--quiet", &format!("{}/{name}/.git", root.path().display()), place]);
        git(folder, &["config", "-f", ".gitmodules", &format!("submodule.{place}.url"), address]);
        git(folder, &["add", "-A"]);
        git(folder, &["commit", "-qm", "submodule"]);
    };
    add(&lib, "inner", &format!("http://127.0.0.1:{port}/inner/.git"), "inner");
    let app = repository(root.path(), "app", &[("a.txt", "one")]);
    add(&app, "lib", "../../lib/.git", "vendor/lib");
    let bench = Bench::new();
    let url = format!("http://127.0.0.1:{port}/app/.git");
    let fetched = bench.git(&url, None, None, None).await.unwrap();
    assert_eq!((read(&fetched, "vendor/lib/lib.txt"), read(&fetched, "vendor/lib/inner/deep.txt")), ("lib".into(), "deep".into()));
    assert!(!fetched.path().join("vendor/lib/.git").exists());
    for address in ["file:///etc", "ext::sh -c id", "/etc", "http://169.254.169.254/x"] {
        git(&app, &["config", "-f", ".gitmodules", "submodule.vendor/lib.url", address]);
        git(&app, &["commit", "-qam", "hostile"]);
        let failure = bench.git(&url, None, None, None).await.unwrap_err();
        assert!(failure.message.contains("Submodule “vendor/lib”"), "{address}: {failure:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ssh_with_key_host_key_and_refusals() {
    let sshd = serve_ssh();
    let app = repository(sshd.folder.path(), "app;id", &[("a.txt", "over ssh")]);
    let url = format!("ssh://root@127.0.0.1:{}{}/.git", sshd.port, app.display());
    let known = format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key);
    let credential = |private_key: &str, known_hosts: &str| GitCredential::DeployKey {
        private_key: Secret::new(private_key.to_owned()),
        known_hosts: known_hosts.to_owned(),
    };
    let bench = Bench::new();
    let fetched = bench.git(&url, Some("main"), None, Some(&credential(&sshd.private_key, &known))).await.unwrap();
    assert_eq!(read(&fetched, "a.txt"), "over ssh");
    drop(fetched);
    let unknown = bench.git(&url, None, None, Some(&credential(&sshd.private_key, ""))).await.unwrap_err();
    assert!(
        unknown.message.contains("not known") && unknown.message.contains("SHA256:") && unknown.message.contains(&sshd.host_key),
        "{unknown:?}"
    );
    let (other_key, other_host) = key(bench.work.path().parent().unwrap().join(bench.work.path()).as_path(), "other");
    let changed = bench
        .git(&url, None, None, Some(&credential(&sshd.private_key, &format!("[127.0.0.1]:{} {other_host}", sshd.port))))
        .await
        .unwrap_err();
    assert!(changed.message.contains("is not the one"), "{changed:?}");
    let wrong = bench.git(&url, None, None, Some(&credential(&other_key, &known))).await.unwrap_err();
    assert!(wrong.message.contains("refuses this deploy key"), "{wrong:?}");
    assert!(bench.git(&url, None, None, None).await.unwrap_err().message.contains("no deploy key"));
    assert_eq!(std::fs::read_dir(bench.secrets.path()).unwrap().count(), 0);
}

fn tar_with(entries: impl FnOnce(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    entries(&mut builder);
    builder.into_inner().unwrap()
}

/// An entry whose name is written as it is, without the checks of the tar crate.
fn raw(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, link: &str, mode: u32, content: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.as_mut_bytes()[157..157 + link.len()].copy_from_slice(link.as_bytes());
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(content.len() as u64);
    header.set_cksum();
    builder.append(&header, content).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_work_and_hostile_ones_are_refused_whole() {
    use tar::EntryType as E;
    let mut bench = Bench::new();
    let upload = tempfile::tempdir().unwrap();
    let file = upload.path().join("upload");
    let good = tar_with(|builder| {
        raw(builder, "app/a.txt", E::Regular, "", 0o644, b"one");
        raw(builder, "app/run", E::Regular, "", 0o755, b"#!");
        raw(builder, "app/link", E::Symlink, "a.txt", 0o777, b"");
    });
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&good).unwrap();
    for bytes in [good, packed.finish().unwrap()] {
        std::fs::write(&file, bytes).unwrap();
        let fetched = archive::fetch(&bench.context(), &file, "").await.unwrap();
        assert_eq!((read(&fetched, "a.txt"), read(&fetched, "link")), ("one".into(), "one".into()));
    }
    let hostile: Vec<(&str, Vec<u8>)> = vec![
        ("absolute", tar_with(|builder| raw(builder, "/tmp/canary", E::Regular, "", 0o644, b"x"))),
        ("parent", tar_with(|builder| raw(builder, "a/../../canary", E::Regular, "", 0o644, b"x"))),
        (
            "link out",
            tar_with(|builder| {
                raw(builder, "ok", E::Regular, "", 0o644, b"x");
                raw(builder, "l", E::Symlink, "../../x", 0o777, b"");
            }),
        ),
        ("absolute link", tar_with(|builder| raw(builder, "l", E::Symlink, "/etc", 0o777, b""))),
        (
            "write through link",
            tar_with(|builder| {
                raw(builder, "l", E::Symlink, ".", 0o777, b"");
                raw(builder, "l/x", E::Regular, "", 0o644, b"x");
            }),
        ),
        ("hard link out", tar_with(|builder| raw(builder, "l", E::Link, "/etc/passwd", 0o644, b""))),
        (
            "twice",
            tar_with(|builder| {
                raw(builder, "a", E::Regular, "", 0o644, b"x");
                raw(builder, "a", E::Regular, "", 0o644, b"y");
            }),
        ),
        (
            "case",
            tar_with(|builder| {
                raw(builder, "a", E::Regular, "", 0o644, b"x");
                raw(builder, "A", E::Regular, "", 0o644, b"y");
            }),
        ),
        ("device", tar_with(|builder| raw(builder, "null", E::Char, "", 0o644, b""))),
        ("pipe", tar_with(|builder| raw(builder, "pipe", E::Fifo, "", 0o644, b""))),
        ("setuid", tar_with(|builder| raw(builder, "su", E::Regular, "", 0o4755, b"x"))),
        ("empty", tar_with(|_| {})),
        ("garbage", b"this is no archive at all".repeat(100)),
    ];
    for (name, bytes) in hostile {
        std::fs::write(&file, bytes).unwrap();
        let failure = archive::fetch(&bench.context(), &file, "").await.unwrap_err();
        assert_eq!(failure.cause, Cause::Source, "{name}: {failure:?}");
        bench.assert_nothing_left();
    }
    // A zip bomb: 300 MB of zeros in 300 kB, counted as they come out.
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&file).unwrap());
    zip.start_file("app/zeros", zip::write::SimpleFileOptions::default()).unwrap();
    for _ in 0..300 {
        zip.write_all(&vec![0u8; 1_000_000]).unwrap();
    }
    zip.start_file("app/b", zip::write::SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap();
    assert!(archive::fetch(&bench.context(), &file, "").await.is_ok());
    bench.limits.source_bytes_max = 10_000_000;
    assert!(archive::fetch(&bench.context(), &file, "").await.unwrap_err().message.contains("larger"));
    assert!(archive::fetch(&bench.context(), &file, &"a".repeat(64)).await.unwrap_err().message.contains("changed"));
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&file).unwrap());
    zip.start_file("../../canary", zip::write::SimpleFileOptions::default()).unwrap();
    zip.finish().unwrap();
    assert_eq!(archive::fetch(&bench.context(), &file, "").await.unwrap_err().cause, Cause::Source);
    bench.assert_nothing_left();
}
