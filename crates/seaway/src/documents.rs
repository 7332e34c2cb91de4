//! Tests that the documents and the texts of the product name commands that exist: the reference in docs/cli.md is made from
//! the declarations, and every other `seaway …` is read as a shell and clap would.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{Arg, Command, CommandFactory, Parser, Subcommand};

use crate::arguments::Arguments;

const BEGIN: &str = "<!-- made from the declarations by `UPDATE=1 cargo test -p seaway documents`; do not edit from here -->\n";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every command without further ones below it, with its full name.
fn leaves(command: &Command, path: &str, found: &mut Vec<(String, Command)>) {
    let below: Vec<&Command> = command.get_subcommands().filter(|one| one.get_name() != "help" && !one.is_hide_set()).collect();
    if below.is_empty() || !command.is_subcommand_required_set() && !path.is_empty() {
        found.push((path.to_owned(), command.clone()));
    }
    for one in below {
        leaves(one, format!("{path} {}", one.get_name()).trim(), found);
    }
}

fn values(argument: &Arg) -> String {
    let names: Vec<String> = argument.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    names.join(" ")
}

fn row(path: &str, command: &Command) -> String {
    let mut usage = format!("seaway {path}");
    let mut options = Vec::new();
    for argument in command.get_arguments().filter(|one| !one.is_hide_set() && !one.is_global_set() && one.get_id() != "help") {
        let value = if argument.get_action().takes_values() { format!(" {}", values(argument)) } else { String::new() };
        match argument.get_long() {
            None => {
                let dashes = if argument.is_last_set() { "-- " } else { "" };
                let many = if argument.get_num_args().is_some_and(|count| count.max_values() > 1) { "…" } else { "" };
                let text = format!("{dashes}{}{many}", values(argument));
                write!(usage, " {}", if argument.is_required_set() { text } else { format!("[{text}]") }).unwrap();
            }
            Some(long) if argument.is_required_set() => write!(usage, " --{long}{value}").unwrap(),
            Some(long) => options.push(format!("`--{long}{value}`")),
        }
    }
    let about = command.get_about().map(ToString::to_string).unwrap_or_default().replace('|', "\\|");
    format!("| `{usage}` | {about} | {} |\n", options.join(" "))
}

fn reference() -> String {
    let client = cli::Verb::augment_subcommands(Command::new("client"));
    let names: BTreeSet<&str> = client.get_subcommands().map(Command::get_name).collect();
    let mut all = Vec::new();
    leaves(&Arguments::command(), "", &mut all);
    let (client, operator): (Vec<_>, Vec<_>) =
        all.into_iter().partition(|(path, _)| path == "audit ls" || names.contains(path.split(' ').next().unwrap()));
    let mut text = String::new();
    for (heading, commands) in [("The client's commands", client), ("The operator's commands, on the machine", operator)] {
        write!(text, "\n## {heading}\n\n| command | does | options |\n|---|---|---|\n").unwrap();
        text.extend(commands.iter().map(|(path, command)| row(path, command)));
    }
    text
}

#[test]
fn the_reference_is_made_from_the_declarations() {
    let path = root().join("docs/cli.md");
    let stored = std::fs::read_to_string(&path).unwrap();
    let (written, _) = stored.split_once(BEGIN).expect("docs/cli.md has its mark");
    let rendered = format!("{written}{BEGIN}{}", reference());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &rendered).unwrap();
        return;
    }
    assert_eq!(stored, rendered, "docs/cli.md is old: UPDATE=1 cargo test -p seaway documents");
}

/// The words of a line as a shell splits it, to the first comment, pipe or redirection.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut any) = (Vec::new(), String::new(), None, false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => word.push(letter),
            (None, '\'' | '"') => (quote, any) = (Some(letter), true),
            (None, '$') if letters.peek() == Some(&'(') => {
                word.push('x');
                for inner in letters.by_ref() {
                    if inner == ')' {
                        break;
                    }
                }
            }
            (None, '#') if word.is_empty() => break,
            (None, '|' | '>' | '<' | ';' | '&') => break,
            (None, ' ') if any || !word.is_empty() => {
                words.push(std::mem::take(&mut word));
                any = false;
            }
            (None, ' ') => {}
            (None, other) => word.push(other),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// What is wrong with a command, if anything. A mere mention may leave arguments out or have a placeholder for them.
