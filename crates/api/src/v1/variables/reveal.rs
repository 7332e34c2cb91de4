use actix_web::web::{Data, Path};
use contract::variables::{Reveal, RevealedVariable};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoints() -> [Endpoint; 3] {
    let access = |kind, parameter| Access::Resource { kind, parameter, permission: Permission::VariablesReveal };
    [
        Endpoint::post("reveal_project_variable", "/projects/{project}/variables/{name}/reveal", access(Kind::Project, "project"))
            .tag("variables")
            .summary("Show the value of a secret variable")
            .body::<Reveal>()
            .no_idempotency()
            .step_up()
            .answers::<RevealedVariable>(200)
            .handle(handle),
        Endpoint::post(
            "reveal_environment_variable",
            "/environments/{environment}/variables/{name}/reveal",
            access(Kind::Environment, "environment"),
        )
        .tag("variables")
        .summary("Show the value of a secret variable")
        .body::<Reveal>()
        .no_idempotency()
        .step_up()
        .answers::<RevealedVariable>(200)
        .handle(handle),
        Endpoint::post("reveal_service_variable", "/services/{service}/variables/{name}/reveal", access(Kind::Service, "service"))
            .tag("variables")
            .summary("Show the value of a secret variable")
            .body::<Reveal>()
            .no_idempotency()
            .step_up()
            .answers::<RevealedVariable>(200)
            .handle(handle),
    ]
}

async fn handle(
    caller: Caller,
    control: Data<Control>,
    path: Path<(String, String)>,
    Body(body): Body<Reveal>,
) -> Result<Answer<RevealedVariable>, ApiError> {
    let (_, name) = path.into_inner();
    Ok(Answer::ok(control.reveal_variable(&caller, &name, &body).await?))
}
