use actix_web::web::Data;
use contract::projects::{DeletionPlan, DeletionQuery};
use control::Control;
use control::access::Kind;
use domain::id::Id;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesDelete };
    Endpoint::delete("delete_service", "/services/{service}", access)
        .tag("services")
        .summary("Delete a service")
        .query::<DeletionQuery>()
        .answers::<DeletionPlan>(202)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<DeletionQuery>) -> Result<Answer<DeletionPlan>, ApiError> {
    let id = domain::id::ServiceId::from_uuid(caller.located.id);
    let shown = control.delete_service(&caller, query.volumes).await?;
    Ok(Answer::accepted(shown, format!("/services/{}", id)))
}
