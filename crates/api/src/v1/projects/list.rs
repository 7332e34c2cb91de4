use actix_web::web::Data;
use contract::Page;
use contract::projects::{Project, ProjectsQuery};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::ProjectsRead };
    Endpoint::get("list_projects", "/organizations/{organization}/projects", access)
        .tag("projects")
        .summary("List the projects of an organization")
        .query::<ProjectsQuery>()
        .answers::<Page<Project>>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<ProjectsQuery>) -> Result<Answer<Page<Project>>, ApiError> {
    Ok(Answer::ok(control.list_projects(&caller, &query).await?))
}
