//! Answers kept for a repeat of the same request.

use chrono::TimeDelta;
use store::idempotency::{self, Answer, Begin};
use uuid::Uuid;

/// How long an answer is kept.
pub const KEPT_HOURS: i64 = 24;

/// What is known about a key.
pub enum Beginning {
    /// Never seen: go on, then `finish` or `forget`.
    Fresh(Ticket),
    Running,
    OtherRequest,
    Done(Stored),
}

pub struct Ticket {
    pub scope: String,
    pub key: String,
}

pub struct Stored {
    pub status: u16,
    pub content_type: Option<String>,
    pub location: Option<String>,
    pub body: Vec<u8>,
}

/// Keys are per caller and operation.
pub(crate) fn scope(caller: Uuid, operation: &str) -> String {
    format!("{caller}/{operation}")
}

impl crate::Control {
    /// Claims a key for a request.
    pub async fn begin_idempotent(&self, caller: Uuid, operation: &str, key: &str, fingerprint: [u8; 32]) -> crate::Result<Beginning> {
        let scope = scope(caller, operation);
        let now = self.clock().now();
        let mut write = self.store().write().await?;
        let begun = idempotency::begin(&mut write, &scope, key, fingerprint, now, now + TimeDelta::hours(KEPT_HOURS)).await?;
        write.commit_without_audit("a key is claimed before its request").await?;
        Ok(match begun {
            Begin::First => Beginning::Fresh(Ticket { scope, key: key.to_owned() }),
            Begin::Running => Beginning::Running,
            Begin::Mismatch => Beginning::OtherRequest,
            Begin::Done(answer) => Beginning::Done(stored(answer)),
        })
    }

    /// Keeps the answer.
    pub async fn finish_idempotent(&self, ticket: Ticket, stored: Stored) -> crate::Result<()> {
        let named = [(CONTENT_TYPE, stored.content_type), (LOCATION, stored.location)];
        let headers = named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        let answer = Answer { status: stored.status, headers, body: stored.body };
        let mut write = self.store().write().await?;
        idempotency::finish(&mut write, &ticket.scope, &ticket.key, &answer).await?;
        write.commit_without_audit("the answer of a request that is audited by itself").await?;
        Ok(())
    }

    /// The request failed: the key may be used again.
    pub async fn forget_idempotent(&self, ticket: Ticket) -> crate::Result<()> {
        let mut write = self.store().write().await?;
        idempotency::forget(&mut write, &ticket.scope, &ticket.key).await?;
        write.commit_without_audit("nothing was done under the key").await?;
        Ok(())
    }
}

const CONTENT_TYPE: &str = "content-type";
const LOCATION: &str = "location";

fn stored(answer: Answer) -> Stored {
    let header = |wanted: &str| answer.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    Stored { status: answer.status, content_type: header(CONTENT_TYPE), location: header(LOCATION), body: answer.body }
}
