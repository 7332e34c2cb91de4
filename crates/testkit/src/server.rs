//! The whole control plane in this process: API on a free port, a store of its own, a clock that stands still, mails and the
//! server side kept in memory.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! let server = testkit::TestServer::new().await?;
//! let owner = server.owner().await?;
//! let token = server.token(&owner, &["projects:read"]).await?;
//! let reply = server.get("/organizations", testkit::As::Token(&token)).await?;
//! reply.expect(200)?;
//! # Ok(()) }
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use control::{Control, ControlConfig, ControlParts};
use deployer::protocol::Server;
use domain::id::{OrganizationId, UserId};
use domain::{FixedClock, SystemEntropy};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use vault::{KeyRing, MasterKey, MasterRing};

use crate::databases::TestStore;
use crate::mailbox::{Mailbox, code_in, token_in};
use crate::scripted::ScriptedServer;

/// A password that the policy takes.
pub const PASSWORD: &str = "lantern over quiet water";
/// `SEAWAY_TEST_DATABASE=postgres` runs every test server on PostgreSQL.
const DATABASE_VARIABLE: &str = "SEAWAY_TEST_DATABASE";
/// Base of all links; the server itself answers on a free port.
pub const BASE_URL: &str = "http://localhost:8080";
const SESSION_COOKIE: &str = "seaway";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Backend {
    Sqlite,
    Postgres,
}

pub struct TestServer {
    pub control: Control,
    pub clock: Arc<FixedClock>,
    pub mailbox: Arc<Mailbox>,
    /// What the control plane asks the server side to do.
    pub scripted: Arc<ScriptedServer>,
    address: SocketAddr,
    client: reqwest::Client,
    handle: actix_web::dev::ServerHandle,
    jobs: Arc<jobs::Parts>,
    people: AtomicU32,
    setup: String,
    _store: TestStore,
    _folder: TempDir,
}

/// Somebody with an account, signed in.
#[derive(Debug, Clone)]
pub struct Person {
    pub id: UserId,
    pub email: String,
    pub cookie: String,
    pub csrf: String,
    /// The organization that was made for the person; owner of it.
    pub organization: OrganizationId,
}

