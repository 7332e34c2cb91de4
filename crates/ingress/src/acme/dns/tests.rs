//! Each provider against a double that answers as its documentation says.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::{Dns, DnsError, cloudflare::Cloudflare, digitalocean::DigitalOcean, hetzner::Hetzner, relative, route53::Route53, zones_of};
use crate::{
    acme::web::{Reach, Web},
    key_text::KeyText,
};

const NAME: &str = "_acme-challenge.app.example.org";

/// (method and path with query, the beginning of Authorization, body)
type Seen = Arc<Mutex<Vec<(String, String, String)>>>;

/// Answers by table; what is not in it is 404.
async fn double(answers: &'static [(&'static str, u16, &'static str)]) -> (String, Seen) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let seen = Seen::default();
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            let service = service_fn(move |request: http::Request<Incoming>| {
                let kept = Arc::clone(&kept);
                async move {
                    let what = format!("{} {}", request.method(), request.uri());
                    let who = request.headers()["authorization"].to_str().unwrap().chars().take(24).collect();
                    let body = String::from_utf8(request.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap();
                    kept.lock().unwrap().push((what.clone(), who, body));
                    let (_, status, text) = answers.iter().find(|(known, ..)| *known == what).copied().unwrap_or(("", 404, "{}"));
                    let response = http::Response::builder().status(status).body(Full::<bytes::Bytes>::from(text)).unwrap();
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    (base, seen)
}

fn web() -> Web {
    Web::new(None, Reach { may_be_private: true, may_be_plain: true }).unwrap()
}

fn token() -> KeyText {
    KeyText::new("s3cr3t")
}

fn calls(seen: &Seen) -> Vec<String> {
    seen.lock().unwrap().iter().map(|(what, ..)| what.clone()).collect()
}

fn body(seen: &Seen, index: usize) -> String {
    seen.lock().unwrap()[index].2.clone()
}

#[tokio::test]
async fn cloudflare() {
    let (base, seen) = double(&[
        ("GET /zones?name=app.example.org", 200, r#"{"success":true,"result":[]}"#),
        ("GET /zones?name=example.org", 200, r#"{"success":true,"result":[{"id":"z1","name":"example.org"}]}"#),
        ("POST /zones/z1/dns_records", 200, r#"{"success":true,"result":{"id":"r1"}}"#),
        ("DELETE /zones/z1/dns_records/r1", 200, r#"{"result":{"id":"r1"}}"#),
    ])
    .await;
    let provider = Cloudflare::new(web(), &base, &token());
    let placed = provider.place(NAME, &["v1".to_owned(), "v2".to_owned()]).await.unwrap();
    provider.remove(&placed).await.unwrap();
    let record: serde_json::Value = serde_json::from_str(&body(&seen, 2)).unwrap();
    assert_eq!(record, serde_json::json!({"type": "TXT", "name": NAME, "content": "\"v1\"", "ttl": 60}));
    assert_eq!(calls(&seen)[4..], ["DELETE /zones/z1/dns_records/r1", "DELETE /zones/z1/dns_records/r1"]);
    assert_eq!(seen.lock().unwrap()[0].1, "Bearer s3cr3t");
}

#[tokio::test]
async fn cloudflare_refuses() {
    let (base, _) =
        double(&[("GET /zones?name=app.example.org", 403, r#"{"errors":[{"code":9109,"message":"Invalid access token"}]}"#)]).await;
    let error = Cloudflare::new(web(), &base, &token()).place(NAME, &["v".to_owned()]).await.unwrap_err();
    assert!(matches!(&error, DnsError::Refused { status: 403, .. }) && error.to_string().contains("Invalid access token"), "{error}");
    assert!(!format!("{error:?}").contains("s3cr3t"));
}

#[tokio::test]
async fn digitalocean() {
    let (base, seen) = double(&[
        ("GET /domains/example.org", 200, r#"{"domain":{"name":"example.org"}}"#),
        ("POST /domains/example.org/records", 201, r#"{"domain_record":{"id":28448433,"type":"TXT"}}"#),
        ("DELETE /domains/example.org/records/28448433", 204, ""),
    ])
    .await;
    let provider = DigitalOcean::new(web(), &base, &token());
    let placed = provider.place(NAME, &["v1".to_owned()]).await.unwrap();
    provider.remove(&placed).await.unwrap();
    let record: serde_json::Value = serde_json::from_str(&body(&seen, 2)).unwrap();
    assert_eq!(record, serde_json::json!({"type": "TXT", "name": "_acme-challenge.app", "data": "v1", "ttl": 60}));
    assert_eq!(calls(&seen)[3], "DELETE /domains/example.org/records/28448433");
}

#[tokio::test]
async fn hetzner() {
    let (base, seen) = double(&[
        ("GET /zones/example.org", 200, r#"{"zone":{"id":42,"name":"example.org"}}"#),
        ("POST /zones/example.org/rrsets/_acme-challenge.app/TXT/actions/add_records", 201, r#"{"action":{"id":7,"status":"running"}}"#),
        ("GET /actions/7", 200, r#"{"action":{"id":7,"status":"success"}}"#),
        ("POST /zones/example.org/rrsets/_acme-challenge.app/TXT/actions/remove_records", 201, r#"{"action":{"id":8}}"#),
    ])
    .await;
    let provider = Hetzner::new(web(), &base, &token());
    let placed = provider.place(NAME, &["v1".to_owned()]).await.unwrap();
    provider.settle(&placed).await.unwrap();
    provider.remove(&placed).await.unwrap();
    assert_eq!(body(&seen, 2), r#"{"records":[{"value":"\"v1\""}],"ttl":60}"#);
    assert_eq!(calls(&seen)[3], "GET /actions/7");
    assert_eq!(body(&seen, 4), r#"{"records":[{"value":"\"v1\""}]}"#);
}

#[tokio::test]
async fn route53() {
    let (base, seen) = double(&[
        (
            "GET /2013-04-01/hostedzonesbyname?dnsname=app.example.org&maxitems=1",
            200,
            "<HostedZones><HostedZone><Id>/hostedzone/ZOTHER</Id><Name>zzz.example.org.</Name></HostedZone></HostedZones>",
        ),
        (
            "GET /2013-04-01/hostedzonesbyname?dnsname=example.org&maxitems=1",
            200,
            "<HostedZones><HostedZone><Id>/hostedzone/Z1</Id><Name>example.org.</Name></HostedZone></HostedZones>",
        ),
        ("POST /2013-04-01/hostedzone/Z1/rrset", 200, "<ChangeInfo><Id>/change/C1</Id><Status>PENDING</Status></ChangeInfo>"),
        ("GET /2013-04-01/change/C1", 200, "<ChangeInfo><Id>/change/C1</Id><Status>INSYNC</Status></ChangeInfo>"),
    ])
    .await;
    let clock = Arc::new(domain::FixedClock::default());
    let provider = Route53::new(web(), &base, "AKID".to_owned(), token(), None, clock);
    let placed = provider.place(NAME, &["v1".to_owned(), "v2".to_owned()]).await.unwrap();
    provider.settle(&placed).await.unwrap();
    provider.remove(&placed).await.unwrap();
    let change = body(&seen, 2);
    assert!(
        change.contains("<Action>UPSERT</Action>") && change.contains("<Value>\"v1\"</Value></ResourceRecord><ResourceRecord>"),
        "{change}"
    );
    assert!(body(&seen, 4).contains("<Action>DELETE</Action>"));
    assert!(seen.lock().unwrap().iter().all(|(_, who, _)| who.starts_with("AWS4-HMAC-SHA256 Credent")));
}

#[tokio::test]
async fn a_name_that_no_zone_holds() {
    let (base, seen) = double(&[]).await;
    let error = Hetzner::new(web(), &base, &token()).place(NAME, &["v".to_owned()]).await.unwrap_err();
    assert!(matches!(error, DnsError::NoZone { .. }), "{error}");
    assert_eq!(calls(&seen), ["GET /zones/app.example.org", "GET /zones/example.org"], "never a top-level domain");
}

#[tokio::test]
async fn private_addresses_and_plain_http_are_not_asked() {
    let (base, seen) = double(&[]).await;
    let closed = |reach| Cloudflare::new(Web::new(None, reach).unwrap(), &base, &token());
    for (reach, wanted) in [
        (Reach { may_be_private: false, may_be_plain: true }, "loopback"),
        (Reach { may_be_private: true, may_be_plain: false }, "https://"),
    ] {
        let error = closed(reach).place(NAME, &["v".to_owned()]).await.unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
    }
    let named =
        Cloudflare::new(Web::new(None, Reach { may_be_private: false, may_be_plain: true }).unwrap(), "http://localhost:1", &token());
    let error = named.place(NAME, &["v".to_owned()]).await.unwrap_err();
    assert!(error.to_string().contains("loopback"), "{error}");
    assert!(calls(&seen).is_empty());
}

#[test]
fn zones_and_relative_names() {
    assert_eq!(zones_of("_acme-challenge.a.b.test").collect::<Vec<_>>(), ["a.b.test", "b.test"]);
    assert_eq!(relative("_acme-challenge.a.b.test", "b.test"), "_acme-challenge.a");
}
