use actix_web::web::Data;
use contract::projects::Project;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Project, parameter: "project", permission: Permission::ProjectsRead };
    Endpoint::get("read_project", "/projects/{project}", access)
        .tag("projects")
        .summary("Read a project")
        .answers::<Project>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Project>, ApiError> {
    let shown = control.read_project(&caller).await?;
    let version = shown.version;
    Ok(Answer::ok(shown).version(version))
}
