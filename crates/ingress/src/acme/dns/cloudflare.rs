//! Cloudflare, API v4: <https://developers.cloudflare.com/api/resources/dns/>.

use std::time::Duration;

use async_trait::async_trait;
use http::Method;
use serde_json::json;

use super::{Dns, DnsError, Placed, TTL_SECONDS, rest::Rest, zones_of};
use crate::{acme::web::Web, key_text::KeyText};

pub const BASE: &str = "https://api.cloudflare.com/client/v4";
/// A change is at all of its servers within seconds; there is no call that tells.
const SETTLE: Duration = Duration::from_secs(8);

pub struct Cloudflare(Rest);

impl Cloudflare {
    pub fn new(web: Web, base: &str, token: &KeyText) -> Self {
        Self(Rest::new(web, base, token, "Cloudflare"))
    }

    async fn zone_of(&self, name: &str) -> Result<String, DnsError> {
        for zone in zones_of(name) {
            let found = self.0.call(Method::GET, &format!("/zones?name={zone}"), None).await?;
            let id = found.as_ref().and_then(|answer| answer.pointer("/result/0/id")).and_then(|id| id.as_str());
            if let Some(id) = id {
                return Ok(id.to_owned());
            }
        }
        Err(DnsError::NoZone { name: name.to_owned() })
    }
}

#[async_trait]
impl Dns for Cloudflare {
    async fn place(&self, name: &str, values: &[String]) -> Result<Placed, DnsError> {
        let zone = self.zone_of(name).await?;
        let record = |value: &String| json!({"type": "TXT", "name": name, "content": format!("\"{value}\""), "ttl": TTL_SECONDS});
        let records = self.0.make_each(&records_of(&zone), values.iter().map(record).collect(), "/result/id").await?;
        Ok(Placed { name: name.to_owned(), values: values.to_vec(), zone, records })
    }

    async fn settle(&self, _: &Placed) -> Result<(), DnsError> {
        tokio::time::sleep(SETTLE).await;
        Ok(())
    }

    async fn remove(&self, placed: &Placed) -> Result<(), DnsError> {
        self.0.delete_each(&records_of(&placed.zone), &placed.records).await
    }
}

fn records_of(zone: &str) -> String {
    format!("/zones/{zone}/dns_records")
}
