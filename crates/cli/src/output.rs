//! The only place that prints. Data goes to the standard output, remarks and errors to the standard error. No colours: what
//! is important is said in words, so `NO_COLOR` holds by itself.

use std::io::Write;
use std::process::ExitCode;

use contract::logs::LogLine;
use serde::Serialize;

use crate::failure::Failure;

#[derive(Debug, Clone, Copy)]
pub struct Output {
    json: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    pub fn json(self) -> bool {
        self.json
    }

    /// A line of data.
    pub fn line(self, text: impl AsRef<str>) {
        write(&mut std::io::stdout().lock(), &format!("{}\n", text.as_ref()));
    }

    /// Bytes as they are.
    pub fn bytes(self, bytes: &[u8]) {
        let mut out = std::io::stdout().lock();
        let _reader_is_gone = out.write_all(bytes).and_then(|()| out.flush());
    }

    /// The beginning of a line that the person ends.
    pub fn question(self, text: &str) {
        write(&mut std::io::stderr().lock(), &format!("{text}: "));
    }

    /// A line beside the data.
    pub fn remark(self, text: impl AsRef<str>) {
        write(&mut std::io::stderr().lock(), &format!("{}\n", text.as_ref()));
    }

    /// One JSON document on one line.
    pub fn document(self, value: &impl Serialize) {
        self.line(serde_json::to_string(value).unwrap_or_default());
    }

    /// The document with `--json`, else the lines.
    pub fn answer(self, value: &impl Serialize, lines: impl FnOnce() -> Vec<String>) {
        if self.json { self.document(value) } else { lines().iter().for_each(|line| self.line(line)) }
    }

    /// The documents as one array with `--json`, else a table.
    pub fn table<T: Serialize>(self, items: &[T], headings: &[&str], row: impl Fn(&T) -> Vec<String>) {
        if self.json {
            return self.document(&items);
        }
        let rows: Vec<Vec<String>> = items.iter().map(row).collect();
        for line in columns(headings, &rows) {
            self.line(line);
        }
    }

    /// Names with their values: one document with `--json`, else two columns without a heading.
    pub fn record(self, value: &impl Serialize, pairs: &[(&str, String)]) {
        self.answer(value, || {
            let rows: Vec<Vec<String>> = pairs.iter().map(|(name, text)| vec![format!("{name}:"), clean(text)]).collect();
            columns(&["", ""], &rows).into_iter().skip(1).collect()
        });
    }

    pub fn log_line(self, line: &LogLine) {
        if self.json {
            return self.document(&serde_json::json!({"event": "log", "data": line}));
        }
        let text = clean(&line.text);
        self.line(match line.channel.as_str() {
            "platform" => format!("[{}] {text}", line.origin),
            _ => format!("{} {}: {text}", line.at.format("%H:%M:%S"), line.origin),
        });
    }

    pub fn failure(self, failure: &Failure) -> ExitCode {
        if self.json {
            let document = match failure {
                Failure::Refused(problem) => serde_json::to_value(problem).unwrap_or_default(),
                _ => serde_json::json!({"detail": failure.to_string(), "code": failure.code()}),
            };
            write(&mut std::io::stderr().lock(), &format!("{}\n", serde_json::json!({"error": document})));
        } else if !matches!(failure, Failure::Ended(_)) {
            self.remark(format!("error: {failure}"));
            if let Failure::Refused(problem) = failure {
                for error in &problem.errors {
                    self.remark(format!("  {}: {}", error.pointer, error.detail));
                }
                self.remark(format!("  ({}, request {})", problem.code, problem.request_id));
            }
        }
        ExitCode::from(failure.exit_code())
    }

    pub fn completions(self, shell: clap_complete::Shell, command: &mut clap::Command) -> ExitCode {
        let mut script = Vec::new();
        clap_complete::generate(shell, command, "seaway", &mut script);
        self.bytes(&script);
        ExitCode::SUCCESS
    }
}

fn write(out: &mut impl Write, text: &str) {
    let _closed_pipe = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// An app's line must not move the cursor or rename the window.
pub fn clean(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control() || *letter == '\t').collect()
}

fn columns(headings: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let width = |place: usize| {
        let cells = rows.iter().filter_map(|row| row.get(place)).map(|cell| cell.chars().count());
        cells.chain(headings.get(place).map(|heading| heading.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..headings.len()).map(width).collect();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect::<Vec<_>>();
        padded.join("  ").trim_end().to_owned()
    };
    let head = line(headings.to_vec());
    std::iter::once(head).chain(rows.iter().map(|row| line(row.iter().map(String::as_str).collect()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_and_control_characters_vanish() {
        let lines = columns(&["NAME", "STATE"], &[vec!["a-long-name".into(), "live".into()], vec!["b".into(), String::new()]]);
        assert_eq!(lines, ["NAME         STATE", "a-long-name  live", "b"]);
        assert_eq!(clean("\u{1b}]0;evil\u{7}red\u{1b}[31m\tx"), "]0;evilred[31m\tx");
    }
}
