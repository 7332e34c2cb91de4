//! The own account. What guards it asks for the password; see [`crate::session`].

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, Right};
use crate::failure::Result;
use crate::input;
use crate::target::{Context, text};

#[derive(Debug, Subcommand)]
pub enum AccountVerb {
    /// Change your name
    Rename { name: String },
    /// Change your password; every other session ends
    Password,
    /// Begin to change your e-mail address; a code is mailed to the new one
    Email { address: String },
    /// Confirm the new address with its code
    ConfirmEmail { code: String },
    /// Mail a link with which a forgotten password is replaced
    ForgotPassword { email: String },
    /// Replace a forgotten password, by the mailed link
    ResetPassword { link: String },
    /// Delete your account
    Delete,
}

pub async fn run(context: &Context, verb: AccountVerb) -> Result<()> {
    let output = context.output;
    let said = |notice: &Value| output.answer(notice, || vec![text(notice, "detail").to_owned()]);
    match verb {
        AccountVerb::Rename { name } => {
            let me: Value = context.in_session(async |api| api.patch("/me", &json!({"name": name})).await).await?;
            output.answer(&me, || vec![format!("{} <{}>", text(&me, "name"), text(&me, "email"))]);
        }
        AccountVerb::Password => {
            let url = context.url()?;
            let me: Value = context.api()?.get("/me").await?;
            let old = input::secret("Present password")?;
            let new = input::secret("New password (at least 15 characters)")?;
            let api = Api::new(&url, Right::Nobody)?;
            let body = json!({"email": text(&me, "email"), "password": old.reveal()});
            let change = json!({"current_password": old.reveal(), "new_password": new.reveal()});
            crate::session::in_session_at(&api, "/log-in", &body, async |api| api.post("/me/password", &change).await.map(|_: Value| ()))
                .await?;
            output.answer(&json!({"changed": true}), || vec!["the password is changed; every other session has ended".to_owned()]);
        }
        AccountVerb::Email { address } => {
            said(&context.in_session(async |api| api.post("/me/email", &json!({"email": address})).await).await?);
            output.remark("confirm it: seaway account confirm-email CODE");
        }
        AccountVerb::ConfirmEmail { code } => {
            let user: Value = context.in_session(async |api| api.post("/me/email/confirm", &json!({"code": code})).await).await?;
            output.answer(&user, || vec![format!("your address is {}", text(&user, "email"))]);
        }
        AccountVerb::ForgotPassword { email } => {
            said(&Api::new(&context.url()?, Right::Nobody)?.post("/password-resets", &json!({"email": email})).await?);
        }
        AccountVerb::ResetPassword { link } => {
            let password = input::secret("New password (at least 15 characters)")?;
            let url = link.split_once("/reset-password").map_or_else(|| context.url(), |(url, _)| crate::settings::normal_url(url))?;
            let body = json!({"token": super::named::token_in(&link), "password": password.reveal()});
            said(&Api::new(&url, Right::Nobody)?.post("/password-resets/complete", &body).await?);
        }
        AccountVerb::Delete => {
            let me: Value = context.api()?.get("/me").await?;
            let email = text(&me, "email");
            output.remark(format!("the account {email} will be deleted, with its sessions and tokens"));
            input::confirm_name(output, context.globals.yes, email)?;
            context.in_session(async |api| api.act(Method::DELETE, "/me", None).await).await?;
            output.answer(&json!({"deleted": email}), || vec![format!("the account {email} is deleted")]);
        }
    }
    Ok(())
}
