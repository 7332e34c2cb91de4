//! A Dockerfile as text: which frontend it asks for, and the tenant's mark that keeps its cache apart.
//!
//! After every `FROM` an argument with a key of the tenant is declared: it is part of every later `RUN` step's cache key, so
//! no step of one tenant is answered from another's cache. The id of every cache mount gets the same key.

use domain::deployment::{Cause, Failure, Step};
use sha2::{Digest, Sha256};

/// Name of the argument that carries the tenant's key.
pub const SCOPE: &str = "SEAWAY_CACHE_SCOPE";
const INSTRUCTION_LINES_MAX: usize = 10_000;

/// The rewritten text, and before which original lines one was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scoped {
    pub text: String,
    added_after: Vec<usize>,
}

impl Scoped {
    /// Turns `line N` of an error about the rewritten text into the line of the original.
    pub fn original_lines(&self, message: &str) -> String {
        let mut shown = String::new();
        let mut rest = message;
        while let Some(at) = rest.find("line ") {
            let (before, after) = rest.split_at(at + 5);
            shown.push_str(before);
            let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
            match digits.parse::<usize>() {
                Ok(line) => {
                    let added = self.added_after.iter().enumerate().filter(|(index, original)| *original + index + 1 < line).count();
                    shown.push_str(&(line - added.min(line)).to_string());
                }
                Err(_) => shown.push_str(&digits),
            }
            rest = after.get(digits.len()..).unwrap_or_default();
        }
        shown.push_str(rest);
        shown
    }
}

/// An opaque key for a tenant.
pub fn scope(tenant: &str) -> String {
    Sha256::digest(format!("seaway build cache {tenant}")).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The frontend image that the file or its arguments ask for; `None` for the engine's own.
pub fn frontend(text: &str) -> Option<String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim_start().starts_with('{')
        && let Ok(value) = serde_json::from_str::<serde_json::Value>(text)
    {
        return value.get("syntax").and_then(|syntax| syntax.as_str()).map(str::to_owned);
    }
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with("#!") {
            continue;
        }
        let comment = line.strip_prefix('#').or_else(|| line.strip_prefix("//"))?;
        if let Some((key, value)) = comment.split_once('=')
            && key.trim().eq_ignore_ascii_case("syntax")
        {
            return Some(value.trim().to_owned());
        }
    }
    None
}

/// # Errors
/// The file asks for a frontend that is not in `allowed`: a frontend is a program that runs with the builder's rights.
pub fn check_frontend(text: &str, allowed: &[String]) -> Result<(), Failure> {
    match frontend(text) {
        Some(image) if !allowed.contains(&image) => Err(Failure::new(
            Cause::Build,
            Step::Build,
            format!("The Dockerfile asks for the frontend “{image}” in its first lines; this instance uses the engine's own."),
            "Remove the line “# syntax=…”, or let the instance's operator allow this frontend.",
        )),
        _ => Ok(()),
    }
}

/// # Errors
/// The file names the argument by which build steps are told apart: setting it would lift the limits of the build.
pub fn check_scope(text: &str) -> Result<(), Failure> {
    if !text.contains(SCOPE) {
        return Ok(());
    }
    Err(Failure::new(
        Cause::Build,
        Step::Build,
        format!("The Dockerfile uses the name {SCOPE}, which Seaway keeps for itself."),
        "Take another name for the argument or variable.",
    ))
}

