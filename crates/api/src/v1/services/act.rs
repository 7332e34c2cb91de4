use actix_web::web::Data;
use contract::services::{BulkItem, BulkResult, BulkServices};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint, RateClass};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Environment, parameter: "environment", permission: Permission::ServicesRead };
    Endpoint::post("act_on_services", "/environments/{environment}/services/actions", access)
        .tag("services")
        .summary("Deploy, restart, start, stop, delete or move many services")
        .description("Each service is asked for by itself: the answer tells for each what came of it. The right that the action needs is asked for each.")
        .rate(RateClass::Deploy)
        .idempotency_required()
        .body::<BulkServices>()
        .answers::<BulkResult>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<BulkServices>) -> Result<Answer<BulkResult>, ApiError> {
    let results = control.act_on_services(&caller, &body).await?;
    let item = |(service, result)| match result {
        Ok(deployment) => BulkItem { service, ok: true, deployment, code: None, detail: None },
        Err(error) => {
            let error = ApiError::from(error);
            BulkItem { service, ok: false, deployment: None, code: Some(error.code.text().to_owned()), detail: Some(error.detail) }
        }
    };
    Ok(Answer::ok(BulkResult { data: results.into_iter().map(item).collect() }))
}
