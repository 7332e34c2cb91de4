//! Linking a folder to a service, with or without making the service.

use serde_json::{Value, json};

use crate::api::Api;
use crate::failure::{Failure, Result};
use crate::link::{self, Link};
use crate::target::{Context, environment_of, one, organization_of, text};

/// Makes what is named and missing, takes what is there, links this folder.
pub async fn init(
    context: &Context,
    organization: Option<&str>,
    project: Option<&str>,
    service: Option<String>,
    port: Option<u16>,
) -> Result<()> {
    let api = context.api()?;
    let output = context.output;
    let folder_name = context.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_else(|| "app".to_owned());
    let project = match project {
        Some(project) => project.to_owned(),
        None => {
            let answer = output.ask(&format!("Project [{folder_name}]"), "name it: seaway init --project NAME")?;
            if answer.is_empty() { folder_name.clone() } else { answer }
        }
    };
    let service = service.unwrap_or(folder_name);
    let organization = organization_of(&api, organization).await?;
    let project = find_or_make(&api, &format!("/organizations/{organization}/projects"), &project, &json!({"name": project})).await?;
    let environment = environment_of(&api, text(&project, "id"), context.globals.environment.as_deref()).await?;
    let mut body = json!({"name": service});
    if let (Some(port), Some(body)) = (port, body.as_object_mut()) {
        body.insert("configuration".to_owned(), json!({"port": port}));
    }
    let service = find_or_make(&api, &format!("/environments/{environment}/services"), &service, &body).await?;
    let name = format!("{}/{}", text(&project, "slug"), text(&service, "slug"));
    let link = Link {
        url: api.url().to_owned(),
        organization,
        project: text(&project, "id").to_owned(),
        environment,
        service: text(&service, "id").to_owned(),
        name,
    };
    finish(context, &link)
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
    let link = Link {
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

fn finish(context: &Context, link: &Link) -> Result<()> {
    let path = link::write(&context.folder, link)?;
    context.output.answer(link, || vec![format!("this folder is linked to {} ({}); deploy it: seaway deploy", link.name, link.service)]);
    if !context.output.json() {
        context.output.remark(format!("{} holds no secret and may be committed", path.display()));
    }
    Ok(())
}
