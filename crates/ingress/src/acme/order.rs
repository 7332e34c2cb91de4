//! One order, from the account to the chain.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use instant_acme::{
    AuthorizationStatus, CertificateIdentifier, ChallengeStatus, ChallengeType, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::{
    account::Opened,
    answers::{Answers, Given},
    dns::{self, Dns, Placed},
    failure::{OrderError, of_problem},
    schedule::Pending,
};
use crate::{
    certificate_book::CertificateBook,
    certificates::{Challenge, DesiredCertificate, FailureCause, Material},
    key_text::KeyText,
    tls,
};

/// Until the authority has looked at the challenges, and until it has signed.
const WAIT_MAX: Duration = Duration::from_secs(180);
const POLL_FIRST: Duration = Duration::from_millis(500);

/// Everything about one order.
pub struct Request<'a> {
    pub book: &'a Arc<CertificateBook>,
    pub answers: &'a Arc<Answers>,
    pub opened: &'a Opened,
    pub desired: &'a DesiredCertificate,
    pub challenge: &'a Challenge,
    pub profile: Option<&'a str>,
    /// What is renewed by it.
    pub replaces: Option<CertificateIdentifier<'static>>,
    pub pending: Option<Pending>,
}

impl Request<'_> {
    /// Obtains the chain. A begun order is written down with its key before anything else, so that a crash costs none.
    pub async fn obtain(mut self) -> Result<Material, OrderError> {
        let (mut order, key_pem) = match self.resume().await {
            Some(resumed) => resumed,
            None => self.begin().await?,
        };
        if order.state().status == OrderStatus::Pending {
            self.prove(&mut order).await?;
        }
        self.finish(&mut order, key_pem).await
    }

    async fn resume(&mut self) -> Option<(Order, KeyText)> {
        let pending = self.pending.take()?;
        let mut order = self.opened.account.order(pending.url).await.ok()?;
        let is_open = !matches!(order.state().status, OrderStatus::Invalid);
        is_open.then_some((order, pending.key_pem))
    }

    async fn begin(&self) -> Result<(Order, KeyText), OrderError> {
        let identifiers: Vec<Identifier> = self.desired.names.iter().map(|name| Identifier::Dns(name.clone())).collect();
        let mut new = NewOrder::new(&identifiers);
        if let Some(profile) = self.profile {
            new = new.profile(profile);
        }
        let order = match &self.replaces {
            // The authority may have forgotten it, or not want to hear of it: the order matters more.
            Some(replaces) => match self.opened.account.new_order(&new.replaces(replaces.clone())).await {
                Ok(order) => order,
                Err(error) => {
                    tracing::debug!(%error, "an order that says what it replaces was refused");
                    let mut new = NewOrder::new(&identifiers);
                    if let Some(profile) = self.profile {
                        new = new.profile(profile);
                    }
                    self.opened.account.new_order(&new).await?
                }
            },
            None => self.opened.account.new_order(&new).await?,
        };
        let internal = |error: &dyn std::fmt::Display| OrderError::new(FailureCause::Internal, error.to_string());
        let key = KeyPair::generate().map_err(|error| internal(&error))?;
        let key_pem = KeyText::new(key.serialize_pem());
        let pending = Pending { url: order.url().to_owned(), key_pem: key_pem.clone() };
        let kept = self.book.update(&self.desired.id, self.desired.generation, |record| record.progress.pending = Some(pending)).await;
        if !kept.map_err(|error| internal(&error))? {
            return Err(internal(&"it was changed while it was ordered"));
        }
        Ok((order, key_pem))
    }

    /// Sets the answers to the challenges, says so, and waits for the authority.
    async fn prove(&self, order: &mut Order) -> Result<(), OrderError> {
        let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut given: Vec<Given> = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            let identifier = authorization.identifier();
            let Identifier::Dns(name) = identifier.identifier else { continue };
            let name = name.clone();
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue,
                status => {
                    let mut error = OrderError::new(FailureCause::Challenge, format!("the authorization of {name} is {status:?}"));
                    error.is_final = true;
                    return Err(error);
                }
            }
            let kind = match self.challenge {
                Challenge::Http01 => ChallengeType::Http01,
                Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
                Challenge::Dns01 { .. } => ChallengeType::Dns01,
            };
            let missing = || OrderError::new(FailureCause::Refused, format!("the authority does not offer this challenge for {name}"));
            let challenge = authorization.challenge(kind).ok_or_else(missing)?;
            let key_authorization = challenge.key_authorization();
            match self.challenge {
                Challenge::Http01 => given.push(self.answers.put_http(&name, &challenge.token, key_authorization.as_str())),
                Challenge::TlsAlpn01 => {
                    let digest = key_authorization.digest();
                    let key = tls::challenge_certificate(&name, digest.as_ref(), self.book.clock.now());
                    let key = key.map_err(|error| OrderError::new(FailureCause::Internal, error.to_string()))?;
                    given.push(self.answers.put_tls(&name, key));
                }
                Challenge::Dns01 { .. } => {
                    texts.entry(format!("_acme-challenge.{name}")).or_default().push(key_authorization.dns_value());
                }
            }
        }
        let records = self.place(texts).await?;
        let proven = self.say_ready(order).await;
        records.remove().await;
        drop(given);
        proven
    }

    async fn place(&self, texts: BTreeMap<String, Vec<String>>) -> Result<DnsRecords, OrderError> {
        let Challenge::Dns01 { provider } = self.challenge else { return Ok(DnsRecords { dns: None, placed: Vec::new() }) };
        let unknown = || OrderError::new(FailureCause::Provider, format!("the DNS provider {provider} is not known here"));
        let desired = self.book.provider(provider).ok_or_else(unknown)?;
        let dns = dns::open(&desired, Arc::clone(&self.book.clock))?;
        let mut records = DnsRecords { dns: Some(dns), placed: Vec::new() };
        let placed = records.place(&texts).await;
        if let Err(error) = placed {
            records.remove().await;
            return Err(error.into());
        }
        Ok(records)
    }

    async fn say_ready(&self, order: &mut Order) -> Result<(), OrderError> {
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let kind = match self.challenge {
                Challenge::Http01 => ChallengeType::Http01,
                Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
                Challenge::Dns01 { .. } => ChallengeType::Dns01,
            };
            if let Some(mut challenge) = authorization.challenge(kind)
                && challenge.status == ChallengeStatus::Pending
            {
                challenge.set_ready().await?;
            }
        }
        let waited = order.poll_ready(&RetryPolicy::new().initial_delay(POLL_FIRST).timeout(WAIT_MAX)).await;
        match waited {
            Ok(OrderStatus::Ready) => Ok(()),
            Ok(_) => Err(why_invalid(order, None).await),
            Err(error) => match error {
                instant_acme::Error::Api(problem) => Err(why_invalid(order, Some(of_problem(&problem))).await),
                // Let's Encrypt and others answer `valid` or `processing` to an order that was resumed late.
                other => Err(other.into()),
            },
        }
    }

    async fn finish(&self, order: &mut Order, key_pem: KeyText) -> Result<Material, OrderError> {
        let internal = |error: &dyn std::fmt::Display| OrderError::new(FailureCause::Internal, error.to_string());
        order.refresh().await?;
        if order.state().status == OrderStatus::Ready {
            let key = KeyPair::from_pem(key_pem.reveal()).map_err(|error| internal(&error))?;
            let mut params = CertificateParams::new(self.desired.names.clone()).map_err(|error| internal(&error))?;
            params.distinguished_name = DistinguishedName::new();
            let request = params.serialize_request(&key).map_err(|error| internal(&error))?;
            order.finalize_csr(request.der()).await?;
        }
        let chain_pem = match order.poll_certificate(&RetryPolicy::new().initial_delay(POLL_FIRST).timeout(WAIT_MAX)).await {
            Ok(chain) => chain,
            Err(error) => {
                let mut error = OrderError::from(error);
                error.is_final = order.state().status == OrderStatus::Invalid;
                return Err(error);
            }
        };
        let material = Material { chain_pem, key_pem };
        let checked = tls::check_own(&material, &self.desired.names, self.book.clock.now());
        checked.map(|_| material).map_err(|error| {
            let mut error = OrderError::new(FailureCause::Refused, format!("what the authority issued cannot be served: {error}"));
            error.is_final = true;
            error
        })
    }
}

