//! `seaway doctor`: each thing that the instance needs, one line: well, or what to do. Changes nothing.

use std::net::{TcpListener, ToSocketAddrs};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use deployer::engine::Engine;
use deployer::process::Program;
use ingress::IngressClient;
use serde::Serialize;
use store::{Store, instance};
use tokio::net::TcpStream;
use vault::KeyCheck;

use crate::configuration::{self, Configuration};
use crate::{master_key, say};

const WAIT: Duration = Duration::from_secs(5);
const DISK_FREE_BYTES_MIN: u64 = 2 * 1024 * 1024 * 1024;
const MEMORY_BYTES_MIN: u64 = 900 * 1024 * 1024;
const OTHERS: u32 = 0o077;

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    ok: bool,
    detail: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

fn ok(name: &'static str, detail: impl Into<String>) -> Check {
    Check { name, ok: true, detail: detail.into(), remedy: None }
}

fn bad(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Check {
    Check { name, ok: false, detail: detail.into(), remedy: Some(remedy.into()) }
}

/// # Errors
/// None of its own: what is wrong is a line, and exit code 1.
pub async fn run(configuration: &Configuration, json: bool) -> Result<ExitCode> {
    let source =
        configuration.file.as_ref().map_or_else(|| "no file, environment and defaults".to_owned(), |file| file.display().to_string());
    let serves = is_locked(&configuration.data_dir);
    let mut checks = vec![ok("configuration", source), data_dir(configuration)];
    checks.extend(database_and_key(configuration).await);
    checks.push(disk(&configuration.data_dir));
    checks.push(memory());
    checks.push(docker(configuration).await);
    checks.push(firewall(configuration));
    checks.push(git());
    checks.push(listen(configuration, serves).await);
    checks.push(ingress(configuration).await);
    checks.push(base_domain(configuration).await);
    checks.push(mail(configuration).await);
    let well = checks.iter().all(|check| check.ok);
    if json {
        say::line(serde_json::json!({"ok": well, "checks": checks}));
    } else {
        for check in &checks {
            say::line(format!("{:<7}{:<14}{}", if check.ok { "ok" } else { "FAILED" }, check.name, check.detail));
            if let Some(remedy) = &check.remedy {
                say::line(format!("       {:<14}-> {remedy}", ""));
            }
        }
    }
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::from(say::FAILED) })
}

fn is_locked(data_dir: &Path) -> bool {
    let Ok(file) = std::fs::File::open(data_dir.join("serve.lock")) else { return false };
    rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockShared).is_err()
}

fn data_dir(configuration: &Configuration) -> Check {
    let path = &configuration.data_dir;
    let shown = path.display();
    match path.metadata() {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => ok("data folder", format!("{shown} will be made at the first start")),
        Err(error) => bad("data folder", format!("{shown}: {error}"), "choose another with --data-dir, or give this user the right to it"),
        Ok(metadata) if !metadata.is_dir() => bad("data folder", format!("{shown} is not a folder"), "choose another with --data-dir"),
        Ok(metadata) if metadata.mode() & OTHERS != 0 => {
            bad("data folder", format!("others can enter {shown}"), format!("chmod 700 {shown}"))
        }
        Ok(_) => ok("data folder", format!("{shown} is private")),
    }
}

async fn database_and_key(configuration: &Configuration) -> Vec<Check> {
    let kind = configuration.database.kind();
    if configuration.database.is_sqlite()
        && !configuration.data_dir.join("seaway.db").exists()
        && configuration.database.url.reveal().contains("seaway.db")
    {
        return vec![ok("database", "SQLite, made at the first start"), ok("master key", "made at the first start; back it up then")];
    }
    let remedy = "check database_url, and that the database runs";
    let store = match tokio::time::timeout(WAIT, Store::open(configuration.database.url.reveal())).await {
        Ok(Ok(store)) => store,
        Ok(Err(error)) => {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            return vec![bad("database", format!("{kind}: {error}{cause}"), remedy)];
        }
        Err(_) => return vec![bad("database", format!("{kind} does not answer within {} s", WAIT.as_secs()), remedy)],
    };
    let checks = match stored_check(&store).await {
        Ok(check) => vec![ok("database", format!("{kind} answers")), integrity(&store).await, key(configuration, check)],
        Err(error) => vec![bad("database", format!("{kind}: {error}"), "run: seaway migrate")],
    };
    store.close().await;
    checks
}

