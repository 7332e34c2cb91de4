//! Text of users on its way into a mail: one line, bounded, and nothing in it that acts.

use chrono::{DateTime, Utc};

/// Names of people, organizations, services, tokens, devices.
pub(crate) const NAME_LENGTH_MAX: usize = 80;
/// Subjects, titles of commits, causes.
pub(crate) const LINE_LENGTH_MAX: usize = 200;
/// One line of a log, in bytes: quoted-printable makes three of each, in two parts, and a mail must stay under its limit
/// whatever is in the log.
pub(crate) const LOG_LINE_SIZE_BYTES_MAX: usize = 300;
/// The last lines of a log; the whole log is behind the link.
pub(crate) const LOG_LINES_MAX: usize = 15;
/// Keeps mail programs from turning `name.example` into a link; invisible.
const NON_JOINER: char = '\u{200c}';

/// One line of at most `length_max` characters. Line breaks and other control characters become a space, characters that
/// change the direction of the text or hide in it are dropped.
pub(crate) fn one_line(text: &str, length_max: usize) -> String {
    let visible = text.chars().filter(|character| !is_hidden(*character));
    let spaced: String = visible.map(|character| if is_break(character) { ' ' } else { character }).collect();
    let line = spaced.split_whitespace().collect::<Vec<_>>().join(" ");
    clip(&line, length_max)
}

/// A name that someone else chose: [`one_line`], and not turned into a link by mail programs, so that an invitation from
/// "Prize at evil.example" points nowhere.
pub(crate) fn name(text: &str) -> String {
    let line = one_line(text, NAME_LENGTH_MAX);
    let mut safe = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        safe.push(character);
        let continues = characters.peek().is_some_and(|next| next.is_alphanumeric() || *next == '/');
        if matches!(character, '.' | ':' | '@') && continues {
            safe.push(NON_JOINER);
        }
    }
    safe
}

/// The last lines of a log, each with its indentation.
pub(crate) fn log(lines: &[String]) -> Vec<String> {
    let skipped = lines.len().saturating_sub(LOG_LINES_MAX);
    let last = lines.iter().skip(skipped);
    last.map(|line| {
        let line = without_escape_sequences(line).replace('\t', "    ");
        let line: String = line.chars().filter(|character| !is_hidden(*character) && !is_break(*character)).collect();
        clip_bytes(line.trim_end(), LOG_LINE_SIZE_BYTES_MAX)
    })
    .collect()
}

/// `1 November 2026, 09:05 UTC`.
pub(crate) fn time(time: DateTime<Utc>) -> String {
    time.format("%-d %B %Y, %H:%M UTC").to_string()
}

/// `1 minute`, `15 minutes`.
pub(crate) fn count(number: u32, unit: &str) -> String {
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}

fn clip(text: &str, length_max: usize) -> String {
    match text.char_indices().nth(length_max) {
        None => text.to_owned(),
        Some(_) => text.chars().take(length_max.saturating_sub(1)).chain(['…']).collect(),
    }
}

fn clip_bytes(text: &str, size_bytes_max: usize) -> String {
    if text.len() <= size_bytes_max {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(size_bytes_max.saturating_sub('…'.len_utf8()));
    text.get(..end).unwrap_or_default().chars().chain(['…']).collect()
}

fn is_break(character: char) -> bool {
    character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')
}

/// Marks and overrides of direction, zero-width characters, the byte order mark, tags.
fn is_hidden(character: char) -> bool {
    matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}' | '\u{e0000}'..='\u{e007f}')
}

/// Removes terminal colours and cursor movements: `ESC [ … letter`.
fn without_escape_sequences(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        if character != '\u{1b}' {
            plain.push(character);
        } else if characters.next() == Some('[') {
            // The parameters end with the first character of this range (ECMA-48).
            let _final = characters.find(|end| matches!(end, '\u{40}'..='\u{7e}'));
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn breaks_and_hidden_characters_do_not_survive() {
        assert_eq!(one_line("a\r\nBcc: x@y\u{0}\u{2028}b\t c", 80), "a Bcc: x@y b c");
        assert_eq!(one_line("abc\u{202e}fed\u{200b}", 80), "abcfed");
        assert_eq!(one_line("äöüäöü", 4), "äöü…");
        assert_eq!(one_line("äöüä", 4), "äöüä");
    }

    #[test]
    fn names_are_not_turned_into_links() {
        assert_eq!(name("Win at http://evil.example/x now."), "Win at http:\u{200c}//evil.\u{200c}example/x now.");
        assert_eq!(name("Ada Lovelace"), "Ada Lovelace");
    }

    #[test]
    fn a_log_keeps_its_last_lines_without_colours() {
        let lines: Vec<String> = (0..40).map(|number| format!("\u{1b}[31;1m  line {number}\u{1b}[0m\r")).collect();
        let kept = log(&lines);
        assert_eq!(kept.len(), LOG_LINES_MAX);
        assert_eq!(kept.last().map(String::as_str), Some("  line 39"));
        assert_eq!(log(&["x".repeat(1000)])[0].len(), LOG_LINE_SIZE_BYTES_MAX);
        assert!(log(&["🦀".repeat(1000)])[0].ends_with("🦀…"));
    }
}
