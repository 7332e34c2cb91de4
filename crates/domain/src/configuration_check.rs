//! Rules for a service's configuration that need nothing but the configuration itself.

use std::collections::BTreeSet;

use crate::service::{
    BuildLimits, Builder, Configuration, DRAIN_SECONDS_MAX, HEALTH_DEADLINE_SECONDS_MAX, Limits, MEMORY_BYTES_MIN, Mount, PROCESSES_MAX,
    Probe, REPLICAS_MAX, STOP_GRACE_SECONDS_MAX, Source, WEB,
};

pub const PATH_LENGTH_MAX: usize = 1_024;
pub const TEXT_LENGTH_MAX: usize = 2_048;
pub const ARGUMENTS_MAX: usize = 256;
pub const ARGUMENT_LENGTH_MAX: usize = 16 * 1024;
pub const MOUNTS_MAX: usize = 32;
pub const LABELS_MAX: usize = 64;
pub const BUILD_ARGUMENTS_MAX: usize = 100;
pub const RELEASES_KEPT_MAX: u32 = 100;
pub const REQUEST_TIMEOUT_SECONDS_MAX: u32 = 3_600;
pub const REQUEST_BODY_BYTES_MAX: u64 = 10 * 1024 * 1024 * 1024;
pub const PIDS_MIN: u32 = 8;
pub const CPU_MILLIS_MIN: u64 = 10;
pub const BUILD_MEMORY_BYTES_MIN: u64 = 64 * 1024 * 1024;
pub const BUILD_TIMEOUT_SECONDS_MAX: u32 = 4 * 3_600;
/// Names that the engine lets a service add; everything else stays dropped.
pub const CAPABILITIES: [&str; 7] = ["NET_BIND_SERVICE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID", "KILL"];
const LABEL_PREFIX: &str = "seaway.";

/// What the instance's operator allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Allowed {
    pub memory_bytes_max: u64,
    pub cpu_millis_max: u64,
    pub pids_max: u32,
    /// Folders of the server below which bind mounts are possible; empty: none.
    pub bind_folders: Vec<String>,
    /// `http://` Git URLs besides https and ssh.
    pub git_over_http: bool,
}

impl Default for Allowed {
    fn default() -> Self {
        Self { memory_bytes_max: 64 << 30, cpu_millis_max: 64_000, pids_max: 32_768, bind_folders: Vec::new(), git_over_http: false }
    }
}

/// One thing that is wrong: where (JSON pointer inside the configuration), a stable word, and what is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub pointer: String,
    pub code: &'static str,
    pub detail: String,
}

struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) {
        self.0.push(Fault { pointer: pointer.into(), code, detail: detail.into() });
    }

    fn range<T: PartialOrd + std::fmt::Display>(&mut self, pointer: impl Into<String>, value: T, least: T, most: T) {
        if value < least || value > most {
            self.add(pointer, "out-of-range", format!("{value} is not between {least} and {most}"));
        }
    }

    fn argv(&mut self, pointer: &str, argv: &[String]) {
        if argv.is_empty() || argv.first().is_some_and(|program| program.is_empty()) {
            self.add(pointer, "required", "an argument list begins with a program, for example [\"npm\", \"start\"]");
        }
        if argv.len() > ARGUMENTS_MAX {
            self.add(pointer, "too-many", format!("at most {ARGUMENTS_MAX} arguments"));
        }
        for (at, argument) in argv.iter().enumerate() {
            if argument.contains('\0') || argument.len() > ARGUMENT_LENGTH_MAX {
                self.add(
                    format!("{pointer}/{at}"),
                    "invalid",
                    format!("an argument holds no zero byte and at most {ARGUMENT_LENGTH_MAX} bytes"),
                );
            }
        }
    }

    fn inside_source(&mut self, pointer: &str, path: &str) {
        if !is_inside(path) {
            self.add(
                pointer,
                "invalid",
                "a path inside the source, such as `docker/Dockerfile`: not absolute, without `..`, not beginning with `-`",
            );
        }
    }
}

/// A path inside the source: relative, without `..`, empty parts, backslashes or control characters.
pub fn is_inside(path: &str) -> bool {
    path == "."
        || (!path.is_empty()
            && path.len() <= PATH_LENGTH_MAX
            && !path.starts_with(['/', '-'])
            && !path.chars().any(|letter| letter.is_control() || letter == '\\')
            && path.trim_start_matches("./").trim_end_matches('/').split('/').all(|part| !matches!(part, "" | ".." | ".")))
}

