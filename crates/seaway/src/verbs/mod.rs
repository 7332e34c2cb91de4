//! What each verb of the command line does.

mod audit;
mod doctor;
mod keys;
mod offline;
mod recovery;
mod setup;

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::arguments::{Arguments, AuditVerb, KeysVerb, UserVerb, Verb};
use crate::configuration::Configuration;
use crate::data_dir::DataDir;
use crate::{logging, runtime, say, serve, store_open};

/// # Errors
/// What the person should read.
pub fn run(arguments: Arguments) -> Result<ExitCode> {
    let Arguments { mut settings, client, verb } = arguments;
    let verb = match verb {
        Verb::Audit(AuditVerb::Client(verb)) => return Ok(cli::run::<Arguments>(client, cli::Verb::Audit(verb))),
        Verb::Client(verb) => return Ok(cli::run::<Arguments>(client, verb)),
        Verb::Agent => bail!("`seaway agent` comes with support for several servers; on one machine `seaway serve` does its work"),
        verb => verb,
    };
    if let Verb::Serve { without_ingress: true } = verb {
        settings.set.push("ingress_managed=false".to_owned());
    }
    let settings_file = settings.config.clone();
    let configuration = Configuration::read(&settings)?;
    let runtime = runtime::start()?;
    let code = runtime.block_on(async {
        match verb {
            Verb::Serve { .. } => {
                logging::start(&configuration.log)?;
                serve::run(configuration).await?;
            }
            Verb::Ingress { detached, take_over } => {
                logging::start(&configuration.log)?;
                serve::run_ingress(configuration, detached, take_over).await?;
            }
            Verb::StopIngress => serve::stop_ingress(DataDir::open(&configuration.data_dir)?.path()).await?,
            Verb::Migrate => {
                DataDir::open(&configuration.data_dir)?;
                store_open::open(&configuration.database).await?.close().await;
                say::line(format!("the {} database is up to date", configuration.database.kind()));
            }
            Verb::Audit(AuditVerb::Verify) => return audit::verify(&configuration, client.json).await,
            Verb::Doctor => return doctor::run(&configuration, client.json).await,
            Verb::User(UserVerb::ResetPassword { email }) => setup::reset_password(&configuration, &email, client.json).await?,
            Verb::Backup { to, with_key, passphrase } => {
                let passphrase_file = passphrase.passphrase_file.as_deref();
                recovery::backup(&configuration, &to, with_key, passphrase_file, settings_file, client.json).await?;
            }
            Verb::Restore { from, key_file, check, replace, passphrase } => {
                let (key_file, passphrase_file) = (key_file.as_deref(), passphrase.passphrase_file.as_deref());
                let options = recovery::Restoring { from: &from, key_file, passphrase_file, check, replace };
                recovery::restore(&configuration, &options, client.json).await?;
            }
            Verb::Keys(KeysVerb::Rotate { master, data, organization }) => {
                keys::rotate(&configuration, master, data, organization.as_deref(), client.json).await?;
            }
            Verb::Keys(KeysVerb::Ls) => keys::list(&configuration, client.json).await?,
            Verb::SetupLink => setup::link(&configuration, client.json).await?,
            _ => bail!("this verb is not built yet"),
        }
        Ok(ExitCode::SUCCESS)
    });
    // Threads that still hash or compress must not delay the end.
    runtime.shutdown_background();
    code
}
