//! Terminals: a one-use ticket, made by somebody with the right, opens one session in a replica that the server resolves.

use std::collections::HashMap;
use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use contract::Code;
use contract::instance::Feature;
use contract::runs::{CreateTerminal, Terminal};
use deployer::protocol::{ExecOrder, ExecSession, TerminalSize};
use domain::permission::Permission;

use crate::access::{Actor, Kind};
use crate::error::{ControlError, Result};
use crate::state::Control;

/// How long a ticket waits to be used.
const TICKET_LIFE: TimeDelta = TimeDelta::seconds(30);
const TICKETS_MAX: usize = 1_000;
/// Without a command of one's own: the first shell that the image has.
const SHELL: [&str; 3] = ["sh", "-c", "if [ -x /bin/bash ]; then exec /bin/bash; else exec /bin/sh; fi"];

/// A ticket that was not used yet.
struct Ticket {
    actor: Actor,
    order: CreateTerminal,
    expires_at: DateTime<Utc>,
}

/// Tickets by the digest of their text. In memory: a restart ends them, and they live half a minute.
#[derive(Default)]
pub struct Tickets(Mutex<HashMap<Vec<u8>, Ticket>>);

impl Control {
    /// Makes a ticket for one terminal of the service.
    pub async fn create_terminal(&self, actor: &Actor, wanted: CreateTerminal) -> Result<Terminal> {
        actor.require(Permission::ExecWrite)?;
        self.require_feature(Feature::Terminal).await?;
        let service = actor.service()?;
        if let Some(command) = &wanted.command {
            super::create::check_command("/command", command)?;
        }
        let running = self.server().replicas(service).await.map_err(ControlError::Server)?;
        if running.is_empty() {
            return Err(ControlError::refused(
                Code::Conflict,
                "No replica of the service runs. Deploy or start it first, or use a one-off command.",
            ));
        }
        let now = self.clock().now();
        let ticket = vault::token::OpaqueToken::generate(self.entropy());
        let expires_at = now + TICKET_LIFE;
        {
            let mut tickets = self.tickets().0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            tickets.retain(|_, ticket| ticket.expires_at > now);
            if tickets.len() >= TICKETS_MAX {
                return Err(ControlError::RateLimited { policy: "terminals", retry_after_seconds: 30 });
            }
            tickets.insert(ticket.digest.as_bytes().to_vec(), Ticket { actor: actor.clone(), order: wanted, expires_at });
        }
        let mut write = self.store().write().await?;
        self.record(actor, "terminal.opened").resource("service", service, None).append(&mut write).await?;
        write.commit().await?;
        Ok(Terminal { ticket: ticket.text.reveal().clone(), path: "/api/v1/terminal".into(), expires_at })
    }

    /// Uses a ticket: opens the session, once. Also answers whose it is, so that the connection can be ended with the right.
    ///
    /// # Errors
    /// `gone` for a ticket that is unknown, used or too old.
    pub async fn open_terminal(&self, ticket: &str, size: TerminalSize) -> Result<(ExecSession, Actor)> {
        let gone =
            || ControlError::refused(Code::Gone, "The ticket was used already or is older than 30 seconds. Open the terminal again.");
        let digest = vault::token::OpaqueToken::digest_of(ticket).ok_or_else(gone)?;
        let found = self.tickets().0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(digest.as_bytes());
        let ticket = found.filter(|ticket| ticket.expires_at > self.clock().now()).ok_or_else(gone)?;
        if !self.terminal_allowed(&ticket.actor).await? {
            return Err(gone());
        }
        let command = ticket.order.command.unwrap_or_else(|| SHELL.iter().map(|part| (*part).to_owned()).collect());
        let order = ExecOrder { service: ticket.actor.service()?, replica: ticket.order.replica, command, terminal: Some(size) };
        let session = self.server().exec(order).await.map_err(ControlError::Server)?;
        Ok((session, ticket.actor))
    }

    /// Whether the session or token that asked for the terminal lives and still has the right. Asked again every few seconds
    /// while a terminal is open.
    pub async fn terminal_allowed(&self, actor: &Actor) -> Result<bool> {
        match self.recheck(actor, Kind::Service, Permission::ExecWrite).await {
            Ok(()) => Ok(true),
            Err(error @ (ControlError::Unavailable(_) | ControlError::Internal(_))) => Err(error),
            Err(_) => Ok(false),
        }
    }
}