/// An absolute path in its simplest form, which nobody can read in two ways.
pub fn is_clean_absolute(path: &str) -> bool {
    path.len() > 1
        && path.len() <= PATH_LENGTH_MAX
        && path.strip_prefix('/').is_some_and(|rest| rest.split('/').all(|part| !matches!(part, "" | "." | "..")))
        && !path.chars().any(|letter| letter.is_control() || matches!(letter, ':' | ',' | '\\'))
}

/// Everything that is wrong with a configuration.
pub fn check(configuration: &Configuration, allowed: &Allowed) -> Vec<Fault> {
    let mut faults = Faults(Vec::new());
    if let Some(source) = &configuration.source {
        check_source(&mut faults, source, allowed);
    }
    if let Some(root) = &configuration.root {
        faults.inside_source("/root", root);
    }
    check_builder(&mut faults, configuration);
    check_processes(&mut faults, configuration, allowed);
    if let Some(port) = configuration.port {
        faults.range("/port", port, 1, u16::MAX);
    }
    check_health(&mut faults, configuration);
    check_mounts(&mut faults, configuration, allowed);
    let commands = [
        ("/release_command", &configuration.release_command),
        ("/post_deploy_command", &configuration.post_deploy_command),
        ("/first_deploy_command", &configuration.first_deploy_command),
    ];
    for (pointer, command) in commands {
        if let Some(argv) = command {
            faults.argv(pointer, argv);
        }
    }
    faults.range("/stop_grace_seconds", configuration.stop_grace_seconds, 0, STOP_GRACE_SECONDS_MAX);
    faults.range("/drain_seconds", configuration.drain_seconds, 0, DRAIN_SECONDS_MAX);
    faults.range("/releases_kept", configuration.releases_kept, 1, RELEASES_KEPT_MAX);
    faults.range("/request_timeout_seconds", configuration.request_timeout_seconds, 1, REQUEST_TIMEOUT_SECONDS_MAX);
    faults.range("/request_body_bytes_max", configuration.request_body_bytes_max, 1, REQUEST_BODY_BYTES_MAX);
    check_engine(&mut faults, configuration, allowed);
    check_build_limits(&mut faults, &configuration.build_limits, allowed);
    faults.0
}

fn check_source(faults: &mut Faults, source: &Source, allowed: &Allowed) {
    match source {
        Source::Git { url, reference, .. } => {
            if let Err(detail) = check_git_url(url, allowed.git_over_http) {
                faults.add("/source/url", "invalid", detail);
            }
            if let Some(reference) = reference {
                let odd = |letter: char| letter.is_control() || matches!(letter, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\');
                if reference.is_empty()
                    || reference.len() > 255
                    || reference.starts_with('-')
                    || reference.contains("..")
                    || reference.chars().any(odd)
                {
                    faults.add(
                        "/source/reference",
                        "invalid",
                        "a branch, tag or full commit id as `git check-ref-format` allows it, not beginning with `-`",
                    );
                }
            }
        }
        Source::Image { reference, .. } => {
            let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '_' | '-' | '/' | ':' | '@');
            if reference.is_empty()
                || reference.len() > 512
                || reference.starts_with(['-', '/', ':', '@', '.'])
                || !reference.chars().all(fits)
            {
                faults.add("/source/reference", "invalid", "an image such as `registry.example.com/team/app:1.2` or `app@sha256:…`");
            }
        }
        Source::Archive { .. } => {}
    }
}

