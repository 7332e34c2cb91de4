//! One file per family of verbs.

mod account;
mod deploy;
mod domains;
mod env;
mod exec;
mod init;
mod lists;
mod logs;
mod service;

use std::process::ExitCode;

use crate::arguments::{Globals, Verb};
use crate::failure::Result;
use crate::output::Output;
use crate::target::Context;

pub async fn run(globals: &Globals, output: Output, verb: Verb) -> Result<ExitCode> {
    let context = Context::open(globals, output)?;
    match verb {
        Verb::Login { instance, token, email, expires } => account::login(context, instance, token, email, expires).await?,
        Verb::Logout => account::logout(context).await?,
        Verb::Whoami => account::whoami(&context).await?,
        Verb::Init { organization, project, service, port } => {
            init::init(&context, organization.as_deref(), project.as_deref(), service, port).await?;
        }
        Verb::Link => init::link(&context).await?,
        Verb::Unlink => init::unlink(&context)?,
        Verb::Deploy { git, reference, image, archive, folder, clean, title, detach } => {
            let order = deploy::Order { git, reference, image, archive, folder, clean, title, detach };
            return deploy::deploy(&context, order).await;
        }
        Verb::Status => service::status(&context).await?,
        Verb::Ps => service::replicas(&context).await?,
        Verb::Logs(arguments) => logs::logs(&context, arguments).await?,
        Verb::Env(verb) => env::run(&context, verb).await?,
        Verb::Releases => service::releases(&context).await?,
        Verb::Rollback { version, force, detach } => return service::rollback(&context, version, force, detach).await,
        Verb::Scale { processes, detach } => return service::scale(&context, &processes, detach).await,
        Verb::Restart { detach } => return service::switch(&context, "restart", detach).await,
        Verb::Start { detach } => return service::switch(&context, "start", detach).await,
        Verb::Stop => return service::switch(&context, "stop", true).await,
        Verb::Run { detach, timeout, command } => return exec::run(&context, command, timeout, detach).await,
        Verb::Exec { replica, command } => return exec::terminal(&context, replica, command).await,
        Verb::Domains(verb) => domains::run(&context, verb).await?,
        Verb::Open { print } => service::open(&context, print).await?,
        Verb::Orgs(verb) => lists::organizations(&context, verb).await?,
        Verb::Projects(verb) => lists::projects(&context, verb).await?,
        Verb::Services(verb) => lists::services(&context, verb).await?,
        Verb::Deployments(verb) => lists::deployments(&context, verb).await?,
        Verb::Tokens(verb) => account::tokens(&context, verb).await?,
        // Answered before, without an instance.
        Verb::Completions { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}
