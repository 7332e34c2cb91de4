//! What a route's policy does, from outside.

use http::{Method, StatusCode};
use ingress::{
    Place, Redirect, RedirectRule, RouteState, ServiceRoute,
    routes::policy::{AccessLog, BasicUser, Cors, HeaderEdit, Maintenance, RateLimit, RatePer},
};

use crate::{
    backend::Backend,
    rig::{Answer, KeepAlive, Rig, empty, full, get, raw, request, route, send, until},
};

async fn with(edit: impl FnOnce(&mut ServiceRoute)) -> (Rig, Backend) {
    with_config(|_| {}, edit).await
}

async fn with_config(config: impl FnOnce(&mut ingress::IngressConfig), edit: impl FnOnce(&mut ServiceRoute)) -> (Rig, Backend) {
    let (rig, backend) = (Rig::with(config).await, Backend::start("one").await);
    let mut route = route("svc", 1, &["a.test"], &[backend.address]);
    edit(&mut route);
    rig.client.put(&route).await.unwrap();
    (rig, backend)
}

async fn asked(rig: &Rig, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut asked = request("a.test", path);
    for (name, value) in headers {
        asked = asked.header(*name, *value);
    }
    send(rig.address, asked.body(empty()).unwrap()).await.unwrap()
}

fn code(answer: &Answer) -> &str {
    answer.headers.get("seaway-error").map_or("", |code| code.to_str().unwrap())
}

#[tokio::test]
async fn places_lead_to_their_service_with_the_path_that_it_expects() {
    let (rig, shop, api) = (Rig::start().await, Backend::start("shop").await, Backend::start("api").await);
    rig.client.put(&route("shop", 1, &["a.test", "*.shop.test"], &[shop.address])).await.unwrap();
    let mut second = route("api", 1, &[], &[api.address]);
    second.places = vec![
        Place { strip: true, ..Place::prefix("a.test", "/api") },
        Place { strip: true, internal_path: Some("/v2".into()), ..Place::prefix("a.test", "/api/two") },
        Place { port: Some(shop.address.port()), ..Place::prefix("a.test", "/other") },
    ];
    rig.client.put(&second).await.unwrap();
    for (path, wanted) in [
        ("/api/headers?q=1", "GET /headers?q=1"),
        ("/api//headers", "GET /headers"),
        ("/x/../api/headers", "GET /headers"),
        ("/api/%2e%2e/headers", "GET /headers"),
        ("/api/two/headers", "404"),
        ("/headers", "GET /headers"),
        ("/headers?a=/../b", "GET /headers?a=/../b"),
    ] {
        let answer = get(rig.address, "a.test", path).await;
        if wanted == "404" {
            assert_eq!(answer.body, "api", "the app has no /v2/headers");
        } else {
            assert_eq!(answer.body.lines().next().unwrap(), wanted, "{path}");
        }
    }
    assert!(get(rig.address, "a.test", "/api/headers").await.body.contains("x-forwarded-prefix: /api"));
    for (host, path, wanted) in [
        ("a.test", "/api", "api"),
        ("a.test", "/apix", "shop"),
        ("a.test", "/", "shop"),
        ("x.shop.test", "/", "shop"),
        ("a.test", "/other/x", "shop"),
    ] {
        assert_eq!(get(rig.address, host, path).await.body, wanted, "{host}{path}");
    }
    for host in ["shop.test", "y.x.shop.test"] {
        assert_eq!(get(rig.address, host, "/").await.status, StatusCode::NOT_FOUND, "{host}");
    }
    assert_eq!(get(rig.address, "a.test", "/..").await.status, StatusCode::BAD_REQUEST);
    // A place has one owner, and is free when that one leaves it.
    let mut thief = route("thief", 1, &[], &[]);
    thief.places = vec![Place::prefix("a.test", "/api")];
    let refused = rig.client.put(&thief).await.unwrap_err();
    assert!(refused.to_string().contains("a.test/api belongs to service api"), "{refused}");
    second.places.clear();
    rig.client.put(&second).await.unwrap();
    rig.client.put(&thief).await.unwrap();
    assert_eq!(code(&get(rig.address, "a.test", "/api").await), "deploying");
}