/// `https://host/path`, `ssh://user@host:port/path` or `user@host:path`, without a password.
///
/// # Errors
/// What is wrong and what to do instead; never the URL, which may hold a password.
pub fn check_git_url(url: &str, over_http: bool) -> Result<(), &'static str> {
    const FORMS: &str = "a Git URL is `https://host/path`, `ssh://user@host/path` or `user@host:path`";
    if url.is_empty()
        || url.len() > TEXT_LENGTH_MAX
        || url.starts_with('-')
        || url.chars().any(|letter| letter.is_control() || letter == ' ')
    {
        return Err(FORMS);
    }
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => {
            // user@host:path
            let (user, rest) = url.split_once('@').ok_or(FORMS)?;
            let (host, path) = rest.split_once(':').ok_or(FORMS)?;
            let transport = path.starts_with(':') || user.contains([':', '/']);
            return if transport || user.is_empty() || user.starts_with('-') || !is_host(host) || path.is_empty() || path.starts_with('-') {
                Err(FORMS)
            } else {
                Ok(())
            };
        }
    };
    match scheme {
        "https" | "ssh" => {}
        "http" if over_http => {}
        "http" => return Err("plain http is not allowed here, because token and code would travel readable; use https or ssh"),
        _ => return Err(FORMS),
    }
    let (authority, path) = rest.split_once('/').ok_or(FORMS)?;
    let host = match authority.rsplit_once('@') {
        Some((user, host)) => {
            if scheme != "ssh" || user.contains(':') {
                return Err("the URL holds a user or password; save it as a credential (kind `git_token`) and name that in `credential`");
            }
            if user.is_empty() || user.starts_with('-') {
                return Err(FORMS);
            }
            host
        }
        None => authority,
    };
    let host = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => {
            port.parse::<u16>().map_err(|_| FORMS)?;
            name
        }
        _ => host,
    };
    if !is_host(host) || path.is_empty() { Err(FORMS) } else { Ok(()) }
}

fn is_host(host: &str) -> bool {
    let address =
        host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok());
    let name = !host.is_empty()
        && host.len() <= 253
        && !host.starts_with(['-', '.'])
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    address || name
}