/// Marks the text with a tenant's key.
pub fn scoped(text: &str, key: &str) -> Scoped {
    let text = text.trim_start_matches('\u{feff}');
    let escape = escape_character(text);
    let lines: Vec<&str> = text.lines().collect();
    let mut out: Vec<String> = Vec::with_capacity(lines.len() + 8);
    let mut added_after = Vec::new();
    let mut index = 0;
    while index < lines.len() {
        let first = lines.get(index).copied().unwrap_or_default();
        let trimmed = first.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            out.push(first.to_owned());
            index += 1;
            continue;
        }
        let (logical, end) = logical_line(&lines, index, escape);
        let word = logical.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        if word == "RUN" && logical.contains("--mount") && logical.contains("cache") {
            // One line instead of several; empty lines keep the numbers of the others.
            out.push(with_own_cache_ids(&logical, key));
            out.extend(std::iter::repeat_n(String::new(), end - index - 1));
        } else {
            out.extend(lines.iter().take(end).skip(index).map(|line| (*line).to_owned()));
        }
        if word == "FROM" {
            added_after.push(end);
            out.push(format!("ARG {SCOPE}"));
        }
        index = end;
        if matches!(word.as_str(), "RUN" | "COPY" | "ADD") {
            for marker in heredocs(&logical) {
                while let Some(line) = lines.get(index) {
                    out.push((*line).to_owned());
                    index += 1;
                    if line.trim_start_matches('\t') == marker {
                        break;
                    }
                }
            }
        }
    }
    let mut text = out.join("\n");
    text.push('\n');
    Scoped { text, added_after }
}

/// Every instruction on one line, without comments and without the texts of heredocs.
pub fn instructions(text: &str) -> Vec<String> {
    let text = text.trim_start_matches('\u{feff}');
    let escape = escape_character(text);
    let lines: Vec<&str> = text.lines().collect();
    let (mut found, mut index) = (Vec::new(), 0);
    while let Some(line) = lines.get(index) {
        let trimmed = line.trim_start();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            index += 1;
            continue;
        }
        let (logical, end) = logical_line(&lines, index, escape);
        index = end;
        let word = logical.split_whitespace().next().unwrap_or_default().to_ascii_uppercase();
        if matches!(word.as_str(), "RUN" | "COPY" | "ADD") {
            for marker in heredocs(&logical) {
                while let Some(line) = lines.get(index) {
                    index += 1;
                    if line.trim_start_matches('\t') == marker {
                        break;
                    }
                }
            }
        }
        found.push(logical);
    }
    found
}

fn escape_character(text: &str) -> char {
    for line in text.lines() {
        let Some(comment) = line.trim().strip_prefix('#') else { break };
        let Some((key, value)) = comment.split_once('=') else { break };
        if key.trim().eq_ignore_ascii_case("escape") && value.trim() == "`" {
            return '`';
        }
    }
    '\\'
}

/// Joins continued lines as the engine does; answers the text and the line after it.
fn logical_line(lines: &[&str], start: usize, escape: char) -> (String, usize) {
    let mut joined = String::new();
    let mut index = start;
    while let Some(line) = lines.get(index) {
        index += 1;
        let trimmed = line.trim_start();
        if index > start + 1 && (trimmed.is_empty() || trimmed.starts_with('#')) {
            continue;
        }
        match line.trim_end().strip_suffix(escape) {
            Some(begun) if index - start < INSTRUCTION_LINES_MAX => joined.push_str(begun),
            _ => {
                joined.push_str(line);
                break;
            }
        }
    }
    (joined, index)
}

/// Words after `<<` in an instruction.
fn heredocs(logical: &str) -> Vec<String> {
    logical.split_whitespace().filter_map(heredoc_marker).collect()
}

/// As BuildKit reads it: a whole word of digits, `<<`, an optional `-` and the marker. `x<<EOF` is no heredoc, and taking it for one
/// would hide the rest of the file from what is added for the tenant.
fn heredoc_marker(word: &str) -> Option<String> {
    let after = word.trim_start_matches(|character: char| character.is_ascii_digit()).strip_prefix("<<")?;
    let marker = after.strip_prefix('-').unwrap_or(after).trim_matches(['"', '\'']);
    (!marker.is_empty() && !marker.contains('<')).then(|| marker.to_owned())
}

/// Adds an id of the tenant's own to each cache mount; of two ids the last counts.
fn with_own_cache_ids(logical: &str, key: &str) -> String {
    let start = logical.len() - logical.trim_start().len();
    let (head, mut rest) = logical.split_at(start + 3);
    let mut out = head.to_owned();
    loop {
        let trimmed = rest.trim_start();
        out.push_str(rest.get(..rest.len() - trimmed.len()).unwrap_or_default());
        if !trimmed.starts_with("--") {
            out.push_str(trimmed);
            return out;
        }
        let end = flag_end(trimmed);
        let (flag, after) = trimmed.split_at(end);
        out.push_str(flag);
        let is_cache = flag.to_ascii_lowercase().starts_with("--mount=") && flag.to_ascii_lowercase().contains("type=cache");
        if is_cache {
            let hash: String = Sha256::digest(cache_name(flag)).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            out.push_str(&format!(",id={key}-{hash}"));
        }
        rest = after;
    }
}

