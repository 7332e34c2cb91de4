//! The first person of an instance, and those who sign up later.

use clap::Args;
use reqwest::Method;
use serde_json::{Value, json};

use super::named::token_in;
use crate::api::{Api, Right};
use crate::failure::{Failure, Result};
use crate::input;
use crate::session::{in_session_at, make_token};
use crate::settings::normal_url;
use crate::target::{Context, text};

const DAYS_DEFAULT: u32 = 90;

/// Make the first account of an instance, from the link that its first start printed; keeps an access token
#[derive(Debug, Args)]
pub struct Setup {
    /// The printed link: http://localhost:8080/setup#token=…
    link: Option<String>,
    /// The link's token, with --url instead of the link; `-` reads it from the input
    #[arg(long, value_name = "TOKEN")]
    token: Option<String>,
    #[arg(long)]
    email: Option<String>,
    /// Your name
    #[arg(long)]
    name: Option<String>,
    /// Send anonymous usage data
    #[arg(long)]
    analytics: bool,
    /// Days until the kept token ends
    #[arg(long, default_value_t = DAYS_DEFAULT, value_name = "DAYS")]
    expires: u32,
}

/// Make an account; the password is asked for, or a line of the input
#[derive(Debug, Args)]
pub struct SignUp {
    /// The instance, or the link of the invitation
    instance: Option<String>,
    #[arg(long)]
    email: Option<String>,
    /// Your name
    #[arg(long)]
    name: Option<String>,
    /// Link or token of an invitation, where one is needed
    #[arg(long, value_name = "LINK")]
    invitation: Option<String>,
}

/// Confirm your e-mail address with the code that was mailed
#[derive(Debug, Args)]
pub struct VerifyEmail {
    email: String,
    /// Absent: asked for
    code: Option<String>,
    /// Mail a new code
    #[arg(long, conflicts_with = "code")]
    resend: bool,
}

pub async fn set_up(mut context: Context, wanted: Setup) -> Result<()> {
    let output = context.output;
    let from_link = wanted.link.as_deref().and_then(|link| link.split_once("/setup"));
    let url = match (&wanted.link, from_link) {
        (_, Some((url, _))) => normal_url(url)?,
        (Some(link), None) => normal_url(link)?,
        (None, _) => match &context.globals.url {
            Some(url) => normal_url(url)?,
            None => {
                return Err(Failure::usage("name the link that the first start printed: seaway setup LINK (a new one: seaway setup-link)"));
            }
        },
    };
    let api = Api::new(&url, Right::Nobody)?;
    let public: Value = api.get("/instance/public").await?;
    if public.get("setup_needed") == Some(&Value::Bool(false)) {
        return Err(Failure::other(format!("{url} has an operator already; sign in: seaway login {url}")));
    }
    let token = match (from_link, wanted.token) {
        (_, Some(token)) if token == input::STANDARD_INPUT => input::secret("Token of the link")?.reveal().clone(),
        (_, Some(token)) => token,
        (Some((_, rest)), None) => token_in(rest).to_owned(),
        (None, None) => input::secret("Token of the link")?.reveal().clone(),
    };
    let email = input::given_or_ask(output, wanted.email, "E-mail", "add --email ADDRESS")?;
    let name = input::given_or_ask(output, wanted.name, "Your name", "add --name NAME")?;
    let organization = context.globals.organization.clone();
    let organization = input::given_or_ask(output, organization, "Name of your organization", "add --organization NAME")?;
    let password = input::secret("Password (at least 15 characters)")?;
    let body = json!({
        "token": token_in(&token), "email": email, "password": password.reveal(), "name": name,
        "organization_name": organization, "analytics": wanted.analytics,
    });
    let made = in_session_at(&api, "/setup", &body, async |api| make_token(api, wanted.expires).await).await?;
    context.keep(&url, made.text, Some(made.token.id.to_string()))?;
    output.answer(&json!({"url": url, "email": email}), || {
        vec![format!("{url} is yours, and you are signed in as {email}; go on in the folder of an app: seaway init")]
    });
    Ok(())
}

pub async fn sign_up(mut context: Context, wanted: SignUp) -> Result<()> {
    let output = context.output;
    let link = wanted.instance.as_deref().and_then(|text| text.split_once("/invitation"));
    let url = match (link, &wanted.instance) {
        (Some((url, _)), _) => normal_url(url)?,
        (None, Some(instance)) => normal_url(instance)?,
        (None, None) => context.url()?,
    };
    let invitation = wanted.invitation.as_deref().or(link.map(|(_, rest)| rest)).map(token_in);
    let email = input::given_or_ask(output, wanted.email, "E-mail", "add --email ADDRESS")?;
    let name = input::given_or_ask(output, wanted.name, "Your name", "add --name NAME")?;
    let password = input::secret("Password (at least 15 characters)")?;
    let api = Api::new(&url, Right::Nobody)?;
    let body = json!({"email": email, "password": password.reveal(), "name": name, "invitation": invitation});
    let notice: Value = api.post("/sign-up", &body).await?;
    let later = format!("seaway verify-email {email} CODE --url {url}; then: seaway login {url}");
    let Ok(code) = input::ask(output, "Code from the mail", &later) else {
        output.answer(&json!({"url": url, "email": email, "next": later}), || {
            vec![text(&notice, "detail").to_owned(), format!("next: {later}")]
        });
        return Ok(());
    };
    api.act(Method::POST, "/email-verifications", Some(&json!({"email": email, "code": code}))).await?;
    let body = json!({"email": email, "password": password.reveal()});
    let made = in_session_at(&api, "/log-in", &body, async |api| make_token(api, DAYS_DEFAULT).await).await?;
    context.keep(&url, made.text, Some(made.token.id.to_string()))?;
    output.answer(&json!({"url": url, "email": email}), || vec![format!("signed in to {url} as {email}")]);
    Ok(())
}

pub async fn verify_email(context: &Context, wanted: VerifyEmail) -> Result<()> {
    let api = Api::new(&context.url()?, Right::Nobody)?;
    let notice: Value = if wanted.resend {
        api.post("/email-verifications/resend", &json!({"email": wanted.email})).await?
    } else {
        let code = input::given_or_ask(context.output, wanted.code, "Code from the mail", "name it: seaway verify-email EMAIL CODE")?;
        api.post("/email-verifications", &json!({"email": wanted.email, "code": code})).await?
    };
    context.output.answer(&notice, || vec![text(&notice, "detail").to_owned()]);
    Ok(())
}
