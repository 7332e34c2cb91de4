//! The command line of the client: what holds for every verb, and the list of verbs. Each group declares its own in `verbs/`.

use clap::{Args, Subcommand};

use crate::verbs::{
    account, audit, builder, changes, credentials, deploy, deployments, domains, env, environments, exec, files, health, init, instance,
    invitations, login, logs, members, organizations, processes, projects, releases, runs, search, service, services, sessions, settings,
    setup, source, tags, tokens, volumes,
};

const HEADING: &str = "Client";

#[derive(Debug, Args, Default, Clone)]
pub struct Globals {
    /// Answers as JSON; streams as one object a line
    #[arg(long, global = true, help_heading = HEADING)]
    pub json: bool,
    /// The service: PROJECT/SERVICE, ORGANIZATION/PROJECT/SERVICE or its id; default: the linked folder's
    #[arg(short = 'a', long = "app", global = true, value_name = "SERVICE", env = "SEAWAY_APP", help_heading = HEADING)]
    pub app: Option<String>,
    /// The environment; default: the linked folder's, else the project's default one
    #[arg(short = 'e', long = "env", global = true, value_name = "NAME", env = "SEAWAY_ENV", help_heading = HEADING)]
    pub environment: Option<String>,
    /// The project; default: the linked folder's
    #[arg(short = 'p', long, global = true, value_name = "NAME", env = "SEAWAY_PROJECT", help_heading = HEADING)]
    pub project: Option<String>,
    /// The organization; default: the linked folder's, the one switched to, your only one
    #[arg(short = 'o', long, alias = "org", global = true, value_name = "NAME", env = "SEAWAY_ORGANIZATION", help_heading = HEADING)]
    pub organization: Option<String>,
    /// The instance; default: the linked folder's, else the one that `login` was last used for
    #[arg(long, global = true, value_name = "URL", env = "SEAWAY_URL", help_heading = HEADING)]
    pub url: Option<String>,
    /// Answer every question with yes
    #[arg(short = 'y', long = "yes", global = true, help_heading = HEADING)]
    pub yes: bool,
}

/// When a change comes to the app.
#[derive(Debug, Args, Default)]
pub struct When {
    /// Keep the change for the next deployment
    #[arg(long)]
    pub draft: bool,
}

/// Whether the data goes with what is deleted.
#[derive(Debug, Args, Default)]
pub struct Volumes {
    /// With the data of its volumes
    #[arg(long)]
    pub volumes: bool,
}

#[derive(Debug, Subcommand)]
pub enum Verb {
    // --- people ---
    Setup(setup::Setup),
    SignUp(setup::SignUp),
    VerifyEmail(setup::VerifyEmail),
    Login(login::Login),
    Logout(login::Logout),
    Whoami(login::Whoami),
    /// Your account: name, e-mail address, password
    #[command(subcommand)]
    Account(account::AccountVerb),
    /// Your signed-in browsers
    #[command(subcommand)]
    Sessions(sessions::SessionsVerb),
    /// Access tokens
    #[command(subcommand)]
    Tokens(tokens::TokensVerb),

    // --- organizations ---
    /// Organizations
    #[command(subcommand, visible_alias = "organizations")]
    Orgs(organizations::OrgsVerb),
    /// Members of the organization and their roles
    #[command(subcommand)]
    Members(members::MembersVerb),
    /// Invitations into the organization
    #[command(subcommand)]
    Invitations(invitations::InvitationsVerb),
    /// The audit log; declared beside the operator's `audit verify`
    #[command(skip)]
    Audit(audit::AuditVerb),
    Search(search::Search),
    Overview(search::Overview),

    // --- projects ---
    /// Projects
    #[command(subcommand)]
    Projects(projects::ProjectsVerb),
    /// Environments of the project
    #[command(subcommand, visible_alias = "envs")]
    Environments(environments::EnvironmentsVerb),
    /// Services of the environment
    #[command(subcommand)]
    Services(services::ServicesVerb),
    /// Tags of projects
    #[command(subcommand)]
    Tags(tags::TagsVerb),
    /// Tokens and keys for private repositories and registries
    #[command(subcommand)]
    Credentials(credentials::CredentialsVerb),

    // --- one service ---
    Init(init::Init),
    Link(init::Link),
    Unlink(init::Unlink),
    Deploy(deploy::Deploy),
    Status(service::Status),
    Ps(service::Ps),
    Logs(logs::Logs),
    Open(service::Open),
    /// Variables of the service, its environment or its project
    #[command(subcommand)]
    Env(env::EnvVerb),
    /// Text files that are put into the replicas
    #[command(subcommand)]
    Files(files::FilesVerb),
    /// Data that outlives releases
    #[command(subcommand)]
    Volumes(volumes::VolumesVerb),
    /// Custom domains
    #[command(subcommand)]
    Domains(domains::DomainsVerb),
    /// Where the code comes from
    #[command(subcommand)]
    Source(source::SourceVerb),
    /// What makes an image of the code
    #[command(subcommand)]
    Builder(builder::BuilderVerb),
    /// How a replica proves that it is ready
    #[command(subcommand)]
    Health(health::HealthVerb),
    /// Process types: command, replicas, limits
    #[command(subcommand)]
    Processes(processes::ProcessesVerb),
    /// Every setting of the service by its name
    #[command(subcommand)]
    Settings(settings::SettingsVerb),
    Changes(changes::Changes),
    Releases(releases::Releases),
    Rollback(releases::Rollback),
    /// Deployments
    #[command(subcommand)]
    Deployments(deployments::DeploymentsVerb),
    Scale(service::Scale),
    Restart(service::Restart),
    Stop(service::Stop),
    Start(service::Start),
    Run(exec::Run),
    Exec(exec::Exec),
    /// One-off commands
    #[command(subcommand)]
    Runs(runs::RunsVerb),

    // --- the instance ---
    /// Settings of the instance, for its operator
    #[command(subcommand)]
    Instance(instance::InstanceVerb),
    /// Print a completion script for your shell
    Completions {
        shell: clap_complete::Shell,
    },
}
