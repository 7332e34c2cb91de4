//! One file per group of verbs: its declaration and its work.

pub mod account;
pub mod audit;
pub mod builder;
pub mod changes;
pub mod credentials;
mod deletion;
pub mod deploy;
pub mod deployments;
pub mod domains;
pub mod env;
pub mod environments;
pub mod exec;
pub mod files;
pub mod health;
pub mod init;
pub mod instance;
pub mod invitations;
pub mod login;
pub mod logs;
pub mod members;
mod named;
pub mod organizations;
pub mod processes;
pub mod projects;
pub mod releases;
pub mod runs;
pub mod search;
pub mod service;
pub mod services;
pub mod sessions;
pub mod settings;
pub mod setup;
pub mod source;
pub mod tags;
pub mod tokens;
pub mod volumes;

use std::process::ExitCode;

use crate::arguments::{Globals, Verb};
use crate::failure::Result;
use crate::output::Output;
use crate::target::Context;

pub async fn run(globals: &Globals, output: Output, verb: Verb) -> Result<ExitCode> {
    let context = Context::open(globals, output)?;
    match verb {
        // What begins a token on this machine changes the settings.
        Verb::Setup(arguments) => setup::set_up(context, arguments).await?,
        Verb::SignUp(arguments) => setup::sign_up(context, arguments).await?,
        Verb::Login(arguments) => login::login(context, arguments).await?,
        Verb::Logout(_) => login::logout(context).await?,
        Verb::Orgs(verb) => organizations::run(context, verb).await?,
        // What ends with an exit code of its own.
        Verb::Deploy(arguments) => return deploy::run(&context, arguments).await,
        Verb::Rollback(arguments) => return releases::rollback(&context, arguments).await,
        Verb::Scale(arguments) => return service::scale(&context, arguments).await,
        Verb::Restart(arguments) => return service::restart(&context, arguments).await,
        Verb::Start(arguments) => return service::start(&context, arguments).await,
        Verb::Run(arguments) => return exec::run(&context, arguments).await,
        Verb::Exec(arguments) => return exec::terminal(&context, arguments).await,

        Verb::VerifyEmail(arguments) => setup::verify_email(&context, arguments).await?,
        Verb::Whoami(_) => login::whoami(&context).await?,
        Verb::Account(verb) => account::run(&context, verb).await?,
        Verb::Sessions(verb) => sessions::run(&context, verb).await?,
        Verb::Tokens(verb) => tokens::run(&context, verb).await?,
        Verb::Members(verb) => members::run(&context, verb).await?,
        Verb::Invitations(verb) => invitations::run(&context, verb).await?,
        Verb::Audit(verb) => audit::run(&context, verb).await?,
        Verb::Search(arguments) => search::search(&context, arguments).await?,
        Verb::Overview(_) => search::overview(&context).await?,
        Verb::Projects(verb) => projects::run(&context, verb).await?,
        Verb::Environments(verb) => environments::run(&context, verb).await?,
        Verb::Services(verb) => services::run(&context, verb).await?,
        Verb::Tags(verb) => tags::run(&context, verb).await?,
        Verb::Credentials(verb) => credentials::run(&context, verb).await?,
        Verb::Init(arguments) => init::init(&context, arguments).await?,
        Verb::Link(_) => init::link(&context).await?,
        Verb::Unlink(_) => init::unlink(&context)?,
        Verb::Status(_) => service::status(&context).await?,
        Verb::Ps(_) => service::replicas(&context).await?,
        Verb::Logs(arguments) => logs::run(&context, arguments).await?,
        Verb::Open(arguments) => service::open(&context, arguments).await?,
        Verb::Env(verb) => env::run(&context, verb).await?,
        Verb::Files(verb) => files::run(&context, verb).await?,
        Verb::Volumes(verb) => volumes::run(&context, verb).await?,
        Verb::Domains(verb) => domains::run(&context, verb).await?,
        Verb::Source(verb) => source::run(&context, verb).await?,
        Verb::Builder(verb) => builder::run(&context, verb).await?,
        Verb::Health(verb) => health::run(&context, verb).await?,
        Verb::Processes(verb) => processes::run(&context, verb).await?,
        Verb::Settings(verb) => settings::run(&context, verb).await?,
        Verb::Changes(arguments) => changes::run(&context, arguments).await?,
        Verb::Releases(arguments) => releases::run(&context, arguments).await?,
        Verb::Deployments(verb) => deployments::run(&context, verb).await?,
        Verb::Stop(_) => service::stop(&context).await?,
        Verb::Runs(verb) => runs::run(&context, verb).await?,
        Verb::Instance(verb) => instance::run(&context, verb).await?,
        // Answered before, without an instance.
        Verb::Completions { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}
