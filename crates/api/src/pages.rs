//! Pages besides the API: the reference of the API, the problem pages, health.

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse, web};
use contract::Code;
use utoipa::openapi::OpenApi;

use crate::gate::{Gate, nothing_here};
use crate::problem::ApiError;

const REFERENCE_HTML: &str = include_str!("../assets/reference.html");
const REFERENCE_SCRIPT: &str = include_str!("../assets/reference.js");
const LINK_HTML: &str = include_str!("../assets/link.html");
const LINK_SCRIPT: &str = include_str!("../assets/link.js");
/// The pages that printed and mailed links lead to; `assets/link.js` knows what each does.
const LINK_PAGES: [&str; 6] = ["/setup", "/verify-email", "/reset-password", "/confirm-email", "/cancel-email-change", "/invitation"];
const REFERENCE_STYLE: &str = include_str!("../assets/reference.css");

/// The description of the API as it is served; one text for all workers.
#[derive(Clone)]
pub struct Document(Bytes);

impl Document {
    pub fn of(document: &OpenApi) -> Self {
        Self(serde_json::to_vec(document).unwrap_or_default().into())
    }
}

/// Registers the pages.
pub fn register(configuration: &mut web::ServiceConfig, document: Document) {
    configuration
        .app_data(web::Data::new(document))
        .route("/api/v1/openapi.json", web::get().to(openapi))
        .route("/api-docs", web::get().to(|| asset("text/html; charset=utf-8", REFERENCE_HTML)))
        .route("/api-docs/reference.js", web::get().to(|| asset("text/javascript; charset=utf-8", REFERENCE_SCRIPT)))
        .route("/api-docs/reference.css", web::get().to(|| asset("text/css; charset=utf-8", REFERENCE_STYLE)))
        .route("/problems/{code}", web::get().to(problem))
        .route("/health", web::get().to(health))
        .route("/api/v1/health", web::get().to(health))
        .route("/health/live", web::get().to(|| async { HttpResponse::Ok().content_type("text/plain").body("live\n") }));
    for path in LINK_PAGES {
        configuration.route(path, web::get().to(|| asset("text/html; charset=utf-8", LINK_HTML)));
    }
    configuration.route("/link.js", web::get().to(|| asset("text/javascript; charset=utf-8", LINK_SCRIPT)));
}

async fn openapi(document: web::Data<Document>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(document.0.clone())
}

async fn asset(kind: &'static str, text: &'static str) -> HttpResponse {
    HttpResponse::Ok().content_type(kind).insert_header(("cache-control", "no-cache")).body(text)
}

async fn problem(request: HttpRequest, path: web::Path<String>) -> HttpResponse {
    match Code::ALL.iter().find(|code| code.text() == path.as_str()) {
        Some(code) => HttpResponse::Ok().content_type("text/markdown; charset=utf-8").body(page_of(*code)),
        None => {
            let detail = "There is no problem code of this name. The codes are listed in the reference at /api-docs.";
            refused(&request, &ApiError::new(Code::NotFound, detail))
        }
    }
}

/// The Markdown page of a code, from `docs/problems`.
pub fn page_of(code: Code) -> String {
    PROBLEMS.iter().find(|(name, _)| *name == code.text()).map(|(_, text)| (*text).to_owned()).unwrap_or_default()
}

include!(concat!(env!("OUT_DIR"), "/problems.rs"));

/// Each part separately: database, job queue, scheduler, vault, and those of the server. 200 when all work, 503 otherwise.
async fn health(gate: web::Data<Gate>) -> HttpResponse {
    let health = gate.control.health().await;
    let mut response = if health.ok { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(health)
}

/// The answer to an address that no route knows.
pub async fn not_found(request: HttpRequest) -> HttpResponse {
    refused(&request, &nothing_here())
}

fn refused(request: &HttpRequest, error: &ApiError) -> HttpResponse {
    let id = crate::front::request_id(request).map_or_else(String::new, |id| id.to_string());
    error.response(&id)
}
