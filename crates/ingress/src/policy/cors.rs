//! The CORS preset: who may read answers from another site, decided here instead of in the app.

use http::{
    HeaderMap, HeaderValue, Method, Response, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
    },
};

use crate::{body::ResponseBody, routes::policy::Cors};

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

#[derive(Debug)]
pub struct CompiledCors {
    origins: Vec<String>,
    is_any: bool,
    credentials: bool,
    methods: HeaderValue,
    headers: Option<HeaderValue>,
    expose: Option<HeaderValue>,
    max_age: HeaderValue,
}

impl CompiledCors {
    pub fn new(cors: &Cors) -> Self {
        let list = |items: &[String]| HeaderValue::from_str(&items.join(", ")).ok().filter(|_| !items.is_empty());
        Self {
            origins: cors.origins.clone(),
            is_any: cors.origins.iter().any(|origin| origin == "*"),
            credentials: cors.credentials,
            methods: list(&cors.methods).unwrap_or_else(|| HeaderValue::from_static(METHODS)),
            headers: list(&cors.headers),
            expose: list(&cors.expose),
            max_age: HeaderValue::from(cors.max_age_seconds),
        }
    }

    /// The answer to a browser that asks first; `None` for every other request.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response<ResponseBody>> {
        if *method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let origin = headers.get(ORIGIN)?;
        let mut response = Response::new(ResponseBody::page(bytes::Bytes::new()));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let out = response.headers_mut();
        out.insert(VARY, HeaderValue::from_static("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"));
        if self.allow(origin, out) {
            out.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
            let wanted = self.headers.as_ref().or_else(|| headers.get(ACCESS_CONTROL_REQUEST_HEADERS));
            if let Some(wanted) = wanted {
                out.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
            out.insert(ACCESS_CONTROL_MAX_AGE, self.max_age.clone());
        }
        Some(response)
    }

    /// On any other answer. The app's own words on it go.
    pub fn apply(&self, origin: Option<&HeaderValue>, headers: &mut HeaderMap) {
        for name in [ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_EXPOSE_HEADERS] {
            headers.remove(name);
        }
        if !self.is_any {
            headers.append(VARY, HeaderValue::from_static("Origin"));
        }
        if let Some(origin) = origin
            && self.allow(origin, headers)
            && let Some(expose) = &self.expose
        {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, expose.clone());
        }
    }

    fn allow(&self, origin: &HeaderValue, headers: &mut HeaderMap) -> bool {
        let named = self.origins.iter().any(|allowed| allowed.as_bytes().eq_ignore_ascii_case(origin.as_bytes()));
        if self.is_any {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else if named {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            if self.credentials {
                headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            }
        }
        self.is_any || named
    }
}
