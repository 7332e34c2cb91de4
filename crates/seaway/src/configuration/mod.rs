//! The settings of a process: defaults, then the file, then the environment, then the command line. One struct per concern;
//! each checks itself and names the key and the remedy.

mod database;
mod http;
pub mod ingress;
pub mod keys;
mod mail;
mod server;
mod values;
mod vault;

use std::path::PathBuf;

use anyhow::Result;

pub use database::DatabaseConfiguration;
pub use http::HttpConfiguration;
pub use ingress::IngressConfiguration;
pub use mail::MailConfiguration;
pub use server::ServerConfiguration;
pub use values::{Invalid, Values};
pub use vault::VaultConfiguration;

use crate::arguments::SettingsArguments;

pub const FILE_DEFAULT: &str = "/etc/seaway/seaway.toml";

#[derive(Debug)]
pub struct Configuration {
    pub data_dir: PathBuf,
    /// The settings file, when there is one; a backup holds it.
    pub file: Option<PathBuf>,
    pub http: HttpConfiguration,
    pub ingress: IngressConfiguration,
    pub database: DatabaseConfiguration,
    pub vault: VaultConfiguration,
    pub mail: MailConfiguration,
    pub server: ServerConfiguration,
    pub log: LogConfiguration,
    pub features_off: Vec<contract::instance::Feature>,
    pub audit_syslog: Option<control::audit::SyslogTarget>,
}

#[derive(Debug, Clone)]
pub struct LogConfiguration {
    pub filter: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    Text,
    Json,
}

impl Configuration {
    /// Reads every source and checks everything.
    ///
    /// # Errors
    /// [`Invalid`] names the key, where its value came from and what to write instead.
    pub fn read(arguments: &SettingsArguments) -> Result<Self> {
        let environment = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let values = Values::collect(arguments, environment, std::path::Path::new(FILE_DEFAULT))?;
        Ok(Self::of(&values)?)
    }

