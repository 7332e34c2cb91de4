//! The environment of git for one repository: nothing of the server, one pinned host, one credential in memory-backed files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use domain::Secret;
use domain::deployment::{Cause, Failure, Step};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::{SourceContext, disk_failure};
use super::url::{GitUrl, Scheme};
use super::{failure, known_hosts};
use crate::egress::Pinned;
use crate::process::SecretDir;
use crate::protocol::GitCredential;

/// Settings that hold for every start of git, whatever a repository says.
const SETTINGS: [(&str, &str); 18] = [
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.excludesFile", "/dev/null"),
    ("core.autocrlf", "false"),
    ("transfer.fsckObjects", "true"),
    ("transfer.unpackLimit", "1"),
    ("fetch.recurseSubmodules", "false"),
    ("submodule.recurse", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("credential.helper", ""),
    ("http.followRedirects", "false"),
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "60"),
    ("init.defaultBranch", "seaway"),
    ("advice.detachedHead", "false"),
    ("safe.directory", "*"),
];

/// How git, or ssh for git, reaches one repository. The files are gone when it is dropped.
#[derive(Debug)]
pub struct Access {
    secrets: SecretDir,
    environment: Vec<(String, String)>,
    pub(super) pinned: Pinned,
    ssh_config: Option<PathBuf>,
}

impl Access {
    /// Checks and pins the host and writes the credential's files.
    ///
    /// # Errors
    /// The host is refused, or an ssh address has no deploy key.
    pub async fn open(context: &SourceContext<'_>, url: &GitUrl, credential: Option<&GitCredential>) -> Result<Self, Failure> {
        let pinned = context.egress.pin(&url.host, url.port, url.purpose()).await.map_err(|error| failure::egress(&error))?;
        let secrets = SecretDir::create(context.secret_base).map_err(|error| disk_failure(&error, "keep the credential"))?;
        let mut access = Self { secrets, environment: Vec::new(), pinned, ssh_config: None };
        access.prepare(context, url, credential)?;
        Ok(access)
    }

    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// The configuration file for ssh; `None` for http.
    pub(super) fn ssh_config(&self) -> Option<&Path> {
        self.ssh_config.as_deref()
    }

    fn prepare(&mut self, context: &SourceContext<'_>, url: &GitUrl, credential: Option<&GitCredential>) -> Result<(), Failure> {
        let home = self.secrets.path().display().to_string();
        let mut settings: Vec<(String, String)> = SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let mut environment = vec![
            ("HOME".to_owned(), home.clone()),
            ("XDG_CONFIG_HOME".to_owned(), home),
            ("GIT_CONFIG_NOSYSTEM".to_owned(), "1".to_owned()),
            ("GIT_CONFIG_GLOBAL".to_owned(), "/dev/null".to_owned()),
            ("GIT_TERMINAL_PROMPT".to_owned(), "0".to_owned()),
            ("GIT_LFS_SKIP_SMUDGE".to_owned(), "1".to_owned()),
            ("GIT_PROTOCOL_FROM_USER".to_owned(), "0".to_owned()),
            ("GIT_ALLOW_PROTOCOL".to_owned(), allowed_protocols(context.egress.plain_http).to_owned()),
        ];
        match url.scheme {
            Scheme::Ssh => environment.push(("GIT_SSH_COMMAND".to_owned(), self.prepare_ssh(url, credential)?)),
            Scheme::Https | Scheme::Http => {
                settings.extend(self.prepare_http(url, credential)?);
                if let Some(bundle) = &context.egress.ca_bundle {
                    environment.push(("GIT_SSL_CAINFO".to_owned(), bundle.display().to_string()));
                }
            }
        }
        environment.push(("GIT_CONFIG_COUNT".to_owned(), settings.len().to_string()));
        for (number, (key, value)) in settings.into_iter().enumerate() {
            environment.push((format!("GIT_CONFIG_KEY_{number}"), key));
            environment.push((format!("GIT_CONFIG_VALUE_{number}"), value));
        }
        self.environment = environment;
        Ok(())
    }

