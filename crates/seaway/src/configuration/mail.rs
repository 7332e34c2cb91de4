//! The way out for mail.

use domain::Secret;
use mail::{Encryption, SmtpCredentials, SmtpSettings};
use percent_encoding::percent_decode_str;

use super::{Invalid, Values};

#[derive(Debug)]
pub struct MailConfiguration {
    pub from: String,
    /// `None`: mails become files.
    pub smtp: Option<SmtpSettings>,
}

impl MailConfiguration {
    pub fn of(values: &Values) -> Result<Self, Invalid> {
        let from = values.text("mail_from").trim().to_owned();
        if !from.contains('@') {
            return Err(values.invalid("mail_from", format!("{from:?} is not an address such as Seaway <seaway@example.org>")));
        }
        let smtp = values.secret("smtp_url").map(|url| smtp(values, &url, &from)).transpose()?;
        Ok(Self { from, smtp })
    }
}

fn smtp(values: &Values, url: &Secret<String>, from: &str) -> Result<SmtpSettings, Invalid> {
    let invalid = |reason: &str| values.invalid("smtp_url", reason);
    let form = "expected smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465 (letters such as @ in them as %40)";
    let (scheme, rest) = url.reveal().split_once("://").ok_or_else(|| invalid(form))?;
    let (rest, plain) = match rest.split_once('?') {
        None => (rest, false),
        Some((rest, "tls=none")) => (rest, true),
        Some(_) => return Err(invalid("after ? only tls=none is known")),
    };
    let (encryption, port_default) = match (scheme, plain) {
        ("smtp", false) => (Encryption::StartTls, 587),
        ("smtp", true) => (Encryption::None, 25),
        ("smtps", false) => (Encryption::Tls, 465),
        _ => return Err(invalid(form)),
    };
    let (user, server) = rest.rsplit_once('@').map_or((None, rest), |(user, server)| (Some(user), server));
    let server = server.trim_end_matches('/');
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().map_err(|_| invalid("the port is not a number"))?),
        None => (server, port_default),
    };
    let decode = |text: &str| percent_decode_str(text).decode_utf8().map(|text| text.into_owned()).map_err(|_| invalid(form));
    let credentials = match user {
        None => None,
        Some(user) => {
            let (user, password) = user.split_once(':').ok_or_else(|| invalid("the user has no password"))?;
            if password.is_empty() {
                return Err(invalid("the password is empty"));
            }
            Some(SmtpCredentials { user: decode(user)?, password: Secret::new(decode(password)?) })
        }
    };
    let root_certificate_pem = match values.text("smtp_ca_file") {
        "" => None,
        path => Some(std::fs::read_to_string(path).map_err(|error| values.invalid("smtp_ca_file", format!("{path}: {error}")))?),
    };
    let hello_name = from.rsplit('@').next().unwrap_or("localhost").trim_end_matches('>').to_owned();
    Ok(SmtpSettings { host: host.to_owned(), port, encryption, credentials, hello_name, root_certificate_pem })
}
