use actix_web::web::{Data, Payload};
use contract::Code;
use contract::uploads::Upload;
use control::Control;
use control::access::Kind;
use control::uploads::UPLOAD_BYTES_MAX;
use domain::permission::Permission;
use futures_util::StreamExt;

use crate::endpoint::{Access, Endpoint};
use crate::{Answer, ApiError, Caller};

pub fn endpoint() -> Endpoint {
    let access = Access::Resource { kind: Kind::Service, parameter: "service", permission: Permission::DeploymentsWrite };
    Endpoint::post("create_upload", "/services/{service}/uploads", access)
        .tag("uploads")
        .summary("Upload an archive to deploy")
        .description("The body is the archive itself: zip, tar or tar.gz, at most 1 GiB. Then deploy it with `upload`.")
        .no_idempotency()
        .raw_body()
        .body_bytes_max(usize::try_from(UPLOAD_BYTES_MAX).unwrap_or(usize::MAX))
        .answers::<Upload>(201)
        .handle(handle)
}

async fn handle(caller: Caller, control: Data<Control>, mut body: Payload) -> Result<Answer<Upload>, ApiError> {
    let mut incoming = control.begin_upload(&caller).await?;
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| ApiError::new(Code::BadRequest, "The upload broke off. Send it again."))?;
        incoming.add(&chunk).await?;
    }
    let made = control.finish_upload(&caller, incoming).await?;
    let location = format!("/uploads/{}", made.id);
    Ok(Answer::created(made, location))
}
