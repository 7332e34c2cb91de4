//! Every entry of the audit log to a syslog server (RFC 5424), at least once and in the order of its chain. How far each chain was
//! sent stands in the database, so a server that is away gets everything later.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use jobs::{Handler, JobError, Lease};
use store::audit::{self, AuditEntryRow};
use store::jobs::JobRow;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::Control;
use crate::error::{ControlError, Result};

pub const KIND: &str = "audit.stream";
pub const EVERY: Duration = Duration::from_secs(15);

/// Entries read, sent and noted at a time.
const BATCH: i64 = 500;
const CHAINS_MAX: i64 = 1_000;
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Facility 13 (audit), severity 6 (informational), and 4 (warning) for what was refused.
const PRIORITY: u8 = 13 * 8 + 6;
const PRIORITY_DENIED: u8 = 13 * 8 + 4;
const MESSAGE_ID_LENGTH_MAX: usize = 32;
/// A datagram that every network takes without losing a part.
const DETAILS_BYTES_MAX: usize = 1_024;

/// Where the entries go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyslogTarget {
    /// `udp://host:port`
    Udp(String),
    /// `tcp://host:port`, each message after its length (RFC 6587)
    Tcp(String),
    /// `unix:/path` of a datagram socket
    Unix(PathBuf),
}

/// A text that names no target.
#[derive(Debug, thiserror::Error)]
#[error("expected udp://host:port, tcp://host:port or unix:/path")]
pub struct InvalidTarget;

impl FromStr for SyslogTarget {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> std::result::Result<Self, InvalidTarget> {
        let authority = |text: &str| {
            let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
            port.filter(|port| *port > 0).map(|_| text.to_owned()).ok_or(InvalidTarget)
        };
        if let Some(rest) = text.strip_prefix("udp://") {
            return authority(rest).map(Self::Udp);
        }
        if let Some(rest) = text.strip_prefix("tcp://") {
            return authority(rest).map(Self::Tcp);
        }
        match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            _ => Err(InvalidTarget),
        }
    }
}

enum Connection {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Unix(UnixDatagram),
}

impl Connection {
    async fn open(target: &SyslogTarget) -> std::io::Result<Self> {
        match target {
            SyslogTarget::Udp(address) => {
                let peer = tokio::net::lookup_host(address).await?.next().ok_or(std::io::ErrorKind::NotFound)?;
                let own = if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
                let socket = UdpSocket::bind(own).await?;
                socket.connect(peer).await?;
                Ok(Self::Udp(socket))
            }
            SyslogTarget::Tcp(address) => Ok(Self::Tcp(TcpStream::connect(address).await?)),
            SyslogTarget::Unix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.connect(path)?;
                Ok(Self::Unix(socket))
            }
        }
    }

    async fn send(&mut self, message: &str) -> std::io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message.as_bytes()).await.map(|_| ()),
            Self::Unix(socket) => socket.send(message.as_bytes()).await.map(|_| ()),
            Self::Tcp(stream) => stream.write_all(format!("{} {message}", message.len()).as_bytes()).await,
        }
    }

    async fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush().await,
            _ => Ok(()),
        }
    }
}

impl Control {
    /// Sends what was not sent yet. Answers how many entries went.
    ///
    /// # Errors
    /// `Unavailable` when the syslog server cannot be reached: nothing is lost, the next call goes on.
    pub async fn stream_audit(&self, target: &SyslogTarget) -> Result<u64> {
        let unsent = audit::list_unsent(&mut self.store().read().await?, CHAINS_MAX).await?;
        if unsent.is_empty() {
            return Ok(0);
        }
        let away = |error: std::io::Error| ControlError::Unavailable(format!("syslog: {error}"));
        let late = |_| ControlError::Unavailable("syslog: no answer in time".to_owned());
        let mut connection = timeout(SEND_TIMEOUT, Connection::open(target)).await.map_err(late)?.map_err(away)?;
        let host = host_of(self.base_url());
        let mut sent = 0;
        for chain in unsent {
            let mut after = chain.streamed;
            loop {
                let entries = audit::list_after(&mut self.store().read().await?, chain.chain, after, BATCH).await?;
                let Some(last) = entries.last() else { break };
                let last = last.sequence;
                for entry in &entries {
                    timeout(SEND_TIMEOUT, connection.send(&message(entry, host))).await.map_err(late)?.map_err(away)?;
                }
                timeout(SEND_TIMEOUT, connection.flush()).await.map_err(late)?.map_err(away)?;
                let mut write = self.store().write().await?;
                audit::set_sent(&mut write, chain.chain, last).await?;
                write.commit_without_audit("how far the audit log was sent out").await?;
                sent += entries.len() as u64;
                after = last;
            }
        }
        Ok(sent)
    }
}