/// Every page is read: seconds for a database of some gigabytes.
async fn integrity(store: &Store) -> Check {
    match store.integrity().await {
        Ok(faults) if faults.is_empty() => ok("integrity", "the database finds no fault in itself"),
        Ok(faults) => bad(
            "integrity",
            faults.join("; "),
            "stop seaway, keep a copy of the database, then: seaway restore (the newest backup that is sound). Without a backup: \
             sqlite3 seaway.db .recover, or for PostgreSQL pg_amcheck and REINDEX; see docs/operations.md, Repair",
        ),
        Err(error) => bad("integrity", error.to_string(), "check the disk and the log of the database"),
    }
}

async fn stored_check(store: &Store) -> Result<Option<Vec<u8>>, store::StoreError> {
    Ok(instance::find(&mut store.read().await?).await?.and_then(|row| row.key_check))
}

fn key(configuration: &Configuration, check: Option<Vec<u8>>) -> Check {
    let remedy = "put the right key file back from your backup; Seaway never makes a new one while secrets exist";
    match (master_key::read_existing(&configuration.vault), check) {
        (Err(error), Some(_)) => bad("master key", error.to_string(), remedy),
        (Err(_), None) => ok("master key", "made at the first start; back it up then"),
        (Ok(masters), None) => ok("master key", format!("{} (nothing is sealed yet)", masters.current().id())),
        (Ok(masters), Some(check)) => match KeyCheck::from_bytes(check).verify(&masters) {
            Ok(()) => ok("master key", format!("{} opens this instance's secrets", masters.current().id())),
            Err(error) => bad("master key", error.to_string(), remedy),
        },
    }
}

fn disk(data_dir: &Path) -> Check {
    let place = data_dir.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(place) {
        Err(error) => bad("disk", format!("{}: {error}", place.display()), "check the file system"),
        Ok(facts) => {
            let free = facts.f_bavail.saturating_mul(facts.f_frsize);
            let text = format!("{} free at {}", gibibytes(free), place.display());
            match free < DISK_FREE_BYTES_MIN {
                true => bad(
                    "disk",
                    text,
                    "free some space: builds and databases fail on a full disk (what nothing needs any more: `seaway instance cleanup`)",
                ),
                false => ok("disk", text),
            }
        }
    }
}

fn memory() -> Check {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kibibytes = text.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse::<u64>().ok());
    match kibibytes.map(|kibibytes| kibibytes.saturating_mul(1024)) {
        Some(bytes) if bytes < MEMORY_BYTES_MIN => {
            bad("memory", format!("{} in all", gibibytes(bytes)), "1 GiB is the minimum for Seaway, Docker and a build")
        }
        Some(bytes) => ok("memory", format!("{} in all", gibibytes(bytes))),
        None => ok("memory", "not known on this system"),
    }
}

fn gibibytes(bytes: u64) -> String {
    format!("{}.{} GiB", bytes >> 30, ((bytes >> 20) % 1024) * 10 / 1024)
}

async fn docker(configuration: &Configuration) -> Check {
    let socket = &configuration.server.docker_socket;
    let remedy = format!("start Docker (systemctl start docker), let this user use {}, or set docker_host", socket.display());
    let engine = Engine::new(socket.clone(), "doctor".to_owned());
    match tokio::time::timeout(WAIT, engine.facts()).await {
        Ok(Ok(facts)) => ok("docker", format!("{} answers at {}", facts.version, socket.display())),
        Ok(Err(failure)) => bad("docker", failure.message, remedy),
        Err(_) => bad("docker", format!("{} does not answer within {} s", socket.display(), WAIT.as_secs()), remedy),
    }
}