    fn prepare_http(&self, url: &GitUrl, credential: Option<&GitCredential>) -> Result<Vec<(String, String)>, Failure> {
        let addresses: Vec<String> = self.pinned.addresses.iter().map(bracketed).collect();
        let mut settings = vec![
            ("http.curloptResolve".to_owned(), format!("{}:{}:{}", self.pinned.host, url.port, addresses.join(","))),
            ("http.proxy".to_owned(), String::new()),
        ];
        match credential {
            Some(GitCredential::Token { username, token }) => {
                let username = if username.is_empty() { "git" } else { username };
                let line = format!(
                    "{}://{}:{}@{}\n",
                    if url.scheme == Scheme::Http { "http" } else { "https" },
                    utf8_percent_encode(username, NON_ALPHANUMERIC),
                    utf8_percent_encode(token.reveal(), NON_ALPHANUMERIC),
                    url.host.clone() + &if matches!(url.port, 443 | 80) { String::new() } else { format!(":{}", url.port) },
                );
                let file =
                    self.secrets.write("credentials", &Secret::new(line)).map_err(|error| disk_failure(&error, "keep the credential"))?;
                settings.push(("credential.helper".to_owned(), format!("store --file={}", plain_path(&file)?)));
            }
            Some(GitCredential::DeployKey { .. }) => return Err(failure::key_for_http()),
            None => {}
        }
        Ok(settings)
    }

    /// Writes key, known hosts and configuration. No byte of a user is in the command that git runs: only a path of ours.
    fn prepare_ssh(&mut self, url: &GitUrl, credential: Option<&GitCredential>) -> Result<String, Failure> {
        let Some(GitCredential::DeployKey { private_key, known_hosts }) = credential else {
            return Err(failure::ssh_without_key());
        };
        let kept = |error: std::io::Error| disk_failure(&error, "keep the credential");
        let mut key = private_key.reveal().replace("\r\n", "\n").trim().to_owned();
        key.push('\n');
        let key = self.secrets.write("key", &Secret::new(key)).map_err(kept)?;
        let hosts = known_hosts::with_well_known(known_hosts, &url.host);
        let hosts = self.secrets.write("known_hosts", &Secret::new(hosts)).map_err(kept)?;
        let address = self.pinned.addresses.first().ok_or_else(failure::ssh_without_key)?;
        let config = format!(
            "Host *\n\
             HostName {}\n\
             HostKeyAlias {}\n\
             IdentityFile {}\n\
             UserKnownHostsFile {}\n\
             GlobalKnownHostsFile /dev/null\n\
             StrictHostKeyChecking yes\n\
             IdentitiesOnly yes\n\
             IdentityAgent none\n\
             PreferredAuthentications publickey\n\
             BatchMode yes\n\
             CheckHostIP no\n\
             UpdateHostKeys no\n\
             ForwardAgent no\n\
             ForwardX11 no\n\
             ClearAllForwardings yes\n\
             PermitLocalCommand no\n\
             ProxyCommand none\n\
             ControlMaster no\n\
             ControlPath none\n\
             RequestTTY no\n\
             ConnectTimeout 15\n\
             ServerAliveInterval 15\n\
             ServerAliveCountMax 4\n\
             LogLevel ERROR\n",
            address.ip(),
            known_hosts::name(&url.host, url.port),
            plain_path(&key)?,
            plain_path(&hosts)?,
        );
        let config = self.secrets.write("ssh_config", &Secret::new(config)).map_err(kept)?;
        let command = format!("ssh -F {}", plain_path(&config)?);
        self.ssh_config = Some(config);
        Ok(command)
    }
}

fn allowed_protocols(plain_http: bool) -> &'static str {
    if plain_http { "https:ssh:http" } else { "https:ssh" }
}

fn bracketed(address: &SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

/// A path that git splits into words: it is ours and holds no character that would be split at or expanded.
fn plain_path(path: &Path) -> Result<String, Failure> {
    let text = path.display().to_string();
    if text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-')) {
        return Ok(text);
    }
    Err(Failure::new(
        Cause::Internal,
        Step::Fetch,
        "The folder for credentials has a name with unusual characters.",
        "The operator must configure a folder whose path has only letters, digits, “.”, “_” and “-”.",
    ))
}