fn check_builder(faults: &mut Faults, configuration: &Configuration) {
    match &configuration.builder {
        Builder::Dockerfile { path, context, target, arguments, secrets } => {
            faults.inside_source("/builder/path", path);
            faults.inside_source("/builder/context", context);
            let word = |text: &str| {
                !text.is_empty()
                    && text.len() <= 128
                    && !text.starts_with('-')
                    && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
            };
            if target.as_ref().is_some_and(|target| !word(target)) {
                faults.add("/builder/target", "invalid", "the name of a stage of the Dockerfile: letters, digits, `.`, `_`, `-`");
            }
            if arguments.len() + secrets.len() > BUILD_ARGUMENTS_MAX {
                faults.add("/builder/arguments", "too-many", format!("at most {BUILD_ARGUMENTS_MAX} build arguments and secrets"));
            }
            for (name, value) in arguments {
                if !is_variable(name) || value.len() > ARGUMENT_LENGTH_MAX || value.contains('\0') {
                    faults.add(
                        format!("/builder/arguments/{}", escaped(name)),
                        "invalid",
                        "a build argument has a name of letters, digits and `_`, and a value without zero bytes",
                    );
                }
            }
            for (at, name) in secrets.iter().enumerate() {
                if !is_variable(name) {
                    faults.add(format!("/builder/secrets/{at}"), "invalid", "the name of a variable: letters, digits and `_`");
                }
            }
        }
        Builder::Static { folder, .. } => faults.inside_source("/builder/folder", folder),
        Builder::None => {}
    }
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 128
        && !name.starts_with(|letter: char| letter.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn escaped(text: &str) -> String {
    text.replace('~', "~0").replace('/', "~1")
}

fn check_processes(faults: &mut Faults, configuration: &Configuration, allowed: &Allowed) {
    if configuration.processes.is_empty() || configuration.processes.len() > PROCESSES_MAX {
        faults.add("/processes", "out-of-range", format!("1 to {PROCESSES_MAX} process types"));
    }
    let mut names = BTreeSet::new();
    let mut replicas = 0u64;
    for (at, process) in configuration.processes.iter().enumerate() {
        let pointer = format!("/processes/{at}");
        let name = &process.name;
        let fits = !name.is_empty()
            && name.len() <= 30
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-');
        if !fits {
            faults.add(format!("{pointer}/name"), "invalid", "a process is named with 1 to 30 lower-case letters, digits and `-`");
        }
        if !names.insert(name) {
            faults.add(format!("{pointer}/name"), "duplicate", format!("`{name}` is there already"));
        }
        if let Some(argv) = &process.command {
            faults.argv(&format!("{pointer}/command"), argv);
        }
        faults.range(format!("{pointer}/replicas"), process.replicas, 0, REPLICAS_MAX);
        replicas += u64::from(process.replicas);
        check_limits(faults, &format!("{pointer}/limits"), &process.limits, allowed);
    }
    if configuration.single_writer() && replicas > 1 {
        faults.add(
            "/processes",
            "single-writer",
            "a service that writes a volume has at most one replica in all: two writers would damage the data",
        );
    }
}

fn check_limits(faults: &mut Faults, pointer: &str, limits: &Limits, allowed: &Allowed) {
    faults.range(format!("{pointer}/memory_bytes"), limits.memory_bytes, MEMORY_BYTES_MIN, allowed.memory_bytes_max);
    faults.range(format!("{pointer}/cpu_millis"), limits.cpu_millis, CPU_MILLIS_MIN, allowed.cpu_millis_max);
    faults.range(format!("{pointer}/pids"), limits.pids, PIDS_MIN, allowed.pids_max);
}

fn check_health(faults: &mut Faults, configuration: &Configuration) {
    let health = &configuration.health;
    match &health.probe {
        Probe::Http { path } => {
            if !path.starts_with('/') || path.len() > PATH_LENGTH_MAX || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
                faults.add(
                    "/health/probe/path",
                    "invalid",
                    "a path such as `/health`: begins with `/`, without spaces; other characters percent-encoded",
                );
            }
        }
        Probe::Command { argv } => faults.argv("/health/probe/argv", argv),
        Probe::Tcp | Probe::StayUp => {}
    }
    if !matches!(health.probe, Probe::StayUp | Probe::Command { .. }) && configuration.web().is_none() {
        faults.add(
            "/health/probe",
            "invalid",
            format!("an HTTP or TCP probe asks the process `{WEB}`, which this service lacks; use `stay_up` or `command`"),
        );
    }
    faults.range("/health/interval_ms", health.interval_ms, 10, 60_000);
    faults.range("/health/timeout_ms", health.timeout_ms, 10, 60_000);
    faults.range("/health/successes", health.successes, 1, 20);
    faults.range("/health/deadline_seconds", health.deadline_seconds, 1, HEALTH_DEADLINE_SECONDS_MAX);
    faults.range("/health/stay_up_seconds", health.stay_up_seconds, 0, HEALTH_DEADLINE_SECONDS_MAX);
}

fn check_mounts(faults: &mut Faults, configuration: &Configuration, allowed: &Allowed) {
    if configuration.mounts.len() > MOUNTS_MAX {
        faults.add("/mounts", "too-many", format!("at most {MOUNTS_MAX} mounts"));
    }
    let mut paths = BTreeSet::new();
    for (at, mount) in configuration.mounts.iter().enumerate() {
        let pointer = format!("/mounts/{at}");
        let path = match mount {
            Mount::Volume { path, .. } | Mount::File { path, .. } | Mount::Tmpfs { path, .. } | Mount::Bind { path, .. } => path,
        };
        let system = |path: &str| {
            ["/proc", "/sys", "/dev"]
                .iter()
                .any(|folder| path == *folder || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
        };
        if !is_clean_absolute(path) || (system(path) && path != "/dev/shm") {
            faults.add(
                format!("{pointer}/path"),
                "invalid",
                "an absolute path such as `/data`, without `..`, `:` or `,`, not below /proc, /sys or /dev",
            );
        }
        if path.ends_with("docker.sock") {
            faults.add(
                format!("{pointer}/path"),
                "forbidden",
                "the engine's socket cannot be mounted: it would give the whole server away",
            );
        }
        if !paths.insert(path) {
            faults.add(format!("{pointer}/path"), "duplicate", format!("two mounts at {path}"));
        }
        match mount {
            Mount::File { file, .. } => {
                if crate::variables::check_file_name(file).is_err() {
                    faults.add(format!("{pointer}/file"), "invalid", "the name of a file of this service, as in `PUT …/files/{name}`");
                }
            }
            Mount::Tmpfs { size_bytes, .. } => faults.range(format!("{pointer}/size_bytes"), *size_bytes, 4_096, allowed.memory_bytes_max),
            Mount::Bind { host_path, .. } => {
                let below = allowed.bind_folders.iter().any(|folder| {
                    let folder = folder.trim_end_matches('/');
                    host_path == folder || host_path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
                });
                if !is_clean_absolute(host_path) || host_path.ends_with("docker.sock") || !below {
                    faults.add(
                        format!("{pointer}/host_path"),
                        "forbidden",
                        "the operator of this instance allows no bind mount of this folder; use a volume",
                    );
                }
            }
            Mount::Volume { .. } => {}
        }
    }
}

fn check_engine(faults: &mut Faults, configuration: &Configuration, allowed: &Allowed) {
    let engine = &configuration.engine;
    if engine.labels.len() > LABELS_MAX {
        faults.add("/engine/labels", "too-many", format!("at most {LABELS_MAX} labels"));
    }
    for (name, value) in &engine.labels {
        let pointer = format!("/engine/labels/{}", escaped(name));
        let fits = !name.is_empty()
            && name.len() <= 128
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'/'));
        if name.to_ascii_lowercase().starts_with(LABEL_PREFIX) {
            faults.add(pointer, "forbidden", "labels that begin with `seaway.` are Seaway's own");
        } else if !fits || value.len() > TEXT_LENGTH_MAX || value.chars().any(char::is_control) {
            faults.add(pointer, "invalid", "a label's name has letters, digits, `.`, `_`, `-`, `/`; its value is one line");
        }
    }
    for (at, capability) in engine.capabilities.iter().enumerate() {
        if !CAPABILITIES.contains(&capability.as_str()) {
            faults.add(format!("/engine/capabilities/{at}"), "forbidden", format!("possible are {}", CAPABILITIES.join(", ")));
        }
    }
    if let Some(user) = &engine.user {
        let part = |text: &str| {
            !text.is_empty()
                && text.len() <= 64
                && !text.starts_with('-')
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
        };
        if !user.splitn(2, ':').all(part) {
            faults.add("/engine/user", "invalid", "`uid`, `uid:gid` or a name of the image");
        }
    }
    if let Some(nofile) = engine.nofile {
        faults.range("/engine/nofile", nofile, 16, 1_048_576);
    }
    if let Some(size) = engine.shm_size_bytes {
        faults.range("/engine/shm_size_bytes", size, 65_536, allowed.memory_bytes_max);
    }
    if let Some(gpus) = engine.gpus {
        faults.range("/engine/gpus", gpus, 0, 16);
    }
    if let Some(memory) = engine.memory_reservation_bytes {
        faults.range("/engine/memory_reservation_bytes", memory, MEMORY_BYTES_MIN, allowed.memory_bytes_max);
    }
    if let Some(restarts) = engine.restarts_max {
        faults.range("/engine/restarts_max", restarts, 0, 1_000);
    }
}

