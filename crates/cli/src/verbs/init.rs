//! Linking a folder to a service, with or without making the service.

use clap::Args;
use serde_json::{Value, json};

use super::{credentials, source};
use crate::api::Api;
use crate::configuration::merge;
use crate::failure::{Failure, Result};
use crate::link;
use crate::target::{Context, environment_of, one, text};
use crate::{git, input};

/// Make a project and a service for this folder and link it; a git folder is deployed from its remote
#[derive(Debug, Args)]
pub struct Init {
    /// Default: the folder's name; asked for when --project is absent too
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Port that the app listens on
    #[arg(long)]
    port: Option<u16>,
    /// Deploy by sending the folder, also when it has a git remote
    #[arg(long)]
    upload: bool,
    /// Name of the credential of a private repository
    #[arg(long, value_name = "NAME", conflicts_with = "upload")]
    credential: Option<String>,
}

/// Link this folder to a service that exists (-a names it)
#[derive(Debug, Args)]
pub struct Link {}

/// Forget the link of this folder
#[derive(Debug, Args)]
pub struct Unlink {}

/// Makes what is named and missing, takes what is there, links this folder.
pub async fn init(context: &Context, wanted: Init) -> Result<()> {
    let api = context.api()?;
    let output = context.output;
    let remote = git::remote_of(&context.folder).filter(|_| !wanted.upload);
    let folder_name = context.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_else(|| "app".to_owned());
    let proposed = remote.as_ref().and_then(|remote| remote.name()).map_or(folder_name, str::to_owned);
    let project = match &context.globals.project {
        Some(project) => project.clone(),
        None if context.globals.yes => proposed.clone(),
        None => {
            let answer =
                input::ask(output, &format!("Project [{proposed}]"), "name it: seaway init --project NAME; or take the folder's name: -y")?;
            if answer.is_empty() { proposed.clone() } else { answer }
        }
    };
    let service = wanted.service.unwrap_or(proposed);
    let organization = context.organization(&api).await?;
    let credential = match &wanted.credential {
        Some(name) => Some(credentials::id_of(&api, &organization, name).await?),
        None => None,
    };
    let project = find_or_make(&api, &format!("/organizations/{organization}/projects"), &project, &json!({"name": project})).await?;
    let environment = environment_of(&api, text(&project, "id"), context.globals.environment.as_deref()).await?;
    let mut configuration = json!({});
    if let Some(port) = wanted.port {
        merge(&mut configuration, json!({"port": port}));
    }
    if let Some(remote) = &remote {
        merge(&mut configuration, source::git(&remote.url, remote.branch.clone(), credential.clone(), false, false));
    }
    let body = json!({"name": service, "configuration": configuration});
    let service = find_or_make(&api, &format!("/environments/{environment}/services"), &service, &body).await?;
    let name = format!("{}/{}", text(&project, "slug"), text(&service, "slug"));
    let link = link::Link {
        url: api.url().to_owned(),
        organization,
        project: text(&project, "id").to_owned(),
        environment,
        service: text(&service, "id").to_owned(),
        name,
    };
    finish(context, &link)?;
    if let Some(remote) = remote.filter(|_| !output.json()) {
        output.remark(format!(
            "it is built from {}{}; to send the folder instead: seaway deploy --upload",
            remote.url,
            remote.branch.as_ref().map_or_else(String::new, |branch| format!(" ({branch})"))
        ));
        if remote.had_password {
            output.remark(
                "the password in the remote's address was left out; keep it as a credential: seaway credentials add git-token NAME",
            );
        } else if remote.is_ssh() && credential.is_none() {
            output.remark(
                "ssh needs a deploy key: seaway credentials add deploy-key NAME --known-hosts FILE, then: seaway deploy --credential NAME",
            );
        }
    }
    Ok(())
}

async fn find_or_make(api: &Api, path: &str, name: &str, body: &Value) -> Result<Value> {
    let all: Vec<Value> = api.all(path).await?;
    match one(&all, name) {
        Some(found) => Ok(found.clone()),
        None => api.post(path, body).await,
    }
}

/// Links this folder to a service that exists.
pub async fn link(context: &Context) -> Result<()> {
    let api = context.api()?;
    if context.globals.app.is_none() {
        return Err(Failure::usage("name the service: seaway link -a ORGANIZATION/PROJECT/SERVICE; or make one: seaway init"));
    }
    let target = context.target(&api).await?;
    let service: Value = api.get(&format!("/services/{}", target.service)).await?;
    let project: Value = api.get(&format!("/projects/{}", target.project)).await?;
    let link = link::Link {
        url: api.url().to_owned(),
        organization: target.organization,
        project: target.project,
        environment: target.environment,
        service: target.service,
        name: format!("{}/{}", text(&project, "slug"), text(&service, "slug")),
    };
    finish(context, &link)
}

pub fn unlink(context: &Context) -> Result<()> {
    let folder = context.link.as_ref().map_or(&context.folder, |(folder, _)| folder);
    let removed = link::remove(folder)?;
    context.output.answer(&json!({"removed": removed}), || {
        vec![if removed { "this folder is no longer linked".to_owned() } else { "this folder was not linked".to_owned() }]
    });
    Ok(())
}

fn finish(context: &Context, link: &link::Link) -> Result<()> {
    let path = link::write(&context.folder, link)?;
    context.output.answer(link, || vec![format!("this folder is linked to {} ({}); deploy it: seaway deploy", link.name, link.service)]);
    if !context.output.json() {
        context.output.remark(format!("{} holds no secret and may be committed", path.display()));
    }
    Ok(())
}
