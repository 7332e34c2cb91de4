//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): the first answer to a key is stored and replayed.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, LOCATION};
use actix_web::{HttpMessage, HttpResponse};
use contract::Code;
use control::idempotency::{Beginning, Stored, Ticket};
use futures_util::StreamExt;
use sha2::{Digest, Sha256};

use crate::endpoint::{Endpoint, Idempotency};
use crate::gate::Gate;
use crate::problem::ApiError;

const KEY_LENGTH_MAX: usize = 255;

pub(crate) enum Begun {
    Fresh(Ticket),
    Replay(HttpResponse),
}

/// Reads the key and the body. `None` when the request has no key and needs none.
pub(crate) async fn begin(
    gate: &Gate,
    endpoint: &Endpoint,
    caller: Option<uuid::Uuid>,
    request: &mut ServiceRequest,
) -> Result<Option<Begun>, ApiError> {
    let Some(header) = request.headers().get("idempotency-key") else {
        return match endpoint.idempotency {
            Idempotency::Required => Err(ApiError::new(
                Code::IdempotencyKeyMissing,
                "Send `Idempotency-Key: \"<a new random text>\"`, the same again when you repeat the request.",
            )),
            _ => Ok(None),
        };
    };
    let Some(caller) = caller else { return Ok(None) };
    let key = header
        .to_str()
        .ok()
        .map(|text| text.trim().trim_matches('"').to_owned())
        .filter(|text| !text.is_empty() && text.len() <= KEY_LENGTH_MAX)
        .ok_or_else(|| ApiError::new(Code::IdempotencyKeyInvalid, "The key is a text of 1 to 255 visible characters."))?;
    let mut payload = request.take_payload();
    let mut body = bytes::BytesMut::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|_| ApiError::new(Code::BadRequest, "The body broke off. Send it again."))?;
        if body.len() + chunk.len() > endpoint.body_bytes_max {
            return Err(ApiError::new(Code::BodyTooLarge, format!("The body is larger than {} bytes.", endpoint.body_bytes_max)));
        }
        body.extend_from_slice(&chunk);
    }
    let body = body.freeze();
    let mut fingerprint = Sha256::new();
    fingerprint.update(request.method().as_str());
    fingerprint.update([0]);
    fingerprint.update(request.path());
    fingerprint.update([b'?']);
    fingerprint.update(request.query_string());
    fingerprint.update([0]);
    fingerprint.update(canonical(&body));
    request.set_payload(Payload::from(body));
    match gate.control.begin_idempotent(caller, endpoint.operation, &key, fingerprint.finalize().into()).await? {
        Beginning::Fresh(ticket) => Ok(Some(Begun::Fresh(ticket))),
        Beginning::Running => {
            Err(ApiError::new(Code::IdempotencyRunning, "The first request with this key is still running. Try again shortly."))
        }
        Beginning::OtherRequest => Err(ApiError::new(Code::IdempotencyKeyReused, "This key was used for another request. Use a new key.")),
        Beginning::Done(stored) => Ok(Some(Begun::Replay(replay(stored)))),
    }
}

/// The same JSON value gives the same bytes, however it was spaced.
fn canonical(body: &[u8]) -> Vec<u8> {
    serde_json::from_slice::<serde_json::Value>(body)
        .ok()
        .and_then(|value| serde_json::to_vec(&value).ok())
        .unwrap_or_else(|| body.to_vec())
}

fn replay(stored: Stored) -> HttpResponse {
    let mut response = HttpResponse::build(StatusCode::from_u16(stored.status).unwrap_or(StatusCode::OK));
    response.insert_header(("idempotent-replayed", "true"));
    if let Some(kind) = stored.content_type {
        response.insert_header((CONTENT_TYPE, kind));
    }
    if let Some(location) = stored.location {
        response.insert_header((LOCATION, location));
    }
    response.body(stored.body)
}

/// Stores an answer of success. Any other is not replayed: the key can be used again.
pub(crate) async fn finish(
    gate: &Gate,
    ticket: Ticket,
    outcome: Result<ServiceResponse<BoxBody>, ApiError>,
) -> Result<ServiceResponse<BoxBody>, ApiError> {
    let response = match outcome {
        Ok(response) if response.status().is_success() => response,
        // It may have been done before it failed (the answer could not be read, say): the repeat must be the same delivery.
        Ok(response) if response.status().is_server_error() => {
            gate.control.free_idempotent(ticket).await?;
            return Ok(response);
        }
        other => {
            gate.control.forget_idempotent(ticket).await?;
            return other;
        }
    };
    let (request, response) = response.into_parts();
    let (head, body) = response.into_parts();
    let text = |name| head.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let stored = Stored {
        status: head.status().as_u16(),
        content_type: text(CONTENT_TYPE),
        location: text(LOCATION),
        body: match body.try_into_bytes() {
            Ok(bytes) => bytes.to_vec(),
            Err(body) => actix_web::body::to_bytes(body)
                .await
                .map_err(|_| ApiError::new(Code::Internal, "The answer could not be read back."))?
                .to_vec(),
        },
    };
    let bytes = stored.body.clone();
    gate.control.finish_idempotent(ticket, stored).await?;
    Ok(ServiceResponse::new(request, head.set_body(BoxBody::new(bytes))))
}
