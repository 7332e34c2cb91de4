//! Errors on their way out: the one place where a use case's error becomes a problem document.

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use contract::problem::LimitDetail;
use contract::{Code, FieldError, Problem};
use control::ControlError;
use domain::permission::Permission;

/// Where the pages of the codes are served.
pub const PROBLEM_PAGES: &str = "/problems";

/// An error of the API. The gate adds the request id.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct ApiError {
    pub code: Code,
    pub detail: String,
    pub errors: Vec<FieldError>,
    pub permission: Option<Permission>,
    pub limit: Option<Box<LimitDetail>>,
    pub retry_after_seconds: Option<u64>,
    pub policy: Option<&'static str>,
}

impl ApiError {
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), errors: Vec::new(), permission: None, limit: None, retry_after_seconds: None, policy: None }
    }

    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [only] => format!("{}: {}", only.pointer, only.detail),
            several => format!("{} fields are not valid; each is listed in errors.", several.len()),
        };
        Self { errors, ..Self::new(Code::Invalid, detail) }
    }

    /// The document with the request's id.
    pub fn document(&self, request: &str) -> Problem {
        Problem {
            kind: format!("{PROBLEM_PAGES}/{}", self.code.text()),
            title: self.code.title().to_owned(),
            status: self.code.status(),
            detail: self.detail.clone(),
            instance: format!("urn:seaway:request:{request}"),
            code: self.code.text().to_owned(),
            request_id: request.to_owned(),
            retryable: self.code.retryable(),
            errors: self.errors.clone(),
            scope: self
                .permission
                .and_then(|permission| serde_json::to_value(permission).ok())
                .and_then(|value| value.as_str().map(str::to_owned)),
            limit: self.limit.as_deref().cloned(),
            violated_policies: self.policy.iter().map(|policy| (*policy).to_owned()).collect(),
        }
    }

    pub fn response(&self, request: &str) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CONTENT_TYPE, "application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            response.insert_header((RETRY_AFTER, seconds.to_string()));
        } else if self.code.status() == 503 {
            response.insert_header((RETRY_AFTER, "5"));
        }
        if self.code.status() == 401 {
            response.insert_header((WWW_AUTHENTICATE, "Bearer error=\"invalid_token\""));
        }
        if let Ok(id) = HeaderValue::from_str(request) {
            response.insert_header((HeaderName::from_static("request-id"), id));
        }
        response.body(serde_json::to_vec(&self.document(request)).unwrap_or_default())
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Only reached outside the gate; inside, the gate builds the response with the request's id.
    fn error_response(&self) -> HttpResponse {
        self.response("none")
    }
}

impl From<ControlError> for ApiError {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::NotFound(what) => {
                Self::new(Code::NotFound, format!("There is no such {what}, or you have no access to it. Check the id and the account."))
            }
            ControlError::Forbidden(permission) => Self {
                permission: Some(permission),
                ..Self::new(Code::Forbidden, "Your role in this organization does not allow this. Ask an owner or admin.")
            },
            ControlError::ScopeMissing(permission) => Self {
                permission: Some(permission),
                ..Self::new(Code::ScopeMissing, "The token lacks the scope named in `scope`. Make a token with it.")
            },
            ControlError::Refused { code, detail } => Self::new(code, detail),
            ControlError::Invalid(errors) => Self::invalid(errors),
            ControlError::Limit { name, current, max } => Self {
                limit: Some(Box::new(LimitDetail { name: name.to_owned(), current, max, upgrade_url: None })),
                ..Self::new(
                    Code::LimitExceeded,
                    format!("{name}: {current} of {max} are in use. Remove some, or ask the operator for more."),
                )
            },
            ControlError::RateLimited { policy, retry_after_seconds } => Self {
                retry_after_seconds: Some(retry_after_seconds),
                policy: Some(policy),
                ..Self::new(Code::RateLimited, format!("Too many requests. Try again in {retry_after_seconds} s."))
            },
            ControlError::Server(failure) => Self::new(Code::Unavailable, failure.to_string()),
            ControlError::Sealed(why) => Self::new(Code::Sealed, why),
            ControlError::Unavailable(why) => {
                tracing::warn!(error = %why, "a part does not answer");
                Self::new(Code::Unavailable, "A part of Seaway does not answer just now. Try again in a few seconds.")
            }
            ControlError::Internal(cause) => {
                tracing::error!(error = ?cause, "internal error");
                Self::new(Code::Internal, "Something failed inside Seaway. The request id finds the cause in the log.")
            }
        }
    }
}
