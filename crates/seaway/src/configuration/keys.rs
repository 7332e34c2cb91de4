//! Every setting, once: the file, the environment, `--set` and docs/configuration.md read this table.

/// A setting.
pub struct Key {
    /// In the file and after `--set`; the variable is `SEAWAY_` and the name in capitals unless `variable` says otherwise.
    pub name: &'static str,
    pub variable: Option<&'static str>,
    /// Empty: none.
    pub default: &'static str,
    /// May also be given as `<name>_file`; never shown.
    pub secret: bool,
    /// For docs/configuration.md.
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the test that writes the document"))]
    pub meaning: &'static str,
}

const fn key(name: &'static str, default: &'static str, meaning: &'static str) -> Key {
    Key { name, variable: None, default, secret: false, meaning }
}

const fn secret(name: &'static str, meaning: &'static str) -> Key {
    Key { name, variable: None, default: "", secret: true, meaning }
}

pub const KEYS: &[Key] = &[
    key("data_dir", "data", "database (SQLite), master key, uploads, outbox, logs, server state, routes; made with mode 0700"),
    key("listen", "127.0.0.1:8080", "addresses that the API listens on, separated by commas"),
    key("base_url", "http://localhost:8080", "how people reach the API; every link is made from it, never from a request"),
    key("hosts", "", "further host names that the API answers to, separated by commas; others than these and that of `base_url` get 421"),
    key("trusted_proxies", "", "networks whose `X-Forwarded-*` is believed, separated by commas"),
    key("http_workers", "", "threads that serve the API; default: the cores, at least 2, at most 8"),
    key("rate_limit_default", "600", "requests per minute and caller"),
    key("rate_limit_deploy", "240", "deployments and builds per hour and caller"),
    key("rate_limit_login", "60", "log-ins, sign-ups and resets per minute and address"),
    key("rate_limit_failure", "60", "wrong tokens and sessions per minute and address"),
    key("ingress_listen", "0.0.0.0:8000", "addresses of the ingress, separated by commas; `0.0.0.0:80` for a public instance"),
    key("ingress_listen_tls", "", "addresses of the ingress that speak TLS, separated by commas; `0.0.0.0:443` for a public instance"),
    key(
        "ingress_https_port",
        "",
        "the port of https seen from outside, for redirects; default: the port of the first `ingress_listen_tls`",
    ),
    key("ingress_managed", "true", "`serve` starts the ingress when it does not run, and again when it dies; it outlives `serve`"),
    key(
        "ingress_metrics_listen",
        "",
        "address of the numbers of the ingress for Prometheus, at `/metrics`, e.g. `127.0.0.1:9100`; empty: none",
    ),
    key("ingress_trusted_proxies", "", "peers of the ingress whose `X-Forwarded-*` and `X-Request-Id` are believed"),
    key("ingress_proxy_protocol", "false", "connections of `ingress_trusted_proxies` begin with a PROXY header (version 2)"),
    key("ingress_public_port", "", "the port in the apps' links; default: the port of the first `ingress_listen`"),
    key("ingress_https", "false", "links to apps begin with https (a proxy in front ends TLS)"),
    key(
        "base_domain",
        "localhost",
        "apps answer under `<service>-<environment>-<project>.<base domain>`; browsers resolve every name below `localhost` to this machine",
    ),
    Key {
        name: "database_url",
        variable: Some("DATABASE_URL"),
        default: "",
        secret: true,
        meaning: "`postgres://user:password@host/database`, or `sqlite:PATH`; default: SQLite in `<data>/seaway.db`",
    },
    secret("master_key", "the key that wraps all data keys; default: the file `<data>/keys/master.key`, made at the first start"),
    secret("master_key_previous", "the key before `master_key`, while a rotation of a key from the environment is under way"),
    secret(
        "smtp_url",
        "`smtp://user:password@host:587` (STARTTLS) or `smtps://user:password@host:465` (TLS); a relay on this machine: \
         `smtp://localhost:25?tls=none`. Without it mails become files in `<data>/outbox`, and the log says so",
    ),
    key("smtp_ca_file", "", "certificate (PEM) of an authority to trust for the SMTP server besides the public ones"),
    key("mail_from", "Seaway <seaway@localhost>", "sender of mails"),
    Key {
        name: "docker_host",
        variable: Some("DOCKER_HOST"),
        default: "unix:///var/run/docker.sock",
        secret: false,
        meaning: "socket of the engine that runs the apps",
    },
    key("builder", "auto", "`auto`: BuildKit when the engine has it; `buildkit`; `classic`: the engine's older builder"),
    key("builds_at_once", "2", "builds that run at the same time"),
    key("deployments_at_once", "4", "deployments that run at the same time in this process"),
    key(
        "firewall",
        "required",
        "`required`: no app starts before the rules that keep it away from others and from this machine; `off`: for hosts without the right to set them (shown in the health)",
    ),
    key("address_range", "10.213.0.0/16", "range that the networks of environments are cut from"),
    key(
        "ranges_denied",
        "",
        "further networks that no app, no build and no source may reach, separated by commas; the server of `database_url` is closed without being named",
    ),
    key("bind_allowed", "", "host folders that bind mounts may use, separated by `:`"),
    key("egress_allow", "", "private networks that sources may be fetched from, separated by commas, e.g. `10.1.0.0/16`"),
    key("egress_ports", "", "ports besides 443, 80 and 22 that sources and registries may have, separated by commas"),
    key("egress_ca_file", "", "certificates (PEM) that git hosts are checked against; default: the system's"),
    key("git_over_http", "false", "`http://` repositories as well: tokens and code then travel readable"),
    key(
        "frontends",
        "",
        "programs that a Dockerfile may ask for in its line `# syntax=`, separated by commas, each pinned: `docker/dockerfile@sha256:…`; they run with the builder's rights",
    ),
    key(
        "dockerfile_add_from_network",
        "false",
        "`ADD https://…` in Dockerfiles: the engine fetches it itself, from this machine's own place in the network",
    ),
    key("disk_used_percent_max", "85", "from here on no build begins; rollbacks, restarts and what runs go on"),
    key("disk_clean_percent", "80", "from here on the engine's build cache is cleaned down to `build_cache_bytes_min`"),
    key(
        "build_cache_bytes_max",
        "21474836480",
        "size of the engine's build cache, looked after every hour; `0`: it is left alone, for an engine that others build on",
    ),
    key("build_cache_bytes_min", "1073741824", "what is kept of the build cache even on a full disk"),
    key(
        "replica_disk_bytes_max",
        "10737418240",
        "what a replica may write into its own file system, where Docker's storage can limit it (overlay2 on XFS mounted with `pquota`, btrfs, zfs); `0`: no limit",
    ),
    key(
        "features_off",
        "",
        "features that nobody can use, separated by commas: `terminal`, `commands`, `uploads`, `tokens`, `organizations`",
    ),
    key(
        "audit_syslog",
        "",
        "where the audit log goes besides the database (RFC 5424): `udp://host:514`, `tcp://host:601` or `unix:/dev/log`",
    ),
    key("log", "info", "log level or filter, e.g. `info,control=debug`"),
    key("log_format", "text", "`text` or `json`"),
];

