use ::mail::Template;
use chrono::TimeDelta;
use store::{tokens, users};

use crate::Control;
use crate::error::Result;
use crate::mail::Addressee;

const WARN_BEFORE: TimeDelta = TimeDelta::days(7);
/// Tokens per run; the rest is told by the next run.
const BATCH: i64 = 500;

impl Control {
    /// Tells the owners of tokens that expire within a week, each once. Answers how many. For a daily schedule.
    pub async fn warn_of_expiring_tokens(&self) -> Result<u64> {
        let now = self.clock().now();
        let mut told = 0u64;
        let mut read = self.store().read().await?;
        for token in tokens::list_expiring(&mut read, now, now + WARN_BEFORE, BATCH).await? {
            let Some(user) = users::find(&mut read, token.user_id).await? else { continue };
            let template = Template::TokenExpiring {
                token_name: token.name.clone(),
                expires_at: token.expires_at,
                tokens_link: self.link("account/tokens"),
            };
            let letter = self.letter(&Addressee::from(&user), None, &template).await?;
            let mut write = self.store().write().await?;
            if tokens::mark_warned(&mut write, token.id, now).await? {
                self.post(&mut write, letter).await?;
                told += 1;
            }
            write.commit_without_audit("a reminder changes nothing").await?;
        }
        Ok(told)
    }
}