#[tokio::test]
async fn places_and_policies_survive_a_restart() {
    let (mut rig, _backend) = with(|route| {
        route.places = vec![Place { strip: true, ..Place::prefix("b.test", "/api") }];
        route.policy.maintenance = Some(Maintenance { message: "Back at <noon>".into(), ..Maintenance::default() });
    })
    .await;
    rig.restart().await;
    let answer = asked(&rig, "/", &[("accept", "text/html")]).await;
    assert_eq!((answer.status, code(&answer)), (StatusCode::SERVICE_UNAVAILABLE, "maintenance"));
    assert!(answer.body.contains("Back at &lt;noon&gt;"), "{}", answer.body);
    assert_eq!(get(rig.address, "b.test", "/api/x").await.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(get(rig.address, "b.test", "/").await.status, StatusCode::NOT_FOUND);
    assert!(rig.client.health().await.unwrap().warnings.is_empty());
}

#[tokio::test]
async fn redirects_keep_path_and_query() {
    let (rig, backend) = with(|route| {
        route.hosts.push("www.a.test".into());
        route.redirects = vec![
            Redirect { hosts: vec![], rule: RedirectRule::Prefix { from: "/old".into(), to: "/new".into() }, permanent: false },
            Redirect {
                hosts: vec!["www.a.test".into()],
                rule: RedirectRule::Host { to: "a.test".into(), keep_path: true },
                permanent: true,
            },
        ];
    })
    .await;
    let port = rig.address.port();
    for (host, method, path, status, location) in [
        ("www.a.test", Method::GET, "/x?q=1", 301, "http://a.test/x?q=1".to_owned()),
        ("www.a.test", Method::POST, "/x", 308, "http://a.test/x".to_owned()),
        (&format!("WWW.a.test:{port}"), Method::GET, "/", 301, format!("http://a.test:{port}/")),
        ("a.test", Method::GET, "/old/y", 302, "/new/y".to_owned()),
        ("a.test", Method::DELETE, "/old", 307, "/new".to_owned()),
    ] {
        let answer = send(rig.address, request(host, path).method(method).body(empty()).unwrap()).await.unwrap();
        assert_eq!((answer.status.as_u16(), answer.headers["location"].to_str().unwrap()), (status, location.as_str()), "{host}{path}");
    }
    assert_eq!(backend.seen(), 0);
    assert_eq!(rig.get("/x").await.body, "one");
}

#[tokio::test]
async fn a_password_is_asked_for_and_costs_little_the_second_time() {
    let (rig, backend) = with(|route| {
        route.policy.basic_auth = vec![BasicUser { name: "ann".into(), password_hash: bcrypt::hash("secret", 8).unwrap() }];
    })
    .await;
    let header = |credentials: &str| format!("Basic {}", base64::Engine::encode(&base64::engine::general_purpose::STANDARD, credentials));
    let refused = rig.get("/").await;
    assert_eq!((refused.status, code(&refused)), (StatusCode::UNAUTHORIZED, "unauthorised"));
    assert!(refused.headers["www-authenticate"].to_str().unwrap().starts_with("Basic "));
    assert_eq!(asked(&rig, "/", &[("authorization", &header("ann:wrong"))]).await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(backend.seen(), 0);
    let right = header("ann:secret");
    assert_eq!(asked(&rig, "/", &[("authorization", &right)]).await.body, "one");
    let begin = std::time::Instant::now();
    let mut kept = KeepAlive::open(rig.address).await.unwrap();
    for _ in 0..100 {
        let sent = request("a.test", "/").header("authorization", &right).body(empty()).unwrap();
        assert_eq!(kept.send(sent).await.unwrap().status, StatusCode::OK);
    }
    assert!(begin.elapsed() < std::time::Duration::from_secs(2), "a hundred hashes would take longer: {:?}", begin.elapsed());
}

#[tokio::test]
async fn addresses_are_judged_by_who_really_asks() {
    let (rig, _backend) = with(|route| {
        route.policy.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        route.policy.allow = vec!["203.0.113.0/24".parse().unwrap()];
        route.policy.deny = vec!["203.0.113.7/32".parse().unwrap()];
    })
    .await;
    for (forwarded, status) in
        [("203.0.113.9", 200), ("203.0.113.7", 403), ("203.0.113.9, 198.51.100.1", 403), ("198.51.100.1, 203.0.113.9", 200)]
    {
        let answer = asked(&rig, "/headers", &[("x-forwarded-for", forwarded)]).await;
        assert_eq!(answer.status.as_u16(), status, "{forwarded}");
        if status == 200 {
            assert!(answer.body.contains(&format!("x-forwarded-for: {forwarded}, 127.0.0.1")), "{}", answer.body);
        }
    }
    assert_eq!(code(&rig.get("/").await), "address_refused");
    // Nobody is believed who is not trusted.
    let (rig, _backend) = with(|route| route.policy.deny = vec!["127.0.0.0/8".parse().unwrap()]).await;
    assert_eq!(asked(&rig, "/", &[("x-forwarded-for", "203.0.113.9")]).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn a_rate_limit_says_when_to_come_back() {
    let (rig, backend) = with(|route| {
        route.policy.rate_limits = vec![RateLimit { per: RatePer::Client, requests: 5, period_seconds: 3_600, burst: 0 }];
    })
    .await;
    for _ in 0..5 {
        assert_eq!(rig.get("/").await.status, StatusCode::OK);
    }
    let refused = rig.get("/").await;
    assert_eq!((refused.status, code(&refused)), (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"));
    let seconds: u32 = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((700..=720).contains(&seconds), "{seconds}");
    assert_eq!(backend.seen(), 5);
}

#[tokio::test]
async fn headers_are_set_and_removed_and_cors_is_answered_here() {
    let edit = |name: &str, value: Option<&str>| HeaderEdit { name: name.into(), value: value.map(str::to_owned) };
    let (rig, backend) = with(|route| {
        route.policy.request_headers = vec![edit("X-Env", Some("prod")), edit("X-Debug", None)];
        route.policy.response_headers = vec![edit("X-Frame-Options", Some("DENY")), edit("X-App", None)];
        route.policy.cors =
            Some(Cors { origins: vec!["https://b.test".into()], credentials: true, max_age_seconds: 60, ..Cors::default() });
    })
    .await;
    let answer = asked(&rig, "/headers", &[("x-debug", "1"), ("x-env", "evil"), ("origin", "https://b.test")]).await;
    assert!(answer.body.contains("x-env: prod") && !answer.body.contains("x-debug") && !answer.body.contains("evil"), "{}", answer.body);
    for (name, value) in [("x-frame-options", "DENY"), ("access-control-allow-origin", "https://b.test"), ("vary", "Origin")] {
        assert_eq!(answer.headers[name], value);
    }
    assert!(!asked(&rig, "/hop", &[]).await.headers.contains_key("x-app"));
    let foreign = asked(&rig, "/", &[("origin", "https://evil.test")]).await;
    assert!(!foreign.headers.contains_key("access-control-allow-origin"));
    let before = backend.seen();
    let preflight = request("a.test", "/")
        .method(Method::OPTIONS)
        .header("origin", "https://b.test")
        .header("access-control-request-method", "PUT")
        .header("access-control-request-headers", "x-token")
        .body(empty())
        .unwrap();
    let answer = send(rig.address, preflight).await.unwrap();
    assert_eq!((answer.status, &answer.headers["access-control-allow-headers"]), (StatusCode::NO_CONTENT, &"x-token".parse().unwrap()));
    assert_eq!(backend.seen(), before);
}

#[tokio::test]
async fn texts_are_compressed_and_streams_are_not_held_back() {
    use std::io::Read;
    let (rig, _backend) = with(|route| route.policy.compress = true).await;
    let plain = asked(&rig, "/text?50000", &[]).await;
    assert_eq!((plain.headers.get("content-encoding"), &plain.headers["vary"]), (None, &"Accept-Encoding".parse().unwrap()));
    let wanted = plain.body.into_bytes();
    for (accept, coding) in [("gzip", "gzip"), ("br", "br"), ("gzip, deflate, br, zstd", "zstd")] {
        let sent = request("a.test", "/text?50000").header("accept-encoding", accept).body(empty()).unwrap();
        let response = KeepAlive::open(rig.address).await.unwrap().start(sent).await.unwrap();
        assert_eq!(response.headers()["content-encoding"], coding);
        assert_eq!(response.headers()["etag"], "W/\"v1\"");
        assert!(!response.headers().contains_key("content-length"));
        let body = http_body_util::BodyExt::collect(response.into_body()).await.unwrap().to_bytes();
        assert!(body.len() * 5 < wanted.len(), "{coding}: {}", body.len());
        let mut out = Vec::new();
        match coding {
            "gzip" => flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut out).unwrap(),
            "br" => brotli::Decompressor::new(&body[..], 4_096).read_to_end(&mut out).unwrap(),
            _ => zstd::stream::read::Decoder::new(&body[..]).unwrap().read_to_end(&mut out).unwrap(),
        };
        assert!(out == wanted, "{coding}");
    }
    for path in ["/text?500", "/events", "/big?131072"] {
        let sent = request("a.test", path).header("accept-encoding", "gzip").body(empty()).unwrap();
        let response = KeepAlive::open(rig.address).await.unwrap().start(sent).await.unwrap();
        assert!(!response.headers().contains_key("content-encoding"), "{path}");
    }
    // A text that comes drop by drop arrives drop by drop.
    let sent = request("a.test", "/drops").header("accept-encoding", "gzip").body(empty()).unwrap();
    let mut response = KeepAlive::open(rig.address).await.unwrap().start(sent).await.unwrap();
    assert_eq!(response.headers()["content-encoding"], "gzip");
    let mut decoder = flate2::write::GzDecoder::new(Vec::new());
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
    while !String::from_utf8_lossy(decoder.get_ref()).contains("drop 3") {
        let frame = tokio::time::timeout_at(deadline, http_body_util::BodyExt::frame(response.body_mut())).await.expect("held back");
        std::io::Write::write_all(&mut decoder, &frame.unwrap().unwrap().into_data().unwrap()).unwrap();
        std::io::Write::flush(&mut decoder).unwrap();
    }
}

#[tokio::test]
async fn an_owner_s_error_page_is_for_people_only() {
    let (rig, _backend) = with(|route| {
        route.state = RouteState::Stopped;
        drop(route.policy.error_pages.insert(503, "<h1>Sorry</h1>".into()));
    })
    .await;
    let page = asked(&rig, "/", &[("accept", "text/html")]).await;
    assert_eq!((page.status, page.body.as_str(), code(&page)), (StatusCode::SERVICE_UNAVAILABLE, "<h1>Sorry</h1>", "stopped"));
    assert!(asked(&rig, "/", &[("accept", "application/json")]).await.body.contains("\"code\":\"stopped\""));
}

#[tokio::test]
async fn a_pause_holds_requests_and_answers_the_health_check() {
    let (rig, backend) = with(|route| {
        route.state = RouteState::Paused;
        route.hold_timeout_ms = Some(400);
        route.policy.health_path = Some("/up".into());
    })
    .await;
    assert_eq!(rig.get("/up").await.status, StatusCode::OK);
    let late = rig.get("/").await;
    assert_eq!((late.status, code(&late)), (StatusCode::GATEWAY_TIMEOUT, "paused"));
    let address = rig.address;
    let waiting = tokio::spawn(async move { get(address, "a.test", "/").await });
    until("it waits", async || rig.metrics().await.held == 1).await;
    rig.serve(2, &[backend.address]).await;
    assert_eq!(waiting.await.unwrap().body, "one");
    assert_eq!(backend.seen(), 1);
}

#[tokio::test]
async fn the_access_log_holds_what_its_owner_asked_for_and_no_more() {
    let (rig, _backend) = with(|route| route.policy.access_log = Some(AccessLog::default())).await;
    let posted = request("a.test", "/echo?token=1").method(Method::POST).header("user-agent", "agent").body(full("hello")).unwrap();
    send(rig.address, posted).await.unwrap();
    until("the line is there", async || !rig.client.access_log("svc", 10).await.unwrap().is_empty()).await;
    let line = rig.client.access_log("svc", 10).await.unwrap().remove(0);
    assert_eq!((line.method.as_str(), line.path.as_str(), line.status, line.release), ("POST", "/echo", 200, Some(1)));
    assert_eq!((line.bytes_in, line.bytes_out, line.client.as_str()), (5, 5, "127.0.0.0"));
    assert_eq!((line.query, line.user_agent, line.referer), (None, None, None));
    assert!(line.duration_us >= line.latency_us && line.latency_us > 0);

    let mut open = route("svc", 2, &["a.test"], &[]);
    open.policy.access_log = Some(AccessLog { full_address: true, query: true, user_agent: true, referer: true });
    rig.client.put(&open).await.unwrap();
    asked(&rig, "/x?q=1", &[("user-agent", "agent"), ("referer", "https://b.test/")]).await;
    until("the second line is there", async || rig.client.access_log("svc", 10).await.unwrap().len() == 2).await;
    let line = rig.client.access_log("svc", 1).await.unwrap().remove(0);
    assert_eq!((line.client.as_str(), line.query.as_deref(), line.user_agent.as_deref()), ("127.0.0.1", Some("q=1"), Some("agent")));
    assert_eq!((line.status, line.error.as_deref(), line.release), (503, Some("deploying"), None));
    let samples = rig.client.samples("svc").await.unwrap();
    assert!(!samples.is_empty() && samples.iter().all(|sample| !sample.path.contains('?')));
    // Without the policy nothing is written.
    let (quiet, _backend) = with(|_| {}).await;
    quiet.get("/").await;
    assert!(quiet.client.access_log("svc", 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn the_operator_s_numbers_have_an_address_of_their_own() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (rig, _backend) = with_config(|config| config.metrics_listen = Some(port), |_| {}).await;
    for _ in 0..3 {
        rig.get("/").await;
    }
    let text = raw(port, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").await;
    for line in [
        "seaway_requests_total{service=\"svc\"} 3",
        "seaway_answers_total{service=\"svc\",class=\"2xx\"} 3",
        "seaway_latency_seconds_count{service=\"svc\"} 3",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(raw(port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.starts_with("HTTP/1.1 404"));
}
