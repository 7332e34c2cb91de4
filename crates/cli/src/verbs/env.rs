//! Variables.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::api::{Api, segment};
use crate::arguments::When;
use crate::failure::{Failure, Result};
use crate::input;
use crate::target::{Context, text};

/// Whose variables.
#[derive(Debug, Args, Default)]
pub struct Level {
    /// Of the whole project
    #[arg(long = "of-project", conflicts_with = "of_environment")]
    pub of_project: bool,
    /// Of the whole environment
    #[arg(long = "of-environment")]
    pub of_environment: bool,
}

/// Of which kind.
#[derive(Debug, Args, Default)]
pub struct Kind {
    /// Shown to everybody who may read the service
    #[arg(long, conflicts_with_all = ["secret", "sealed"])]
    pub plain: bool,
    /// Shown only to those who may reveal it
    #[arg(long, conflicts_with = "sealed")]
    pub secret: bool,
    /// Never shown again to anybody
    #[arg(long)]
    pub sealed: bool,
}

#[derive(Debug, Subcommand)]
pub enum EnvVerb {
    /// Names, kinds, and the values of plain ones
    Ls {
        #[command(flatten)]
        level: Level,
    },
    /// NAME=VALUE…; NAME alone asks for the value, or reads the next line of the input
    Set {
        #[arg(required = true, value_name = "NAME=VALUE")]
        variables: Vec<String>,
        #[command(flatten)]
        kind: Kind,
        #[command(flatten)]
        level: Level,
        #[command(flatten)]
        when: When,
    },
    /// One value; a secret one needs --reveal
    Get {
        name: String,
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        level: Level,
    },
    /// Remove variables
    Unset {
        #[arg(required = true)]
        names: Vec<String>,
        #[command(flatten)]
        level: Level,
        #[command(flatten)]
        when: When,
    },
    /// Set what a .env file names; `-` reads the input
    Import {
        file: PathBuf,
        /// Remove what the file does not name
        #[arg(long)]
        replace: bool,
        /// Only say what would change
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        kind: Kind,
        #[command(flatten)]
        level: Level,
        #[command(flatten)]
        when: When,
    },
    /// Print as a .env text
    Export {
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        level: Level,
    },
    /// Write a .env file into this folder
    Pull {
        #[arg(default_value = ".env")]
        file: PathBuf,
        #[arg(long)]
        reveal: bool,
        #[command(flatten)]
        level: Level,
    },
    /// Earlier values of a variable
    History {
        name: String,
        #[command(flatten)]
        level: Level,
    },
    /// Make an earlier value the present one
    Restore {
        name: String,
        version: u64,
        #[command(flatten)]
        level: Level,
        #[command(flatten)]
        when: When,
    },
}

pub async fn run(context: &Context, verb: EnvVerb) -> Result<()> {
    let api = context.api()?;
    let output = context.output;
    match verb {
        EnvVerb::Ls { level } => {
            let variables = list(&api, &owner(context, &api, &level).await?).await?;
            output.table(&variables, &["NAME", "KIND", "VALUE"], |variable| {
                vec![text(variable, "name").to_owned(), text(variable, "kind").to_owned(), shown(variable)]
            });
        }
        EnvVerb::Set { variables, kind, level, when } => {
            let owner = owner(context, &api, &level).await?;
            let mut set = Vec::new();
            for variable in variables {
                let (name, value) = match variable.split_once('=') {
                    Some((name, value)) => (name.to_owned(), value.to_owned()),
                    // Not on the command line: other users of the machine could read it there.
                    None => {
                        let value = input::secret(&format!("Value of {variable}"))?;
                        (variable, value.reveal().clone())
                    }
                };
                set.push(with_kind(json!({"name": name, "value": value}), &kind));
            }
            changed(context, &api.patch(&format!("{owner}/variables?deploy={}", !when.draft), &json!({"set": set})).await?);
        }
        EnvVerb::Unset { names, level, when } => {
            let owner = owner(context, &api, &level).await?;
            changed(context, &api.patch(&format!("{owner}/variables?deploy={}", !when.draft), &json!({"unset": names})).await?);
        }
        EnvVerb::Get { name, reveal, level } => {
            let owner = owner(context, &api, &level).await?;
            let variables = list(&api, &owner).await?;
            let found = variables.iter().find(|variable| text(variable, "name") == name);
            let found = found.ok_or_else(|| Failure::NotFound(format!("there is no variable {name}; list them: seaway env ls")))?;
            let value = value_of(&api, &owner, found, reveal).await?.ok_or_else(|| match text(found, "kind") {
                "sealed" => Failure::other(format!("{name} is sealed: nobody can see its value again; set a new one")),
                _ => Failure::usage(format!("{name} is secret; add --reveal to see it (the audit log notes it)")),
            })?;
            output.answer(&json!({"name": name, "value": value}), || vec![value.clone()]);
        }
        EnvVerb::Import { file, replace, dry_run, kind, level, when } => {
            let owner = owner(context, &api, &level).await?;
            let body = with_kind(json!({"text": input::read(&file)?, "replace": replace}), &kind);
            changed(context, &api.post(&format!("{owner}/variables/import?dry_run={dry_run}&deploy={}", !when.draft), &body).await?);
        }
        EnvVerb::Export { reveal, level } => {
            let owner = owner(context, &api, &level).await?;
            let text = export(context, &api, &owner, reveal).await?;
            output.bytes(text.as_bytes());
        }
        EnvVerb::History { name, level } => {
            let path = format!("{}/variables/{}/versions", owner(context, &api, &level).await?, segment(&name));
            let versions: Vec<Value> = api.all(&path).await?;
            output.table(&versions, &["VERSION", "KIND", "WHEN", "BY", "VALUE", ""], |version| {
                let number = version.get("version").map(Value::to_string).unwrap_or_default();
                let present = version.get("current") == Some(&Value::Bool(true));
                let at = |key: &str| text(version, key).to_owned();
                vec![number, at("kind"), at("created_at"), at("author"), shown(version), if present { "present" } else { "" }.to_owned()]
            });
        }
        EnvVerb::Restore { name, version, level, when } => {
            let owner = owner(context, &api, &level).await?;
            let path = format!("{owner}/variables/{}/restore?deploy={}", segment(&name), !when.draft);
            changed(context, &api.post(&path, &json!({"version": version})).await?);
        }
        EnvVerb::Pull { file, reveal, level } => {
            let owner = owner(context, &api, &level).await?;
            if file.exists() {
                input::confirm(output, context.globals.yes, &format!("{} is there already and will be replaced.", file.display()))?;
            }
            let text = export(context, &api, &owner, reveal).await?;
            input::write_private(&file, &text)?;
            output.answer(&json!({"file": file}), || vec![format!("{} written; keep it out of git", file.display())]);
        }
    }
    Ok(())
}

