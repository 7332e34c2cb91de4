//! TLS to clients: which certificate, which host, which protocol.

use std::time::{Duration, Instant};

use http::{Request, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ingress::{
    ClientError, KeyText,
    certificates::{CertificateStanding, Issuance, Material},
};

use crate::{
    authority::{Authority, desired, own},
    backend::Backend,
    rig::{Answer, Rig, collect, empty, get, request, route},
};

async fn rig() -> Rig {
    Rig::with(|config| config.listen_tls = vec!["127.0.0.1:0".parse().unwrap()]).await
}

fn tls(rig: &Rig) -> std::net::SocketAddr {
    rig.ingress.as_ref().unwrap().addresses_tls()[0]
}

/// One HTTP/1.1 request over TLS, with SNI `name` and the host `host`.
async fn get_tls(authority: &Authority, rig: &Rig, name: &str, host: &str) -> std::io::Result<Answer> {
    let stream = authority.connect(tls(rig), name, &["http/1.1"]).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    tokio::spawn(connection);
    let response = sender.send_request(request(host, "/headers").body(empty()).unwrap()).await.map_err(std::io::Error::other)?;
    collect(response).await.map_err(std::io::Error::other)
}

fn refused(error: &ClientError) -> &str {
    let ClientError::Refused { message, .. } = error else { panic!("{error:?}") };
    message
}

#[tokio::test]
async fn a_pasted_certificate_serves_its_names_and_no_other() {
    let (rig, backend, authority) = (rig().await, Backend::start("one").await, Authority::new("root"));
    rig.serve(1, &[backend.address]).await;
    rig.client.put(&route("other", 1, &["other.test", "b.test"], &[backend.address])).await.unwrap();
    assert!(get_tls(&authority, &rig, "a.test", "a.test").await.is_err(), "no certificate, no handshake");
    rig.client.put_certificate(&own("c1", 1, &["a.test", "b.test"], authority.issue(&["a.test", "b.test"], 90))).await.unwrap();
    rig.client.put_certificate(&own("c2", 1, &["*.wild.test"], authority.issue(&["*.wild.test"], 90))).await.unwrap();
    let answer = get_tls(&authority, &rig, "a.test", "a.test").await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    // The certificate names it, but it is another service's; and a name that the certificate does not hold.
    for host in ["b.test", "other.test"] {
        let answer = get_tls(&authority, &rig, "a.test", host).await.unwrap();
        assert_eq!((answer.status, &answer.headers["seaway-error"]), (StatusCode::MISDIRECTED_REQUEST, &"misdirected".parse().unwrap()));
    }
    for name in ["unknown.test", "wild.test", "x.y.wild.test"] {
        let error = get_tls(&authority, &rig, name, name).await.unwrap_err();
        assert!(error.to_string().contains("UnrecognisedName"), "{error}");
    }
    assert_eq!(get_tls(&authority, &rig, "x.wild.test", "x.wild.test").await.unwrap().status, StatusCode::NOT_FOUND, "no route, a page");
    rig.client.delete_certificate("c1", 2).await.unwrap();
    assert!(get_tls(&authority, &rig, "a.test", "a.test").await.is_err());
    assert!(rig.client.certificate_material("c1").await.unwrap().is_none());
}

#[tokio::test]
async fn the_app_is_told_https_and_the_client_hsts_and_http_is_redirected_once_there_is_a_certificate() {
    let mut rig = Rig::with(|config| {
        config.listen_tls = vec!["127.0.0.1:0".parse().unwrap()];
        config.https_port = Some(8443);
    })
    .await;
    let (backend, authority) = (Backend::start("one").await, Authority::new("root"));
    let mut routed = route("svc", 1, &["a.test"], &[backend.address]);
    routed.https.redirect = true;
    routed.https.hsts_seconds = 600;
    rig.client.put(&routed).await.unwrap();
    assert_eq!(rig.get("/").await.status, StatusCode::OK, "no certificate yet: http is served");
    rig.client.put_certificate(&own("c1", 1, &["a.test"], authority.issue(&["a.test"], 90))).await.unwrap();
    for restarted in [false, true] {
        let answer = get(rig.address, "a.test", "/x/y?z=1").await;
        assert_eq!(answer.status, StatusCode::PERMANENT_REDIRECT);
        assert_eq!(answer.headers["location"], "https://a.test:8443/x/y?z=1", "{restarted}");
        let answer = get_tls(&authority, &rig, "a.test", "a.test").await.unwrap();
        assert_eq!(answer.headers["strict-transport-security"], "max-age=600");
        assert!(answer.body.contains("x-forwarded-proto: https"), "{}", answer.body);
        if !restarted {
            rig.restart().await;
        }
    }
}

#[tokio::test]
async fn http2_is_negotiated_and_sessions_are_resumed() {
    let (rig, backend, authority) = (rig().await, Backend::start("one").await, Authority::new("root"));
    rig.serve(1, &[backend.address]).await;
    rig.client.put_certificate(&own("c1", 1, &["a.test"], authority.issue(&["a.test"], 90))).await.unwrap();
    let stream = authority.connect(tls(&rig), "a.test", &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let ask = Request::builder().uri("https://a.test/").body(empty()).unwrap();
    assert_eq!(collect(sender.send_request(ask).await.unwrap()).await.unwrap().body, "one");
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let config = authority.client_of(version, &["http/1.1"]);
        let config = std::sync::Arc::new(config);
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let tcp = tokio::net::TcpStream::connect(tls(&rig)).await.unwrap();
            let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
            let stream = tokio_rustls::TlsConnector::from(std::sync::Arc::clone(&config)).connect(name, tcp).await.unwrap();
            kinds.push(stream.get_ref().1.handshake_kind());
            // The ticket comes with the first answer.
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
            tokio::spawn(connection);
            let response = sender.send_request(request("a.test", "/").body(empty()).unwrap()).await.unwrap();
            collect(response).await.unwrap();
        }
        assert_eq!(kinds[1], Some(rustls::HandshakeKind::Resumed), "{kinds:?}");
    }
}

