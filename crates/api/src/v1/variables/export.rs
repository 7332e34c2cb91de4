use actix_web::HttpResponse;
use actix_web::web::Data;
use control::Control;
use domain::permission::Permission;
use serde::Deserialize;
use utoipa::IntoParams;

use super::level::on_each_level;
use crate::endpoint::{Endpoint, Media};
use crate::{ApiError, Caller, Query};

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
struct ExportQuery {
    /// With the values of secrets: needs the right to reveal, and a password given lately. Sealed values are never in it.
    reveal: bool,
}

pub fn endpoints() -> [Endpoint; 3] {
    on_each_level!(get, "export_", "_variables", "/raw", Permission::VariablesRead).map(|endpoint| {
        endpoint.tag("variables").summary("Variables as a `.env` text").query::<ExportQuery>().media(Media::Text).handle(handle)
    })
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<ExportQuery>) -> Result<HttpResponse, ApiError> {
    let text = control.export_variables(&caller, query.reveal).await?;
    Ok(HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(text))
}
