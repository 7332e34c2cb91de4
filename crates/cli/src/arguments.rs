//! The command line of the client.

use std::path::PathBuf;

use clap::{Args, Subcommand};

const HEADING: &str = "Client";

#[derive(Debug, Args, Default, Clone)]
pub struct Globals {
    /// Answers as JSON; streams as one object a line
    #[arg(long, global = true, help_heading = HEADING)]
    pub json: bool,
    /// The service: ORGANIZATION/PROJECT/SERVICE, or its id; default: the linked folder's
    #[arg(short = 'a', long = "app", global = true, value_name = "SERVICE", env = "SEAWAY_APP", help_heading = HEADING)]
    pub app: Option<String>,
    /// The environment; default: the linked folder's, else the project's default one
    #[arg(short = 'e', long = "env", global = true, value_name = "NAME", env = "SEAWAY_ENV", help_heading = HEADING)]
    pub environment: Option<String>,
    /// The instance; default: the one that `login` was last used for
    #[arg(long, global = true, value_name = "URL", env = "SEAWAY_URL", help_heading = HEADING)]
    pub url: Option<String>,
    /// Answer every question with yes
    #[arg(short = 'y', long = "yes", global = true, help_heading = HEADING)]
    pub yes: bool,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Keep an access token for an instance in ~/.config/seaway/config.toml
    Login {
        /// The instance, e.g. https://seaway.example.org
        instance: Option<String>,
        /// Take this token instead of asking for e-mail and password; `-` reads it from the input
        #[arg(long, value_name = "TOKEN")]
        token: Option<String>,
        #[arg(long)]
        email: Option<String>,
        /// Days until the made token ends
        #[arg(long, default_value_t = 90, value_name = "DAYS")]
        expires: u32,
    },
    /// Revoke the kept token and forget it
    Logout,
    /// Who you are, where, and in which organizations
    Whoami,
    /// Make a project and a service for this folder and link it; names what exists instead of making it twice
    Init {
        /// Id or name; default: your only or default one
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
        /// Default: the folder's name
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
        /// Port that the app listens on
        #[arg(long)]
        port: Option<u16>,
    },
    /// Link this folder to a service that exists (-a names it)
    Link,
    /// Forget the link of this folder
    Unlink,
    /// Deploy the linked folder, or a git repository, or an image; follows the log to the end
    Deploy {
        /// Deploy this git repository from now on
        #[arg(long, value_name = "URL", conflicts_with_all = ["image", "archive"])]
        git: Option<String>,
        /// Branch, tag or commit
        #[arg(long = "ref", value_name = "REF")]
        reference: Option<String>,
        /// Deploy this image from now on
        #[arg(long, value_name = "NAME", conflicts_with = "archive")]
        image: Option<String>,
        /// Upload this folder, whatever the service's source is
        #[arg(long)]
        archive: bool,
        /// The folder to upload
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
        /// Build without the cache
        #[arg(long)]
        clean: bool,
        /// Shown in the history
        #[arg(long)]
        title: Option<String>,
        /// Do not wait for the end
        #[arg(short = 'd', long)]
        detach: bool,
    },
    /// The service: state, address, replicas
    Status,
    /// The replicas
    Ps,
    /// Lines of the app, or of a build
    Logs(LogsArguments),
    /// Variables of the service, its environment or its project
    #[command(subcommand)]
    Env(EnvVerb),
    /// Releases, newest first
    Releases,
    /// Go back to the release before, or to the one named
    Rollback {
        /// v4, or 4
        version: Option<String>,
        /// Even across a release whose migration is marked irreversible
        #[arg(long)]
        force: bool,
        #[arg(short = 'd', long)]
        detach: bool,
    },
    /// Set the number of replicas: web=2 worker=1
    Scale {
        #[arg(required = true, value_name = "PROCESS=COUNT")]
        processes: Vec<String>,
        #[arg(short = 'd', long)]
        detach: bool,
    },
    /// Start every replica anew, without a gap
    Restart {
        #[arg(short = 'd', long)]
        detach: bool,
    },
    /// Stop the service; its address says so
    Stop,
    /// Start a stopped service
    Start {
        #[arg(short = 'd', long)]
        detach: bool,
    },
    /// Run a command once in the current release; its exit code is the client's
    Run {
        #[arg(short = 'd', long)]
        detach: bool,
        /// Seconds after which it is ended
        #[arg(long, value_name = "SECONDS")]
        timeout: Option<u32>,
        #[arg(required = true, last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Open a terminal in a running replica
    Exec {
        /// web.1; default: the first one that runs
        #[arg(long)]
        replica: Option<String>,
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Custom domains
    #[command(subcommand)]
    Domains(DomainsVerb),
    /// Open the app in the browser
    Open {
        /// Only print the address
        #[arg(long)]
        print: bool,
    },
    /// Organizations
    #[command(subcommand)]
    Orgs(OrgsVerb),
    /// Projects
    #[command(subcommand)]
    Projects(ProjectsVerb),
    /// Services
    #[command(subcommand)]
    Services(ServicesVerb),
    /// Deployments
    #[command(subcommand)]
    Deployments(DeploymentsVerb),
    /// Access tokens
    #[command(subcommand)]
    Tokens(TokensVerb),
    /// Print a completion script for your shell
    Completions { shell: clap_complete::Shell },
}

#[derive(Debug, Args)]
pub struct LogsArguments {
    /// Go on with new lines
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// The log of the newest deployment
    #[arg(long)]
    pub build: bool,
    /// The log of this deployment
    #[arg(long, value_name = "ID", conflicts_with = "build")]
    pub deployment: Option<String>,
    /// Lines from then on: 10m, 2h, 3d, or a time such as 2026-11-01T12:00:00Z
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// The last lines
    #[arg(short = 'n', long, value_name = "COUNT")]
    pub tail: Option<u32>,
    /// Only lines with this text
    #[arg(long, value_name = "TEXT")]
    pub filter: Option<String>,
}

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
    /// NAME=VALUE…; NAME alone reads the value from the input
    Set {
        #[arg(required = true, value_name = "NAME=VALUE")]
        variables: Vec<String>,
        #[command(flatten)]
        kind: Kind,
        #[command(flatten)]
        level: Level,
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
    },
    /// Set what a .env file names; `-` reads the input
    Import {
        file: PathBuf,
        /// Remove what the file does not name
        #[arg(long)]
        replace: bool,
        #[command(flatten)]
        kind: Kind,
        #[command(flatten)]
        level: Level,
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
}

#[derive(Debug, Subcommand)]
pub enum DomainsVerb {
    Ls,
    Add {
        host: String,
        /// Links name this one
        #[arg(long)]
        primary: bool,
    },
    Rm {
        host: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum OrgsVerb {
    Ls,
    Create { name: String },
    Rm { organization: String },
}

#[derive(Debug, Subcommand)]
pub enum ProjectsVerb {
    Ls {
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
    },
    Create {
        name: String,
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
    },
    Rm {
        project: String,
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        /// With the data of its volumes
        #[arg(long)]
        volumes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum ServicesVerb {
    Ls {
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        /// Default: the linked folder's
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
    },
    Create {
        name: String,
        #[arg(long, value_name = "NAME")]
        organization: Option<String>,
        #[arg(long, value_name = "NAME")]
        project: Option<String>,
        #[arg(long)]
        port: Option<u16>,
    },
    /// Remove the service that -a names
    Rm {
        /// With the data of its volumes
        #[arg(long)]
        volumes: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum DeploymentsVerb {
    Ls {
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: u32,
    },
    Cancel {
        deployment: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum TokensVerb {
    Create {
        name: String,
        /// E.g. deployments:write; more than once; all that you may do when absent
        #[arg(long = "scope", value_name = "SCOPE")]
        scopes: Vec<String>,
        /// Days until it ends
        #[arg(long, default_value_t = 90, value_name = "DAYS")]
        expires: u32,
        /// Confine it to the service that -a names
        #[arg(long)]
        this_service: bool,
    },
    Ls,
    Revoke {
        token: String,
    },
}