/// Who sends a request.
#[derive(Debug, Clone, Copy)]
pub enum As<'a> {
    Nobody,
    Session(&'a Person),
    Token(&'a str),
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
    /// `null` when the body is no JSON.
    pub json: Value,
    /// Method and path, for messages.
    pub request: String,
}

impl Reply {
    /// # Errors
    /// When the status is another one; the message shows the body.
    pub fn expect(self, status: u16) -> Result<Self> {
        ensure!(self.status == status, "{} answered {} instead of {status}: {}", self.request, self.status, self.text);
        Ok(self)
    }

    /// The status and the code of the problem.
    ///
    /// # Errors
    /// When either is another one, or the body is no problem document.
    pub fn expect_problem(self, status: u16, code: &str) -> Result<Self> {
        let reply = self.expect(status)?;
        let kind = reply.header("content-type").unwrap_or_default();
        ensure!(kind == "application/problem+json", "{} answered {kind}", reply.request);
        ensure!(reply.json["code"] == code, "{} answered {} instead of {code}: {}", reply.request, reply.json["code"], reply.text);
        Ok(reply)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// A text of the answer, `""` when there is none at the pointer.
    pub fn text_at(&self, pointer: &str) -> &str {
        self.json.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }
}

impl TestServer {
    /// On SQLite, or on what `SEAWAY_TEST_DATABASE` says.
    ///
    /// # Errors
    /// When a part cannot be started; the message names it.
    pub async fn new() -> Result<Self> {
        match std::env::var(DATABASE_VARIABLE).as_deref() {
            Ok("postgres") => Self::on(Backend::Postgres).await,
            _ => Self::on(Backend::Sqlite).await,
        }
    }

    pub async fn on(backend: Backend) -> Result<Self> {
        let scripted = Arc::new(ScriptedServer::default());
        let mut server = Self::with(backend, scripted.clone()).await?;
        server.scripted = scripted;
        Ok(server)
    }

    /// With another server side than the scripted one.
    pub async fn with(backend: Backend, server: Arc<dyn Server>) -> Result<Self> {
        let generous = api::rate::Quota { requests: 1_000_000, window: Duration::from_secs(60) };
        Self::limited(backend, server, api::rate::Quotas { default: generous, deploy: generous, login: generous, failure: generous }).await
    }

    /// With rate limits of the test's choice.
    pub async fn limited(backend: Backend, server: Arc<dyn Server>, quotas: api::rate::Quotas) -> Result<Self> {
        // A second test of this process finds it installed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let store = match backend {
            Backend::Sqlite => TestStore::sqlite().await?,
            Backend::Postgres => TestStore::postgres().await?,
        };
        let folder = tempfile::tempdir().context("temporary folder")?;
        let clock = Arc::new(FixedClock::default());
        let entropy = Arc::new(SystemEntropy);
        let mailbox = Arc::new(Mailbox::default());
        let control = Control::new(ControlParts {
            store: store.clone(),
            ring: Arc::new(KeyRing::new(entropy.clone())),
            masters: MasterRing::new(MasterKey::generate(entropy.as_ref()), Vec::new()),
            clock: clock.clone(),
            entropy: entropy.clone(),
            server,
            mail: mailbox.clone(),
            config: ControlConfig {
                base_url: BASE_URL.to_owned(),
                base_domain: "apps.localhost".to_owned(),
                ingress_public_port: 8081,
                ingress_https: false,
                data_dir: folder.path().to_owned(),
                mail_from: "Seaway <seaway@lighthouse.example>".to_owned(),
                bind_allowed: Vec::new(),
                git_over_http: false,
                builds_at_once: 2,
                features_off: Default::default(),
                audit_syslog: None,
            },
            faults: Arc::new(control::deployments::NoFaults),
        });
        let setup = control.setup_link().await?.context("a new instance has a set-up link")?.reveal().clone();
        let config = api::server::ServerConfig {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
            workers: 1,
            quotas,
            hosts: Vec::new(),
            trusted_proxies: Vec::new(),
            compress: false,
        };
        let (running, addresses) = api::server::start(&config, control.clone())?;
        let handle = running.handle();
        tokio::spawn(running);
        let address = *addresses.first().context("the server is bound")?;
        let jobs = Arc::new(jobs::Parts {
            store: store.clone(),
            handlers: control::background::handlers(&control),
            clock: clock.clone(),
            entropy,
            limits: jobs::Limits::default(),
            owner: "test server".to_owned(),
        });
        let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
        let people = AtomicU32::new(0);
        let scripted = Arc::new(ScriptedServer::default());
        Ok(Self { control, clock, mailbox, scripted, address, client, handle, jobs, people, setup, _store: store, _folder: folder })
    }

    /// Runs every job that is due, deployments and mails included. Answers how many attempts were made.
    pub async fn work(&self) -> Result<usize> {
        Ok(jobs::run_due(&self.jobs).await?)
    }

    /// `http://127.0.0.1:port`, without the path of the API.
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The token of the set-up link.
    pub fn setup_token(&self) -> &str {
        self.setup.rsplit('=').next().unwrap_or_default()
    }

    /// Sets the instance up: operator and owner of the first organization. Once per server.
    pub async fn owner(&self) -> Result<Person> {
        let email = "owner@lighthouse.example";
        let body = json!({
            "token": self.setup_token(), "email": email, "password": PASSWORD, "name": "Olive Owner",
            "organization_name": "Lighthouse", "analytics": false,
        });
        let reply = self.post("/setup", As::Nobody, body).await?.expect(201)?;
        self.person_of(&reply, email).await
    }

    /// Another person with an organization of their own: sign-up, verification by mail, log-in.
    pub async fn second_person(&self) -> Result<Person> {
        let number = self.people.fetch_add(1, Ordering::SeqCst);
        self.person(&format!("person{number}@harbor.example")).await
    }

    /// A person with this address. Sign-up is opened for it.
    pub async fn person(&self, email: &str) -> Result<Person> {
        self.sign_up_as(email).await?;
        let reply = self.log_in(email).await?;
        let mut person = Person {
            id: reply.text_at("/user/id").parse()?,
            email: email.to_owned(),
            cookie: cookie_of(&reply)?,
            csrf: reply.text_at("/csrf_token").to_owned(),
            organization: OrganizationId::new(self.clock.as_ref(), &SystemEntropy),
        };
        let name = email.split('@').next().unwrap_or_default();
        let made = self.post("/organizations", As::Session(&person), json!({ "name": format!("{name} inc") })).await?.expect(201)?;
        person.organization = made.text_at("/id").parse()?;
        Ok(person)
    }

    /// An account with a verified address, not signed in, member of nothing.
    pub async fn sign_up_as(&self, email: &str) -> Result<()> {
        let mut write = self.control.store().write().await?;
        let row = store::instance::get_for_update(&mut write).await?;
        store::instance::update(&mut write, store::instance::SignUp::Open, &row.settings.0, row.version, self.clock_now()).await?;
        write.commit_without_audit("test").await?;
        let body = json!({ "email": email, "password": PASSWORD, "name": "Ada Person" });
        self.post("/sign-up", As::Nobody, body).await?.expect(202)?;
        self.work().await?;
        let mail = self.mailbox.newest(email, "verify_email").context("no verification mail")?;
        let code = code_in(&mail).context("no code in the mail")?;
        self.post("/email-verifications", As::Nobody, json!({ "email": email, "code": code })).await?.expect(200)?;
        Ok(())
    }

    /// The answer of a log-in with [`PASSWORD`].
    pub async fn log_in(&self, email: &str) -> Result<Reply> {
        self.post("/log-in", As::Nobody, json!({ "email": email, "password": PASSWORD })).await?.expect(200)
    }

    /// The person, signed in anew: after time has gone by.
    pub async fn again(&self, person: &Person) -> Result<Person> {
        let reply = self.log_in(&person.email).await?;
        Ok(Person { cookie: cookie_of(&reply)?, csrf: reply.text_at("/csrf_token").to_owned(), ..person.clone() })
    }

    /// A token with these scopes (`["*"]`: all), not confined.
    pub async fn token(&self, person: &Person, scopes: &[&str]) -> Result<String> {
        let scopes = match scopes {
            ["*"] => json!(domain::permission::Permission::ALL),
            named => json!(named),
        };
        self.token_with(person, json!({ "name": "test", "scopes": scopes })).await
    }

    /// A token by the whole request.
    pub async fn token_with(&self, person: &Person, request: Value) -> Result<String> {
        let reply = self.post("/me/tokens", As::Session(person), request).await?.expect(201)?;
        Ok(reply.text_at("/text").to_owned())
    }

    /// Invites somebody with an account and accepts in their name.
    pub async fn join(&self, owner: &Person, guest: &Person, role: &str) -> Result<()> {
        let path = format!("/organizations/{}/invitations", owner.organization);
        let reply = self.post(&path, As::Session(owner), json!({ "email": guest.email, "role": role })).await?.expect(201)?;
        let token = reply.text_at("/link").rsplit('=').next().unwrap_or_default().to_owned();
        self.post("/invitations/accept", As::Session(guest), json!({ "token": token })).await?.expect(200)?;
        Ok(())
    }

    /// The one-use token of the newest mail of this kind, after sending what waits.
    pub async fn mailed_token(&self, email: &str, kind: &str) -> Result<String> {
        self.work().await?;
        let mail = self.mailbox.newest(email, kind).with_context(|| format!("no {kind} mail to {email}"))?;
        token_in(&mail).context("no token in the mail")
    }

    pub async fn get(&self, path: &str, who: As<'_>) -> Result<Reply> {
        self.call(Method::GET, path, who, None).await
    }

    /// With an idempotency key of its own.
    pub async fn post(&self, path: &str, who: As<'_>, body: Value) -> Result<Reply> {
        self.call(Method::POST, path, who, Some(body)).await
    }

    pub async fn patch(&self, path: &str, who: As<'_>, body: Value) -> Result<Reply> {
        self.call(Method::PATCH, path, who, Some(body)).await
    }

    pub async fn put(&self, path: &str, who: As<'_>, body: Value) -> Result<Reply> {
        self.call(Method::PUT, path, who, Some(body)).await
    }

    pub async fn delete(&self, path: &str, who: As<'_>) -> Result<Reply> {
        self.call(Method::DELETE, path, who, None).await
    }

    /// A call of the API; `path` is below `/api/v1`.
    pub async fn call(&self, method: Method, path: &str, who: As<'_>, body: Option<Value>) -> Result<Reply> {
        let mut request = self.request(method, path, who);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    /// A request to be changed further; [`TestServer::send`] sends it.
    pub fn request(&self, method: Method, path: &str, who: As<'_>) -> reqwest::RequestBuilder {
        let mut request = self.client.request(method.clone(), format!("{}/api/v1{path}", self.origin()));
        if method == Method::POST {
            let number = self.people.fetch_add(1, Ordering::SeqCst);
            request = request.header("idempotency-key", format!("\"test-{number}\""));
        }
        match who {
            As::Nobody => request,
            As::Token(token) => request.bearer_auth(token),
            As::Session(person) => {
                request.header("cookie", format!("{SESSION_COOKIE}={}", person.cookie)).header("x-csrf-token", &person.csrf)
            }
        }
    }

    /// A request to any address of the server.
    pub fn plain(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{path}", self.origin()))
    }

    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<Reply> {
        let request = request.build()?;
        let name = format!("{} {}", request.method(), request.url().path());
        let response = self.client.execute(request).await.with_context(|| name.clone())?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let json = serde_json::from_str(&text).unwrap_or(Value::Null);
        Ok(Reply { status, headers, text, json, request: name })
    }

    fn clock_now(&self) -> chrono::DateTime<chrono::Utc> {
        domain::Clock::now(self.clock.as_ref())
    }

    async fn person_of(&self, reply: &Reply, email: &str) -> Result<Person> {
        let mut person = Person {
            id: reply.text_at("/user/id").parse()?,
            email: email.to_owned(),
            cookie: cookie_of(reply)?,
            csrf: reply.text_at("/csrf_token").to_owned(),
            organization: OrganizationId::new(self.clock.as_ref(), &SystemEntropy),
        };
        let list = self.get("/organizations", As::Session(&person)).await?.expect(200)?;
        person.organization = list.text_at("/data/0/id").parse()?;
        Ok(person)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // Sends the command at once; the future only waits for the end.
        drop(self.handle.stop(false));
    }
}

/// The value of the session cookie that an answer sets.
///
/// # Errors
/// When it sets none.
pub fn cookie_of(reply: &Reply) -> Result<String> {
    let header = reply.header("set-cookie").context("no cookie is set")?;
    let value = header.strip_prefix(SESSION_COOKIE).and_then(|rest| rest.strip_prefix('=')).context("another cookie is set")?;
    Ok(value.split(';').next().unwrap_or_default().to_owned())
}
