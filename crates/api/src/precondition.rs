//! `If-Match`, as it was sent; the use case compares it with the version.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::IF_MATCH;
use actix_web::{FromRequest, HttpRequest};

use contract::Code;

use crate::problem::ApiError;

/// The header's text; `None` when it is absent.
pub struct IfMatch(pub Option<String>);

impl IfMatch {
    /// The version that a numbered `ETag` names; `None` for any.
    ///
    /// # Errors
    /// `precondition-failed` for a tag that is not one of this resource.
    pub fn number(&self) -> Result<Option<i64>, ApiError> {
        // `*` is any version (RFC 9110, 13.1.1).
        let Some(text) = self.0.as_ref().filter(|text| text.trim() != "*") else { return Ok(None) };
        let number = text.trim().strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).and_then(|inner| inner.parse().ok());
        number.map(Some).ok_or_else(|| {
            ApiError::new(Code::PreconditionFailed, "If-Match does not name a version of this resource. Send the ETag of its last answer.")
        })
    }
}

impl FromRequest for IfMatch {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        // What is not text matches nothing.
        ready(Ok(Self(request.headers().get(IF_MATCH).map(|value| value.to_str().unwrap_or_default().to_owned()))))
    }
}
