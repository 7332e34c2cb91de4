//! Tokens and keys for private repositories and registries. Their values come from the terminal, the input or a file: never
//! from the command line.

use std::path::PathBuf;

use clap::Subcommand;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::Api;
use crate::configuration::merge;
use crate::failure::Result;
use crate::input;
use crate::target::{Context, find, text};

#[derive(Debug, Subcommand)]
pub enum CredentialsVerb {
    /// Names, kinds, hosts; never values
    Ls,
    /// One credential; of a deploy key also the public line, and which services use it
    Show { credential: String },
    /// Add a credential
    #[command(subcommand)]
    Add(AddVerb),
    /// Replace the value, which is asked for or read from the input
    Replace { credential: String },
    /// Remove a credential that no service uses
    #[command(visible_alias = "rm")]
    Remove { credential: String },
}

#[derive(Debug, Subcommand)]
pub enum AddVerb {
    /// An access token for https repositories; it is asked for, or the next line of the input
    GitToken {
        name: String,
        /// Default: git, which most hosts accept
        #[arg(long)]
        username: Option<String>,
        /// The git host, to tell credentials apart
        #[arg(long)]
        host: Option<String>,
    },
    /// A key for ssh repositories; Seaway makes one and prints its public line, unless a file is named
    DeployKey {
        name: String,
        /// File with the host's keys (ssh-keyscan HOST, compared with what the host publishes); `-` reads the input
        #[arg(long, value_name = "FILE")]
        known_hosts: PathBuf,
        /// Private key in OpenSSH form, without a passphrase; `-` reads the input
        #[arg(long, value_name = "FILE")]
        private_key: Option<PathBuf>,
        /// The git host, to tell credentials apart
        #[arg(long)]
        host: Option<String>,
    },
    /// User and password of a registry; the password is asked for, or the next line of the input
    Registry {
        name: String,
        /// E.g. registry.example.org
        #[arg(long)]
        host: String,
        #[arg(long)]
        username: String,
    },
}

pub async fn run(context: &Context, verb: CredentialsVerb) -> Result<()> {
    let api = context.api()?;
    let output = context.output;
    let organization = context.organization(&api).await?;
    let all = path(&organization);
    match verb {
        CredentialsVerb::Ls => {
            let credentials: Vec<Value> = api.all(&all).await?;
            output.table(&credentials, &["NAME", "KIND", "HOST", "VALUE", "ID"], |credential| {
                let at = |key: &str| text(credential, key).to_owned();
                let value = Some(at("hint")).filter(|hint| !hint.is_empty()).unwrap_or_else(|| at("fingerprint"));
                vec![at("name"), at("kind"), at("host"), value, at("id")]
            });
        }
        CredentialsVerb::Show { credential } => {
            let id = id_of(&api, &organization, &credential).await?;
            shown(context, &api.get(&format!("/credentials/{id}")).await?);
        }
        CredentialsVerb::Add(verb) => {
            let made: Value = api.post(&all, &body_of(verb)?).await?;
            shown(context, &made);
            if !text(&made, "public_line").is_empty() {
                output.remark("enter the public line as a deploy key at the git host (reading is enough)");
            }
            let name = text(&made, "name");
            output.remark(match text(&made, "kind") {
                "registry" => format!("then: seaway source image NAME:TAG --credential {name}"),
                _ => format!("then: seaway source git URL --credential {name}"),
            });
        }
        CredentialsVerb::Replace { credential } => {
            let id = id_of(&api, &organization, &credential).await?;
            let value = input::secret_text("New value")?;
            shown(context, &api.patch(&format!("/credentials/{id}"), &json!({"value": value.reveal().trim_end_matches('\n')})).await?);
        }
        CredentialsVerb::Remove { credential } => {
            let id = id_of(&api, &organization, &credential).await?;
            input::confirm(output, context.globals.yes, &format!("{credential} will be removed."))?;
            api.act(Method::DELETE, &format!("/credentials/{id}"), None).await?;
            output.answer(&json!({"removed": credential}), || vec![format!("{credential} is removed")]);
        }
    }
    Ok(())
}

fn path(organization: &str) -> String {
    format!("/organizations/{organization}/credentials")
}

/// By name or id.
pub async fn id_of(api: &Api, organization: &str, name: &str) -> Result<String> {
    find(api, &path(organization), "credential", name).await.map(|found| text(&found, "id").to_owned())
}

fn body_of(verb: AddVerb) -> Result<Value> {
    let (mut body, rest) = match verb {
        AddVerb::GitToken { name, username, host } => {
            let token = input::secret("Token")?;
            (json!({"kind": "git_token", "name": name, "token": token.reveal()}), [("username", username), ("host", host)])
        }
        AddVerb::DeployKey { name, known_hosts, private_key, host } => {
            let key = private_key.map(|file| input::read(&file)).transpose()?;
            (json!({"kind": "deploy_key", "name": name, "known_hosts": input::read(&known_hosts)?}), [("private_key", key), ("host", host)])
        }
        AddVerb::Registry { name, host, username } => {
            let password = input::secret("Password")?;
            let body = json!({"kind": "registry", "name": name, "host": host, "username": username, "password": password.reveal()});
            (body, [("", None), ("", None)])
        }
    };
    for (key, value) in rest {
        if let Some(value) = value {
            merge(&mut body, json!({ key: value }));
        }
    }
    Ok(body)
}

fn shown(context: &Context, credential: &Value) {
    let services = credential.get("used_by").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let used_by = services.collect::<Vec<_>>().join(", ");
    let fields = ["name", "kind", "id", "host", "username", "hint", "fingerprint", "public_line"];
    let mut pairs: Vec<(&str, String)> = fields.iter().map(|key| (*key, text(credential, key).to_owned())).collect();
    pairs.push(("used_by", used_by));
    pairs.retain(|(_, value)| !value.is_empty());
    context.output.record(credential, &pairs);
}
