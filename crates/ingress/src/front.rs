//! What stands between a request's name and its app when TLS is about: challenges of an authority, requests for another
//! certificate's host, the way from http to https.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, STRICT_TRANSPORT_SECURITY},
};

use crate::{
    acme::Answers, body::ResponseBody, certificate_book::CertificateBook, host, hygiene::Hop, live::ServiceLive, pages::Page,
    registry::Registry, routes::HttpsPolicy,
};

pub struct Front {
    pub book: Arc<CertificateBook>,
    pub answers: Arc<Answers>,
    /// Where https is reached from outside; `None`: nowhere, nothing is redirected.
    pub https_port: Option<u16>,
}

impl Front {
    /// The answer to an authority that checks http-01; it comes before routing, the name may not be routed yet.
    pub fn challenge<B>(&self, hop: &Hop, request: &Request<B>) -> Option<Response<ResponseBody>> {
        let path = request.uri().path();
        if hop.tls.is_some() || request.method() != Method::GET || !path.starts_with("/.well-known/") {
            return None;
        }
        let authority = request.headers().get(http::header::HOST).and_then(|host| host.to_str().ok());
        let authority = request.uri().authority().map(http::uri::Authority::as_str).or(authority)?;
        let answer = self.answers.http(&host::normalise(authority).ok()?, path)?;
        let mut response = Response::new(ResponseBody::page(Bytes::from(answer.to_string())));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        Some(response)
    }

    /// A connection is for the name in its ClientHello. Another host may share it only when the certificate names it too and
    /// both belong to one service: HTTP/2 clients put them on one connection. Otherwise 421 makes them open another.
    pub fn check(&self, hop: &Hop, registry: &Registry, service: &Arc<ServiceLive>, name: &str) -> Result<(), Page> {
        let Some(tls) = &hop.tls else { return Ok(()) };
        if *tls.server_name == *name {
            return Ok(());
        }
        let same = || registry.find_host(&tls.server_name).is_some_and(|other| Arc::ptr_eq(&other, service));
        if tls.covers(name) && same() { Ok(()) } else { Err(Page::Misdirected) }
    }

    /// 308 to https, where the route asks for it and a certificate for the name is served.
    pub fn redirect<B>(&self, hop: &Hop, policy: &HttpsPolicy, host: &HeaderValue, request: &Request<B>) -> Option<Response<ResponseBody>> {
        let port = self.https_port?;
        if !policy.redirect || hop.is_https(request.headers()) {
            return None;
        }
        let name = host::normalise(host.to_str().ok()?).ok()?;
        if !self.book.serves(&name) {
            return None;
        }
        let port = if port == 443 { String::new() } else { format!(":{port}") };
        let target = request.uri().path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
        let location = HeaderValue::from_str(&format!("https://{name}{port}{target}")).ok()?;
        let mut response = Response::new(ResponseBody::page(Bytes::new()));
        *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
        response.headers_mut().insert(LOCATION, location);
        // It is for as long as the owner wants it, not for ever in every browser.
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
        Some(response)
    }

    /// Only over TLS (RFC 6797, 7.2), and only what the app did not say itself.
    pub fn promise(&self, hop: &Hop, policy: &HttpsPolicy, response: &mut Response<ResponseBody>) {
        if hop.tls.is_none() || policy.hsts_seconds == 0 {
            return;
        }
        let subdomains = if policy.hsts_include_subdomains { "; includeSubDomains" } else { "" };
        if let Ok(value) = HeaderValue::from_str(&format!("max-age={}{subdomains}", policy.hsts_seconds)) {
            response.headers_mut().entry(STRICT_TRANSPORT_SECURITY).or_insert(value);
        }
    }
}
