//! Turns an error of an authority into its cause and a remedy; its words are kept unchanged.

use chrono::{DateTime, Utc};
use instant_acme::{Error, Problem};

use super::{dns::DnsError, web::WebError};
use crate::certificates::{Failure, FailureCause};

const ERROR_PREFIX: &str = "urn:ietf:params:acme:error:";
const MESSAGE_BYTES_MAX: usize = 2_000;

/// Why an order failed.
#[derive(Debug)]
pub struct OrderError {
    pub cause: FailureCause,
    pub message: String,
    /// Names whose check failed; the authority counts them.
    pub failed_names: Vec<String>,
    /// The begun order is of no use any more.
    pub is_final: bool,
}

impl OrderError {
    pub fn new(cause: FailureCause, message: impl Into<String>) -> Self {
        Self { cause, message: message.into(), failed_names: Vec::new(), is_final: false }
    }

    /// The authority refused good nonces; nothing is wrong with the order.
    pub fn is_nonce(&self) -> bool {
        self.message.contains("error:badNonce")
    }

    pub fn failure(&self, at: DateTime<Utc>) -> Failure {
        let message = self.message.chars().take(MESSAGE_BYTES_MAX).collect();
        Failure { at, cause: self.cause, message, remedy: remedy(self.cause).to_owned() }
    }
}

impl From<Error> for OrderError {
    fn from(error: Error) -> Self {
        match &error {
            Error::Api(problem) => of_problem(problem),
            Error::Timeout(_) => Self::new(FailureCause::AuthorityDown, "the authority did not finish the order in time"),
            Error::Json(_) => Self::new(FailureCause::AuthorityDown, format!("the authority's answer cannot be read: {error}")),
            Error::Other(inner) => match inner.downcast_ref::<WebError>() {
                Some(WebError::Private { .. } | WebError::Plain(_) | WebError::Authority(_)) => {
                    Self::new(FailureCause::Account, error.to_string())
                }
                _ => Self::new(FailureCause::AuthorityDown, error.to_string()),
            },
            Error::Crypto | Error::KeyRejected => Self::new(FailureCause::Account, error.to_string()),
            _ => Self::new(FailureCause::AuthorityDown, error.to_string()),
        }
    }
}

impl From<DnsError> for OrderError {
    fn from(error: DnsError) -> Self {
        Self::new(FailureCause::Provider, error.to_string())
    }
}

pub fn of_problem(problem: &Problem) -> OrderError {
    let kind = problem.r#type.as_deref().and_then(|kind| kind.strip_prefix(ERROR_PREFIX)).unwrap_or_default();
    let cause = match kind {
        "caa" => FailureCause::Caa,
        "dns" => FailureCause::Dns,
        "connection" | "unauthorized" | "incorrectResponse" | "tls" => FailureCause::Challenge,
        "rejectedIdentifier" | "unsupportedIdentifier" | "malformed" | "badCSR" | "badPublicKey" | "invalidProfile" => {
            FailureCause::Refused
        }
        "rateLimited" => FailureCause::RateLimited,
        "accountDoesNotExist"
        | "userActionRequired"
        | "externalAccountRequired"
        | "badSignatureAlgorithm"
        | "invalidContact"
        | "unsupportedContact" => FailureCause::Account,
        _ => FailureCause::AuthorityDown,
    };
    // Pebble and Boulder hide NXDOMAIN in the detail of other kinds.
    let detail = problem.detail.as_deref().unwrap_or_default();
    let is_dns = detail.contains("NXDOMAIN")
        || detail.contains("SERVFAIL")
        || detail.contains("no such host")
        || detail.contains("could not resolve")
        || detail.contains("DNS problem");
    let cause = if cause == FailureCause::Challenge && is_dns { FailureCause::Dns } else { cause };
    let mut message = detail.to_owned();
    for sub in &problem.subproblems {
        message.push_str(&format!("; {sub}"));
    }
    if let Some(kind) = &problem.r#type {
        message.push_str(&format!(" ({kind})"));
    }
    OrderError::new(cause, message)
}

pub fn remedy(cause: FailureCause) -> &'static str {
    match cause {
        FailureCause::Dns => "Set the DNS record that is shown for this domain, wait until it is seen from outside, then retry.",
        FailureCause::Caa => {
            "Add a CAA record that allows this authority (for Let's Encrypt: 0 issue \"letsencrypt.org\"), or remove the one that forbids it."
        }
        FailureCause::Challenge => {
            "Check that the domain points to this server and to no other (also its AAAA record), that ports 80 and 443 are open, and that no proxy in front answers instead."
        }
        FailureCause::Refused => "The authority does not issue for this name; use another name or another authority.",
        FailureCause::RateLimited => "Nothing to do: the next attempt is made when the limit allows it. Fewer different names help.",
        FailureCause::AuthorityDown => "Nothing to do: the attempt is repeated. What is served now stays until it expires.",
        FailureCause::Account => {
            "Check the account of the authority in the instance's settings (address of the directory, contact, external binding)."
        }
        FailureCause::Provider => "Check the credential of the DNS provider and that it may change this zone.",
        FailureCause::Unusable => "Paste a certificate and key that belong together and name the domain.",
        FailureCause::Internal => "See the log of the ingress: the disk may be full.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_and_words() {
        for (kind, detail, cause) in [
            ("caa", "CAA record for a.test prevents issuance", FailureCause::Caa),
            ("dns", "DNS problem: NXDOMAIN looking up A for a.test", FailureCause::Dns),
            ("unauthorized", "no such host", FailureCause::Dns),
            ("connection", "Timeout during connect", FailureCause::Challenge),
            ("rateLimited", "too many certificates", FailureCause::RateLimited),
            ("rejectedIdentifier", "policy forbids", FailureCause::Refused),
            ("accountDoesNotExist", "gone", FailureCause::Account),
            ("serverInternal", "oops", FailureCause::AuthorityDown),
        ] {
            let text = format!(r#"{{"type":"{ERROR_PREFIX}{kind}","detail":"{detail}","status":403}}"#);
            let error = of_problem(&serde_json::from_str(&text).unwrap());
            assert_eq!(error.cause, cause, "{kind}");
            assert!(error.message.starts_with(detail) && error.message.contains(kind), "{}", error.message);
        }
    }
}
