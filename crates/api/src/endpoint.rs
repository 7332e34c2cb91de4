//! The declaration of an endpoint: the one source of its route, its access and its description.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::{FromRequest, Handler, Responder, Route, web};
use domain::permission::Permission;
use serde::Serialize;
use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::Schema;
use utoipa::openapi::{Ref, RefOr};
use utoipa::{IntoParams, ToSchema};

/// Largest JSON body unless an endpoint says otherwise.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;

/// Who may call an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody: sign-up, log-in, documents. The use case itself guards it.
    Public,
    /// Anybody signed in; the use case works on the caller's own things only.
    SignedIn,
    /// The operator of the instance.
    Operator,
    /// A right in the organization that owns the resource named by a path parameter.
    Resource { kind: control::access::Kind, parameter: &'static str, permission: Permission },
}

/// Which rate limit counts a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RateClass {
    Default,
    /// Deployments and builds.
    Deploy,
    /// Log-in, sign-up, reset: counted per address by the use case, and here per address.
    Login,
    /// Not for an endpoint: the gate counts tokens and cookies that nobody knows, per address.
    Failure,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idempotency {
    /// The method is idempotent by itself, or a repeat is harmless.
    None,
    /// A key is honoured.
    Honoured,
    /// A POST that creates or deploys: missing key is refused.
    Required,
}

/// How the body of the answer looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Json,
    EventStream,
    Text,
    Binary,
    WebSocket,
}

pub(crate) type Schemas = Vec<(String, RefOr<Schema>)>;

#[derive(Clone)]
pub struct Endpoint {
    pub operation: &'static str,
    pub method: Method,
    /// Below `/api/v1`, with `{parameter}`s.
    pub path: &'static str,
    pub tag: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    pub access: Access,
    pub body_bytes_max: usize,
    pub rate: RateClass,
    pub idempotency: Idempotency,
    /// A session must have given its password within the last minutes.
    pub step_up: bool,
    pub status: u16,
    pub media: Media,
    /// Body is not JSON: an upload; the handler streams it.
    pub raw_body: bool,
    pub(crate) request: Option<RefOr<Schema>>,
    pub(crate) response: Option<RefOr<Schema>>,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) schemas: Schemas,
    route: Option<Arc<dyn Fn() -> Route + Send + Sync>>,
}

impl Endpoint {
    fn new(method: Method, operation: &'static str, path: &'static str, access: Access) -> Self {
        let idempotency = if method == Method::POST { Idempotency::Honoured } else { Idempotency::None };
        Self {
            operation,
            method,
            path,
            tag: "",
            summary: "",
            description: "",
            access,
            body_bytes_max: BODY_BYTES_MAX,
            rate: RateClass::Default,
            idempotency,
            step_up: false,
            status: 200,
            media: Media::Json,
            raw_body: false,
            request: None,
            response: None,
            parameters: Vec::new(),
            schemas: Vec::new(),
            route: None,
        }
    }

    pub fn get(operation: &'static str, path: &'static str, access: Access) -> Self {
        Self::new(Method::GET, operation, path, access)
    }

    pub fn post(operation: &'static str, path: &'static str, access: Access) -> Self {
        Self::new(Method::POST, operation, path, access)
    }

    pub fn put(operation: &'static str, path: &'static str, access: Access) -> Self {
        Self::new(Method::PUT, operation, path, access)
    }

    pub fn patch(operation: &'static str, path: &'static str, access: Access) -> Self {
        Self::new(Method::PATCH, operation, path, access)
    }

    pub fn delete(operation: &'static str, path: &'static str, access: Access) -> Self {
        let mut endpoint = Self::new(Method::DELETE, operation, path, access);
        endpoint.status = 204;
        endpoint
    }

    #[must_use]
    pub fn tag(mut self, tag: &'static str) -> Self {
        self.tag = tag;
        self
    }

    #[must_use]
    pub fn summary(mut self, summary: &'static str) -> Self {
        self.summary = summary;
        self
    }

    #[must_use]
    pub fn description(mut self, description: &'static str) -> Self {
        self.description = description;
        self
    }

    #[must_use]
    pub fn rate(mut self, rate: RateClass) -> Self {
        self.rate = rate;
        self
    }

    /// A missing `Idempotency-Key` is refused.
    #[must_use]
    pub fn idempotency_required(mut self) -> Self {
        self.idempotency = Idempotency::Required;
        self
    }

    #[must_use]
    pub fn no_idempotency(mut self) -> Self {
        self.idempotency = Idempotency::None;
        self
    }

    #[must_use]
    pub fn step_up(mut self) -> Self {
        self.step_up = true;
        self
    }

    #[must_use]
    pub fn body_bytes_max(mut self, bytes: usize) -> Self {
        self.body_bytes_max = bytes;
        self
    }

    #[must_use]
    pub fn raw_body(mut self) -> Self {
        self.raw_body = true;
        self.idempotency = Idempotency::None;
        self
    }

    #[must_use]
    pub fn body<T: ToSchema>(mut self) -> Self {
        self.request = Some(reference::<T>(&mut self.schemas));
        self
    }

    #[must_use]
    pub fn query<T: IntoParams>(mut self) -> Self {
        self.parameters.extend(T::into_params(|| Some(utoipa::openapi::path::ParameterIn::Query)));
        self
    }

    #[must_use]
    pub fn answers<T: ToSchema + Serialize>(mut self, status: u16) -> Self {
        self.status = status;
        self.response = Some(reference::<T>(&mut self.schemas));
        self
    }

    #[must_use]
    pub fn answers_nothing(mut self) -> Self {
        self.status = 204;
        self
    }

    #[must_use]
    pub fn media(mut self, media: Media) -> Self {
        self.media = media;
        self
    }

    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// The last call: binds the handler.
    #[must_use]
    pub fn handle<F, Arguments>(mut self, handler: F) -> Self
    where
        F: Handler<Arguments> + Send + Sync,
        Arguments: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let method = self.method.clone();
        self.route = Some(Arc::new(move || web::method(method.clone()).to(handler.clone())));
        self
    }

    pub(crate) fn route(&self) -> Option<Route> {
        self.route.as_ref().map(|make| make())
    }

    /// Drops what only the reference of the API needs; a server that runs keeps none of it.
    pub(crate) fn forget_description(&mut self) {
        self.request = None;
        self.response = None;
        self.parameters = Vec::new();
        self.schemas = Vec::new();
    }

    /// Names of the path's parameters, in order.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

fn reference<T: ToSchema>(schemas: &mut Schemas) -> RefOr<Schema> {
    let name = T::name().into_owned();
    T::schemas(schemas);
    schemas.push((name.clone(), T::schema()));
    RefOr::Ref(Ref::from_schema_name(name))
}
