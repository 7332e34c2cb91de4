//! Access tokens of the person.

use clap::Subcommand;
use contract::tokens::{CreatedToken, Token};
use domain::permission::Permission;
use domain::{Clock, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::segment;
use crate::failure::Result;
use crate::target::Context;
use crate::time::ago;

#[derive(Debug, Subcommand)]
pub enum TokensVerb {
    /// Your tokens
    Ls,
    /// Make a token; its text is shown once
    Create {
        name: String,
        /// E.g. deployments:write; more than once; all that you may do when absent
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Days until it ends
        #[arg(long, default_value_t = 90, value_name = "DAYS")]
        expires: u32,
        /// Confine it to the service that -a names
        #[arg(long)]
        this_service: bool,
        /// Address or network it may be used from; more than once
        #[arg(long = "from", value_name = "CIDR")]
        addresses: Vec<String>,
    },
    /// End a token
    Revoke { token: String },
}

pub async fn run(context: &Context, verb: TokensVerb) -> Result<()> {
    let output = context.output;
    match verb {
        TokensVerb::Ls => {
            let tokens: Vec<Token> = context.in_session(async |api| api.all("/me/tokens").await).await?;
            let now = SystemClock.now();
            output.table(&tokens, &["ID", "NAME", "EXPIRES", "LAST USED"], |token| {
                let used = token.last_used_at.map_or_else(|| "never".to_owned(), |time| ago(time, now));
                vec![token.id.to_string(), token.name.clone(), token.expires_at.format("%Y-%m-%d").to_string(), used]
            });
        }
        TokensVerb::Create { name, scopes, expires, this_service, addresses } => {
            let service = if this_service { Some(context.target(&context.api()?).await?.service) } else { None };
            let scopes: Value = if scopes.is_empty() { json!(Permission::ALL) } else { json!(scopes) };
            let addresses = Some(addresses).filter(|addresses| !addresses.is_empty());
            let body = json!({"name": name, "scopes": scopes, "expires_in_days": expires, "service": service, "addresses": addresses});
            let made: CreatedToken = context.in_session(async |api| api.post("/me/tokens", &body).await).await?;
            output.answer(&made, || vec![made.text.clone()]);
            output.remark("keep it now: it is not shown again");
        }
        TokensVerb::Revoke { token } => {
            context.in_session(async |api| api.act(Method::DELETE, &format!("/me/tokens/{}", segment(&token)), None).await).await?;
            output.answer(&json!({"revoked": token}), || vec![format!("{token} is revoked")]);
        }
    }
    Ok(())
}
