//! The way out over SMTP: STARTTLS or TLS from the first byte, and without encryption to this machine only. One connection
//! per mail: lettre's pool starts a task of its own, which nothing could track, and aborts when dropped outside a run time.

use std::net::IpAddr;
use std::time::Duration;

use domain::Secret;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use crate::{MailError, Message, Receipt, Transport, mime, text};

/// One command and its answer.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(20);
/// A whole mail, the connection included.
const SEND_TIMEOUT: Duration = Duration::from_secs(60);

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Plain at first, then STARTTLS, which is required (port 587).
    StartTls,
    /// TLS from the first byte (port 465).
    Tls,
    /// None: for a relay on this machine.
    None,
}

#[derive(Debug, Clone)]
pub struct SmtpCredentials {
    pub user: String,
    pub password: Secret<String>,
}

#[derive(Debug, Clone)]
pub struct SmtpSettings {
    pub host: String,
    pub port: u16,
    pub encryption: Encryption,
    pub credentials: Option<SmtpCredentials>,
    /// The name given with EHLO: the sender's domain.
    pub hello_name: String,
    /// PEM of an authority to trust besides the public ones, for a relay with a certificate of its own.
    pub root_certificate_pem: Option<String>,
}

/// Settings that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum InvalidSettings {
    #[error("the SMTP server has no host name")]
    NoHost,
    #[error("SMTP without encryption is for a relay on this machine only; use STARTTLS or TLS for {host}")]
    Unencrypted { host: String },
    #[error("the TLS settings of the SMTP server do not work: {0}")]
    Tls(String),
}

/// Sends over SMTP.
pub struct SmtpTransport {
    inner: AsyncSmtpTransport<Tokio1Executor>,
    server: String,
}

impl SmtpTransport {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// [`InvalidSettings`].
    pub fn new(settings: SmtpSettings) -> Result<Self, InvalidSettings> {
        let SmtpSettings { host, port, encryption, credentials, hello_name, root_certificate_pem } = settings;
        if host.is_empty() {
            return Err(InvalidSettings::NoHost);
        }
        let tls = match encryption {
            Encryption::StartTls => Tls::Required(tls_parameters(&host, root_certificate_pem.as_deref())?),
            Encryption::Tls => Tls::Wrapper(tls_parameters(&host, root_certificate_pem.as_deref())?),
            Encryption::None if is_loopback(&host) => Tls::None,
            Encryption::None => return Err(InvalidSettings::Unencrypted { host }),
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host.as_str())
            .port(port)
            .tls(tls)
            .hello_name(ClientId::Domain(text::one_line(&hello_name, text::LINE_LENGTH_MAX)))
            .timeout(Some(COMMAND_TIMEOUT));
        if let Some(SmtpCredentials { user, password }) = credentials {
            builder = builder.credentials(Credentials::new(user, password.reveal().clone()));
        }
        Ok(Self { inner: builder.build(), server: format!("{host}:{port}") })
    }
}

impl std::fmt::Debug for SmtpTransport {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "SmtpTransport({})", self.server)
    }
}

#[async_trait::async_trait]
impl Transport for SmtpTransport {
    async fn send(&self, message: &Message) -> Result<Receipt, MailError> {
        let formed = mime::format(message).map_err(|error| MailError::Permanent(error.to_string()))?;
        let sent = tokio::time::timeout(SEND_TIMEOUT, self.inner.send(formed)).await;
        let answer = sent
            .map_err(|_| MailError::Transient(format!("{} did not answer in {} s", self.server, SEND_TIMEOUT.as_secs())))?
            .map_err(|error| self.classify(&error))?;
        let lines = answer.message().collect::<Vec<_>>().join(" ");
        Ok(Receipt { detail: text::one_line(&format!("{} {lines}", answer.code()), text::LINE_LENGTH_MAX) })
    }
}

impl SmtpTransport {
    /// Only a 5xx about this mail is permanent. Refused credentials (530, 534, 535, 538) are a 5xx as well, but the mail is not
    /// to blame: it waits until the operator has mended the settings, as with a failing TLS handshake.
    fn classify(&self, error: &lettre::transport::smtp::Error) -> MailError {
        let code = error.status().map(u16::from);
        let detail = text::one_line(&format!("{}: {error}", self.server), text::LINE_LENGTH_MAX);
        match code {
            Some(530 | 534 | 535 | 538) => {
                MailError::Transient(format!("the SMTP server refuses the credentials; check user and password ({detail})"))
            }
            _ if error.is_permanent() => MailError::Permanent(detail),
            _ => MailError::Transient(detail),
        }
    }
}

fn tls_parameters(host: &str, root_certificate_pem: Option<&str>) -> Result<TlsParameters, InvalidSettings> {
    let failed = |error: lettre::transport::smtp::Error| InvalidSettings::Tls(error.to_string());
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(pem) = root_certificate_pem {
        builder = builder.add_root_certificate(Certificate::from_pem(pem.as_bytes()).map_err(failed)?);
    }
    builder.build().map_err(failed)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}
