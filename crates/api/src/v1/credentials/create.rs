use actix_web::web::Data;
use contract::credentials::{CreateCredential, Credential};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::CredentialsWrite };
    Endpoint::post("create_credential", "/organizations/{organization}/credentials", access)
        .tag("credentials")
        .summary("Store a credential")
        .description("Its value is sealed and never answered. A deploy key without `private_key` is made here; enter its `public_line` at the git host.")
        .no_idempotency()
        .step_up()
        .body::<CreateCredential>()
        .answers::<Credential>(201)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<CreateCredential>) -> Result<Answer<Credential>, ApiError> {
    let made = control.create_credential(&caller, body).await?;
    let location = format!("/credentials/{}", made.id);
    Ok(Answer::created(made, location))
}
