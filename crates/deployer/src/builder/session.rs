//! A BuildKit session of our own, through which a build asks for its secrets: they are in memory here and in the step
//! that mounts them, never in a layer, an argument or a file.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use domain::Secret;
use hyper::Method;
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};

use super::engine::{Connection, EngineError, EngineSocket, empty};

const GET_SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// An open session; closed when dropped.
pub struct Session {
    task: JoinHandle<()>,
    _connection: Connection,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Provider(Arc<BTreeMap<String, Secret<String>>>);

#[tonic::async_trait]
impl Secrets for Provider {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        match self.0.get(&id) {
            Some(secret) => Ok(Response::new(GetSecretResponse { data: secret.reveal().clone().into_bytes() })),
            None => Err(Status::not_found(format!("this service has no build secret {id}"))),
        }
    }
}

struct Alive;

#[tonic::async_trait]
impl Health for Alive {
    async fn check(&self, _request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        Ok(Response::new(serving()))
    }

    type WatchStream = Pin<Box<dyn futures_util::Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(&self, _request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("watch"))
    }

    async fn list(&self, _request: Request<HealthListRequest>) -> Result<Response<HealthListResponse>, Status> {
        Err(Status::unimplemented("list"))
    }
}

fn serving() -> HealthCheckResponse {
    HealthCheckResponse { status: ServingStatus::Serving.into() }
}

impl Session {
    /// Opens the session under an id that the build names.
    ///
    /// # Errors
    /// The engine has no sessions (no BuildKit) or does not answer.
    pub async fn open(engine: &EngineSocket, id: &str, secrets: BTreeMap<String, Secret<String>>) -> Result<Self, EngineError> {
        let headers = [
            ("connection", "Upgrade"),
            ("upgrade", "h2c"),
            ("x-docker-expose-session-uuid", id),
            ("x-docker-expose-session-name", "seaway"),
            ("x-docker-expose-session-sharedkey", ""),
            ("x-docker-expose-session-grpc-method", GET_SECRET),
            ("x-docker-expose-session-grpc-method", HEALTH_CHECK),
        ];
        let (answer, connection) = engine.send(Method::POST, "/session", &headers, empty()).await?;
        let upgraded = hyper::upgrade::on(answer).await.map_err(EngineError::Broken)?;
        let routes = tonic::service::Routes::new(SecretsServer::new(Provider(Arc::new(secrets)))).add_service(HealthServer::new(Alive));
        let service = TowerToHyperService::new(routes.prepare());
        let task = tokio::spawn(async move {
            // The engine closes the session at the build's end.
            let _closed = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(upgraded, service).await;
        });
        Ok(Self { task, _connection: connection })
    }
}
