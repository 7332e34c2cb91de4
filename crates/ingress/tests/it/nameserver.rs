//! A name server that takes signed dynamic updates (RFC 2136) and hands their TXT records to the DNS double.

use std::{
    net::SocketAddr,
    str::FromStr,
    sync::{Arc, Mutex},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use hickory_proto::{
    op::{Message, OpCode, ResponseCode},
    rr::{DNSClass, Name, RecordType, TSigResponseContext, TSigner, rdata::tsig::TsigAlgorithm},
};
use ingress::{
    KeyText,
    certificates::{DesiredProvider, DnsProvider, TsigAlgorithm as Algorithm},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use crate::pebble::dns_call;

const KEY: &[u8] = b"a key of thirty-two bytes or more";

pub struct NameServer {
    address: SocketAddr,
    /// (name, value) of TXT records that stand now.
    records: Arc<Mutex<Vec<(String, String)>>>,
    /// Every record that ever stood.
    pub seen: Arc<Mutex<Vec<(String, String)>>>,
}

impl NameServer {
    pub async fn start(dns_control: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self { address: listener.local_addr().unwrap(), records: Arc::default(), seen: Arc::default() };
        let (records, seen) = (Arc::clone(&server.records), Arc::clone(&server.seen));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                answer(stream, dns_control, &records, &seen).await;
            }
        });
        server
    }

    pub fn standing(&self) -> usize {
        self.records.lock().unwrap().len()
    }

    pub fn provider(&self, generation: u64, key: &[u8]) -> DesiredProvider {
        let provider = DnsProvider::Rfc2136 {
            server: self.address.to_string(),
            zone: "zone.test".to_owned(),
            key_name: "update-key".to_owned(),
            algorithm: Algorithm::HmacSha256,
            key: KeyText::new(BASE64_STANDARD.encode(key)),
        };
        DesiredProvider { id: "dns".to_owned(), generation, provider, may_be_private: true }
    }

    pub fn right_key() -> &'static [u8] {
        KEY
    }
}

async fn answer(
    mut stream: TcpStream,
    dns_control: SocketAddr,
    records: &Mutex<Vec<(String, String)>>,
    seen: &Mutex<Vec<(String, String)>>,
) {
    let length = stream.read_u16().await.unwrap();
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await.unwrap();
    let message = Message::from_vec(&bytes).unwrap();
    let mut reply = Message::response(message.metadata.id, message.metadata.op_code);
    reply.add_queries(message.queries.iter().cloned());
    if message.metadata.op_code == OpCode::Query {
        let name = message.queries[0].name().clone();
        for (_, value) in records.lock().unwrap().iter().filter(|(owner, _)| *owner == name.to_string()) {
            let data = hickory_proto::rr::RData::TXT(hickory_proto::rr::rdata::TXT::new(vec![value.clone()]));
            reply.add_answer(hickory_proto::rr::Record::from_rdata(name.clone(), 60, data));
        }
    } else {
        let signer = TSigner::new(KEY.to_vec(), TsigAlgorithm::HmacSha256, Name::from_str("update-key.").unwrap(), 300).unwrap();
        match signer.verify_message_byte(&bytes, None, true) {
            Err(_) => reply.metadata.response_code = ResponseCode::NotAuth,
            Ok((mac, time, _)) => {
                for record in message.authorities.iter().filter(|record| record.record_type() == RecordType::TXT) {
                    let (owner, value) = (record.name.to_string(), record.data.to_string().trim_matches('"').to_owned());
                    if record.dns_class == DNSClass::NONE {
                        records.lock().unwrap().retain(|known| *known != (owner.clone(), value.clone()));
                        dns_call(dns_control, "clear-txt", serde_json::json!({"host": owner})).await;
                    } else {
                        records.lock().unwrap().push((owner.clone(), value.clone()));
                        seen.lock().unwrap().push((owner.clone(), value.clone()));
                        dns_call(dns_control, "set-txt", serde_json::json!({"host": owner, "value": value})).await;
                    }
                }
                let plain = reply.to_vec().unwrap();
                let context = TSigResponseContext::new(message.metadata.id, time, signer, mac, None);
                reply.set_signature(context.sign(&plain).unwrap());
            }
        }
    }
    let bytes = reply.to_vec().unwrap();
    stream.write_all(&u16::try_from(bytes.len()).unwrap().to_be_bytes()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
}
