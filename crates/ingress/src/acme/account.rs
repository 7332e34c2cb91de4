//! Accounts at authorities: registered once, kept with their key, opened once for each process.

use std::{collections::HashMap, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use instant_acme::{Account, AccountCredentials, ExternalAccountKey, NewAccount};
use tokio::sync::Mutex;

use super::{
    failure::OrderError,
    web::{AcmeHttp, Reach, Web},
};
use crate::{
    certificate_book::CertificateBook,
    certificates::{AccountMaterial, DesiredAccount, FailureCause},
    key_text::KeyText,
};

/// An account that is ready to order.
#[derive(Clone)]
pub struct Opened {
    pub account: Account,
    pub web: Arc<Web>,
    generation: u64,
}

pub struct Accounts {
    book: Arc<CertificateBook>,
    /// One at a time: two orders must not register the same account twice.
    open: Mutex<HashMap<String, Opened>>,
}

impl Accounts {
    pub fn new(book: Arc<CertificateBook>) -> Self {
        Self { book, open: Mutex::default() }
    }

    /// Opens or registers it.
    pub async fn open(&self, id: &str) -> Result<Opened, OrderError> {
        let mut open = self.open.lock().await;
        let record = self.book.account(id);
        let (record, desired) = match record.map(|record| (record.desired.clone(), record)) {
            Some((Some(desired), record)) => (record, desired),
            _ => return Err(OrderError::new(FailureCause::Account, format!("the account {id} is not known here"))),
        };
        if let Some(opened) = open.get(id).filter(|opened| opened.generation == record.generation) {
            return Ok(opened.clone());
        }
        let reach = Reach { may_be_private: desired.may_be_private, may_be_plain: false };
        let web = Web::new(desired.authority_pem.as_deref(), reach);
        let web = Arc::new(web.map_err(|error| OrderError::new(FailureCause::Account, error.to_string()))?);
        let builder = Account::builder_with_http(Box::new(AcmeHttp(Arc::clone(&web))));
        let account = match &record.material {
            Some(material) => builder.from_credentials(credentials_of(material)?).await.map_err(OrderError::from)?,
            None => self.register(builder, &desired).await?,
        };
        if record.last_error.is_some()
            && let Err(error) = self.book.update_account(id, |record| record.last_error = None).await
        {
            tracing::debug!(account = id, %error, "the end of a failure could not be written down");
        }
        let opened = Opened { account, web, generation: record.generation };
        open.insert(id.to_owned(), opened.clone());
        Ok(opened)
    }

    /// A new key for the account; the old one is worth nothing afterwards.
    pub async fn roll(&self, id: &str) -> Result<(), OrderError> {
        let mut opened = self.open(id).await?;
        let mut open = self.open.lock().await;
        let credentials = opened.account.update_key().await?;
        self.keep(id, opened.account.id().to_owned(), &credentials).await?;
        open.insert(id.to_owned(), opened);
        Ok(())
    }

    /// The authority does not know it any more: it is registered anew at the next order.
    pub async fn forget(&self, id: &str) {
        self.open.lock().await.remove(id);
        let cleared = self.book.update_account(id, |record| {
            record.material = None;
            record.url = None;
        });
        if let Err(error) = cleared.await {
            tracing::warn!(account = id, %error, "an account that is gone cannot be cleared");
        }
    }

    async fn register(&self, builder: instant_acme::AccountBuilder, desired: &DesiredAccount) -> Result<Account, OrderError> {
        let contacts: Vec<String> = desired.contacts.iter().map(|contact| format!("mailto:{contact}")).collect();
        let contacts: Vec<&str> = contacts.iter().map(String::as_str).collect();
        let binding = match &desired.external_binding {
            Some(binding) => {
                let key = BASE64_URL_SAFE_NO_PAD.decode(binding.hmac_key.reveal().trim_end_matches('='));
                let key =
                    key.map_err(|error| OrderError::new(FailureCause::Account, format!("the key of the external binding: {error}")))?;
                Some(ExternalAccountKey::new(binding.key_id.clone(), &key))
            }
            None => None,
        };
        let new = NewAccount { contact: &contacts, terms_of_service_agreed: true, only_return_existing: false };
        let (account, credentials) = builder.create(&new, desired.directory_url.clone(), binding.as_ref()).await.map_err(|error| {
            let mut error = OrderError::from(error);
            if matches!(error.cause, FailureCause::Refused | FailureCause::Challenge) {
                error.cause = FailureCause::Account;
            }
            error
        })?;
        self.keep(&desired.id, account.id().to_owned(), &credentials).await?;
        Ok(account)
    }

    async fn keep(&self, id: &str, url: String, credentials: &AccountCredentials) -> Result<(), OrderError> {
        let internal = |error: &dyn std::fmt::Display| OrderError::new(FailureCause::Internal, error.to_string());
        let text = KeyText::new(serde_json::to_string(credentials).map_err(|error| internal(&error))?);
        let kept = self.book.update_account(id, move |record| {
            record.url = Some(url);
            record.material = Some(AccountMaterial { credentials: text });
            record.material_version += 1;
            record.last_error = None;
        });
        kept.await.map_err(|error| internal(&error))
    }
}

fn credentials_of(material: &AccountMaterial) -> Result<AccountCredentials, OrderError> {
    let read = serde_json::from_str(material.credentials.reveal());
    read.map_err(|error| OrderError::new(FailureCause::Account, format!("the kept account cannot be read: {error}")))
}
