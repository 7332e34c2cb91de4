use actix_web::web::{Data, Path};
use contract::variables::{Reveal, RevealedVariable};
use control::Control;
use domain::permission::Permission;

use super::level::on_each_level;
use crate::endpoint::Endpoint;
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoints() -> [Endpoint; 3] {
    on_each_level!(post, "reveal_", "_variable", "/{name}/reveal", Permission::VariablesReveal).map(|endpoint| {
        endpoint
            .tag("variables")
            .summary("Show the value of a secret variable")
            .body::<Reveal>()
            .no_idempotency()
            .step_up()
            .answers::<RevealedVariable>(200)
            .handle(handle)
    })
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
