//! What the providers with a JSON API have in common: a bearer token and the shape of a call.

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE},
};
use serde_json::Value;

use super::DnsError;
use crate::{acme::web::Web, key_text::KeyText};

pub struct Rest {
    web: Web,
    base: String,
    token: KeyText,
    provider: &'static str,
}

impl Rest {
    pub fn new(web: Web, base: &str, token: &KeyText, provider: &'static str) -> Self {
        Self { web, base: base.to_owned(), token: token.clone(), provider }
    }

    /// `Ok(None)`: 404.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Option<Value>, DnsError> {
        let unreadable = |message: String| DnsError::Answer { provider: self.provider, message };
        let mut bearer =
            HeaderValue::from_str(&format!("Bearer {}", self.token.reveal())).map_err(|error| unreadable(error.to_string()))?;
        bearer.set_sensitive(true);
        let bytes = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .body(bytes)
            .map_err(|error| unreadable(error.to_string()))?;
        let response = self.web.send(request).await?;
        match response.status() {
            StatusCode::NOT_FOUND => Ok(None),
            StatusCode::NO_CONTENT => Ok(Some(Value::Null)),
            status if status.is_success() => {
                serde_json::from_slice(response.body()).map(Some).map_err(|error| unreadable(error.to_string()))
            }
            status => {
                let message = String::from_utf8_lossy(response.body()).chars().take(1_000).collect();
                Err(DnsError::Refused { provider: self.provider, status: status.as_u16(), message })
            }
        }
    }

    /// Makes each record under `path`; the answer has its id at the pointer `id`. When one cannot be made, those before it are
    /// taken back.
    pub async fn make_each(&self, path: &str, records: Vec<Value>, id: &str) -> Result<Vec<String>, DnsError> {
        let mut made = Vec::new();
        for record in records {
            match self.make(path, &record, id).await {
                Ok(id) => made.push(id),
                Err(error) => {
                    self.delete_each(path, &made).await?;
                    return Err(error);
                }
            }
        }
        Ok(made)
    }

    async fn make(&self, path: &str, record: &Value, id: &str) -> Result<String, DnsError> {
        let answer = self.call(Method::POST, path, Some(record)).await?;
        match answer.as_ref().and_then(|answer| answer.pointer(id)) {
            Some(Value::String(id)) => Ok(id.clone()),
            Some(Value::Number(id)) => Ok(id.to_string()),
            _ => Err(self.unreadable("the record's id")),
        }
    }

    pub async fn delete_each(&self, path: &str, ids: &[String]) -> Result<(), DnsError> {
        for id in ids {
            self.call(Method::DELETE, &format!("{path}/{id}"), None).await?;
        }
        Ok(())
    }

    pub fn unreadable(&self, what: &str) -> DnsError {
        DnsError::Answer { provider: self.provider, message: format!("{what} is missing") }
    }
}
