//! Puts the rules in place, and again after the engine, the firewall or the machine restarted.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use domain::deployment::{Cause, Failure, Step};
use tokio_util::sync::CancellationToken;

use super::rules::{self, Family, Jump, Names, RuleSettings};
use crate::process::{Invocation, Program, Runner};

/// Limit of one call; `-w` waits for the kernel's lock.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
const LOCK_WAIT_SECONDS: &str = "5";
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Whether the kernel shows frames between two ports of one bridge to the rules.
const BRIDGE_RULES: &str = "/proc/sys/net/bridge/bridge-nf-call-iptables";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirewallMode {
    /// No container starts before its rules exist.
    Required,
    /// For hosts without the right to change the firewall; shown as degraded.
    Off,
}

pub struct Firewall {
    mode: FirewallMode,
    names: Names,
    settings: RuleSettings,
    runner: Runner,
    /// What `hosts_denied` was resolved to last.
    hosts: Mutex<BTreeSet<IpAddr>>,
    /// One change at a time; `true` once the rules were seen in place since the last doubt.
    ensured: tokio::sync::Mutex<bool>,
    last_error: Mutex<Option<String>>,
}

impl Firewall {
    /// `instance` is the random id of this instance; it names the chains.
    pub fn new(mode: FirewallMode, instance: &str, settings: RuleSettings, runner: Runner) -> Self {
        Self {
            mode,
            names: Names::of(instance),
            settings,
            runner,
            hosts: Mutex::default(),
            ensured: tokio::sync::Mutex::new(false),
            last_error: Mutex::new(None),
        }
    }

    /// The rules are in place, or the failure says why not. Costs nothing while nothing happened to doubt it.
    pub async fn ensure(&self) -> Result<(), Failure> {
        if self.mode == FirewallMode::Off {
            return Ok(());
        }
        let mut ensured = self.ensured.lock().await;
        if *ensured {
            return Ok(());
        }
        let outcome = async {
            self.resolve().await?;
            self.write().await
        };
        let outcome = outcome.await;
        *self.last_error.lock().unwrap_or_else(PoisonError::into_inner) = outcome.as_ref().err().cloned();
        outcome.map_err(|reason| {
            Failure::new(
                Cause::Engine,
                Step::Create,
                format!("The firewall rules that isolate apps could not be set, so nothing is started: {reason}."),
                "Install iptables and run the agent with the right to change the firewall (CAP_NET_ADMIN), or switch the firewall off for this server and accept the risk.",
            )
        })?;
        *ensured = true;
        Ok(())
    }

    /// Checks that every jump is there once and that the denied hosts are where they were; puts everything right when not.
    pub async fn verify(&self) -> Result<(), Failure> {
        if self.mode == FirewallMode::Off {
            return Ok(());
        }
        let moved = match self.resolve().await {
            Ok(moved) => moved,
            Err(reason) => {
                tracing::warn!("{reason}");
                false
            }
        };
        let intact = match self.in_place().await {
            Ok(intact) => intact && !moved,
            Err(reason) => {
                tracing::warn!("the firewall rules could not be checked: {reason}");
                false
            }
        };
        if !intact {
            *self.ensured.lock().await = false;
        }
        self.ensure().await
    }

