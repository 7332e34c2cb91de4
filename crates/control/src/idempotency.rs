//! Answers kept for a repeat of the same request.

use chrono::TimeDelta;
use store::idempotency::{self, Answer, Begin};
use uuid::Uuid;

/// How long an answer is kept.
pub const KEPT_HOURS: i64 = 24;
/// A key without an answer for so long was left by a process that died: the next request with it goes on. What must not be
/// done twice goes by [`Ticket::delivery`].
const ABANDONED: TimeDelta = TimeDelta::minutes(5);

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
    /// The same for every try of the request, also after a crash, and for no other request: see [`crate::access::Origin`].
    pub delivery: String,
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
        let begun =
            idempotency::begin(&mut write, (&scope, key), fingerprint, now, now + TimeDelta::hours(KEPT_HOURS), now - ABANDONED).await?;
        write.commit_without_audit("a key is claimed before its request").await?;
        Ok(match begun {
            Begin::First { since } => {
                let delivery = delivery(&scope, key, since.timestamp_micros());
                Beginning::Fresh(Ticket { scope, key: key.to_owned(), delivery })
            }
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
        match idempotency::finish(&mut write, &ticket.scope, &ticket.key, &answer).await {
            // Somebody took the key over and answered first.
            Err(store::StoreError::Stale { .. }) => return Ok(()),
            other => other?,
        }
        write.commit_without_audit("the answer of a request that is audited by itself").await?;
        Ok(())
    }

    /// Something failed inside: nobody knows whether anything was done. The next try may begin at once, under the same delivery.
    pub async fn free_idempotent(&self, ticket: Ticket) -> crate::Result<()> {
        let mut write = self.store().write().await?;
        idempotency::free(&mut write, &ticket.scope, &ticket.key).await?;
        write.commit_without_audit("a key is freed for the next try").await?;
        Ok(())
    }

    /// The request was refused and nothing was done: the key may be used again.
    pub async fn forget_idempotent(&self, ticket: Ticket) -> crate::Result<()> {
        let mut write = self.store().write().await?;
        idempotency::forget(&mut write, &ticket.scope, &ticket.key).await?;
        write.commit_without_audit("nothing was done under the key").await?;
        Ok(())
    }
}

fn delivery(scope: &str, key: &str, since_us: i64) -> String {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    for part in [scope.as_bytes(), key.as_bytes(), since_us.to_string().as_bytes()] {
        digest.update(part);
        digest.update([0]);
    }
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

const CONTENT_TYPE: &str = "content-type";
const LOCATION: &str = "location";

fn stored(answer: Answer) -> Stored {
    let header = |wanted: &str| answer.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    Stored { status: answer.status, content_type: header(CONTENT_TYPE), location: header(LOCATION), body: answer.body }
}
