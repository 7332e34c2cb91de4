//! Which instance, and which service of it: from the command line, the environment, or the link of the folder.

use std::path::PathBuf;

use serde_json::Value;

use crate::api::{Api, Right, segment};
use crate::arguments::Globals;
use crate::failure::{Failure, Result};
use crate::link::{self, Link};
use crate::output::Output;
use crate::settings::{self, Settings};

/// What every verb starts from.
pub struct Context {
    pub globals: Globals,
    pub output: Output,
    pub folder: PathBuf,
    pub link: Option<(PathBuf, Link)>,
    pub settings: Settings,
    pub settings_path: PathBuf,
}

/// A service with everything above it.
#[derive(Debug, Clone)]
pub struct Target {
    pub organization: String,
    pub project: String,
    pub environment: String,
    pub service: String,
    pub name: String,
}

impl Context {
    pub fn open(globals: &Globals, output: Output) -> Result<Self> {
        let folder = std::env::current_dir().map_err(|error| Failure::other(format!("the present folder cannot be read: {error}")))?;
        let settings_path = settings::path()?;
        Ok(Self {
            link: link::find(&folder)?,
            settings: Settings::read(&settings_path)?,
            globals: globals.clone(),
            output,
            folder,
            settings_path,
        })
    }

    /// The instance's address: `--url` or `SEAWAY_URL`, the link's, the last `login`'s.
    pub fn url(&self) -> Result<String> {
        let linked = self.link.as_ref().map(|(_, link)| &link.url);
        let url = self.globals.url.as_ref().or(linked).or(self.settings.current.as_ref()).ok_or(Failure::NoInstance)?;
        settings::normal_url(url)
    }

    /// The instance, with the token that belongs to it. `SEAWAY_TOKEN` is for the instance that the caller names.
    pub fn api(&self) -> Result<Api> {
        let url = self.url()?;
        let token = std::env::var("SEAWAY_TOKEN").ok().filter(|token| !token.is_empty());
        let token = token.or_else(|| self.settings.instances.get(&url).map(|instance| instance.token.clone()));
        let token = token.ok_or_else(|| Failure::NotSignedIn { url: url.clone() })?;
        Api::new(&url, Right::Token(token))
    }

    /// The organization that the verb is about: named, the linked folder's, the one switched to, the only or default one.
    pub async fn organization(&self, api: &Api) -> Result<String> {
        let linked = self.link.as_ref().map(|(_, link)| link.organization.clone());
        let switched = || self.settings.instances.get(api.url()).and_then(|instance| instance.organization.clone());
        match (&self.globals.organization, linked.or_else(switched)) {
            (None, Some(organization)) => Ok(organization),
            (name, _) => organization_of(api, name.as_deref()).await,
        }
    }

    /// The project that the verb is about: named, or the linked folder's.
    pub async fn project(&self, api: &Api) -> Result<String> {
        match (&self.globals.project, &self.link) {
            (Some(project), _) => project_of(api, &self.organization(api).await?, project).await,
            (None, Some((_, link))) => Ok(link.project.clone()),
            (None, None) => Err(Failure::usage("no project is named; add --project NAME, or link this folder: seaway link")),
        }
    }

    /// The environment that the verb is about: named, the linked folder's, or the project's default one.
    pub async fn environment(&self, api: &Api) -> Result<String> {
        match (&self.globals.project, &self.globals.environment, &self.link) {
            (None, None, Some((_, link))) => Ok(link.environment.clone()),
            (_, name, _) => environment_of(api, &self.project(api).await?, name.as_deref()).await,
        }
    }

    /// The service that the verb is about.
    pub async fn target(&self, api: &Api) -> Result<Target> {
        if let Some(name) = &self.globals.app {
            return self.named(api, name).await;
        }
        let Some((_, link)) = &self.link else {
            return Err(Failure::usage("no service is named; use -a ORGANIZATION/PROJECT/SERVICE, or link this folder: seaway link -a …"));
        };
        let target = Target {
            organization: link.organization.clone(),
            project: link.project.clone(),
            environment: link.environment.clone(),
            service: link.service.clone(),
            name: link.name.clone(),
        };
        match &self.globals.environment {
            None => Ok(target),
            // The service of the same name in another environment.
            Some(environment) => {
                let slug = link.name.rsplit('/').next().unwrap_or_default();
                self.in_environment(api, target.organization, target.project, Some(environment), slug, &link.name).await
            }
        }
    }

