//! Bodies and queries that name the field in every error.

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use contract::Code;
use contract::FieldError;
use futures_util::StreamExt;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::problem::ApiError;
use crate::scope::limits_of;

/// A JSON body of type `T`. Unknown and wrong fields are 422 with a JSON pointer.
pub struct Body<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let content_type = request.content_type().to_owned();
        let bytes_max = limits_of(request).body_bytes_max;
        let mut payload = payload.take();
        Box::pin(async move {
            if !content_type.is_empty() && content_type != "application/json" && content_type != "application/merge-patch+json" {
                return Err(ApiError::new(Code::MediaTypeUnsupported, format!("The body is {content_type}; send application/json.")));
            }
            let mut bytes = bytes::BytesMut::new();
            while let Some(chunk) = payload.next().await {
                let chunk = chunk.map_err(|_| ApiError::new(Code::BadRequest, "The body broke off. Send it again."))?;
                if bytes.len() + chunk.len() > bytes_max {
                    return Err(ApiError::new(Code::BodyTooLarge, format!("The body is larger than {bytes_max} bytes.")));
                }
                bytes.extend_from_slice(&chunk);
            }
            let text: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
            let mut deserializer = serde_json::Deserializer::from_slice(text);
            let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| explain(&error))?;
            deserializer.end().map_err(|error| ApiError::new(Code::BadRequest, format!("There is text after the JSON value: {error}.")))?;
            Ok(Self(value))
        })
    }
}

fn explain(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let inner = error.inner();
    if inner.is_syntax() || inner.is_eof() {
        return ApiError::new(Code::BadRequest, format!("The body is not valid JSON: {inner}."));
    }
    let path = error.path().to_string();
    let mut pointer = String::new();
    if path != "." {
        for part in path.split('.') {
            pointer.push('/');
            pointer.push_str(&part.replace(['[', ']'], "").replace('~', "~0").replace('/', "~1"));
        }
    }
    let text = inner.to_string();
    let detail = text.rsplit_once(" at line ").map_or(text.as_str(), |(before, _)| before).to_owned();
    let code = if detail.starts_with("unknown field") {
        "unknown-field"
    } else if detail.starts_with("missing field") {
        "required"
    } else {
        "invalid"
    };
    if let Some(name) = detail.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        pointer.push('/');
        pointer.push_str(name);
    }
    ApiError::invalid(vec![FieldError::new(pointer, code, detail)])
}

/// A query string of type `T`.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + 'static> FromRequest for Query<T> {
    type Error = ApiError;
    type Future = std::future::Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _payload: &mut Payload) -> Self::Future {
        std::future::ready(serde_urlencoded::from_str(request.query_string()).map(Self).map_err(|error| {
            let detail = error.to_string();
            let name = detail.split('`').nth(1).unwrap_or_default();
            ApiError::invalid(vec![FieldError::new(format!("query/{name}"), "invalid", detail.clone())])
        }))
    }
}
