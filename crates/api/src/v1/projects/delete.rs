use actix_web::web::Data;
use contract::projects::{DeletionPlan, DeletionQuery};
use control::Control;
use control::access::Kind;
use domain::id::Id;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Project, parameter: "project", permission: Permission::ProjectsDelete };
    Endpoint::delete("delete_project", "/projects/{project}", access)
        .tag("projects")
        .summary("Delete a project with everything in it")
        .query::<DeletionQuery>()
        .answers::<DeletionPlan>(202)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<DeletionQuery>) -> Result<Answer<DeletionPlan>, ApiError> {
    let id = domain::id::ProjectId::from_uuid(caller.located.id);
    let shown = control.delete_project(&caller, query.volumes).await?;
    Ok(Answer::accepted(shown, format!("/projects/{}", id)))
}
