use actix_web::web::Data;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Credential, parameter: "credential", permission: Permission::CredentialsWrite };
    Endpoint::delete("delete_credential", "/credentials/{credential}", access)
        .tag("credentials")
        .summary("Delete a credential that no service uses")
        .step_up()
        .answers_nothing()
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<()>, ApiError> {
    control.delete_credential(&caller).await?;
    Ok(Answer::nothing())
}