/// The words of the challenges that failed say more than the order's.
async fn why_invalid(order: &mut Order, of_order: Option<OrderError>) -> OrderError {
    let mut found: Option<OrderError> = None;
    let mut failed_names = Vec::new();
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        let Ok(state) = authorization.refresh().await else { continue };
        let Some(problem) = state.challenges.iter().find_map(|challenge| challenge.error.as_ref()) else { continue };
        let mut error = of_problem(problem);
        if let Identifier::Dns(name) = state.identifier().identifier {
            failed_names.push(name.clone());
            error.message = format!("{name}: {}", error.message);
        }
        found = Some(match found {
            None => error,
            Some(mut first) => {
                first.message = format!("{}; {}", first.message, error.message);
                first
            }
        });
    }
    let mut error =
        found.or(of_order).unwrap_or_else(|| OrderError::new(FailureCause::Challenge, "the authority called the order invalid"));
    error.failed_names = failed_names;
    error.is_final = true;
    error
}

/// TXT records that stand, with the way to take them back.
struct DnsRecords {
    dns: Option<Box<dyn Dns>>,
    placed: Vec<Placed>,
}

impl DnsRecords {
    async fn place(&mut self, texts: &BTreeMap<String, Vec<String>>) -> Result<(), dns::DnsError> {
        let Some(dns) = &self.dns else { return Ok(()) };
        for (name, values) in texts {
            self.placed.push(dns.place(name, values).await?);
        }
        for placed in &self.placed {
            dns.settle(placed).await?;
        }
        Ok(())
    }

    /// A record that stays behind harms nobody; it is said and left.
    async fn remove(self) {
        let Some(dns) = self.dns else { return };
        for placed in &self.placed {
            if let Err(error) = dns.remove(placed).await {
                tracing::warn!(name = %placed.name, %error, "a TXT record could not be taken back");
            }
        }
    }
}