fn flag_end(text: &str) -> usize {
    let mut quoted = None;
    for (at, character) in text.char_indices() {
        match (quoted, character) {
            (None, '"' | '\'') => quoted = Some(character),
            (Some(open), close) if open == close => quoted = None,
            (None, space) if space.is_whitespace() => return at,
            _ => {}
        }
    }
    text.len()
}

/// What names the cache: its id, else its target.
fn cache_name(flag: &str) -> String {
    let fields = || flag.split_once('=').map_or("", |(_, fields)| fields).split(',');
    let named = |name: &str| {
        fields()
            .filter_map(|field| field.trim_matches('"').split_once('='))
            .rfind(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned())
    };
    named("id").or_else(|| named("target")).or_else(|| named("dst")).or_else(|| named("destination")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frontends_are_found_however_written() {
        for text in [
            "# syntax=x/y:1\nFROM a",
            "#syntax = x/y:1\nFROM a",
            "# escape=\\\n# SYNTAX=x/y:1\nFROM a",
            "#!/usr/bin/env x\n# syntax=x/y:1",
            "// syntax=x/y:1\nFROM",
            "{\"syntax\":\"x/y:1\"}",
        ] {
            assert_eq!(frontend(text).as_deref(), Some("x/y:1"), "{text}");
            assert!(check_frontend(text, &[]).is_err());
            assert!(check_frontend(text, &["x/y:1".into()]).is_ok());
        }
        assert_eq!(frontend("FROM a\n# syntax=x"), None);
    }

    #[test]
    fn every_stage_and_cache_mount_is_marked() {
        let text = "# c\nARG V=1\nFROM a:${V} AS one\nRUN --mount=type=cache,target=/root/.npm \\\n  # comment\n  --mount=type=cache,id=x,target=/y npm ci\nfrom b\nRUN echo\n";
        let marked = scoped(text, "k");
        let lines: Vec<&str> = marked.text.lines().collect();
        assert_eq!(lines[3], "ARG SEAWAY_CACHE_SCOPE");
        assert!(lines[4].matches(",id=k-").count() == 2, "{}", lines[4]);
        assert_eq!((lines[5], lines[6]), ("", ""));
        assert_eq!(lines[8], "ARG SEAWAY_CACHE_SCOPE");
        assert_eq!(marked.original_lines("error on line 10: x"), "error on line 8: x");
        assert_eq!(marked.original_lines("line 2: y"), "line 2: y");
        assert_eq!(marked.original_lines("line 3 and line 5"), "line 3 and line 4");
    }

    #[test]
    fn heredocs_are_not_instructions() {
        let text = "FROM a\nRUN <<EOF\nFROM nothing\nEOF\nFROM b\n";
        assert_eq!(scoped(text, "k").text.matches("ARG ").count(), 2);
        for not_one in ["RUN echo x<<EOF", "RUN echo $((1<<n))"] {
            let text = format!("FROM a\n{not_one}\nFROM b\nRUN --mount=type=cache,target=/x cmd\n");
            let marked = scoped(&text, "k").text;
            assert_eq!(marked.matches("ARG ").count(), 2, "{not_one}");
            assert!(marked.contains(",id=k-"), "{not_one}");
        }
    }

    #[test]
    fn the_name_that_tells_tenants_apart_is_not_for_dockerfiles() {
        assert!(check_scope("FROM a\nENV SEAWAY_CACHE_SCOPE=x\n").is_err());
        assert!(check_scope("FROM a\nENV SCOPE=x\n").is_ok());
    }

    #[test]
    fn other_escape_characters_do_not_hide_a_mount() {
        let text = "# escape=`\nFROM a\nRUN --mount=type=cache,`\ntarget=/x cmd\n";
        assert!(scoped(text, "k").text.contains("type=cache,target=/x,id=k-"));
    }
}