fn host_of(base_url: &str) -> &str {
    let host = base_url.split_once("://").map_or(base_url, |(_, rest)| rest).split(['/', ':']).next().unwrap_or_default();
    if host.is_empty() { "-" } else { host }
}

/// One message of RFC 5424: `<PRI>1 TIME HOST APP - MSGID [fields] details`.
fn message(entry: &AuditEntryRow, host: &str) -> String {
    let priority = if entry.action == "access.denied" { PRIORITY_DENIED } else { PRIORITY };
    let id: String = entry.action.chars().filter(char::is_ascii_graphic).take(MESSAGE_ID_LENGTH_MAX).collect();
    let hash: String = entry.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let chain = if entry.chain.is_nil() {
        "instance".to_owned()
    } else {
        <domain::id::OrganizationId as domain::id::Id>::from_uuid(entry.chain).to_string()
    };
    let kind = store::text_of(&entry.actor_kind).unwrap_or_default();
    let mut fields = format!("chain=\"{chain}\" sequence=\"{}\" actor_kind=\"{kind}\"", entry.sequence);
    for (name, value) in [
        ("actor", entry.actor_id.as_deref()),
        ("resource_kind", entry.resource_kind.as_deref()),
        ("resource", entry.resource_id.as_deref()),
        ("resource_name", entry.resource_name.as_deref()),
        ("request", entry.request_id.as_deref()),
        ("network", entry.source_address.as_deref()),
        ("hash", Some(hash.as_str())),
    ] {
        if let Some(value) = value {
            fields.push_str(&format!(" {name}=\"{}\"", escaped(value)));
        }
    }
    let details = if entry.details.len() <= DETAILS_BYTES_MAX { entry.details.as_str() } else { "{\"cut\":true}" };
    let at = entry.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true);
    format!("<{priority}>1 {at} {host} seaway - {id} [seaway@32473 {fields}] {details}")
}

/// The value of a field: the three letters that end it are escaped, and no line begins anew.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        match letter {
            '"' | '\\' | ']' => text.extend(['\\', letter]),
            control if control.is_control() => text.push(' '),
            other => text.push(other),
        }
    }
    text
}

pub struct StreamJob(pub Control);

#[async_trait]
impl Handler for StreamJob {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, _job: &JobRow, _lease: Lease, _cancel: CancellationToken) -> std::result::Result<(), JobError> {
        let Some(target) = &self.0.config().audit_syslog else { return Ok(()) };
        match self.0.stream_audit(target).await {
            Ok(_) => Ok(()),
            // The next turn comes soon; a pile of retries would not help.
            Err(ControlError::Unavailable(why)) => {
                tracing::warn!(why, "the audit log could not be sent out; it waits");
                Ok(())
            }
            Err(error) => Err(JobError::retry(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_told_apart() {
        assert_eq!("udp://logs.example:514".parse::<SyslogTarget>().unwrap(), SyslogTarget::Udp("logs.example:514".into()));
        assert_eq!("tcp://[::1]:601".parse::<SyslogTarget>().unwrap(), SyslogTarget::Tcp("[::1]:601".into()));
        assert_eq!("unix:/dev/log".parse::<SyslogTarget>().unwrap(), SyslogTarget::Unix("/dev/log".into()));
        for text in ["", "logs.example", "udp://logs.example", "udp://:514", "tcp://a:0", "tcp://a:b", "unix:log", "http://a:1"] {
            assert!(text.parse::<SyslogTarget>().is_err(), "{text}");
        }
    }

    #[test]
    fn no_value_ends_its_field_or_the_line() {
        assert_eq!(escaped("a\"b]c\\d\ne"), "a\\\"b\\]c\\\\d e");
        assert_eq!(host_of("https://panel.example:8443"), "panel.example");
    }
}
