//! Signed-in browsers.

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::segment;
use crate::failure::Result;
use crate::target::{Context, text};

#[derive(Debug, Subcommand)]
pub enum SessionsVerb {
    /// Where you are signed in
    Ls,
    /// End a session
    Revoke { session: String },
    /// End every session
    RevokeAll,
}

pub async fn run(context: &Context, verb: SessionsVerb) -> Result<()> {
    let output = context.output;
    match verb {
        SessionsVerb::Ls => {
            let sessions: Vec<Value> = context.in_session(async |api| api.all("/me/sessions").await).await?;
            output.table(&sessions, &["ID", "DEVICE", "NETWORK", "LAST USED", ""], |session| {
                let own = session.get("current") == Some(&Value::Bool(true));
                let at = |key: &str| text(session, key).to_owned();
                vec![at("id"), at("device"), at("network"), at("last_used_at"), if own { "this command" } else { "" }.to_owned()]
            });
        }
        SessionsVerb::Revoke { session } => {
            context.in_session(async |api| api.act(Method::DELETE, &format!("/me/sessions/{}", segment(&session)), None).await).await?;
            output.answer(&json!({"revoked": session}), || vec![format!("{session} is ended")]);
        }
        SessionsVerb::RevokeAll => {
            // The session of this verb is the one that stays, and it ends with the verb.
            let ended: Value = context.in_session(async |api| api.post("/me/sessions/revoke-others", &json!({})).await).await?;
            output.answer(&ended, || vec![format!("{} sessions are ended", ended.get("ended").unwrap_or(&Value::Null))]);
        }
    }
    Ok(())
}
