//! Organizations, projects, services, deployments: list, make, remove.

use contract::deployments::Deployment;
use domain::{Clock, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Api, segment};
use crate::arguments::{DeploymentsVerb, OrgsVerb, ProjectsVerb, ServicesVerb};
use crate::failure::{Failure, Result};
use crate::target::{Context, environment_of, organization_of, project_of, text};
use crate::time::ago;

pub async fn organizations(context: &Context, verb: OrgsVerb) -> Result<()> {
    let api = context.api()?;
    match verb {
        OrgsVerb::Ls => {
            let all: Vec<Value> = api.all("/organizations").await?;
            named(context, &all, "role");
        }
        OrgsVerb::Create { name } => made(context, &api.post("/organizations", &json!({"name": name})).await?),
        OrgsVerb::Rm { organization } => {
            let id = organization_of(&api, Some(&organization)).await?;
            context.output.confirm(context.globals.yes, &format!("{organization} will be removed with everything in it."))?;
            remove(context, &api, &format!("/organizations/{id}"), &organization).await?;
        }
    }
    Ok(())
}

pub async fn projects(context: &Context, verb: ProjectsVerb) -> Result<()> {
    let api = context.api()?;
    match verb {
        ProjectsVerb::Ls { organization } => {
            let organization = here(context, &api, organization.as_deref()).await?;
            let all: Vec<Value> = api.all(&format!("/organizations/{organization}/projects")).await?;
            named(context, &all, "description");
        }
        ProjectsVerb::Create { name, organization } => {
            let organization = here(context, &api, organization.as_deref()).await?;
            made(context, &api.post(&format!("/organizations/{organization}/projects"), &json!({"name": name})).await?);
        }
        ProjectsVerb::Rm { project, organization, volumes } => {
            let organization = here(context, &api, organization.as_deref()).await?;
            let id = project_of(&api, &organization, &project).await?;
            let data = if volumes { ", and the data of its volumes" } else { "" };
            context.output.confirm(context.globals.yes, &format!("{project} will be removed with every service in it{data}."))?;
            remove(context, &api, &format!("/projects/{id}?volumes={volumes}"), &project).await?;
        }
    }
    Ok(())
}

pub async fn services(context: &Context, verb: ServicesVerb) -> Result<()> {
    let api = context.api()?;
    match verb {
        ServicesVerb::Ls { organization, project } => {
            let environment = environment_here(context, &api, organization.as_deref(), project.as_deref()).await?;
            let all: Vec<Value> = api.all(&format!("/environments/{environment}/services")).await?;
            named(context, &all, "url");
        }
        ServicesVerb::Create { name, organization, project, port } => {
            let environment = environment_here(context, &api, organization.as_deref(), project.as_deref()).await?;
            let mut body = json!({"name": name});
            if let (Some(port), Some(body)) = (port, body.as_object_mut()) {
                body.insert("configuration".to_owned(), json!({"port": port}));
            }
            made(context, &api.post(&format!("/environments/{environment}/services"), &body).await?);
        }
        ServicesVerb::Rm { volumes } => {
            let target = context.target(&api).await?;
            let data = if volumes { " with the data of its volumes" } else { "; its volumes stay" };
            context.output.confirm(context.globals.yes, &format!("{} will be removed{data}.", target.name))?;
            remove(context, &api, &format!("/services/{}?volumes={volumes}", target.service), &target.name).await?;
        }
    }
    Ok(())
}

pub async fn deployments(context: &Context, verb: DeploymentsVerb) -> Result<()> {
    let api = context.api()?;
    match verb {
        DeploymentsVerb::Ls { limit } => {
            let target = context.target(&api).await?;
            let path = format!("/services/{}/deployments?limit={}", target.service, limit.clamp(1, 200));
            let page: contract::Page<Deployment> = api.get(&path).await?;
            let now = SystemClock.now();
            context.output.table(&page.data, &["DEPLOYMENT", "STATE", "RELEASE", "WHEN", "WHAT"], |deployment| {
                let word =
                    serde_json::to_value(deployment.phase).ok().and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
                let version = deployment.version.map_or_else(String::new, |version| format!("v{version}"));
                let what = deployment.title.clone().or(deployment.reference.clone()).unwrap_or_else(|| deployment.work.clone());
                vec![deployment.id.to_string(), word, version, ago(deployment.created_at, now), what]
            });
        }
        DeploymentsVerb::Cancel { deployment } => {
            let answer: Value = api.post(&format!("/deployments/{}/cancel", segment(&deployment)), &json!({})).await?;
            context.output.answer(&answer, || vec![format!("{deployment} is being canceled")]);
        }
    }
    Ok(())
}

/// The named organization, else the linked folder's, else the only or default one.
async fn here(context: &Context, api: &Api, organization: Option<&str>) -> Result<String> {
    match (organization, &context.link) {
        (None, Some((_, link))) => Ok(link.organization.clone()),
        (name, _) => organization_of(api, name).await,
    }
}

async fn environment_here(context: &Context, api: &Api, organization: Option<&str>, project: Option<&str>) -> Result<String> {
    let environment = context.globals.environment.as_deref();
    match (project, &context.link) {
        (Some(project), _) => {
            let organization = here(context, api, organization).await?;
            let project = project_of(api, &organization, project).await?;
            environment_of(api, &project, environment).await
        }
        (None, Some((_, link))) if environment.is_none() => Ok(link.environment.clone()),
        (None, Some((_, link))) => environment_of(api, &link.project, environment).await,
        (None, None) => Err(Failure::usage("name the project: --project NAME")),
    }
}

fn named(context: &Context, items: &[Value], last: &str) {
    context.output.table(items, &["NAME", "ID", &last.to_uppercase()], |item| {
        vec![text(item, "slug").to_owned(), text(item, "id").to_owned(), text(item, last).to_owned()]
    });
}

fn made(context: &Context, item: &Value) {
    context.output.answer(item, || vec![format!("{} ({})", text(item, "slug"), text(item, "id"))]);
}

async fn remove(context: &Context, api: &Api, path: &str, name: &str) -> Result<()> {
    api.act(Method::DELETE, path, None).await?;
    context.output.answer(&json!({"removed": name}), || vec![format!("{name} is being removed")]);
    Ok(())
}