fn firewall(configuration: &Configuration) -> Check {
    use deployer::network::firewall::FirewallMode;
    if configuration.server.firewall == FirewallMode::Off {
        return bad(
            "firewall",
            "turned off by the setting firewall",
            "apps can reach this machine and each other; use firewall = \"required\"",
        );
    }
    match Program::Iptables.find() {
        None => bad("firewall", "iptables is not installed", "install it (apt install iptables)"),
        Some(path) if rustix::process::geteuid().is_root() => ok("firewall", format!("{} is there", path.display())),
        Some(path) => ok("firewall", format!("{} is there; `serve` needs CAP_NET_ADMIN to use it", path.display())),
    }
}

fn git() -> Check {
    match (Program::Git.find(), Program::Ssh.find()) {
        (Some(_), Some(_)) => ok("git", "git and ssh are there"),
        (None, _) => bad("git", "git is not installed", "install it (apt install git): no repository can be deployed without"),
        (_, None) => bad("git", "ssh is not installed", "install it (apt install openssh-client): deploy keys need it"),
    }
}

async fn listen(configuration: &Configuration, serves: bool) -> Check {
    for address in &configuration.http.listen {
        let connected = tokio::time::timeout(WAIT, TcpStream::connect(address)).await.is_ok_and(|result| result.is_ok());
        let free = || TcpListener::bind(address).map(drop);
        match (serves, connected) {
            (true, true) => {}
            (true, false) => return bad("listen", format!("`serve` runs but does not answer at {address}"), "look into its log"),
            (false, true) => {
                return bad("listen", format!("another program listens on {address}"), "stop it, or set `listen` to a free port");
            }
            (false, false) => {
                if let Err(error) = free() {
                    return bad("listen", format!("{address}: {error}"), "set `listen` to an address and port that this user may use");
                }
            }
        }
    }
    ok("listen", if serves { "serves" } else { "does not run; its ports are free" })
}

async fn ingress(configuration: &Configuration) -> Check {
    let data_dir = configuration.data_dir.canonicalize().unwrap_or_else(|_| configuration.data_dir.clone());
    let client = IngressClient::new(configuration::ingress::admin_socket(&data_dir));
    if let Ok(health) = client.health().await {
        return match health.warnings.first() {
            Some(warning) => bad("ingress", warning.clone(), "deploy the services it names again"),
            None => ok("ingress", format!("serves {} hosts of {} services (process {})", health.hosts, health.services, health.pid)),
        };
    }
    for address in &configuration.ingress.listen {
        if let Err(error) = TcpListener::bind(address) {
            return bad(
                "ingress",
                format!("{address}: {error}"),
                "stop what listens there, or set `ingress_listen`; ports below 1024 need a right",
            );
        }
    }
    ok("ingress", "does not run; its ports are free (`serve` starts it)")
}

async fn base_domain(configuration: &Configuration) -> Check {
    let domain = &configuration.ingress.base_domain;
    if domain == "localhost" || domain.ends_with(".localhost") {
        return ok("base domain", format!("{domain}: browsers take it for this machine"));
    }
    let host = format!("seaway-doctor.{domain}:80");
    let resolved =
        tokio::task::spawn_blocking(move || host.to_socket_addrs().map(|found| found.map(|address| address.ip()).collect::<Vec<_>>()));
    match tokio::time::timeout(WAIT, resolved).await {
        Ok(Ok(Ok(addresses))) if !addresses.is_empty() => {
            ok("base domain", format!("*.{domain} is {}", addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")))
        }
        _ => {
            bad("base domain", format!("*.{domain} does not resolve"), format!("make a DNS record *.{domain} that points at this machine"))
        }
    }
}

async fn mail(configuration: &Configuration) -> Check {
    let Some(smtp) = &configuration.mail.smtp else {
        return ok("mail", format!("SMTP is not configured: mails become files in {}", configuration.data_dir.join("outbox").display()));
    };
    match tokio::time::timeout(WAIT, TcpStream::connect((smtp.host.as_str(), smtp.port))).await {
        Ok(Ok(_)) => ok("mail", format!("{}:{} answers", smtp.host, smtp.port)),
        Ok(Err(error)) => {
            bad("mail", format!("{}:{}: {error}", smtp.host, smtp.port), "check smtp_url and this machine's outgoing firewall")
        }
        Err(_) => bad("mail", format!("{}:{} does not answer", smtp.host, smtp.port), "many hosts block port 25: use 587 or 465"),
    }
}
