//! The OpenAPI 3.1 document, read from the endpoints' declarations.

use std::collections::BTreeMap;

use contract::{Code, Problem};
use utoipa::ToSchema;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, OpenApi, OpenApiBuilder, PathsBuilder, Ref, RefOr, Required, ResponseBuilder};

use crate::endpoint::{Access, Endpoint, Idempotency, Media};

/// Root of the API below the base URL.
pub const ROOT: &str = "/api/v1";

/// Builds the document of all endpoints.
pub fn document(endpoints: &[Endpoint]) -> OpenApi {
    let mut schemas = Vec::new();
    Problem::schemas(&mut schemas);
    schemas.push((Problem::name().into_owned(), <Problem as utoipa::PartialSchema>::schema()));
    let mut paths: BTreeMap<String, PathItem> = BTreeMap::new();
    for endpoint in endpoints {
        schemas.extend(endpoint.schemas.iter().cloned());
        let item = PathItem::new(method(endpoint), operation(endpoint));
        paths.entry(format!("{ROOT}{}", endpoint.path)).and_modify(|known| known.merge_operations(item.clone())).or_insert(item);
    }
    let schemas: BTreeMap<String, _> = schemas.into_iter().collect();
    let mut all = PathsBuilder::new();
    for (path, item) in paths {
        all = all.path(path, item);
    }
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("Seaway")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some("Deploy apps from Git to your own servers. Errors are RFC 9457 problems with stable codes."))
                .build(),
        )
        .paths(all.build())
        .components(Some(
            ComponentsBuilder::new()
                .schemas_from_iter(schemas)
                .security_scheme("token", SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)))
                .security_scheme("session", SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new(crate::gate::SESSION_COOKIE))))
                .build(),
        ))
        .build()
}

fn method(endpoint: &Endpoint) -> HttpMethod {
    match endpoint.method.as_str() {
        "POST" => HttpMethod::Post,
        "PUT" => HttpMethod::Put,
        "PATCH" => HttpMethod::Patch,
        "DELETE" => HttpMethod::Delete,
        _ => HttpMethod::Get,
    }
}

fn operation(endpoint: &Endpoint) -> utoipa::openapi::path::Operation {
    let mut operation = OperationBuilder::new()
        .operation_id(Some(endpoint.operation))
        .tag(endpoint.tag)
        .summary(Some(endpoint.summary))
        .description(Some(description(endpoint)));
    for name in endpoint.path_parameters() {
        operation = operation.parameter(text_parameter(name, ParameterIn::Path, Required::True));
    }
    for parameter in &endpoint.parameters {
        operation = operation.parameter(parameter.clone());
    }
    match endpoint.idempotency {
        Idempotency::Required => operation = operation.parameter(text_parameter("Idempotency-Key", ParameterIn::Header, Required::True)),
        Idempotency::Honoured => operation = operation.parameter(text_parameter("Idempotency-Key", ParameterIn::Header, Required::False)),
        Idempotency::None => {}
    }
    if let Some(schema) = &endpoint.request {
        let content = ContentBuilder::new().schema(Some(schema.clone())).build();
        operation = operation
            .request_body(Some(RequestBodyBuilder::new().content("application/json", content).required(Some(Required::True)).build()));
    } else if endpoint.raw_body {
        let content = ContentBuilder::new().build();
        operation = operation.request_body(Some(
            RequestBodyBuilder::new().content("application/octet-stream", content).required(Some(Required::True)).build(),
        ));
    }
    let mut success = ResponseBuilder::new().description(endpoint.summary);
    if let Some(schema) = &endpoint.response {
        success = success.content("application/json", ContentBuilder::new().schema(Some(schema.clone())).build());
    }
    match endpoint.media {
        Media::Json | Media::WebSocket => {}
        Media::EventStream => success = success.content("text/event-stream", ContentBuilder::new().build()),
        Media::Text => success = success.content("text/plain", ContentBuilder::new().build()),
        Media::Binary => success = success.content("application/octet-stream", ContentBuilder::new().build()),
    }
    operation = operation.response(endpoint.status.to_string(), success.build());
    for (status, response) in failures(endpoint) {
        operation = operation.response(status, response);
    }
    if endpoint.access != Access::Public {
        operation = operation.security(SecurityRequirement::new::<_, [&str; 0], &str>("token", [])).security(SecurityRequirement::new::<
            _,
            [&str; 0],
            &str,
        >("session", []));
    }
    operation.build()
}

fn description(endpoint: &Endpoint) -> String {
    let access = match endpoint.access {
        Access::Public => "No sign-in needed.".to_owned(),
        Access::SignedIn => "For the caller's own things.".to_owned(),
        Access::Operator => "For the operator of the instance.".to_owned(),
        Access::Resource { permission, .. } => {
            let scope = serde_json::to_value(permission).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
            format!("Permission and token scope: `{scope}`; lowest role: {:?}.", permission.lowest_role())
        }
    };
    format!("{}{}{access}", endpoint.description, if endpoint.description.is_empty() { "" } else { "\n\n" })
}

fn text_parameter(name: &str, place: ParameterIn, required: Required) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(place)
        .required(required)
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

/// The error answers that the endpoint's declaration implies.
fn failures(endpoint: &Endpoint) -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
    let mut statuses = vec![Code::BadRequest, Code::RateLimited, Code::Internal, Code::Unavailable];
    if endpoint.access != Access::Public {
        statuses.extend([Code::Unauthenticated, Code::Forbidden]);
    }
    if endpoint.path_parameters().next().is_some() || endpoint.access == Access::Operator {
        statuses.push(Code::NotFound);
    }
    if endpoint.method.as_str() != "GET" {
        statuses.extend([Code::Conflict, Code::BodyTooLarge, Code::Invalid, Code::Forbidden]);
    }
    if endpoint.request.is_some() {
        statuses.push(Code::MediaTypeUnsupported);
    }
    if !endpoint.parameters.is_empty() {
        statuses.push(Code::Invalid);
    }
    statuses
        .into_iter()
        .map(|code| {
            let content =
                ContentBuilder::new().schema(Some(RefOr::<utoipa::openapi::Schema>::Ref(Ref::from_schema_name(Problem::name())))).build();
            let response = ResponseBuilder::new().description(code.title()).content("application/problem+json", content).build();
            (code.status().to_string(), RefOr::T(response))
        })
        .collect()
}
