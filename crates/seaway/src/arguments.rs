//! The command line of the operator's verbs; the client's verbs are declared in the crate `cli`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "seaway", version, about = "Seaway: your apps on your machines", max_term_width = 120)]
pub struct Arguments {
    #[command(flatten)]
    pub settings: SettingsArguments,
    #[command(flatten)]
    pub client: cli::Globals,
    #[command(subcommand)]
    pub verb: Verb,
}

/// Where the settings of this machine's instance come from.
#[derive(Debug, Args, Default, Clone)]
pub struct SettingsArguments {
    /// Settings file (TOML); /etc/seaway/seaway.toml when it is there
    #[arg(long, global = true, env = "SEAWAY_CONFIG", value_name = "FILE", help_heading = "Instance")]
    pub config: Option<PathBuf>,
    /// Folder of the instance's data
    #[arg(long, global = true, value_name = "FOLDER", help_heading = "Instance")]
    pub data_dir: Option<PathBuf>,
    /// A setting, over file and environment; see docs/configuration.md
    #[arg(long = "set", global = true, value_name = "KEY=VALUE", help_heading = "Instance")]
    pub set: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Start the control plane (and the ingress, if it does not run)
    Serve {
        /// Leave the ingress to somebody else (a unit of its own): the same as --set ingress_managed=false
        #[arg(long)]
        without_ingress: bool,
    },
    /// Start the ingress: the reverse proxy, a process of its own
    Ingress {
        /// Leave the caller's terminal and session
        #[arg(long, hide = true)]
        detached: bool,
        /// Take the listening sockets of the one that runs over; it ends when its requests have
        #[arg(long)]
        take_over: bool,
    },
    /// Stop the ingress of this data folder; requests in flight may end
    StopIngress,
    /// Start a server's agent (comes with several servers)
    Agent,
    /// Bring the database's schema up to date
    Migrate,
    /// Check this machine and instance, line by line
    Doctor,
    /// Print the one-time link for the instance's first owner
    SetupLink,
    /// Copy the instance (database, settings, uploads, state) into one file
    Backup {
        /// The file to write; it must not exist
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
        /// Put the master key in too, encrypted with a passphrase
        #[arg(long)]
        with_key: bool,
        #[command(flatten)]
        passphrase: PassphraseArguments,
    },
    /// Bring an instance back from a backup; changes nothing before everything in it was checked and opened
    Restore {
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
        /// The master key that was kept with the backup, unless it is in it or on this machine
        #[arg(long, value_name = "FILE")]
        key_file: Option<PathBuf>,
        /// Check only: say whether it could be restored
        #[arg(long)]
        check: bool,
        /// Replace an instance that is there; its data is moved aside, not deleted
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        passphrase: PassphraseArguments,
    },
    /// The audit log
    #[command(subcommand)]
    Audit(AuditVerb),
    /// The keys that seal secrets
    #[command(subcommand)]
    Keys(KeysVerb),
    /// Accounts, by the operator at the machine
    #[command(subcommand)]
    User(UserVerb),
    #[command(flatten)]
    Client(cli::Verb),
}

#[derive(Debug, Args, Default)]
pub struct PassphraseArguments {
    /// File with the passphrase of the key inside the backup
    #[arg(long, value_name = "FILE", env = "SEAWAY_BACKUP_PASSPHRASE_FILE")]
    pub passphrase_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum AuditVerb {
    /// Recompute the chains: tells the first entry that was changed, removed or put in
    Verify,
    #[command(flatten)]
    Client(cli::AuditVerb),
}

#[derive(Debug, Subcommand)]
pub enum KeysVerb {
    /// Rotate keys while the instance runs; rerun after an interruption to go on
    Rotate {
        /// A new master key: wraps every data key anew
        #[arg(long, required_unless_present = "data")]
        master: bool,
        /// New data keys: seals every stored secret anew
        #[arg(long)]
        data: bool,
        /// Only the data key of this organization
        #[arg(long, value_name = "ID", requires = "data")]
        organization: Option<String>,
    },
    /// The keys, their state and how many values each has sealed
    Ls,
}

#[derive(Debug, Subcommand)]
pub enum UserVerb {
    /// Print a one-time link with which this person chooses a new password
    ResetPassword { email: String },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