    fn of(values: &Values) -> Result<Self, Invalid> {
        let data_dir = PathBuf::from(values.text("data_dir"));
        let format = values.one_of("log_format", &[("text", LogFormat::Text), ("json", LogFormat::Json)])?;
        let ingress = IngressConfiguration::of(values)?;
        Ok(Self {
            http: HttpConfiguration::of(values)?,
            database: DatabaseConfiguration::of(values, &data_dir)?,
            vault: VaultConfiguration::of(values, &data_dir)?,
            mail: MailConfiguration::of(values)?,
            server: ServerConfiguration::of(values)?,
            log: LogConfiguration { filter: values.text("log").to_owned(), format },
            features_off: values.list("features_off", "terminal, commands, uploads, tokens or organizations")?,
            audit_syslog: match values.is_set("audit_syslog") {
                true => Some(values.parse("audit_syslog", "udp://host:port, tcp://host:port or unix:/path")?),
                false => None,
            },
            file: values.file().map(PathBuf::from),
            ingress,
            data_dir,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(file: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<Configuration, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seaway.toml");
        std::fs::write(&path, file).unwrap();
        let arguments = SettingsArguments { config: Some(path), data_dir: None, set: set.iter().map(|text| (*text).to_owned()).collect() };
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let values = Values::collect(&arguments, environment, std::path::Path::new("/nonexistent")).map_err(|error| error.to_string())?;
        Configuration::of(&values).map_err(|error| error.to_string())
    }

    #[test]
    fn later_sources_win() {
        let file = "listen = [\"127.0.0.1:1\"]\nbase_domain = \"a.example\"\nmail_from = \"A <a@a.example>\"";
        let read = read(file, &[("SEAWAY_LISTEN", "127.0.0.1:2"), ("SEAWAY_BASE_DOMAIN", "b.example")], &["listen=127.0.0.1:3"]).unwrap();
        assert_eq!(read.http.listen, ["127.0.0.1:3".parse().unwrap()]);
        assert_eq!(read.ingress.base_domain, "b.example");
        assert_eq!(read.mail.from, "A <a@a.example>");
        assert_eq!(read.ingress.public_port, 8000);
    }

    #[test]
    fn what_cannot_be_understood_is_refused_by_name() {
        for (file, set, expected) in [
            ("lisen = \"x\"", "", "lisen"),
            ("", "nothing=1", "nothing"),
            ("listen = \"80\"", "", "listen"),
            ("listen = 80", "", "listen"),
            ("base_url = \"localhost\"", "", "base_url"),
            ("base_url = \"http://a.example/path\"", "", "base_url"),
            ("builds_at_once = 0", "", "builds_at_once"),
            ("log_format = \"xml\"", "", "log_format"),
            ("features_off = \"doors\"", "", "features_off"),
            ("audit_syslog = \"syslog.example\"", "", "audit_syslog"),
            ("smtp_url = \"http://a\"", "", "smtp_url"),
            ("smtp_url = \"smtp://a.example:25?x=y\"", "", "smtp_url"),
            ("trusted_proxies = \"10.0.0.0/40\"", "", "trusted_proxies"),
            ("master_key = \"\"", "", "master_key"),
            ("master_key = \"changeme\"", "", "master_key"),
            ("database_url = \"postgres://seaway:changeme@db.example/seaway\"", "", "database_url"),
            ("database_url = \"postgres://seaway:@db.example/seaway\"", "", "database_url"),
            ("database_url = \"mysql://x\"", "", "database_url"),
            ("database_url_file = \"/nonexistent/x\"", "", "database_url"),
            ("database_url = \"postgres://a/b\"\ndatabase_url_file = \"/nonexistent/x\"", "", "database_url"),
            ("base_domain = \"has space\"", "", "base_domain"),
            ("frontends = \"docker/dockerfile:1\"", "", "frontends"),
            ("disk_used_percent_max = 0", "", "disk_used_percent_max"),
            ("build_cache_bytes_max = \"20 GiB\"", "", "build_cache_bytes_max"),
            ("git_over_http = \"perhaps\"", "", "git_over_http"),
            ("builder = \"kaniko\"", "", "builder"),
        ] {
            let set: Vec<&str> = Some(set).filter(|set| !set.is_empty()).into_iter().collect();
            let error = read(file, &[], &set).expect_err(file);
            assert!(error.contains(expected), "{file}: {error}");
            assert!(!error.contains("changeme"), "a secret is shown: {error}");
        }
    }

    #[test]
    fn a_secret_may_be_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("url");
        std::fs::write(&path, "postgres://seaway:0a1b2c3d4e@db.example/seaway\n").unwrap();
        let read = read("", &[("DATABASE_URL_FILE", path.to_str().unwrap())], &[]).unwrap();
        assert_eq!(read.database.url.reveal(), "postgres://seaway:0a1b2c3d4e@db.example/seaway");
    }

    #[test]
    fn what_the_server_side_may_do_is_set_here() {
        let pinned = format!("docker/dockerfile@sha256:{}", "a".repeat(64));
        let file = format!("frontends = [\"{pinned}\"]\ngit_over_http = true\nbuild_cache_bytes_max = 0\negress_ports = \"8443,2222\"");
        let server = read(&file, &[], &["disk_used_percent_max=90"]).unwrap().server;
        assert_eq!((server.frontends, server.git_over_http, server.egress_ports), (vec![pinned], true, vec![8443, 2222]));
        assert_eq!((server.disk.used_percent_max, server.disk.build_cache_bytes_max), (90, None));
        let untouched = read("", &[], &[]).unwrap().server;
        assert_eq!(untouched.disk, deployer::disk::DiskSettings::default());
        assert!(!untouched.git_over_http && !untouched.add_from_network && untouched.frontends.is_empty());
    }

    #[test]
    fn the_servers_of_databases_are_found() {
        for (url, expected) in [
            ("postgres://seaway:0a1b2c3d4e@db.example/seaway", Some(("db.example", 5432))),
            ("postgresql://seaway:0a1b2c3d4e@10.0.0.5:6432/seaway?sslmode=require", Some(("10.0.0.5", 6432))),
            ("postgres://db.example:5433", Some(("db.example", 5433))),
            ("postgres://u:p%40x9z8@[fd00::5]:5432/seaway", Some(("fd00::5", 5432))),
            ("postgres://seaway@ignored/seaway?host=db2.example&port=7000", Some(("db2.example", 7000))),
            ("postgres:///seaway?host=/run/postgresql", None),
            ("postgres://%2Frun%2Fpostgresql/seaway", None),
            ("sqlite:/tmp/x.db", None),
        ] {
            let configuration = read(&format!("database_url = \"{url}\""), &[], &[]).unwrap();
            let found = configuration.database.server();
            assert_eq!(found.as_ref().map(|(host, port)| (host.as_str(), *port)), expected, "{url}");
        }
    }

    #[test]
    fn the_document_lists_every_key() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let rendered = keys::render();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, &rendered).unwrap();
        }
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(stored, rendered, "docs/configuration.md is old: UPDATE=1 cargo test -p seaway");
    }
}
