//! Answers of handlers: JSON with a status, optionally with `Location` and `ETag`.

use actix_web::body::BoxBody;
use actix_web::cookie::Cookie;
use actix_web::http::StatusCode;
use actix_web::http::header::{ETAG, LOCATION};
use actix_web::{HttpRequest, HttpResponse, Responder};
use serde::Serialize;

use crate::openapi::ROOT;

/// What a handler answers.
pub struct Answer<T> {
    status: StatusCode,
    body: Option<T>,
    location: Option<String>,
    version: Option<String>,
    cookie: Option<Cookie<'static>>,
}

impl<T: Serialize> Answer<T> {
    pub fn ok(body: T) -> Self {
        Self { status: StatusCode::OK, body: Some(body), location: None, version: None, cookie: None }
    }

    /// 201 with `Location` (path below the API's root).
    pub fn created(body: T, location: String) -> Self {
        Self { status: StatusCode::CREATED, body: Some(body), location: Some(location), version: None, cookie: None }
    }

    /// 202 with `Location` of the thing to watch.
    pub fn accepted(body: T, location: String) -> Self {
        Self { status: StatusCode::ACCEPTED, body: Some(body), location: Some(location), version: None, cookie: None }
    }

    /// Another status of success than the constructor's.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).unwrap_or(self.status);
        self
    }

    /// Sets a cookie.
    #[must_use]
    pub fn cookie(mut self, cookie: Cookie<'static>) -> Self {
        self.cookie = Some(cookie);
        self
    }

    /// A strong `ETag`; the gate answers 304 to a matching `If-None-Match`.
    #[must_use]
    pub fn version(mut self, version: impl std::fmt::Display) -> Self {
        self.version = Some(version.to_string());
        self
    }
}

impl Answer<()> {
    /// 204.
    pub fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: None, location: None, version: None, cookie: None }
    }
}

impl<T: Serialize> Responder for Answer<T> {
    type Body = BoxBody;

    fn respond_to(self, _request: &HttpRequest) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(location) = self.location {
            response.insert_header((LOCATION, format!("{ROOT}{location}")));
        }
        if let Some(version) = self.version {
            response.insert_header((ETAG, format!("\"{version}\"")));
        }
        if let Some(cookie) = self.cookie {
            response.cookie(cookie);
        }
        match self.body {
            Some(body) if self.status != StatusCode::NO_CONTENT => response.json(body),
            _ => response.finish(),
        }
    }
}