async fn owner(context: &Context, api: &Api, level: &Level) -> Result<String> {
    let target = context.target(api).await?;
    Ok(match (level.of_project, level.of_environment) {
        (true, _) => format!("/projects/{}", target.project),
        (_, true) => format!("/environments/{}", target.environment),
        _ => format!("/services/{}", target.service),
    })
}

async fn list(api: &Api, owner: &str) -> Result<Vec<Value>> {
    api.all(&format!("{owner}/variables")).await
}

pub fn with_kind(mut body: Value, kind: &Kind) -> Value {
    let words = [(kind.plain, "plain"), (kind.secret, "secret"), (kind.sealed, "sealed")];
    if let Some((_, word)) = words.into_iter().find(|(wanted, _)| *wanted) {
        crate::configuration::merge(&mut body, json!({"kind": word}));
    }
    body
}

fn shown(variable: &Value) -> String {
    match variable.get("value").and_then(Value::as_str) {
        Some(value) => crate::output::clean(value),
        None => "(hidden)".to_owned(),
    }
}

/// `None` when it may not be, or was not asked to be, shown.
async fn value_of(api: &Api, owner: &str, variable: &Value, reveal: bool) -> Result<Option<String>> {
    if let Some(value) = variable.get("value").and_then(Value::as_str) {
        return Ok(Some(value.to_owned()));
    }
    if !reveal || text(variable, "kind") == "sealed" {
        return Ok(None);
    }
    let path = format!("{owner}/variables/{}/reveal", segment(text(variable, "name")));
    let revealed: Value = api.post(&path, &json!({"reason": "seaway env --reveal"})).await?;
    Ok(Some(text(&revealed, "value").to_owned()))
}

async fn export(context: &Context, api: &Api, owner: &str, reveal: bool) -> Result<String> {
    let mut lines = String::new();
    for variable in list(api, owner).await? {
        let name = text(&variable, "name");
        match value_of(api, owner, &variable, reveal).await? {
            Some(value) => lines.push_str(&format!("{name}={}\n", quoted(&value))),
            None => {
                lines.push_str(&format!("# {name} is {}\n", text(&variable, "kind")));
                context.output.remark(format!("{name} is left out: it is {}", text(&variable, "kind")));
            }
        }
    }
    Ok(lines)
}

/// As `.env` files write values: plain when nothing in it is special, in double quotes otherwise.
fn quoted(value: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:@%+,".contains(letter);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    let mut text = String::from("\"");
    for letter in value.chars() {
        match letter {
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '"' | '\\' | '$' => text.extend(['\\', letter]),
            other => text.push(other),
        }
    }
    text.push('"');
    text
}

/// What a change of variables or files did.
pub fn changed(context: &Context, answer: &Value) {
    context.output.answer(answer, || {
        let names = |key: &str| -> Vec<&str> {
            answer.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
        };
        let mut lines: Vec<String> = ["added", "changed", "removed"]
            .iter()
            .filter(|key| !names(key).is_empty())
            .map(|key| format!("{key}: {}", names(key).join(", ")))
            .collect();
        if lines.is_empty() {
            lines.push("nothing changed".to_owned());
        }
        lines.extend(
            names("deployments")
                .iter()
                .map(|id| format!("deployment {id} brings it to the app; follow it: seaway logs -f --deployment {id}")),
        );
        lines
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_where_needed() {
        for (value, expected) in [
            ("postgres://a:b@c/d", "postgres://a:b@c/d"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("a\"b\\c$d", "\"a\\\"b\\\\c\\$d\""),
            ("one\ntwo", "\"one\\ntwo\""),
            ("#x", "\"#x\""),
        ] {
            assert_eq!(quoted(value), expected);
        }
    }
}
