//! Letters: composed mails on their way into the outbox.

use ::mail::{Address, Message, Sender, Template};
use domain::Secret;
use domain::id::{Id, MailId, OrganizationId, UserId};
use serde_json::json;
use store::Write;
use store::jobs::NewJob;
use store::mails::{self, MailRow, MailState};
use vault::Place;

use crate::Control;
use crate::access::Origin;
use crate::error::Result;
use crate::keys::INSTANCE;

/// Who gets a letter.
#[derive(Debug, Clone)]
pub struct Addressee {
    pub user: Option<UserId>,
    pub email: String,
    pub name: Option<String>,
}

impl From<&store::users::UserRow> for Addressee {
    fn from(user: &store::users::UserRow) -> Self {
        Self { user: Some(user.id), email: user.email.clone(), name: Some(user.name.clone()) }
    }
}

/// A composed and sealed mail that is not posted yet.
#[must_use = "a letter that is not posted is not sent"]
pub struct Letter(MailRow);

impl Control {
    /// Composes and seals a mail. Call it before the write unit is open.
    ///
    /// # Errors
    /// `Sealed` when the instance's key does not open; internal for an address or sender that cannot be used.
    pub async fn letter(&self, to: &Addressee, organization: Option<OrganizationId>, template: &Template) -> Result<Letter> {
        let id = MailId::new(self.clock(), self.entropy());
        let address = Address::new(&to.email, to.name.as_deref()).map_err(anyhow::Error::new)?;
        let message = self.sender()?.compose(template, &address, id, self.clock()).map_err(anyhow::Error::new)?;
        let bytes = message.to_bytes().map_err(anyhow::Error::new)?;
        let text = Secret::new(String::from_utf8(bytes.reveal().clone()).map_err(anyhow::Error::new)?);
        let payload = self.keys().seal(self.store(), &place(id), &text).await?;
        Ok(Letter(MailRow {
            id,
            user_id: to.user,
            organization_id: organization,
            kind: template.kind().to_owned(),
            recipient: to.email.clone(),
            payload_sealed: Some(payload),
            state: MailState::Queued,
            attempts: 0,
            error: None,
            created_at: self.clock().now(),
            sent_at: None,
        }))
    }

    /// Puts the letter into the outbox, with the job that sends it.
    pub async fn post(&self, write: &mut Write, letter: Letter) -> Result<()> {
        let Letter(row) = letter;
        mails::insert(write, &row).await?;
        let job = NewJob::new(super::KIND, row.organization_id, json!({ "mail": row.id }));
        store::jobs::enqueue(write, self.clock(), self.entropy(), job).await?;
        Ok(())
    }

    /// Posts a letter alone: nothing else changes.
    pub async fn post_alone(&self, letter: Letter) -> Result<()> {
        let mut write = self.store().write().await?;
        self.post(&mut write, letter).await?;
        write.commit_without_audit("a mail that goes with no change").await?;
        Ok(())
    }

    pub(super) async fn open_letter(&self, row: &MailRow, payload: &[u8]) -> Result<Message> {
        let text = self.keys().open(self.store(), &place(row.id), payload).await?;
        Ok(Message::from_bytes(&Secret::new(text.reveal().clone().into_bytes())).map_err(anyhow::Error::new)?)
    }

    fn sender(&self) -> Result<Sender> {
        let from = &self.config().mail_from;
        let (name, email) = match from.split_once('<') {
            Some((name, email)) => (Some(name.trim()), email.trim_end().trim_end_matches('>')),
            None => (None, from.trim()),
        };
        let from = Address::new(email, name.filter(|name| !name.is_empty())).map_err(anyhow::Error::new)?;
        let host = self.base_url().split_once("://").map_or(self.base_url(), |(_, rest)| rest);
        let host = host.split(['/', ':']).next().unwrap_or_default();
        Ok(Sender::new(from, None, host).map_err(anyhow::Error::new)?)
    }

    /// A complete link into the web app; a one-use token goes behind `#`, which browsers send to nobody.
    pub(crate) fn link(&self, path: &str) -> String {
        format!("{}/{path}", self.base_url().trim_end_matches('/'))
    }

    /// Where something came from, for mails about it.
    pub(crate) fn mail_origin(&self, origin: &Origin, device: Option<&str>) -> ::mail::Origin {
        ::mail::Origin {
            device: device.unwrap_or("unknown").to_owned(),
            place: origin.address.map_or_else(|| "unknown".to_owned(), crate::audit::truncated),
        }
    }
}

fn place(id: MailId) -> Place<'static> {
    Place { tenant: INSTANCE, table: "mails", column: "payload_sealed", row: id.uuid(), name: "" }
}
