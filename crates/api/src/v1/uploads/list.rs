use actix_web::web::Data;
use contract::Page;
use contract::page::PageQuery;
use contract::uploads::Upload;
use control::Control;
use control::access::Kind;
use domain::permission::Permission;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller, Query};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::ServicesRead };
    Endpoint::get("list_uploads", "/services/{service}/uploads", access)
        .tag("uploads")
        .summary("List the uploads of a service")
        .query::<PageQuery>()
        .answers::<Page<Upload>>(200)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, Query(query): Query<PageQuery>) -> Result<Answer<Page<Upload>>, ApiError> {
    Ok(Answer::ok(control.list_uploads(&caller, &query).await?))
}
