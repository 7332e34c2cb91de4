//! Mail to a small SMTP server of our own, which answers as it is told and keeps what it hears.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use domain::Secret;
use mail::{Encryption, InvalidSettings, MailError, SmtpCredentials, SmtpSettings, SmtpTransport, Transport};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::samples;

/// The lines and mails a server heard.
#[derive(Default, Clone)]
struct Heard {
    commands: Arc<Mutex<Vec<String>>>,
    mails: Arc<Mutex<Vec<Vec<u8>>>>,
}

struct Server {
    port: u16,
    heard: Heard,
}

/// Starts a server. `answers` replaces the answer to a verb ("DATA-END" for the end of a mail); the connection is closed
/// without an answer where the answer is empty.
async fn server(answers: &[(&'static str, &'static str)]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let answers: Arc<HashMap<&str, &str>> = Arc::new(answers.iter().copied().collect());
    let keep = heard.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(converse(stream, Arc::clone(&answers), keep.clone()));
        }
    });
    Server { port, heard }
}

async fn converse<S: AsyncRead + AsyncWrite>(stream: S, answers: Arc<HashMap<&'static str, &'static str>>, heard: Heard) -> Option<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    let mut reader = BufReader::new(reader);
    let answer = |verb: &'static str, usual: &'static str| answers.get(verb).copied().unwrap_or(usual);
    writer.write_all(format!("{}\r\n", answer("GREETING", "220 test")).as_bytes()).await.ok()?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        heard.commands.lock().unwrap().push(line.trim_end().to_owned());
        let verb = line.split_whitespace().next().unwrap_or_default().to_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => answer("EHLO", "250-test\r\n250 8BITMIME"),
            "AUTH" => answer("AUTH", "235 welcome"),
            "MAIL" => answer("MAIL", "250 ok"),
            "RCPT" => answer("RCPT", "250 ok"),
            "DATA" => answer("DATA", "354 go on"),
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        if reply.is_empty() {
            return None;
        }
        writer.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        if verb == "DATA" && reply.starts_with("354") {
            let mut mail = Vec::new();
            while !mail.ends_with(b"\r\n.\r\n") {
                if reader.read_until(b'\n', &mut mail).await.ok()? == 0 {
                    return None;
                }
            }
            mail.truncate(mail.len() - 3);
            heard.mails.lock().unwrap().push(mail);
            let reply = answer("DATA-END", "250 queued as 4711");
            writer.write_all(format!("{reply}\r\n").as_bytes()).await.ok()?;
        }
    }
}

fn settings(port: u16) -> SmtpSettings {
    SmtpSettings {
        host: "127.0.0.1".into(),
        port,
        encryption: Encryption::None,
        credentials: None,
        hello_name: "mail.lighthouse.example".into(),
        root_certificate_pem: None,
    }
}

async fn send(port: u16) -> Result<mail::Receipt, MailError> {
    SmtpTransport::new(settings(port)).unwrap().send(&samples::compose(&samples::all()[0])).await
}

#[tokio::test]
async fn a_mail_arrives_as_composed() {
    let server = server(&[]).await;
    let receipt = send(server.port).await.unwrap();
    assert_eq!(receipt.detail, "250 queued as 4711");
    let expected = samples::compose(&samples::all()[0]).to_eml().unwrap();
    let mails = server.heard.mails.lock().unwrap().clone();
    assert_eq!(mails.len(), 1);
    assert_eq!(String::from_utf8_lossy(&mails[0]).trim_end(), String::from_utf8_lossy(&expected).trim_end());
    let commands = server.heard.commands.lock().unwrap().clone();
    assert!(commands.contains(&"EHLO mail.lighthouse.example".to_owned()), "{commands:?}");
    assert!(commands.iter().any(|line| line.starts_with("MAIL FROM:<seaway@mail.lighthouse.example>")));
    assert!(commands.contains(&"RCPT TO:<ada@harbor.example>".to_owned()));
}

#[tokio::test]
async fn a_4xx_is_transient_and_a_5xx_permanent_at_every_step() {
    for step in ["GREETING", "MAIL", "RCPT", "DATA", "DATA-END"] {
        let busy = server(&[(step, "451 4.3.0 try later")]).await;
        let error = send(busy.port).await.unwrap_err();
        assert!(matches!(&error, MailError::Transient(text) if text.contains("try later")), "{step}: {error}");

        let refusing = server(&[(step, "550 5.1.1 no such\tuser")]).await;
        let error = send(refusing.port).await.unwrap_err();
        assert!(matches!(&error, MailError::Permanent(text) if text.contains("no such user")), "{step}: {error}");
    }
}

#[tokio::test]
async fn nobody_there_a_closed_connection_and_nonsense_are_transient() {
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    assert!(matches!(send(closed).await, Err(MailError::Transient(_))));
    for (step, reply) in [("RCPT", ""), ("EHLO", ""), ("GREETING", "hello, this is no mail server")] {
        let server = server(&[(step, reply)]).await;
        let error = send(server.port).await.unwrap_err();
        assert!(matches!(error, MailError::Transient(_)), "{step} {reply}: {error}");
    }
}

