use actix_web::web::Data;
use contract::Page;
use contract::credentials::Credential;
use contract::page::PageQuery;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Organization, parameter: "organization", permission: Permission::CredentialsRead };
    Endpoint::get("list_credentials", "/organizations/{organization}/credentials", access)
        .tag("credentials")
        .summary("List credentials")
        .query::<PageQuery>()
        .answers::<Page<Credential>>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<PageQuery>) -> Result<Answer<Page<Credential>>, ApiError> {
    Ok(Answer::ok(control.list_credentials(&caller, &query).await?))
}