    async fn named(&self, api: &Api, name: &str) -> Result<Target> {
        if name.starts_with("svc_") {
            let service: Value = api.get(&format!("/services/{}", segment(name))).await?;
            let text = |key: &str| text(&service, key).to_owned();
            return Ok(Target {
                organization: text("organization"),
                project: text("project"),
                environment: text("environment"),
                service: text("id"),
                name: text("name"),
            });
        }
        let parts: Vec<&str> = name.split('/').collect();
        let (organization, project, service) = match parts.as_slice() {
            [organization, project, service] => (Some(*organization), *project, *service),
            [project, service] => (None, *project, *service),
            [service] if self.globals.project.is_some() || self.link.is_some() => {
                let (organization, project) = (self.organization(api).await?, self.project(api).await?);
                return self.in_environment(api, organization, project, self.globals.environment.as_deref(), service, name).await;
            }
            _ => {
                return Err(Failure::usage(format!(
                    "{name:?} names no service: write PROJECT/SERVICE, ORGANIZATION/PROJECT/SERVICE or a service's id"
                )));
            }
        };
        let organization = match organization {
            Some(organization) => organization_of(api, Some(organization)).await?,
            None => self.organization(api).await?,
        };
        let project = project_of(api, &organization, project).await?;
        self.in_environment(api, organization, project, self.globals.environment.as_deref(), service, name).await
    }

    async fn in_environment(
        &self,
        api: &Api,
        organization: String,
        project: String,
        environment: Option<&str>,
        service: &str,
        name: &str,
    ) -> Result<Target> {
        let environment = environment_of(api, &project, environment).await?;
        let services: Vec<Value> = api.all(&format!("/environments/{environment}/services")).await?;
        let found = one(&services, service).ok_or_else(|| missing("service", service, &services))?;
        Ok(Target { organization, project, environment, service: text(found, "id").to_owned(), name: name.to_owned() })
    }
}

pub fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// By id, by the name in addresses, or by the name.
pub fn one<'a>(items: &'a [Value], name: &str) -> Option<&'a Value> {
    ["id", "slug", "name"].iter().find_map(|key| items.iter().find(|item| text(item, key) == name))
}

/// The item of a list that is named by id, slug or name.
///
/// # Errors
/// `NotFound`, with what there is.
pub async fn find(api: &Api, path: &str, what: &str, name: &str) -> Result<Value> {
    let all: Vec<Value> = api.all(path).await?;
    one(&all, name).cloned().ok_or_else(|| missing(what, name, &all))
}

fn missing(what: &str, name: &str, items: &[Value]) -> Failure {
    let called = |item| ["slug", "name", "id"].iter().map(|key| text(item, key)).find(|word| !word.is_empty());
    let known: Vec<&str> = items.iter().filter_map(called).take(20).collect();
    let known = if known.is_empty() { "there is none yet".to_owned() } else { format!("there are: {}", known.join(", ")) };
    Failure::NotFound(format!("there is no {what} {name:?}; {known}"))
}

/// The named organization; without a name the only one, or the default one.
pub async fn organization_of(api: &Api, name: Option<&str>) -> Result<String> {
    if let Some(name) = name.filter(|name| name.starts_with("org_")) {
        return Ok(name.to_owned());
    }
    let all: Vec<Value> = api.all("/organizations").await?;
    if let Some(name) = name {
        return one(&all, name).map(|found| text(found, "id").to_owned()).ok_or_else(|| missing("organization", name, &all));
    }
    if let [only] = all.as_slice() {
        return Ok(text(only, "id").to_owned());
    }
    let me: Value = api.get("/me").await?;
    match text(&me, "default_organization") {
        "" => Err(Failure::usage("you are in several organizations; name one with --organization, or choose one: seaway orgs switch NAME")),
        id => Ok(id.to_owned()),
    }
}

pub async fn project_of(api: &Api, organization: &str, name: &str) -> Result<String> {
    if name.starts_with("prj_") {
        return Ok(name.to_owned());
    }
    let all: Vec<Value> = api.all(&format!("/organizations/{organization}/projects")).await?;
    one(&all, name).map(|found| text(found, "id").to_owned()).ok_or_else(|| missing("project", name, &all))
}

/// The named environment, else the default one.
pub async fn environment_of(api: &Api, project: &str, name: Option<&str>) -> Result<String> {
    if let Some(name) = name.filter(|name| name.starts_with("env_")) {
        return Ok(name.to_owned());
    }
    let all: Vec<Value> = api.all(&format!("/projects/{project}/environments")).await?;
    let found = match name {
        Some(name) => one(&all, name).ok_or_else(|| missing("environment", name, &all))?,
        None => {
            let default = all.iter().find(|environment| environment.get("is_default") == Some(&Value::Bool(true)));
            default.or(all.first()).ok_or_else(|| Failure::NotFound("the project has no environment".to_owned()))?
        }
    };
    Ok(text(found, "id").to_owned())
}
