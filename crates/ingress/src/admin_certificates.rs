//! The part of the admin API that concerns certificates; its calls are listed in [`crate::client::IngressClient`].

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Response, request::Parts};
use http_body_util::Full;
use hyper::body::Incoming;

use crate::{
    acme::Engine,
    admin::{json, read, refusal},
    certificate_book::{BookError, CertificateBook},
    certificates::{Desired, DesiredAccount, DesiredCertificate, DesiredProvider},
    wire::{Refusal, RefusalCode},
};

type Answer = Result<Response<Full<Bytes>>, Refusal>;

pub struct CertificateAdmin {
    pub book: Arc<CertificateBook>,
    pub engine: Arc<Engine>,
}

impl CertificateAdmin {
    /// `path` is `parts`' path, taken apart.
    pub async fn handle(&self, parts: &Parts, path: &[&str], body: Incoming) -> Answer {
        let query = parts.uri.query();
        match (&parts.method, path) {
            (&Method::GET, ["certificates"]) => {
                let since = query.and_then(|query| query.strip_prefix("since=")).and_then(|text| text.parse().ok());
                Ok(json(&self.book.list(since)))
            }
            (&Method::GET, ["certificates", id]) => Ok(json(&self.book.state(id)?)),
            (&Method::GET, ["certificates", id, "material"]) => Ok(json(&self.book.material(id).await?)),
            (&Method::POST, ["certificates", id, "retry"]) => {
                self.engine.retry(id).await?;
                Ok(json(&self.book.state(id)?))
            }
            (&Method::PUT, ["certificates", id]) => {
                let desired: DesiredCertificate = read(body).await?;
                same(id, &desired)?;
                Ok(json(&self.book.put_certificate(desired).await?))
            }
            (&Method::DELETE, ["certificates", id]) => Ok(json(&self.book.delete_certificate(id, generation(query)?).await?)),
            (&Method::GET, ["acme-accounts", id, "material"]) => {
                let material = self.book.account(id).and_then(|record| record.material);
                Ok(json(&material.ok_or_else(|| BookError::Unknown((*id).to_owned()))?))
            }
            (&Method::POST, ["acme-accounts", id, "roll"]) => {
                self.engine.roll(id).await?;
                Ok(json(&self.book.account_state(id)?))
            }
            (&Method::PUT, ["acme-accounts", id]) => {
                let desired: DesiredAccount = read(body).await?;
                same(id, &desired)?;
                Ok(json(&self.book.put_account(desired).await?))
            }
            (&Method::DELETE, ["acme-accounts", id]) => Ok(json(&self.book.delete_account(id, generation(query)?).await?)),
            (&Method::PUT, ["dns-providers", id]) => {
                let desired: DesiredProvider = read(body).await?;
                same(id, &desired)?;
                Ok(json(&self.book.put_provider(desired).await?))
            }
            (&Method::DELETE, ["dns-providers", id]) => Ok(json(&self.book.delete_provider(id, generation(query)?).await?)),
            _ => Err(refusal(RefusalCode::NotFound, "no such operation")),
        }
    }
}

fn same(id: &str, desired: &impl Desired) -> Result<(), Refusal> {
    if desired.id() == id { Ok(()) } else { Err(refusal(RefusalCode::Invalid, "the path and the body name different items")) }
}

fn generation(query: Option<&str>) -> Result<u64, Refusal> {
    let generation = query.and_then(|query| query.strip_prefix("generation=")).and_then(|text| text.parse().ok());
    generation.ok_or_else(|| refusal(RefusalCode::Invalid, "say ?generation=N: it fences the removal"))
}

impl From<BookError> for Refusal {
    fn from(error: BookError) -> Self {
        let code = match &error {
            BookError::Invalid(_) | BookError::Unusable(_) | BookError::SelfSigned(_) => RefusalCode::Invalid,
            BookError::Stale { .. } => RefusalCode::StaleGeneration,
            BookError::Unknown(_) => RefusalCode::NotFound,
            BookError::Storage(_) => RefusalCode::Storage,
            BookError::Authority(_) => RefusalCode::Other,
        };
        let message = match &error {
            BookError::Unusable(unusable) => format!("{unusable}. {}", unusable.remedy()),
            error => error.to_string(),
        };
        let mut refusal = refusal(code, &message);
        if let BookError::Stale { stored, .. } = error {
            refusal.stored_generation = Some(stored);
        }
        refusal
    }
}