impl Key {
    pub fn variable(&self) -> String {
        self.variable.map_or_else(|| format!("SEAWAY_{}", self.name.to_uppercase()), str::to_owned)
    }
}

/// docs/configuration.md.
#[cfg(test)]
pub fn render() -> String {
    let mut text = String::from(
        "# Configuration\n\n\
         Made from `crates/seaway/src/configuration/keys.rs` by `UPDATE=1 cargo test -p seaway`; do not edit.\n\n\
         Settings come from the defaults, then a TOML file (`--config`, `SEAWAY_CONFIG`, or `/etc/seaway/seaway.toml` when it is there), then\n\
         the environment, then the command line (`--set KEY=VALUE`, `--data-dir`); the later wins. A list is one text with separators, or in\n\
         the file an array. Each secret can be given as a file instead: the key with `_file` (the variable with `_FILE`) at its end. Unknown\n\
         keys, and secrets that are empty or examples, stop the start with a message that names them. What can be changed while it runs\n\
         (sign-up policy, limits) is in the instance's settings, not here.\n\n\
         | key | variable | default | meaning |\n|---|---|---|---|\n",
    );
    for key in KEYS {
        let default = if key.default.is_empty() { "–".to_owned() } else { format!("`{}`", key.default) };
        let secret = if key.secret { " (secret)" } else { "" };
        text.push_str(&format!("| `{}`{secret} | `{}` | {default} | {} |\n", key.name, key.variable(), key.meaning));
    }
    text.push_str(
        "\n## For tests only\n\n\
         `SEAWAY_TEST_KILL_AT=<step>:<after_intent|before_outcome>` ends the process, as `kill -9` would, when a deployment reaches that moment.\n\n\
         ## The data folder\n\n\
         | name | holds |\n|---|---|\n\
         | `seaway.db` | the database (SQLite) |\n\
         | `keys/master.key` | the master key, mode 0600: back it up, away from the database |\n\
         | `outbox/` | mails, while SMTP is not configured |\n\
         | `uploads/` | uploaded archives, until they are built |\n\
         | `agent/` | the server side: desired state, logs, working folders |\n\
         | `ingress/` | routes, admin socket, process id and log of the ingress |\n",
    );
    text
}