fn check_build_limits(faults: &mut Faults, limits: &BuildLimits, allowed: &Allowed) {
    let most = BuildLimits::default();
    faults.range("/build_limits/memory_bytes", limits.memory_bytes, BUILD_MEMORY_BYTES_MIN, allowed.memory_bytes_max);
    faults.range("/build_limits/cpu_millis", limits.cpu_millis, CPU_MILLIS_MIN, allowed.cpu_millis_max);
    faults.range("/build_limits/timeout_seconds", limits.timeout_seconds, 1, BUILD_TIMEOUT_SECONDS_MAX);
    faults.range("/build_limits/source_bytes_max", limits.source_bytes_max, 1, 16 * most.source_bytes_max);
    faults.range("/build_limits/source_files_max", limits.source_files_max, 1, 10 * most.source_files_max);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pointers(patch: serde_json::Value) -> Vec<String> {
        let mut whole = serde_json::to_value(Configuration::default()).unwrap();
        for (name, value) in patch.as_object().unwrap() {
            whole[name] = value.clone();
        }
        check(&serde_json::from_value(whole).unwrap(), &Allowed::default()).into_iter().map(|fault| fault.pointer).collect()
    }

    #[test]
    fn the_default_is_fine() {
        assert!(check(&Configuration::default(), &Allowed::default()).is_empty());
    }

    #[test]
    fn git_urls() {
        for good in [
            "https://github.com/a/b.git",
            "https://localhost:8443/a/b",
            "ssh://git@host:2222/a/b",
            "git@github.com:a/b.git",
            "ssh://host/a",
            "https://git.test/a/b+c~d#e",
        ] {
            assert!(check_git_url(good, false).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ext::sh -c id",
            "file:///etc",
            "/etc",
            "../x",
            "--upload-pack=touch /tmp/x",
            "https://user:password@localhost/x.git",
            "https://token@h/x",
            "http://h/x",
            "git://h/x",
            "ssh://-oProxyCommand=x/y",
            "ssh://u@-x/y",
            "-u@h:x",
            "u@h:-x",
            "u@-h:x",
            "ext::x@h:y",
            "https://h\n/x",
            "https:///x",
            "https://h",
            "ssh://u:p@h/x",
            "a@b::c",
        ] {
            assert!(check_git_url(bad, false).is_err(), "{bad}");
        }
        assert!(check_git_url("http://h/x", true).is_ok());
    }

    #[test]
    fn legal_but_odd_references_work_and_options_do_not() {
        let source = |reference: &str| pointers(json!({ "source": { "type": "git", "url": "https://h/x", "reference": reference } }));
        for good in ["main", "main;id", "$(id)", "feature/#1", "ü", "a'b\"c"] {
            assert!(source(good).is_empty(), "{good}");
        }
        for bad in ["", "--upload-pack=x", "-x", "a..b", "a b", "a\nb", "a:b", "a^"] {
            assert_eq!(source(bad), ["/source/reference"], "{bad}");
        }
    }

    #[test]
    fn the_port_is_the_services_then_the_images_then_the_usual_one() {
        let mut configuration = Configuration::default();
        assert_eq!([&[8080][..], &[], &[80, 443]].map(|exposed| configuration.port_of(exposed)), [8080, 3000, 3000]);
        configuration.port = Some(4000);
        assert_eq!(configuration.port_of(&[8080]), 4000);
    }

    #[test]
    fn each_wrong_field_is_pointed_at() {
        for (patch, pointer) in [
            (json!({ "root": "../x" }), "/root"),
            (json!({ "root": "/x" }), "/root"),
            (json!({ "builder": { "type": "dockerfile", "path": "-f" } }), "/builder/path"),
            (json!({ "builder": { "type": "dockerfile", "context": "a/../.." } }), "/builder/context"),
            (json!({ "builder": { "type": "dockerfile", "target": "a;b" } }), "/builder/target"),
            (json!({ "builder": { "type": "dockerfile", "arguments": { "A-B": "" } } }), "/builder/arguments/A-B"),
            (json!({ "builder": { "type": "static", "folder": ".." } }), "/builder/folder"),
            (json!({ "port": 0 }), "/port"),
            (json!({ "processes": [] }), "/processes"),
            (json!({ "processes": [{ "name": "Web", "replicas": 1 }] }), "/processes/0/name"),
            (json!({ "processes": [{ "name": "web", "replicas": 51 }] }), "/processes/0/replicas"),
            (json!({ "processes": [{ "name": "web", "replicas": 1, "command": [] }] }), "/processes/0/command"),
            (
                json!({ "processes": [{ "name": "web", "replicas": 1, "limits": { "memory_bytes": 1 } }] }),
                "/processes/0/limits/memory_bytes",
            ),
            (json!({ "health": { "probe": { "type": "http", "path": "health" } } }), "/health/probe/path"),
            (json!({ "health": { "probe": { "type": "command", "argv": [] } } }), "/health/probe/argv"),
            (json!({ "health": { "deadline_seconds": 0 } }), "/health/deadline_seconds"),
            (json!({ "mounts": [{ "type": "tmpfs", "path": "/a/../b", "size_bytes": 65536 }] }), "/mounts/0/path"),
            (json!({ "mounts": [{ "type": "tmpfs", "path": "/proc/x", "size_bytes": 65536 }] }), "/mounts/0/path"),
            (json!({ "mounts": [{ "type": "bind", "host_path": "/", "path": "/host" }] }), "/mounts/0/host_path"),
            (json!({ "mounts": [{ "type": "file", "path": "/a", "file": "../x" }] }), "/mounts/0/file"),
            (json!({ "engine": { "labels": { "seaway.service": "x" } } }), "/engine/labels/seaway.service"),
            (json!({ "engine": { "capabilities": ["SYS_ADMIN"] } }), "/engine/capabilities/0"),
            (json!({ "engine": { "user": "a b" } }), "/engine/user"),
            (json!({ "release_command": [""] }), "/release_command"),
            (json!({ "source": { "type": "image", "reference": "-x" } }), "/source/reference"),
        ] {
            assert_eq!(pointers(patch.clone()), [pointer], "{patch}");
        }
    }

    #[test]
    fn binds_need_the_operators_folder_and_never_reach_the_engine() {
        let allowed = Allowed { bind_folders: vec!["/srv/shared/".into(), "/var/run".into()], ..Allowed::default() };
        let of = |host: &str| {
            let mount = Mount::Bind { host_path: host.into(), path: "/x".into(), read_only: false };
            check(&Configuration { mounts: vec![mount], ..Configuration::default() }, &allowed).len()
        };
        assert_eq!((of("/srv/shared"), of("/srv/shared/a")), (0, 0));
        for host in ["/srv/sharedx", "/srv", "/srv/shared/../x", "/var/run/docker.sock", "relative"] {
            assert_eq!(of(host), 1, "{host}");
        }
    }
}
