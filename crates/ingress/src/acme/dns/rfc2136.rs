//! Dynamic update (RFC 2136) over TCP, signed with TSIG (RFC 8945).

use std::{net::SocketAddr, str::FromStr, sync::Arc, time::Duration};

use async_trait::async_trait;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use domain::Clock;
use hickory_proto::{
    op::{Message, Query, ResponseCode, update_message},
    rr::{
        Name, RData, Record, RecordSet, RecordType, TSigner,
        rdata::{TXT, tsig::TsigAlgorithm as Algorithm},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Dns, DnsError, Placed, SETTLE_MAX, SETTLE_POLL, TTL_SECONDS};
use crate::{acme::web::Reach, certificates::TsigAlgorithm, key_text::KeyText};

const PORT: u16 = 53;
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(15);
/// Clocks may differ by this many seconds.
const FUDGE_SECONDS: u16 = 300;

pub struct Rfc2136 {
    server: String,
    zone_text: String,
    zone: Name,
    signer: TSigner,
    reach: Reach,
    clock: Arc<dyn Clock>,
}

impl Rfc2136 {
    pub fn new(
        server: &str,
        zone: &str,
        key_name: &str,
        algorithm: TsigAlgorithm,
        key: &KeyText,
        reach: Reach,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, DnsError> {
        let invalid = |message: String| DnsError::Server { server: server.to_owned(), message };
        let key = BASE64_STANDARD.decode(key.reveal()).map_err(|error| invalid(format!("has a key that is not base64: {error}")))?;
        let algorithm = match algorithm {
            TsigAlgorithm::HmacSha256 => Algorithm::HmacSha256,
            TsigAlgorithm::HmacSha384 => Algorithm::HmacSha384,
            TsigAlgorithm::HmacSha512 => Algorithm::HmacSha512,
        };
        let key_name = name_of(key_name).map_err(&invalid)?;
        let signer = TSigner::new(key, algorithm, key_name, FUDGE_SECONDS).map_err(|error| invalid(error.to_string()))?;
        let zone_name = name_of(zone).map_err(&invalid)?;
        Ok(Self { server: server.to_owned(), zone_text: zone.to_owned(), zone: zone_name, signer, reach, clock })
    }

    fn failed(&self, message: impl Into<String>) -> DnsError {
        DnsError::Server { server: self.server.clone(), message: message.into() }
    }

    fn records(&self, name: &str, values: &[String]) -> Result<RecordSet, DnsError> {
        let owner = name_of(name).map_err(|message| self.failed(message))?;
        // The library panics on a name outside of the zone.
        if !self.zone.zone_of(&owner) {
            return Err(DnsError::OtherZone { zone: self.zone_text.clone(), name: name.to_owned() });
        }
        let mut set = RecordSet::with_ttl(owner.clone(), RecordType::TXT, TTL_SECONDS);
        for value in values {
            set.insert(Record::from_rdata(owner.clone(), TTL_SECONDS, RData::TXT(TXT::new(vec![value.clone()]))), 0);
        }
        Ok(set)
    }

    async fn update(&self, mut message: Message) -> Result<(), DnsError> {
        let now = u64::try_from(self.clock.now().timestamp()).unwrap_or_default();
        let verifier = message.finalize(&self.signer, now).map_err(|error| self.failed(format!("could not be asked: {error}")))?;
        let answer = self.exchange(&message).await?;
        let read = Message::from_vec(&answer).map_err(|error| self.failed(format!("answered something unreadable: {error}")))?;
        if read.metadata.response_code != ResponseCode::NoError {
            return Err(self.failed(format!("refused the update: {}", read.metadata.response_code)));
        }
        if let Some(mut verifier) = verifier {
            verifier.verify(&answer).map_err(|error| self.failed(format!("did not sign its answer with the key: {error}")))?;
        }
        Ok(())
    }

    async fn exchange(&self, message: &Message) -> Result<Vec<u8>, DnsError> {
        let bytes = message.to_vec().map_err(|error| self.failed(format!("could not be asked: {error}")))?;
        let work = async {
            let length = u16::try_from(bytes.len()).map_err(std::io::Error::other)?;
            let mut stream = TcpStream::connect(&self.addresses().await?[..]).await?;
            stream.write_all(&length.to_be_bytes()).await?;
            stream.write_all(&bytes).await?;
            let mut answer = vec![0; usize::from(stream.read_u16().await?)];
            stream.read_exact(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        match tokio::time::timeout(EXCHANGE_TIMEOUT, work).await {
            Ok(answer) => answer.map_err(|error| self.failed(format!("does not answer: {error}"))),
            Err(_) => Err(self.failed(format!("did not answer within {} s", EXCHANGE_TIMEOUT.as_secs()))),
        }
    }

    async fn addresses(&self) -> std::io::Result<Vec<SocketAddr>> {
        if let Ok(address) = self.server.parse::<SocketAddr>() {
            self.reach.check(&self.server, address.ip()).map_err(std::io::Error::other)?;
            return Ok(vec![address]);
        }
        let (host, port) = match self.server.rsplit_once(':').map(|(host, port)| (host, port.parse())) {
            Some((host, Ok(port))) if !host.contains(':') => (host, port),
            _ => (self.server.as_str(), PORT),
        };
        self.reach.look_up(host, port).await
    }

    async fn shows(&self, placed: &Placed) -> Result<bool, DnsError> {
        let owner = name_of(&placed.name).map_err(|message| self.failed(message))?;
        let mut question = Message::query();
        question.add_query(Query::query(owner, RecordType::TXT));
        let answer = self.exchange(&question).await?;
        let answer = Message::from_vec(&answer).map_err(|error| self.failed(format!("answered something unreadable: {error}")))?;
        let seen: Vec<String> = answer.answers.iter().map(|record| record.data.to_string().trim_matches('"').to_owned()).collect();
        Ok(placed.values.iter().all(|value| seen.contains(value)))
    }
}

#[async_trait]
impl Dns for Rfc2136 {
    async fn place(&self, name: &str, values: &[String]) -> Result<Placed, DnsError> {
        let set = self.records(name, values)?;
        self.update(update_message::append(set, self.zone.clone(), false, true)).await?;
        Ok(Placed { name: name.to_owned(), values: values.to_vec(), zone: self.zone_text.clone(), records: Vec::new() })
    }

    async fn settle(&self, placed: &Placed) -> Result<(), DnsError> {
        let deadline = tokio::time::Instant::now() + SETTLE_MAX;
        while tokio::time::Instant::now() < deadline && !self.shows(placed).await? {
            tokio::time::sleep(SETTLE_POLL).await;
        }
        Ok(())
    }

    async fn remove(&self, placed: &Placed) -> Result<(), DnsError> {
        let set = self.records(&placed.name, &placed.values)?;
        self.update(update_message::delete_by_rdata(set, self.zone.clone(), true)).await
    }
}

fn name_of(text: &str) -> Result<Name, String> {
    let mut name = Name::from_str(text).map_err(|error| format!("cannot be asked about {text}: {error}"))?;
    name.set_fqdn(true);
    Ok(name)
}
