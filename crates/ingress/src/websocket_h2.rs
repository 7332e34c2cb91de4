//! WebSockets over HTTP/2 (RFC 8441): an extended CONNECT of the client becomes the handshake of HTTP/1.1 that apps know, and
//! the app's 101 becomes the client's 200. The bytes between are the same.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, TRANSFER_ENCODING, UPGRADE},
};
use hyper::ext::Protocol;
use sha2::{Digest, Sha256};

use crate::hygiene;

/// `true` when it was one, and is a handshake of HTTP/1.1 now. `nonce` makes the key, which no app needs to be secret.
pub fn translate<B>(request: &mut Request<B>, nonce: &[u8]) -> bool {
    let is_websocket = request.method() == Method::CONNECT
        && request.extensions().get::<Protocol>().is_some_and(|protocol| protocol.as_str().eq_ignore_ascii_case("websocket"));
    if !is_websocket {
        return false;
    }
    *request.method_mut() = Method::GET;
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    hygiene::join_cookies(headers);
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.entry(SEC_WEBSOCKET_VERSION).or_insert(HeaderValue::from_static("13"));
    let digest = Sha256::digest(nonce);
    let key = BASE64_STANDARD.encode(digest.get(..16).unwrap_or_default());
    if let Ok(key) = HeaderValue::from_str(&key) {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
    true
}

/// The app's answer to a translated request, as HTTP/2 knows it. An app that answers 200 did not agree: that is no tunnel.
pub fn translate_back<B>(response: &mut Response<B>) {
    let headers = response.headers_mut();
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    let status = response.status();
    if status == StatusCode::SWITCHING_PROTOCOLS {
        *response.status_mut() = StatusCode::OK;
    } else if status.is_success() {
        *response.status_mut() = StatusCode::BAD_GATEWAY;
    }
}