#[tokio::test]
async fn certificates_that_clients_would_refuse_are_refused_with_a_remedy() {
    let (rig, authority, other) = (rig().await, Authority::new("root"), Authority::new("other root"));
    let good = authority.issue(&["a.test"], 90);
    let leaf_only = good.chain_pem.split_inclusive("-----END CERTIFICATE-----").next().unwrap().to_owned();
    let stranger = authority.issue(&["a.test"], 90);
    let with = |chain_pem: String, key_pem: &KeyText| Material { chain_pem, key_pem: key_pem.clone() };
    for (material, wanted) in [
        (authority.issue(&["a.test"], -1), "expired on"),
        (with(good.chain_pem.clone(), &stranger.key_pem), "does not belong to the first certificate"),
        (with(format!("{leaf_only}\n{}", other.pem), &good.key_pem), "did not sign the one before"),
        (with(leaf_only.clone(), &good.key_pem), "lacks the intermediate"),
        (authority.issue(&["b.test"], 90), "does not name a.test; it names b.test"),
        (with("no certificate".to_owned(), &good.key_pem), "no certificate in PEM"),
        (with(good.chain_pem.clone(), &KeyText::new("-----BEGIN ENCRYPTED PRIVATE KEY-----")), "encrypted with a passphrase"),
    ] {
        let error = rig.client.put_certificate(&own("c1", 1, &["a.test"], material)).await.unwrap_err();
        assert!(refused(&error).contains(wanted), "{error}");
    }
    assert!(rig.client.certificate("c1").await.unwrap().is_none(), "a refused put changes nothing");
    rig.client.put_certificate(&own("c1", 2, &["a.test"], good.clone())).await.unwrap();
    let state = rig.client.certificate("c1").await.unwrap().unwrap();
    assert_eq!((state.standing, state.days_left, state.renew_at), (CertificateStanding::Issued, Some(89), None));
    assert_eq!(rig.client.certificate_material("c1").await.unwrap().unwrap(), good);
    let stale = rig.client.put_certificate(&own("c1", 1, &["a.test"], good)).await.unwrap_err();
    assert!(matches!(stale, ClientError::StaleGeneration { stored: 2, .. }), "{stale:?}");
}

#[tokio::test]
async fn self_signed_for_local_use() {
    let (rig, authority) = (rig().await, Authority::new("root"));
    rig.client.put_certificate(&desired("c1", 1, &["a.localhost"], Issuance::SelfSigned)).await.unwrap();
    let state = rig.client.certificate("c1").await.unwrap().unwrap();
    assert_eq!((state.standing, state.served.unwrap().chain_length), (CertificateStanding::Issued, 1));
    let error = authority.connect(tls(&rig), "a.localhost", &[]).await.unwrap_err();
    assert!(error.to_string().contains("UnknownIssuer") || error.to_string().contains("CaUsedAsEndEntity"), "{error}");
}

#[tokio::test]
async fn slow_and_foreign_handshakes_end() {
    let rig = Rig::with(|config| {
        config.listen_tls = vec!["127.0.0.1:0".parse().unwrap()];
        config.limits.handshake_timeout_ms = 200;
    })
    .await;
    let begin = Instant::now();
    for first in [&b""[..], b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"] {
        crate::rig::raw(tls(&rig), first).await;
    }
    assert!(begin.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn ten_thousand_certificates_load_fast() {
    let (mut rig, authority) = (rig().await, Authority::new("root"));
    rig.client.put_certificate(&own("c0", 1, &["a0.test"], authority.issue(&["a0.test"], 90))).await.unwrap();
    // Written by hand: ten thousand puts would test the disk.
    let state = rig.config.state_dir.clone();
    let template = std::fs::read_to_string(state.join("certificates/c0.current")).unwrap();
    let key = std::fs::read(state.join("certificate-keys/c0.current")).unwrap();
    let (_, body) = template.split_once('\n').unwrap();
    for number in 1..10_000 {
        use sha2::Digest as _;
        let body = body.replace("c0", &format!("c{number}")).replace("a0.test", &format!("a{number}.test"));
        let sum: String = sha2::Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(state.join(format!("certificates/c{number}.current")), format!("seaway-record/1 sha256={sum}\n{body}")).unwrap();
        std::fs::write(state.join(format!("certificate-keys/c{number}.current")), &key).unwrap();
    }
    let begin = Instant::now();
    rig.restart().await;
    let took = begin.elapsed();
    assert_eq!(rig.client.certificates(None).await.unwrap().certificates.len(), 10_000);
    // 2 s in release; the tests are built without optimisation and share the machine.
    assert!(took < Duration::from_secs(12), "{took:?}");
    println!("10,000 certificates loaded in {took:?}");
}