#[tokio::test]
async fn refused_credentials_wait_for_the_operator_and_stay_out_of_the_error() {
    let ehlo = ("EHLO", "250-test\r\n250 AUTH PLAIN LOGIN");
    let server = server(&[ehlo, ("AUTH", "535 5.7.8 bad credentials")]).await;
    let credentials = SmtpCredentials { user: "relay-user".into(), password: Secret::new("hunter2hunter2".into()) };
    let transport = SmtpTransport::new(SmtpSettings { credentials: Some(credentials.clone()), ..settings(server.port) }).unwrap();
    let error = transport.send(&samples::compose(&samples::all()[0])).await.unwrap_err();
    assert!(matches!(&error, MailError::Transient(text) if text.contains("refuses the credentials")), "{error}");
    assert!(!format!("{error}{error:?}{transport:?}{credentials:?}").contains("hunter2"));
    assert!(server.heard.commands.lock().unwrap().iter().any(|line| line.starts_with("AUTH PLAIN")));
    assert!(server.heard.mails.lock().unwrap().is_empty());
}

#[tokio::test]
async fn without_starttls_neither_credentials_nor_mail_leave() {
    let server = server(&[("EHLO", "250-test\r\n250 AUTH PLAIN LOGIN")]).await;
    let credentials = SmtpCredentials { user: "relay-user".into(), password: Secret::new("hunter2hunter2".into()) };
    let settings = SmtpSettings {
        host: "localhost".into(),
        encryption: Encryption::StartTls,
        credentials: Some(credentials),
        ..settings(server.port)
    };
    let error = SmtpTransport::new(settings).unwrap().send(&samples::compose(&samples::all()[0])).await.unwrap_err();
    assert!(matches!(error, MailError::Transient(_)), "{error}");
    let commands = server.heard.commands.lock().unwrap().clone();
    assert!(!commands.is_empty(), "the server was asked");
    assert!(!commands.iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")), "{commands:?}");
}

#[test]
fn settings_that_would_send_in_the_clear_are_refused() {
    for host in ["smtp.lighthouse.example", "10.0.0.5", "localhost.evil.example"] {
        let result = SmtpTransport::new(SmtpSettings { host: host.into(), ..settings(25) });
        assert!(matches!(result, Err(InvalidSettings::Unencrypted { .. })), "{host}");
    }
    for host in ["localhost", "127.0.0.1", "::1"] {
        assert!(SmtpTransport::new(SmtpSettings { host: host.into(), ..settings(25) }).is_ok(), "{host}");
    }
    assert!(matches!(SmtpTransport::new(SmtpSettings { host: String::new(), ..settings(25) }), Err(InvalidSettings::NoHost)));
    let pem = Some("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----".to_owned());
    let result = SmtpTransport::new(SmtpSettings { encryption: Encryption::Tls, root_certificate_pem: pem, ..settings(465) });
    assert!(matches!(result, Err(InvalidSettings::Tls(_))));
}

/// A server that speaks TLS from the first byte, with a certificate for `localhost` that nobody vouches for but `pem`.
async fn tls_server() -> (Server, String) {
    let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let keep = heard.clone();
    let answers = Arc::new(HashMap::from([("EHLO", "250-test\r\n250 AUTH PLAIN LOGIN")]));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(stream) = acceptor.accept(stream).await {
                tokio::spawn(converse(stream, Arc::clone(&answers), keep.clone()));
            }
        }
    });
    (Server { port, heard }, certified.cert.pem())
}

#[tokio::test]
async fn over_tls_credentials_and_mail_go_to_a_trusted_server_only() {
    let (server, pem) = tls_server().await;
    let credentials = SmtpCredentials { user: "relay-user".into(), password: Secret::new("hunter2hunter2".into()) };
    let trusting = |host: &str, root_certificate_pem: Option<String>| SmtpSettings {
        host: host.into(),
        encryption: Encryption::Tls,
        credentials: Some(credentials.clone()),
        root_certificate_pem,
        ..settings(server.port)
    };
    let message = samples::compose(&samples::all()[0]);
    // Unknown authority, and a certificate for another name.
    for settings in [trusting("localhost", None), trusting("127.0.0.1", Some(pem.clone()))] {
        let error = SmtpTransport::new(settings).unwrap().send(&message).await.unwrap_err();
        assert!(matches!(error, MailError::Transient(_)), "{error}");
    }
    assert!(server.heard.commands.lock().unwrap().is_empty(), "nothing was said to a server that is not trusted");

    let transport = SmtpTransport::new(trusting("localhost", Some(pem))).unwrap();
    transport.send(&message).await.unwrap();
    assert!(server.heard.commands.lock().unwrap().iter().any(|line| line.starts_with("AUTH PLAIN")));
    assert_eq!(server.heard.mails.lock().unwrap().len(), 1);
}