    /// `Ok` text for people, `Err` what is degraded.
    pub async fn state(&self) -> Result<String, String> {
        if self.mode == FirewallMode::Off {
            return Err("switched off: apps can reach the server itself and metadata addresses".to_owned());
        }
        if let Some(error) = self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Err(error);
        }
        if !bridged_frames_are_seen() {
            return Err(format!(
                "builds that run at the same time can reach each other: {BRIDGE_RULES} is not 1 (load the kernel's module br_netfilter)"
            ));
        }
        Ok(if *self.ensured.lock().await { "rules in place" } else { "no rules needed yet" }.to_owned())
    }

    /// Removes jumps and chains of this instance. Only when nothing of it runs any more.
    ///
    /// # Errors
    /// What iptables says.
    pub async fn remove(&self) -> Result<(), String> {
        if self.mode == FirewallMode::Off {
            return Ok(());
        }
        let mut ensured = self.ensured.lock().await;
        *ensured = false;
        for family in families() {
            for jump in self.jumps(family).await {
                for _ in 0..self.count(family, &jump).await? {
                    self.change(family, "-D", &jump).await?;
                }
            }
            for chain in self.names.chains() {
                for action in ["-F", "-X"] {
                    // It may never have been made.
                    let _absent = self.run(Invocation::new(program(family)).arguments(["-w", LOCK_WAIT_SECONDS, action, &chain])).await?;
                }
            }
        }
        Ok(())
    }

    /// Looks the denied hosts up; answers whether they moved. A look-up that fails leaves what was known, and is an error when
    /// nothing was known.
    async fn resolve(&self) -> Result<bool, String> {
        let mut found = BTreeSet::new();
        for host in &self.settings.hosts_denied {
            let looked_up = tokio::time::timeout(RESOLVE_TIMEOUT, tokio::net::lookup_host((host.as_str(), 0))).await;
            match looked_up {
                Ok(Ok(addresses)) => found.extend(addresses.map(|address| address.ip()).filter(|address| !address.is_loopback())),
                Ok(Err(_)) | Err(_) => {
                    let known = !self.hosts.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
                    let reason = format!("the host {host}, to which workloads get no route, cannot be resolved");
                    return if known { Ok(false) } else { Err(reason) };
                }
            }
        }
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        let moved = *hosts != found;
        *hosts = found;
        Ok(moved)
    }

    async fn write(&self) -> Result<(), String> {
        see_bridged_frames();
        let hosts: Vec<IpAddr> = self.hosts.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect();
        for family in families() {
            let chains = rules::chains(family, &self.names, &self.settings, &hosts);
            let restore = match family {
                Family::V4 => Program::IptablesRestore,
                Family::V6 => Program::Ip6tablesRestore,
            };
            let invocation = Invocation::new(restore).arguments(["-w", LOCK_WAIT_SECONDS, "--noflush"]).input(chains.into_bytes());
            self.succeed(invocation).await?;
            for jump in self.jumps(family).await {
                match self.count(family, &jump).await? {
                    0 => self.change(family, "-I", &jump).await?,
                    // Two processes may have looked at the same moment.
                    count => {
                        for _ in 1..count {
                            self.change(family, "-D", &jump).await?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    async fn in_place(&self) -> Result<bool, String> {
        for family in families() {
            for jump in self.jumps(family).await {
                if self.count(family, &jump).await? != 1 {
                    return Ok(false);
                }
            }
            let input = self.names.input();
            let listed = self.run(Invocation::new(program(family)).arguments(["-w", LOCK_WAIT_SECONDS, "-S", &input])).await?;
            if !listed.0 || !listed.1.contains("-j DROP") {
                return Ok(false);
            }
        }
        Ok(bridged_frames_are_seen() || !std::path::Path::new(BRIDGE_RULES).exists())
    }

    async fn jumps(&self, family: Family) -> Vec<Jump> {
        let user = Invocation::new(program(family)).arguments(["-w", LOCK_WAIT_SECONDS, "-S", "DOCKER-USER"]);
        let has_user = self.run(user).await.is_ok_and(|(success, _)| success);
        rules::jumps(if has_user { "DOCKER-USER" } else { "FORWARD" }, &self.names)
    }

    /// How often the jump is there.
    async fn count(&self, family: Family, jump: &Jump) -> Result<usize, String> {
        let (success, listed) = self.run(Invocation::new(program(family)).arguments(["-w", LOCK_WAIT_SECONDS, "-S", jump.chain])).await?;
        if !success {
            return Err(listed.trim().to_owned());
        }
        let line = jump.line();
        Ok(listed.lines().filter(|listed| listed.trim() == line).count())
    }

    /// `-I` puts the jump first, `-D` takes one away.
    async fn change(&self, family: Family, action: &'static str, jump: &Jump) -> Result<(), String> {
        let mut arguments = vec!["-w", LOCK_WAIT_SECONDS, action, jump.chain];
        if action == "-I" {
            arguments.push("1");
        }
        arguments.extend(jump.arguments.iter().map(String::as_str));
        self.succeed(Invocation::new(program(family)).arguments(arguments)).await
    }

    async fn succeed(&self, invocation: Invocation) -> Result<(), String> {
        match self.run(invocation).await? {
            (true, _) => Ok(()),
            (false, text) => Err(text.trim().to_owned()),
        }
    }

    async fn run(&self, invocation: Invocation) -> Result<(bool, String), String> {
        let finished =
            self.runner.run(invocation.timeout(CALL_TIMEOUT), &CancellationToken::new()).await.map_err(|error| error.to_string())?;
        Ok((finished.success(), format!("{}{}", finished.stdout_text(), finished.stderr_text())))
    }
}

/// A kernel without IPv6 needs no rules for it, and has no table to put them in.
fn families() -> Vec<Family> {
    let has_v6 = std::path::Path::new("/proc/net/if_inet6").exists();
    if has_v6 { vec![Family::V4, Family::V6] } else { vec![Family::V4] }
}

fn bridged_frames_are_seen() -> bool {
    std::fs::read_to_string(BRIDGE_RULES).is_ok_and(|text| text.trim() == "1")
}

/// The engine does the same for a network whose containers are kept from each other. Where it is not possible, [`Firewall::state`]
/// says so.
fn see_bridged_frames() {
    if !bridged_frames_are_seen() {
        let _refused = std::fs::write(BRIDGE_RULES, "1");
    }
}

fn program(family: Family) -> Program {
    match family {
        Family::V4 => Program::Iptables,
        Family::V6 => Program::Ip6tables,
    }
}
