//! Checks of single settings.

use std::collections::BTreeMap;

use domain::service::{EngineSettings, MEMORY_BYTES_MIN};

use super::{
    ARGUMENT_BYTES_MAX, ARGUMENTS_MAX, HostFacts, LABEL_BYTES_MAX, LABELS_MAX, NOFILE_MAX, PIDS_MAX, Refused, SHM_BYTES_MAX,
    VARIABLES_BYTES_MAX,
};
use crate::engine::labels;
use crate::protocol::{Desired, DesiredProcess};

/// The short list. A container gets all of it unless the service names fewer; nothing beyond it can be had.
/// Without CHOWN, SETUID and SETGID the official images of most servers do not start.
pub const CAPABILITIES: [&str; 7] = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "NET_BIND_SERVICE", "SETGID", "SETUID"];

pub fn capabilities(asked: &[String]) -> Result<Vec<String>, Refused> {
    if asked.is_empty() {
        return Ok(CAPABILITIES.iter().map(|name| (*name).to_owned()).collect());
    }
    for (index, name) in asked.iter().enumerate() {
        if !CAPABILITIES.contains(&name.as_str()) {
            let list = CAPABILITIES.join(", ");
            return Err(Refused::new(format!("engine.capabilities[{index}]"), format!("`{name}` is not one of {list}")));
        }
    }
    Ok(asked.to_vec())
}

pub fn process(process: &DesiredProcess) -> Result<(), Refused> {
    let name = &process.name;
    let plain =
        !name.is_empty() && name.len() <= 30 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !plain {
        return Err(Refused::new("processes.name", format!("`{name}` is not up to 30 lower-case letters, digits and -")));
    }
    let limits = &process.limits;
    if limits.memory_bytes < MEMORY_BYTES_MIN {
        return Err(Refused::new(format!("processes.{name}.limits.memory_bytes"), format!("less than {MEMORY_BYTES_MIN}")));
    }
    if limits.cpu_millis < 10 {
        return Err(Refused::new(format!("processes.{name}.limits.cpu_millis"), "less than 10"));
    }
    if limits.pids == 0 || limits.pids > PIDS_MAX {
        return Err(Refused::new(format!("processes.{name}.limits.pids"), format!("not between 1 and {PIDS_MAX}")));
    }
    match &process.command {
        Some(command) => arguments(&format!("processes.{name}.command"), command),
        None => Ok(()),
    }
}

pub fn arguments(field: &str, command: &[String]) -> Result<(), Refused> {
    if command.is_empty() || command.first().is_some_and(String::is_empty) {
        return Err(Refused::new(field, "the first argument, the program, is missing"));
    }
    if command.len() > ARGUMENTS_MAX {
        return Err(Refused::new(field, format!("more than {ARGUMENTS_MAX} arguments")));
    }
    if command.iter().any(|argument| argument.len() > ARGUMENT_BYTES_MAX || argument.contains('\0')) {
        return Err(Refused::new(field, format!("an argument is longer than {ARGUMENT_BYTES_MAX} bytes or holds a NUL byte")));
    }
    Ok(())
}

pub fn engine(settings: &EngineSettings, host: &HostFacts, process: &DesiredProcess) -> Result<(), Refused> {
    user_labels(&settings.labels)?;
    if let Some(nofile) = settings.nofile.filter(|nofile| *nofile < 64 || *nofile > NOFILE_MAX) {
        return Err(Refused::new("engine.nofile", format!("{nofile} is not between 64 and {NOFILE_MAX}")));
    }
    if let Some(bytes) = settings.shm_size_bytes.filter(|bytes| *bytes == 0 || *bytes > SHM_BYTES_MAX) {
        return Err(Refused::new("engine.shm_size_bytes", format!("{bytes} is not between 1 and {SHM_BYTES_MAX}")));
    }
    if let Some(user) = &settings.user {
        self::user(user)?;
    }
    if let Some(count) = settings.gpus {
        if !host.gpu_runtime {
            return Err(Refused::new("engine.gpus", "this server has no runtime for GPUs"));
        }
        if count == 0 || count > 64 {
            return Err(Refused::new("engine.gpus", "not between 1 and 64"));
        }
    }
    match settings.memory_reservation_bytes {
        Some(bytes) if bytes > process.limits.memory_bytes => Err(Refused::new(
            "engine.memory_reservation_bytes",
            format!("{bytes} is above the memory limit of the process `{}`", process.name),
        )),
        _ => Ok(()),
    }
}

fn user_labels(own: &BTreeMap<String, String>) -> Result<(), Refused> {
    if own.len() > LABELS_MAX {
        return Err(Refused::new("engine.labels", format!("more than {LABELS_MAX}")));
    }
    for (key, value) in own {
        let field = || format!("engine.labels.{key}");
        let lower = key.to_ascii_lowercase();
        if lower.starts_with(labels::PREFIX) {
            return Err(Refused::new(field(), format!("labels that begin with `{}` belong to Seaway", labels::PREFIX)));
        }
        if lower.starts_with("com.docker.") {
            return Err(Refused::new(field(), "labels that begin with `com.docker.` belong to the engine"));
        }
        if key.is_empty() || key.len() > LABEL_BYTES_MAX || value.len() > LABEL_BYTES_MAX {
            return Err(Refused::new(field(), format!("empty or longer than {LABEL_BYTES_MAX} bytes")));
        }
    }
    Ok(())
}

/// `uid`, `uid:gid`, `name` or `name:group`. A number beyond 31 bits wraps to root in some runtimes (CVE-2024-40635).
fn user(user: &str) -> Result<(), Refused> {
    let refused = || Refused::new("engine.user", format!("`{user}` is not a uid below 2147483648, uid:gid or a name of the image"));
    let parts: Vec<&str> = user.split(':').collect();
    if parts.len() > 2 {
        return Err(refused());
    }
    for part in parts {
        let plain = !part.is_empty()
            && part.len() <= 32
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
            && !part.starts_with('-');
        let numeric = part.bytes().all(|byte| byte.is_ascii_digit());
        if !plain || (numeric && part.parse::<i32>().is_err()) {
            return Err(refused());
        }
    }
    Ok(())
}

/// `NAME=value` lines, with `PORT` set to what `web` is expected to listen on.
pub fn variables(desired: &Desired) -> Result<Vec<String>, Refused> {
    let mut lines = Vec::with_capacity(desired.variables.len() + 1);
    let mut bytes = 0;
    for (name, value) in &desired.variables {
        let value = value.reveal();
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(Refused::new(format!("variables.{name}"), "the name is empty or holds `=` or a NUL byte"));
        }
        if value.contains('\0') {
            return Err(Refused::new(format!("variables.{name}"), "the value holds a NUL byte"));
        }
        bytes += name.len() + value.len() + 2;
        if name != "PORT" {
            lines.push(format!("{name}={value}"));
        }
    }
    if bytes > VARIABLES_BYTES_MAX {
        return Err(Refused::new("variables", format!("together more than {VARIABLES_BYTES_MAX} bytes")));
    }
    lines.push(format!("PORT={}", desired.port));
    Ok(lines)
}
