//! Puts the rules in place, and again after the engine, the firewall or the machine restarted.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use domain::deployment::{Cause, Failure, Step};
use tokio_util::sync::CancellationToken;

use super::rules::{self, Family, Jump, RuleSettings};
use crate::process::{Invocation, Program, Runner};

/// Limit of one call; `-w` waits for the kernel's lock.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
const LOCK_WAIT_SECONDS: &str = "5";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirewallMode {
    /// No container starts before its rules exist.
    Required,
    /// For hosts without the right to change the firewall; shown as degraded.
    Off,
}

pub struct Firewall {
    mode: FirewallMode,
    settings: RuleSettings,
    runner: Runner,
    /// One change at a time; `true` once the rules were seen in place since the last doubt.
    ensured: tokio::sync::Mutex<bool>,
    last_error: Mutex<Option<String>>,
}

impl Firewall {
    pub fn new(mode: FirewallMode, settings: RuleSettings, runner: Runner) -> Self {
        Self { mode, settings, runner, ensured: tokio::sync::Mutex::new(false), last_error: Mutex::new(None) }
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
        let outcome = self.write().await;
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

    /// Checks that every jump is still there and in the first place; puts everything back when not.
    pub async fn verify(&self) -> Result<(), Failure> {
        if self.mode == FirewallMode::Off {
            return Ok(());
        }
        let intact = match self.in_place().await {
            Ok(intact) => intact,
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
        Ok(if *self.ensured.lock().await { "rules in place" } else { "no rules needed yet" }.to_owned())
    }

    async fn write(&self) -> Result<(), String> {
        for family in families() {
            let chains = rules::chains(family, &self.settings);
            let restore = match family {
                Family::V4 => Program::IptablesRestore,
                Family::V6 => Program::Ip6tablesRestore,
            };
            let invocation = Invocation::new(restore).arguments(["-w", LOCK_WAIT_SECONDS, "--noflush"]).input(chains.into_bytes());
            self.succeed(invocation).await?;
            for jump in self.jumps(family).await {
                if !self.is_there(family, &jump).await? {
                    let mut arguments = vec!["-w", LOCK_WAIT_SECONDS, "-I", jump.chain, "1"];
                    arguments.extend(&jump.arguments);
                    self.succeed(Invocation::new(program(family)).arguments(arguments)).await?;
                }
            }
        }
        Ok(())
    }

    async fn in_place(&self) -> Result<bool, String> {
        for family in families() {
            for jump in self.jumps(family).await {
                if !self.is_there(family, &jump).await? {
                    return Ok(false);
                }
            }
            let listed = self.run(Invocation::new(program(family)).arguments(["-w", LOCK_WAIT_SECONDS, "-S", rules::CHAIN_INPUT])).await?;
            if !listed.0 || !listed.1.contains("-j DROP") {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn jumps(&self, family: Family) -> Vec<Jump> {
        let user = Invocation::new(program(family)).arguments(["-w", LOCK_WAIT_SECONDS, "-S", "DOCKER-USER"]);
        let has_user = self.run(user).await.is_ok_and(|(success, _)| success);
        rules::jumps(if has_user { "DOCKER-USER" } else { "FORWARD" })
    }

    async fn is_there(&self, family: Family, jump: &Jump) -> Result<bool, String> {
        let mut arguments = vec!["-w", LOCK_WAIT_SECONDS, "-C", jump.chain];
        arguments.extend(&jump.arguments);
        Ok(self.run(Invocation::new(program(family)).arguments(arguments)).await?.0)
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

fn program(family: Family) -> Program {
    match family {
        Family::V4 => Program::Iptables,
        Family::V6 => Program::Ip6tables,
    }
}
