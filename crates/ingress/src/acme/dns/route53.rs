//! Amazon Route 53: <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html>.
//!
//! It knows whole record sets only: ours replaces what stands at `_acme-challenge`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::Clock;
use http::{Request, header::AUTHORIZATION};

use super::{
    Dns, DnsError, Placed, SETTLE_MAX, SETTLE_POLL, TTL_SECONDS,
    sigv4::{Signing, Unsigned, sign},
    zones_of,
};
use crate::{acme::web::Web, key_text::KeyText};

pub const BASE: &str = "https://route53.amazonaws.com";
const PROVIDER: &str = "Route 53";
const VERSION: &str = "/2013-04-01";

pub struct Route53 {
    web: Web,
    base: String,
    access_key_id: String,
    secret_access_key: KeyText,
    hosted_zone_id: Option<String>,
    clock: Arc<dyn Clock>,
}

impl Route53 {
    pub fn new(
        web: Web,
        base: &str,
        access_key_id: String,
        secret_access_key: KeyText,
        hosted_zone_id: Option<String>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { web, base: base.to_owned(), access_key_id, secret_access_key, hosted_zone_id, clock }
    }

    async fn call(&self, method: &str, path: &str, query: &str, body: String) -> Result<String, DnsError> {
        let unreadable = |message: String| DnsError::Answer { provider: PROVIDER, message };
        let host = self.base.split_once("://").map_or(self.base.as_str(), |(_, host)| host);
        let path = format!("{VERSION}{path}");
        // Its API is one for the world, signed for us-east-1.
        let signing = Signing {
            access_key_id: &self.access_key_id,
            secret_access_key: &self.secret_access_key,
            region: "us-east-1",
            service: "route53",
        };
        let unsigned = Unsigned { method, host, path: &path, query, body: body.as_bytes() };
        let (date, authorization) = sign(&signing, &unsigned, self.clock.now());
        let question = if query.is_empty() { "" } else { "?" };
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}{question}{query}", self.base))
            .header("x-amz-date", date)
            .header(AUTHORIZATION, authorization)
            .body(Bytes::from(body))
            .map_err(|error| unreadable(error.to_string()))?;
        let response = self.web.send(request).await?;
        let text = String::from_utf8_lossy(response.body()).into_owned();
        if response.status().is_success() {
            return Ok(text);
        }
        let message = between(&text, "<Message>", "</Message>").unwrap_or(&text).chars().take(1_000).collect();
        Err(DnsError::Refused { provider: PROVIDER, status: response.status().as_u16(), message })
    }

    async fn zone_of(&self, name: &str) -> Result<String, DnsError> {
        if let Some(id) = &self.hosted_zone_id {
            return Ok(id.trim_start_matches("/hostedzone/").to_owned());
        }
        for zone in zones_of(name) {
            let found = self.call("GET", "/hostedzonesbyname", &format!("dnsname={zone}&maxitems=1"), String::new()).await?;
            // It answers the first zone that is not before `zone` in its order, which may be another one.
            let is_it = between(&found, "<Name>", "</Name>").is_some_and(|found| found.trim_end_matches('.') == zone);
            if let Some(id) = between(&found, "<Id>/hostedzone/", "</Id>").filter(|_| is_it) {
                return Ok(id.to_owned());
            }
        }
        Err(DnsError::NoZone { name: name.to_owned() })
    }

    async fn change(&self, action: &str, zone: &str, name: &str, values: &[String]) -> Result<String, DnsError> {
        // Values are base64url and names are host names: nothing in them needs escaping.
        let records: String = values.iter().map(|value| format!("<ResourceRecord><Value>\"{value}\"</Value></ResourceRecord>")).collect();
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\
             <ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes><Change>\
             <Action>{action}</Action><ResourceRecordSet><Name>{name}.</Name><Type>TXT</Type><TTL>{TTL_SECONDS}</TTL>\
             <ResourceRecords>{records}</ResourceRecords></ResourceRecordSet></Change></Changes></ChangeBatch>\
             </ChangeResourceRecordSetsRequest>"
        );
        let answer = self.call("POST", &format!("/hostedzone/{zone}/rrset"), "", body).await?;
        let id = between(&answer, "<Id>/change/", "</Id>");
        id.map(str::to_owned).ok_or(DnsError::Answer { provider: PROVIDER, message: "the change's id is missing".to_owned() })
    }
}

#[async_trait]
impl Dns for Route53 {
    async fn place(&self, name: &str, values: &[String]) -> Result<Placed, DnsError> {
        let zone = self.zone_of(name).await?;
        let change = self.change("UPSERT", &zone, name, values).await?;
        Ok(Placed { name: name.to_owned(), values: values.to_vec(), zone, records: vec![change] })
    }

    async fn settle(&self, placed: &Placed) -> Result<(), DnsError> {
        let deadline = tokio::time::Instant::now() + SETTLE_MAX;
        for change in &placed.records {
            while tokio::time::Instant::now() < deadline {
                let answer = self.call("GET", &format!("/change/{change}"), "", String::new()).await?;
                if between(&answer, "<Status>", "</Status>") == Some("INSYNC") {
                    break;
                }
                tokio::time::sleep(SETTLE_POLL).await;
            }
        }
        Ok(())
    }

    async fn remove(&self, placed: &Placed) -> Result<(), DnsError> {
        match self.change("DELETE", &placed.zone, &placed.name, &placed.values).await {
            // "… but it was not found"
            Err(DnsError::Refused { status: 400, message, .. }) if message.contains("not found") => Ok(()),
            other => other.map(|_| ()),
        }
    }
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(open)?;
    rest.split_once(close).map(|(inner, _)| inner)
}
