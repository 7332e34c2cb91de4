use actix_web::web::Data;
use contract::credentials::Credential;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Credential, parameter: "credential", permission: Permission::CredentialsRead };
    Endpoint::get("read_credential", "/credentials/{credential}", access)
        .tag("credentials")
        .summary("Read a credential and who uses it")
        .answers::<Credential>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>) -> Result<Answer<Credential>, ApiError> {
    Ok(Answer::ok(control.read_credential(&caller).await?))
}
