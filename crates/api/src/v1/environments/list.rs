use actix_web::web::Data;
use contract::Page;
use contract::page::NamedQuery;
use contract::projects::Environment;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Project, parameter: "project", permission: Permission::ProjectsRead };
    Endpoint::get("list_environments", "/projects/{project}/environments", access)
        .tag("environments")
        .summary("List the environments of a project")
        .query::<NamedQuery>()
        .answers::<Page<Environment>>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<NamedQuery>) -> Result<Answer<Page<Environment>>, ApiError> {
    Ok(Answer::ok(control.list_environments(&caller, &query).await?))
}
