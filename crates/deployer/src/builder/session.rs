//! A BuildKit session of our own, through which a build asks for its secrets and for the credentials of registries: they are in
//! memory here and in the step that mounts them, never in a layer, an argument or a file.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use bollard_buildkit_proto::health::health_check_response::ServingStatus;
use bollard_buildkit_proto::health::health_server::{Health, HealthServer};
use bollard_buildkit_proto::health::{HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::secrets_server::{Secrets, SecretsServer};
use bollard_buildkit_proto::moby::buildkit::secrets::v1::{GetSecretRequest, GetSecretResponse};
use bollard_buildkit_proto::moby::filesync::v1::auth_server::{Auth, AuthServer};
use bollard_buildkit_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse, GetTokenAuthorityRequest, GetTokenAuthorityResponse,
    VerifyTokenAuthorityRequest, VerifyTokenAuthorityResponse,
};
use domain::Secret;
use hyper::Method;
use hyper_util::rt::TokioExecutor;
use hyper_util::service::TowerToHyperService;
use tokio::task::JoinHandle;
use tonic::{Request, Response, Status};

use super::engine::{Connection, EngineError, EngineSocket, empty};
use crate::protocol::RegistryCredential;

const GET_SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";
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

/// The name under which the engine's usual registry is known to its own protocol.
pub const HUB_INDEX: &str = "https://index.docker.io/v1/";

/// One of the names of the engine's usual registry.
pub fn is_hub(host: &str) -> bool {
    matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io" | HUB_INDEX)
}

/// What a build may ask for.
#[derive(Clone)]
pub struct Provider {
    secrets: Arc<BTreeMap<String, Secret<String>>>,
    registries: Arc<BTreeMap<String, (String, Secret<String>)>>,
}

impl Provider {
    pub fn new(secrets: BTreeMap<String, Secret<String>>, registries: &[(String, RegistryCredential)]) -> Self {
        let of =
            |(host, credential): &(String, RegistryCredential)| (named(host), (credential.username.clone(), credential.password.clone()));
        Self { secrets: Arc::new(secrets), registries: Arc::new(registries.iter().map(of).collect()) }
    }
}

fn named(host: &str) -> String {
    if is_hub(host) { HUB_INDEX.to_owned() } else { host.to_ascii_lowercase() }
}

#[tonic::async_trait]
impl Auth for Provider {
    /// Empty for a registry without a credential: the engine goes on without one.
    async fn credentials(&self, request: Request<CredentialsRequest>) -> Result<Response<CredentialsResponse>, Status> {
        let found = self.registries.get(&named(&request.into_inner().host));
        Ok(Response::new(found.map_or_else(CredentialsResponse::default, |(username, password)| CredentialsResponse {
            username: username.clone(),
            secret: password.reveal().clone(),
        })))
    }

    async fn fetch_token(&self, _request: Request<FetchTokenRequest>) -> Result<Response<FetchTokenResponse>, Status> {
        Err(Status::unimplemented("the engine fetches tokens itself"))
    }

    async fn get_token_authority(
        &self,
        _request: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the engine fetches tokens itself"))
    }

    async fn verify_token_authority(
        &self,
        _request: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        Err(Status::unimplemented("the engine fetches tokens itself"))
    }
}

#[tonic::async_trait]
impl Secrets for Provider {
    async fn get_secret(&self, request: Request<GetSecretRequest>) -> Result<Response<GetSecretResponse>, Status> {
        let id = request.into_inner().id;
        match self.secrets.get(&id) {
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
    pub async fn open(engine: &EngineSocket, id: &str, provider: Provider) -> Result<Self, EngineError> {
        let headers = [
            ("connection", "Upgrade"),
            ("upgrade", "h2c"),
            ("x-docker-expose-session-uuid", id),
            ("x-docker-expose-session-name", "seaway"),
            ("x-docker-expose-session-sharedkey", ""),
            ("x-docker-expose-session-grpc-method", GET_SECRET),
            ("x-docker-expose-session-grpc-method", CREDENTIALS),
            ("x-docker-expose-session-grpc-method", HEALTH_CHECK),
        ];
        let (answer, connection) = engine.send(Method::POST, "/session", &headers, empty()).await?;
        let upgraded = hyper::upgrade::on(answer).await.map_err(EngineError::Broken)?;
        let routes = tonic::service::Routes::new(SecretsServer::new(provider.clone()))
            .add_service(AuthServer::new(provider))
            .add_service(HealthServer::new(Alive));
        let service = TowerToHyperService::new(routes.prepare());
        let task = tokio::spawn(async move {
            // The engine closes the session at the build's end.
            let _closed = hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(upgraded, service).await;
        });
        Ok(Self { task, _connection: connection })
    }
}
