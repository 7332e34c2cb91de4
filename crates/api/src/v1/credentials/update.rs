use actix_web::web::Data;
use contract::credentials::{Credential, UpdateCredential};
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Body, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Credential, parameter: "credential", permission: Permission::CredentialsWrite };
    Endpoint::patch("update_credential", "/credentials/{credential}", access)
        .tag("credentials")
        .summary("Rename a credential or replace its value")
        .step_up()
        .body::<UpdateCredential>()
        .answers::<Credential>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Body(body): Body<UpdateCredential>) -> Result<Answer<Credential>, ApiError> {
    Ok(Answer::ok(control.update_credential(&caller, body).await?))
}
