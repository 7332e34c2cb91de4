//! What the gate found out about a request, as arguments of handlers. Each fails closed: without the gate there is none.

use std::future::{Ready, ready};
use std::ops::Deref;

use actix_web::dev::Payload;
use actix_web::http::header::USER_AGENT;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use contract::Code;
use control::access::{Actor, Origin, Principal};

use crate::problem::ApiError;

/// Limits that the endpoint declares.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub body_bytes_max: usize,
}

pub(crate) fn limits_of(request: &HttpRequest) -> Limits {
    request.extensions().get::<Limits>().copied().unwrap_or(Limits { body_bytes_max: 0 })
}

macro_rules! from_gate {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        pub struct $name(pub $inner);

        impl Deref for $name {
            type Target = $inner;
            fn deref(&self) -> &$inner {
                &self.0
            }
        }

        impl FromRequest for $name {
            type Error = ApiError;
            type Future = Ready<Result<Self, ApiError>>;

            fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
                ready(request.extensions().get::<$inner>().cloned().map(Self).ok_or_else(|| {
                    ApiError::new(Code::Internal, concat!("The route did not declare what ", stringify!($name), " needs."))
                }))
            }
        }
    };
}

from_gate! {
    /// A principal inside the organization of the located resource ([`crate::endpoint::Access::Resource`]).
    Caller(Actor)
}

from_gate! {
    /// Somebody signed in ([`crate::endpoint::Access::SignedIn`] and above).
    Requester(Principal)
}

from_gate! {
    /// Where the request came from; every endpoint has it.
    Visitor(Origin)
}

/// What the client says it is (`User-Agent`): for the list of signed-in devices.
pub struct Device(pub Option<String>);

impl FromRequest for Device {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        let text = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok()).map(str::to_owned);
        ready(Ok(Self(text)))
    }
}
