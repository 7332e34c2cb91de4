//! Process types of the service: command, replicas, limits.

use clap::Subcommand;
use domain::service::{Limits, Process, WEB};
use serde_json::{Value, json};

use crate::api::Api;
use crate::arguments::When;
use crate::configuration::{self, at};
use crate::failure::{Failure, Result};
use crate::target::{Context, Target};
use crate::units::{bytes, cpu_millis, shown_bytes};

#[derive(Debug, Subcommand)]
pub enum ProcessesVerb {
    /// The process types
    Ls,
    /// Add or change a process type; what is not named stays
    Set {
        /// web receives the requests; others are e.g. worker
        name: String,
        #[arg(long, value_name = "COUNT")]
        replicas: Option<u32>,
        /// Of one replica: 512m, 2g
        #[arg(long, value_name = "SIZE", value_parser = bytes)]
        memory: Option<u64>,
        /// Of one replica: 0.5, 2
        #[arg(long, value_name = "CORES", value_parser = cpu_millis)]
        cpu: Option<u64>,
        /// Processes and threads of one replica
        #[arg(long, value_name = "COUNT")]
        pids: Option<u32>,
        /// Go back to the image's own command
        #[arg(long, conflicts_with = "command")]
        image_command: bool,
        #[command(flatten)]
        when: When,
        /// Takes the place of the image's command
        #[arg(last = true, value_name = "COMMAND")]
        command: Vec<String>,
    },
    /// Remove a process type
    #[command(visible_alias = "rm")]
    Remove {
        name: String,
        #[command(flatten)]
        when: When,
    },
}

pub async fn run(context: &Context, verb: ProcessesVerb) -> Result<()> {
    let api = context.api()?;
    let target = context.target(&api).await?;
    let mut processes = present(&api, &target).await?;
    match verb {
        ProcessesVerb::Ls => {
            context.output.table(&processes, &["NAME", "REPLICAS", "MEMORY", "CORES", "COMMAND"], |process| {
                let command = process.command.as_ref().map_or_else(|| "(the image's)".to_owned(), |command| command.join(" "));
                let cores = format!("{}m", process.limits.cpu_millis);
                vec![process.name.clone(), process.replicas.to_string(), shown_bytes(process.limits.memory_bytes), cores, command]
            });
        }
        ProcessesVerb::Set { name, replicas, memory, cpu, pids, image_command, when, command } => {
            if !processes.iter().any(|process| process.name == name) {
                processes.push(Process { name: name.clone(), command: None, replicas: 1, limits: Limits::default() });
            }
            for process in processes.iter_mut().filter(|process| process.name == name) {
                process.replicas = replicas.unwrap_or(process.replicas);
                let limits = &mut process.limits;
                *limits = Limits {
                    memory_bytes: memory.unwrap_or(limits.memory_bytes),
                    cpu_millis: cpu.unwrap_or(limits.cpu_millis),
                    pids: pids.unwrap_or(limits.pids),
                };
                if image_command || !command.is_empty() {
                    process.command = Some(command.clone()).filter(|command| !command.is_empty());
                }
            }
            configuration::change(context, &api, &target, json!({"processes": processes}), &when).await?;
        }
        ProcessesVerb::Remove { name, when } => {
            if name == WEB {
                return Err(Failure::usage("web receives the requests and stays; without replicas: seaway scale web=0"));
            }
            let before = processes.len();
            processes.retain(|process| process.name != name);
            if processes.len() == before {
                return Err(Failure::NotFound(format!("there is no process type {name}; list them: seaway processes ls")));
            }
            configuration::change(context, &api, &target, json!({"processes": processes}), &when).await?;
        }
    }
    Ok(())
}

async fn present(api: &Api, target: &Target) -> Result<Vec<Process>> {
    let configuration = configuration::read(api, target).await?;
    let processes = at(&configuration, "processes").cloned().unwrap_or(Value::Array(Vec::new()));
    serde_json::from_value(processes).map_err(|error| Failure::other(format!("the instance's answer is not understood: {error}")))
}
