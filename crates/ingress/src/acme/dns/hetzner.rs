//! Hetzner, the DNS part of the Cloud API: <https://docs.hetzner.cloud/reference/cloud#zone-rrset-actions>.

use async_trait::async_trait;
use http::Method;
use serde_json::{Value, json};

use super::{Dns, DnsError, Placed, SETTLE_MAX, SETTLE_POLL, TTL_SECONDS, relative, rest::Rest, zones_of};
use crate::{acme::web::Web, key_text::KeyText};

pub const BASE: &str = "https://api.hetzner.cloud/v1";

pub struct Hetzner(Rest);

impl Hetzner {
    pub fn new(web: Web, base: &str, token: &KeyText) -> Self {
        Self(Rest::new(web, base, token, "Hetzner"))
    }

    async fn zone_of(&self, name: &str) -> Result<String, DnsError> {
        for zone in zones_of(name) {
            if self.0.call(Method::GET, &format!("/zones/{zone}"), None).await?.is_some() {
                return Ok(zone.to_owned());
            }
        }
        Err(DnsError::NoZone { name: name.to_owned() })
    }

    async fn act(&self, zone: &str, name: &str, action: &str, body: &Value) -> Result<Option<String>, DnsError> {
        let path = format!("/zones/{zone}/rrsets/{}/TXT/actions/{action}", relative(name, zone));
        let answer = self.0.call(Method::POST, &path, Some(body)).await?;
        Ok(answer.as_ref().and_then(|answer| answer.pointer("/action/id")).map(ToString::to_string))
    }
}

#[async_trait]
impl Dns for Hetzner {
    async fn place(&self, name: &str, values: &[String]) -> Result<Placed, DnsError> {
        let zone = self.zone_of(name).await?;
        let records: Vec<Value> = values.iter().map(|value| json!({"value": format!("\"{value}\"")})).collect();
        let action = self.act(&zone, name, "add_records", &json!({"ttl": TTL_SECONDS, "records": records})).await?;
        let action = action.ok_or_else(|| self.0.unreadable("the action"))?;
        Ok(Placed { name: name.to_owned(), values: values.to_vec(), zone, records: vec![action] })
    }

    async fn settle(&self, placed: &Placed) -> Result<(), DnsError> {
        let deadline = tokio::time::Instant::now() + SETTLE_MAX;
        while tokio::time::Instant::now() < deadline {
            for action in &placed.records {
                let answer = self.0.call(Method::GET, &format!("/actions/{action}"), None).await?;
                match answer.as_ref().and_then(|answer| answer.pointer("/action/status")).and_then(Value::as_str) {
                    Some("running") => {}
                    Some("error") => {
                        let message = answer.as_ref().and_then(|answer| answer.pointer("/action/error/message")).map(ToString::to_string);
                        return Err(DnsError::Refused { provider: "Hetzner", status: 200, message: message.unwrap_or_default() });
                    }
                    _ => return Ok(()),
                }
            }
            tokio::time::sleep(SETTLE_POLL).await;
        }
        Ok(())
    }

    async fn remove(&self, placed: &Placed) -> Result<(), DnsError> {
        let records: Vec<Value> = placed.values.iter().map(|value| json!({"value": format!("\"{value}\"")})).collect();
        self.act(&placed.zone, &placed.name, "remove_records", &json!({"records": records})).await.map(|_| ())
    }
}
