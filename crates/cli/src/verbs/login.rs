//! Signing in and out of an instance on this machine.

use clap::Args;
use contract::accounts::Me;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, Right};
use crate::failure::{Failure, Result};
use crate::input;
use crate::session::{in_session_at, make_token};
use crate::settings::normal_url;
use crate::target::{Context, text};

/// Keep an access token for an instance in ~/.config/seaway/config.toml
#[derive(Debug, Args)]
pub struct Login {
    /// The instance, e.g. https://seaway.example.org
    instance: Option<String>,
    /// Take this token instead of asking for e-mail and password; `-` reads it from the input
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    /// The password is asked for, or a line of the input
    #[arg(long)]
    email: Option<String>,
    /// Days until the made token ends
    #[arg(long, default_value_t = 90, value_name = "DAYS")]
    expires: u32,
}

/// Revoke the kept token and forget it
#[derive(Debug, Args)]
pub struct Logout {}

/// Who you are, where, and in which organizations
#[derive(Debug, Args)]
pub struct Whoami {}

pub async fn login(mut context: Context, wanted: Login) -> Result<()> {
    let url = match wanted.instance {
        Some(instance) => normal_url(&instance)?,
        None => match context.url() {
            Ok(url) => url,
            Err(_) => normal_url(&input::ask(context.output, "Address of the instance", "name it: seaway login URL")?)?,
        },
    };
    let (token, token_id) = match wanted.token {
        Some(token) if token == input::STANDARD_INPUT => (input::secret("Token")?.reveal().clone(), None),
        Some(token) => (token, None),
        None => {
            let instead = "add --email ADDRESS and pipe the password in, add --token -, or set SEAWAY_TOKEN";
            let email = input::given_or_ask(context.output, wanted.email, "E-mail", instead)?;
            let password = input::secret("Password")?;
            let body = json!({"email": email, "password": password.reveal()});
            let api = Api::new(&url, Right::Nobody)?;
            let made = in_session_at(&api, "/log-in", &body, async |api| make_token(api, wanted.expires).await).await?;
            (made.text, Some(made.token.id.to_string()))
        }
    };
    let me: Me = Api::new(&url, Right::Token(token.clone()))?.get("/me").await?;
    context.keep(&url, token, token_id)?;
    context.output.answer(&json!({"url": url, "user": me.user}), || vec![format!("signed in to {url} as {}", me.user.email)]);
    Ok(())
}

pub async fn logout(mut context: Context) -> Result<()> {
    let url = context.url()?;
    let Some(instance) = context.settings.instances.remove(&url) else {
        return Err(Failure::NotSignedIn { url });
    };
    if context.settings.current.as_deref() == Some(&url) {
        context.settings.current = None;
    }
    let revoked = match &instance.token_id {
        Some(id) => {
            Api::new(&url, Right::Token(instance.token.clone()))?.act(Method::DELETE, &format!("/me/tokens/{id}"), None).await.is_ok()
        }
        None => false,
    };
    context.settings.write(&context.settings_path)?;
    context.output.answer(&json!({"url": url, "revoked": revoked}), || {
        let rest = match revoked {
            true => "the token was revoked",
            false => "the token was forgotten here; revoke it if nobody else uses it: seaway tokens revoke ID",
        };
        vec![format!("signed out of {url}; {rest}")]
    });
    Ok(())
}

pub async fn whoami(context: &Context) -> Result<()> {
    let api = context.api()?;
    let me: Value = api.get("/me").await?;
    let organizations: Vec<Value> = api.all("/organizations").await?;
    let document = json!({"url": api.url(), "me": me, "organizations": organizations});
    context.output.answer(&document, || {
        let mut lines = vec![format!("{} <{}> at {}", text(&me, "name"), text(&me, "email"), api.url())];
        lines.extend(organizations.iter().map(|organization| {
            format!("  {} ({}): {}", text(organization, "slug"), text(organization, "name"), text(organization, "role"))
        }));
        lines
    });
    Ok(())
}
