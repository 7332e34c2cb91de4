//! A session that lives for one verb. What guards an account (tokens, sessions, passwords, the settings of the instance) the
//! instance does not let a token do; the person gives the password, and the session ends with the verb.

use contract::tokens::{CreateToken, CreatedToken};
use domain::permission::Permission;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, Right};
use crate::failure::{Failure, Result};
use crate::input;
use crate::settings::Instance;
use crate::target::{Context, text};

/// The address when no token tells it.
const EMAIL_VARIABLE: &str = "SEAWAY_EMAIL";

impl Context {
    /// Does the work by the right of a session on the instance of this verb.
    pub async fn in_session<T>(&self, work: impl AsyncFnOnce(&Api) -> Result<T>) -> Result<T> {
        let url = self.url()?;
        let email = self.own_email().await?;
        let password = input::secret(&format!("Password of {email}"))?;
        let body = json!({"email": email, "password": password.reveal()});
        in_session_at(&Api::new(&url, Right::Nobody)?, "/log-in", &body, work).await
    }

    async fn own_email(&self) -> Result<String> {
        if let Some(email) = std::env::var(EMAIL_VARIABLE).ok().filter(|email| !email.is_empty()) {
            return Ok(email);
        }
        if let Ok(api) = self.api() {
            let me: Value = api.get("/me").await?;
            return Ok(text(&me, "email").to_owned());
        }
        input::ask(self.output, "E-mail", &format!("set {EMAIL_VARIABLE}, or sign in: seaway login"))
    }

    /// Keeps a token for the instance, which verbs talk to from now on.
    pub fn keep(&mut self, url: &str, token: String, token_id: Option<String>) -> Result<()> {
        let organization = None;
        self.settings.instances.insert(url.to_owned(), Instance { token, token_id, organization });
        self.settings.current = Some(url.to_owned());
        self.settings.write(&self.settings_path)
    }
}

/// Begins a session with this call, works, ends it: also when the work failed.
pub async fn in_session_at<T>(api: &Api, path: &str, body: &Value, work: impl AsyncFnOnce(&Api) -> Result<T>) -> Result<T> {
    let (cookie, answer) = api.begin_session(path, body).await?;
    if cookie.is_empty() {
        return Err(Failure::other("the instance began no session; is this client as new as the instance?"));
    }
    let api = api.with_right(Right::Session { cookie, csrf: text(&answer, "csrf_token").to_owned() });
    let result = work(&api).await;
    let _ended_by_time_at_the_latest = api.act(Method::POST, "/log-out", Some(&json!({}))).await;
    result
}

/// A token for this machine, with every right of the person.
pub async fn make_token(api: &Api, expires_in_days: u32) -> Result<CreatedToken> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let request = CreateToken {
        rate: None,
        name: format!("seaway on {host}"),
        scopes: Permission::ALL.into_iter().collect(),
        organization: None,
        project: None,
        environment: None,
        service: None,
        addresses: None,
        expires_in_days: Some(expires_in_days),
    };
    api.post("/me/tokens", &request).await
}
