//! Signing in and out, who one is, access tokens.

use contract::accounts::Me;
use contract::tokens::{CreateToken, CreatedToken, Token};
use domain::Clock;
use domain::permission::Permission;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, Right, segment};
use crate::arguments::TokensVerb;
use crate::failure::{Failure, Result};
use crate::settings::{Instance, normal_url};
use crate::target::{Context, text};
use crate::time::ago;

pub async fn login(
    mut context: Context,
    instance: Option<String>,
    token: Option<String>,
    email: Option<String>,
    expires: u32,
) -> Result<()> {
    let url = match instance {
        Some(instance) => normal_url(&instance)?,
        None => match context.url() {
            Ok(url) => url,
            Err(_) => normal_url(&context.output.ask("Address of the instance", "name it: seaway login URL")?)?,
        },
    };
    let (token, token_id) = match token {
        Some(token) if token == "-" => (read_line()?, None),
        Some(token) => (token, None),
        None => {
            let (text, id) = make_token(&context, &url, email, expires).await?;
            (text, Some(id))
        }
    };
    let me: Me = Api::new(&url, Right::Token(token.clone()))?.get("/me").await?;
    context.settings.instances.insert(url.clone(), Instance { token, token_id });
    context.settings.current = Some(url.clone());
    context.settings.write(&context.settings_path)?;
    context.output.answer(&json!({"url": url, "user": me.user}), || vec![format!("signed in to {url} as {}", me.user.email)]);
    Ok(())
}

/// With e-mail and password: a session that lives just long enough to make a token.
async fn make_token(context: &Context, url: &str, email: Option<String>, expires: u32) -> Result<(String, String)> {
    let instead = "use --token with a token made in the panel, or set SEAWAY_TOKEN";
    let email = match email {
        Some(email) => email,
        None => context.output.ask("E-mail", instead)?,
    };
    let password = context.output.ask_secret("Password", instead)?;
    let api = Api::new(url, Right::Nobody)?;
    let (cookie, answer) = api.sign_in(&json!({"email": email, "password": password})).await?;
    let api = api.with_right(Right::Session { cookie, csrf: text(&answer, "csrf_token").to_owned() });
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
        expires_in_days: Some(expires),
    };
    let made: Result<CreatedToken> = api.post("/me/tokens", &request).await;
    // The session has done its work, whether the token was made or not.
    let _ended = api.act(Method::POST, "/log-out", Some(&json!({}))).await;
    let made = made?;
    Ok((made.text, made.token.id.to_string()))
}

fn read_line() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_line(&mut text).map_err(|error| Failure::other(format!("the token cannot be read: {error}")))?;
    match text.trim() {
        "" => Err(Failure::usage("the input holds no token")),
        token => Ok(token.to_owned()),
    }
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
        let rest =
            if revoked { "the token was revoked" } else { "the token was forgotten here; revoke it in the panel if nobody else uses it" };
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

pub async fn tokens(context: &Context, verb: TokensVerb) -> Result<()> {
    let api = context.api()?;
    let output = context.output;
    match verb {
        TokensVerb::Ls => {
            let tokens: Vec<Token> = api.all("/me/tokens").await?;
            let now = domain::SystemClock.now();
            output.table(&tokens, &["ID", "NAME", "EXPIRES", "LAST USED"], |token| {
                let used = token.last_used_at.map_or_else(|| "never".to_owned(), |time| ago(time, now));
                vec![token.id.to_string(), token.name.clone(), token.expires_at.format("%Y-%m-%d").to_string(), used]
            });
        }
        TokensVerb::Create { name, scopes, expires, this_service } => {
            let service = if this_service { Some(context.target(&api).await?.service) } else { None };
            let scopes: Value = match scopes.is_empty() {
                true => json!(Permission::ALL),
                false => json!(scopes),
            };
            let mut body = json!({"name": name, "scopes": scopes, "expires_in_days": expires});
            if let (Some(service), Some(body)) = (service, body.as_object_mut()) {
                body.insert("service".to_owned(), Value::String(service));
            }
            let made: CreatedToken = api.post("/me/tokens", &body).await?;
            output.answer(&made, || vec![made.text.clone()]);
            output.remark("keep it now: it is not shown again");
        }
        TokensVerb::Revoke { token } => {
            api.act(Method::DELETE, &format!("/me/tokens/{}", segment(&token)), None).await?;
            output.answer(&json!({"revoked": token}), || vec![format!("{token} is revoked")]);
        }
    }
    Ok(())
}
