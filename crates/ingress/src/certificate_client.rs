//! The calls of the admin API that concern certificates.

use http::Method;

use crate::{
    certificates::{
        AccountMaterial, AccountState, CertificateList, CertificateState, DesiredAccount, DesiredCertificate, DesiredProvider, Material,
    },
    client::{CALL_TIMEOUT, ClientError, IngressClient},
    wire::{Acknowledged, RefusalCode},
};

/// The authority is asked during a roll of the key.
const ROLL_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(90);

impl IngressClient {
    /// Replaces one desired certificate. Returns when it is on disk; an order, if one is needed, begins in the background.
    pub async fn put_certificate(&self, desired: &DesiredCertificate) -> Result<Acknowledged, ClientError> {
        self.call(Method::PUT, &format!("/certificates/{}", desired.id), &desired.id, Some(desired), CALL_TIMEOUT).await
    }

    /// Forgets a certificate and its key. An unknown one is no error.
    pub async fn delete_certificate(&self, id: &str, generation: u64) -> Result<Acknowledged, ClientError> {
        self.delete_item("certificates", id, generation).await
    }

    /// All states; with `since` only what changed after that revision.
    pub async fn certificates(&self, since: Option<u64>) -> Result<CertificateList, ClientError> {
        let query = since.map(|revision| format!("?since={revision}")).unwrap_or_default();
        self.call(Method::GET, &format!("/certificates{query}"), "certificates", None::<&()>, CALL_TIMEOUT).await
    }

    /// `None`: the ingress does not know it.
    pub async fn certificate(&self, id: &str) -> Result<Option<CertificateState>, ClientError> {
        known(self.call(Method::GET, &format!("/certificates/{id}"), id, None::<&()>, CALL_TIMEOUT).await)
    }

    /// What is served, for the vault. `None`: nothing yet.
    pub async fn certificate_material(&self, id: &str) -> Result<Option<Material>, ClientError> {
        known(self.call(Method::GET, &format!("/certificates/{id}/material"), id, None::<&()>, CALL_TIMEOUT).await)
    }

    /// The next attempt begins now (a person pressed "retry"); limits of the authority still hold.
    pub async fn retry_certificate(&self, id: &str) -> Result<CertificateState, ClientError> {
        self.call(Method::POST, &format!("/certificates/{id}/retry"), id, None::<&()>, CALL_TIMEOUT).await
    }

    pub async fn put_acme_account(&self, desired: &DesiredAccount) -> Result<Acknowledged, ClientError> {
        self.call(Method::PUT, &format!("/acme-accounts/{}", desired.id), &desired.id, Some(desired), CALL_TIMEOUT).await
    }

    pub async fn delete_acme_account(&self, id: &str, generation: u64) -> Result<Acknowledged, ClientError> {
        self.delete_item("acme-accounts", id, generation).await
    }

    /// `None`: not registered yet.
    pub async fn acme_account_material(&self, id: &str) -> Result<Option<AccountMaterial>, ClientError> {
        known(self.call(Method::GET, &format!("/acme-accounts/{id}/material"), id, None::<&()>, CALL_TIMEOUT).await)
    }

    /// Gives the account a new key (RFC 8555, 7.3.5); fetch its material afterwards.
    pub async fn roll_acme_account(&self, id: &str) -> Result<AccountState, ClientError> {
        self.call(Method::POST, &format!("/acme-accounts/{id}/roll"), id, None::<&()>, ROLL_TIMEOUT).await
    }

    pub async fn put_dns_provider(&self, desired: &DesiredProvider) -> Result<Acknowledged, ClientError> {
        self.call(Method::PUT, &format!("/dns-providers/{}", desired.id), &desired.id, Some(desired), CALL_TIMEOUT).await
    }

    pub async fn delete_dns_provider(&self, id: &str, generation: u64) -> Result<Acknowledged, ClientError> {
        self.delete_item("dns-providers", id, generation).await
    }

    async fn delete_item(&self, kind: &str, id: &str, generation: u64) -> Result<Acknowledged, ClientError> {
        self.call(Method::DELETE, &format!("/{kind}/{id}?generation={generation}"), id, None::<&()>, CALL_TIMEOUT).await
    }
}

fn known<T>(result: Result<T, ClientError>) -> Result<Option<T>, ClientError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(ClientError::Refused { code: RefusalCode::NotFound, .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
