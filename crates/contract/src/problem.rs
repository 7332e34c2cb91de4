//! Errors as RFC 9457 problem details, with stable codes. Each code has a page in `docs/problems`.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The body of every error answer (`application/problem+json`).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// URL of the page that explains the code.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    pub status: u16,
    /// What happened here, and what to do next.
    pub detail: String,
    /// The request id as a URN.
    pub instance: String,
    /// Stable; programs decide by it.
    pub code: String,
    pub request_id: String,
    pub retryable: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// The permission that is missing, with `forbidden` and `scope-missing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<LimitDetail>,
    #[serde(default, rename = "violated-policies", skip_serializing_if = "Vec::is_empty")]
    pub violated_policies: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) to the field, or `query/name`.
    pub pointer: String,
    pub code: String,
    /// What is wrong and what is expected.
    pub detail: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), code: code.into(), detail: detail.into() }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LimitDetail {
    pub name: String,
    pub current: u64,
    pub max: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade_url: Option<String>,
}

macro_rules! codes {
    ($($name:ident = $text:literal, $status:literal, $retryable:literal, $title:literal;)*) => {
        /// The catalogue of error codes.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($name),* }

        impl Code {
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            pub fn text(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status),* }
            }
            pub fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable),* }
            }
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title),* }
            }
        }
    };
}

codes! {
    BadRequest = "bad-request", 400, false, "The request cannot be read";
    CursorInvalid = "cursor-invalid", 400, false, "The cursor does not fit this list";
    IdempotencyKeyMissing = "idempotency-key-missing", 400, false, "This request needs an Idempotency-Key";
    IdempotencyKeyInvalid = "idempotency-key-invalid", 400, false, "The Idempotency-Key cannot be read";
    Unauthenticated = "unauthenticated", 401, false, "Sign in first";
    CredentialsInvalid = "credentials-invalid", 401, false, "The e-mail address or the password is wrong";
    StepUpRequired = "step-up-required", 401, false, "Confirm your password first";
    EmailUnverified = "email-unverified", 403, false, "The e-mail address is not verified yet";
    Forbidden = "forbidden", 403, false, "Your role does not allow this";
    ScopeMissing = "scope-missing", 403, false, "The token's scopes do not allow this";
    AddressForbidden = "address-forbidden", 403, false, "This address may not use the token";
    CsrfRejected = "csrf-rejected", 403, false, "The request did not come from Seaway's own pages";
    SignUpClosed = "sign-up-closed", 403, false, "This instance does not accept new accounts";
    FeatureOff = "feature-off", 403, false, "The operator has switched this off";
    LimitExceeded = "limit-exceeded", 403, false, "A limit is reached";
    NotFound = "not-found", 404, false, "There is no such thing here";
    MethodNotAllowed = "method-not-allowed", 405, false, "This address does not know the method";
    NotAcceptable = "not-acceptable", 406, false, "The answer cannot be given in the wanted form";
    Conflict = "conflict", 409, false, "It does not fit the present state";
    NameTaken = "name-taken", 409, false, "The name is taken";
    IdempotencyRunning = "idempotency-running", 409, true, "The first request with this key is still running";
    Gone = "gone", 410, false, "It was used or has expired";
    PreconditionFailed = "precondition-failed", 412, false, "It was changed in the meantime";
    BodyTooLarge = "body-too-large", 413, false, "The body is too large";
    MediaTypeUnsupported = "media-type-unsupported", 415, false, "The body's type is not supported";
    HostUnknown = "host-unknown", 421, false, "This host is not served here";
    Invalid = "invalid", 422, false, "Some fields are not valid";
    IdempotencyKeyReused = "idempotency-key-reused", 422, false, "The key was used for another request";
    PreconditionRequired = "precondition-required", 428, false, "This change needs If-Match";
    RateLimited = "rate-limited", 429, true, "Too many requests";
    Internal = "internal", 500, true, "Something failed inside Seaway";
    Unavailable = "unavailable", 503, true, "A part of Seaway does not answer";
    Sealed = "sealed", 503, true, "The vault is sealed";
}
