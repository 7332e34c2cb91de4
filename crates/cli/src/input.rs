//! What comes in beside the command line: answers on the terminal, secrets, texts from files and from the input.
//!
//! A secret is asked for on the terminal without showing it. Without a terminal it is the next line of the input: so it never
//! stands on a command line, where other users of the machine could read it.

use std::io::{IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use domain::Secret;

use crate::failure::{Failure, Result};
use crate::output::Output;

const INPUT_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// Stands for the input where a file is named.
pub const STANDARD_INPUT: &str = "-";

/// Asks on the terminal.
///
/// # Errors
/// `Usage` without a terminal: nothing is ever taken for granted. `instead` says what to do then.
pub fn ask(output: Output, question: &str, instead: &str) -> Result<String> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(format!("there is no terminal to ask {question:?}; {instead}")));
    }
    output.question(question);
    line()
}

/// The text that was given, else the answer.
pub fn given_or_ask(output: Output, given: Option<String>, question: &str, instead: &str) -> Result<String> {
    let text = given.map_or_else(|| ask(output, question, instead), Ok)?;
    Some(text).filter(|text| !text.is_empty()).ok_or_else(|| Failure::usage(format!("{question} is empty; {instead}")))
}

/// Asks without showing what is typed; without a terminal the next line of the input.
pub fn secret(question: &str) -> Result<Secret<String>> {
    let text = if std::io::stdin().is_terminal() {
        rpassword::prompt_password(format!("{question}: ")).map_err(|error| unreadable(&error))?
    } else {
        line()?
    };
    if text.is_empty() {
        return Err(Failure::usage(format!("{question}: the input is empty; type it on a terminal, or pipe it in as one line")));
    }
    Ok(Secret::new(text))
}

/// A secret that may be a whole text (a private key, a file): to the end of the input, or without showing it a line of the terminal.
pub fn secret_text(question: &str) -> Result<Secret<String>> {
    if std::io::stdin().is_terminal() {
        return secret(question);
    }
    match read(Path::new(STANDARD_INPUT))? {
        text if text.is_empty() => Err(Failure::usage(format!("{question}: the input is empty; pipe it in: … < FILE"))),
        text => Ok(Secret::new(text)),
    }
}

/// Asks before something is lost: the name must be typed.
pub fn confirm_name(output: Output, yes: bool, name: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    match ask(output, &format!("Type {name} to go on"), "add --yes")? == name {
        true => Ok(()),
        false => Err(Failure::other("that is another name; nothing was changed")),
    }
}

/// Asks before something is replaced.
pub fn confirm(output: Output, yes: bool, what: &str) -> Result<()> {
    if yes {
        return Ok(());
    }
    match ask(output, &format!("{what} Type yes to go on"), "add --yes")?.as_str() {
        "yes" | "y" => Ok(()),
        _ => Err(Failure::other("nothing was changed")),
    }
}

/// A file as text; `-` is the input.
pub fn read(path: &Path) -> Result<String> {
    let fail = |error: std::io::Error| Failure::other(format!("{}: {error}", path.display()));
    let mut text = String::new();
    if path.as_os_str() == STANDARD_INPUT {
        std::io::stdin().take(INPUT_BYTES_MAX).read_to_string(&mut text).map_err(fail)?;
    } else {
        std::fs::File::open(path).map_err(fail)?.take(INPUT_BYTES_MAX).read_to_string(&mut text).map_err(fail)?;
    }
    Ok(text)
}

/// A file that only this person may read.
pub fn write_private(path: &Path, text: &str) -> Result<()> {
    let fail = |error: std::io::Error| Failure::other(format!("{}: {error}", path.display()));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path).map_err(fail)?;
    file.write_all(text.as_bytes()).map_err(fail)
}

fn line() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().read_line(&mut text).map_err(|error| unreadable(&error))?;
    Ok(text.trim().to_owned())
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::other(format!("the answer cannot be read: {error}"))
}