fn fault(words: &[String], mention: bool) -> Option<String> {
    let plain = words.iter().filter(|word| !word.starts_with('[') && !word.ends_with(']') && *word != "…");
    let error = Arguments::try_parse_from(plain).err()?;
    let fine = match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
        ErrorKind::MissingRequiredArgument
        | ErrorKind::MissingSubcommand
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
        | ErrorKind::ValueValidation
        | ErrorKind::InvalidValue => mention,
        _ => false,
    };
    (!fine).then(|| error.to_string().lines().next().unwrap_or_default().to_owned())
}

/// (command, is it only a mention) of a Markdown text.
fn commands(text: &str) -> Vec<(Vec<String>, bool)> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced || line.starts_with("    ") {
            // Behind a pipe stands what the line is about; variables may stand before it.
            let command = line.split('|').map(words).map(|mut words| {
                words.drain(..words.iter().take_while(|word| word.contains('=') || *word == "sudo").count());
                words
            });
            found.extend(command.filter(|words| words.first().is_some_and(|word| word == "seaway")).map(|words| (words, false)));
            continue;
        }
        let inline = line.split('`').skip(1).step_by(2).map(words);
        found.extend(inline.filter(|words| words.len() > 1 && words[0] == "seaway").map(|words| (words, true)));
    }
    found
}

fn markdown(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            markdown(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn every_command_of_the_documents_exists() {
    let mut files = vec![root().join("README.md"), root().join("ARCHITECTURE.md"), root().join("bench/README.md")];
    markdown(&root().join("docs"), &mut files);
    let mut seen = 0;
    let mut faults = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        // The reference has its own test, and its brackets are no shell's.
        let text = text.split(BEGIN).next().unwrap();
        for (words, mention) in commands(text) {
            seen += 1;
            faults.extend(fault(&words, mention).map(|fault| format!("{}: {}: {fault}", file.display(), words.join(" "))));
        }
    }
    assert!(seen > 60, "only {seen} commands were found: does the test still read the documents?");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Texts that tell a person what to run: `seaway …` in back-ticks, or behind a colon.
#[test]
fn every_command_that_the_product_names_exists() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for folder in ["cli/src", "seaway/src", "control/src", "api/src", "api/assets", "ingress/src", "deployer/src"] {
        let mut folders = vec![root().join("crates").join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                // This file has commands that do not exist, on purpose.
                if path.ends_with("seaway/src/documents.rs") {
                    continue;
                }
                let Ok(text) = std::fs::read_to_string(&path) else { continue };
                for (at, _) in text.match_indices("seaway ") {
                    let before = &text[..at];
                    if !before.ends_with('`') && !before.ends_with("e: ") && !before.ends_with("t: ") && !before.ends_with("n: ") {
                        continue;
                    }
                    let end = text[at..].find(['`', '"', ';', '(', ')', '\\', '\n', ',', '{']).unwrap_or(0);
                    let words: Vec<String> =
                        text[at..at + end].split_whitespace().take_while(|word| *word != "…").map(str::to_owned).collect();
                    if words.len() > 1 {
                        seen += 1;
                        faults.extend(fault(&words, true).map(|fault| format!("{}: {}: {fault}", path.display(), words.join(" "))));
                    }
                }
            }
        }
    }
    assert!(seen > 30, "only {seen} commands were found: does the test still read the texts?");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_command_that_does_not_exist_is_found() {
    let text = "    FOO=1 seaway deploy --git 'https://x/y z' # comment\n\n    echo x | seaway nothing here\n\n`seaway env ls --wrong` `seaway login URL`\n";
    let faults: Vec<bool> = commands(text).iter().map(|(words, mention)| fault(words, *mention).is_some()).collect();
    assert_eq!(faults, [false, true, true, false]);
    assert!(fault(&words("seaway domains add"), false).is_some() && fault(&words("seaway domains add"), true).is_none());
}
