//! `.env` texts.
//!
//! What is read: `NAME=value`, `export NAME=value`, blank lines, `# comments`. A value is
//! - in `'single'` or `` `backtick` `` quotes: literal, over several lines if need be;
//! - in `"double"` quotes: the same, with `\n`, `\r`, `\t`, `\"`, `\\` and `\$`; any other backslash stays;
//! - without quotes: the rest of the line without the white space around it. A `#` begins a comment only after white space,
//!   so `abc#de` is whole. A backslash is a backslash, `$` is `$`. Quotes that do not close at the end of the value are part
//!   of it; a pair around the whole value goes (`'ENVITONME'NT'` is `ENVITONME'NT`).
//!
//! Line ends may be CRLF. A name that comes twice has its last value. [`print`] writes what [`parse`] reads back as the same bytes.

use super::name::{check_name, check_value};

/// Where a text cannot be read, and why. Never holds a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct ParseError {
    /// From 1.
    pub line: usize,
    pub reason: String,
}

/// Reads a text. Names are in order of their first appearance.
///
/// # Errors
/// Every line that cannot be read.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, Vec<ParseError>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let lines: Vec<&str> = text.split('\n').collect();
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut errors = Vec::new();
    let mut at = 0;
    while let Some(line) = lines.get(at) {
        let number = at + 1;
        at += 1;
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let content = content.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t'])).map_or(content, str::trim_start);
        let Some((name, rest)) = content.split_once('=') else {
            errors.push(ParseError { line: number, reason: "there is no `=`; write `NAME=value`".into() });
            continue;
        };
        let name = name.trim_end();
        let following = lines.get(at..).unwrap_or_default();
        let (value, more) = match value_of(rest, following) {
            Ok(read) => read,
            Err(reason) => {
                errors.push(ParseError { line: number, reason: format!("{}: {reason}", shown(name)) });
                continue;
            }
        };
        at += more;
        if let Err(error) = check_name(name).and_then(|()| check_value(&value)) {
            errors.push(ParseError { line: number, reason: format!("{}: {error}", shown(name)) });
            continue;
        }
        match pairs.iter_mut().find(|(known, _)| known == name) {
            Some(pair) => pair.1 = value,
            None => pairs.push((name.to_owned(), value)),
        }
    }
    if errors.is_empty() { Ok(pairs) } else { Err(errors) }
}

/// A name in an error: what stands before `=` could be anything, so it is cut.
fn shown(name: &str) -> String {
    format!("`{}`", name.chars().filter(|letter| !letter.is_control()).take(40).collect::<String>())
}

/// The value that begins after `=`, and how many of the following lines it takes.
fn value_of(rest: &str, following: &[&str]) -> Result<(String, usize), &'static str> {
    let start = rest.trim_start();
    let quote = match start.chars().next() {
        Some(quote @ ('\'' | '"' | '`')) => quote,
        _ => return Ok((unquoted(rest), 0)),
    };
    let inside = start.get(1..).unwrap_or("");
    let mut value = String::new();
    for (more, line) in std::iter::once(inside).chain(following.iter().copied()).enumerate() {
        if more > 0 {
            value.push('\n');
        }
        match close(line, quote) {
            None => value.push_str(line),
            Some((before, after)) if after.trim_start().is_empty() || after.trim_start().starts_with('#') => {
                value.push_str(before);
                return Ok((if quote == '"' { unescape(&value) } else { value }, more));
            }
            Some(_) if more == 0 => return Ok((unquoted(rest), 0)),
            Some(_) => return Err("there is text after the closing quote"),
        }
    }
    Err("the quote is not closed")
}

/// What is before and after the first closing quote of a line.
fn close(line: &str, quote: char) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, letter) in line.char_indices() {
        if escaped {
            escaped = false;
        } else if letter == '\\' && quote == '"' {
            escaped = true;
        } else if letter == quote {
            return Some((line.get(..at)?, line.get(at + 1..)?));
        }
    }
    None
}

fn unquoted(rest: &str) -> String {
    let mut end = rest.len();
    let mut white = true;
    for (at, letter) in rest.char_indices() {
        if letter == '#' && white {
            end = at;
            break;
        }
        white = letter == ' ' || letter == '\t';
    }
    let value = rest.get(..end).unwrap_or(rest).trim_matches([' ', '\t', '\r']);
    for quote in ['\'', '"', '`'] {
        if let Some(inner) = value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote)) {
            return inner.to_owned();
        }
    }
    value.to_owned()
}

fn unescape(text: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            value.push(letter);
            continue;
        }
        match letters.next() {
            Some('n') => value.push('\n'),
            Some('r') => value.push('\r'),
            Some('t') => value.push('\t'),
            Some(letter @ ('"' | '\\' | '$')) => value.push(letter),
            Some(other) => value.extend(['\\', other]),
            None => value.push('\\'),
        }
    }
    value
}

/// Writes a text that [`parse`] reads back as the same pairs.
pub fn print<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    pairs.into_iter().map(|(name, value)| print_line(name, value) + "\n").collect()
}

/// One variable as `NAME=value`, in the plainest quotes that keep every byte.
pub fn print_line(name: &str, value: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./:@%+,=~^*!?&|;<>(){}[]#$\\\"'".contains(&byte);
    if value.bytes().all(bare) && !value.starts_with(['#', '\'', '"']) {
        return format!("{name}={value}");
    }
    let plain = |letter: char| !letter.is_control() && letter != '\'';
    if value.chars().all(plain) {
        return format!("{name}='{value}'");
    }
    let mut line = format!("{name}=\"");
    for letter in value.chars() {
        match letter {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            '"' | '\\' | '$' => line.extend(['\\', letter]),
            other => line.push(other),
        }
    }
    line.push('"');
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(text: &str) -> String {
        let pairs = parse(text).unwrap();
        assert_eq!(pairs.len(), 1, "{text:?}");
        pairs.into_iter().next().unwrap().1
    }

    #[test]
    fn values_are_read_byte_by_byte() {
        for (line, value) in [
            ("A=", ""),
            ("A=b", "b"),
            ("  A = b  ", "b"),
            ("export A=b", "b"),
            ("A=pa$$word", "pa$$word"),
            ("A={\"nested\":{\"a\":1}}", "{\"nested\":{\"a\":1}}"),
            ("A=abc#de", "abc#de"),
            ("A=abc # comment", "abc"),
            ("A= # comment", ""),
            ("A=it's a test", "it's a test"),
            ("A=trailing\\", "trailing\\"),
            ("A=a\\nb", "a\\nb"),
            ("A='a\\nb $x #y'", "a\\nb $x #y"),
            ("A='trailing\\'", "trailing\\"),
            ("A=\"a\\nb\\t\\\"c\\\" \\\\ \\$x \\d\" # comment", "a\nb\t\"c\" \\ $x \\d"),
            ("A=`it's \"both\"`", "it's \"both\""),
            ("A=\"'production'\"", "'production'"),
            ("A='ENVITONME'NT'", "ENVITONME'NT"),
            ("A=\"John Doe\"", "John Doe"),
            ("A=b\r", "b"),
            ("A=b\r\n", "b"),
            ("A=a=b=c", "a=b=c"),
            ("A=${{project.X}}", "${{project.X}}"),
            ("A=enc:v1:abc", "enc:v1:abc"),
            ("\u{feff}A=b", "b"),
            ("A=\"x\ny\"", "x\ny"),
            ("A='-----BEGIN KEY-----\nabc=\n-----END KEY-----\n'", "-----BEGIN KEY-----\nabc=\n-----END KEY-----\n"),
            ("A=\"-----BEGIN KEY-----\r\nabc=\r\n-----END KEY-----\"", "-----BEGIN KEY-----\nabc=\n-----END KEY-----"),
        ] {
            assert_eq!(one(line), value, "{line:?}");
        }
    }

    #[test]
    fn several_lines_comments_and_repeats() {
        let pairs = parse("# a comment\n\nA=1\n  # another\nB='x\n# not a comment\n'\nA=3\n").unwrap();
        assert_eq!(pairs, [("A".to_owned(), "3".to_owned()), ("B".to_owned(), "x\n# not a comment\n".to_owned())]);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn errors_name_the_line_and_never_the_value() {
        let errors = parse("A=1\nnonsense\n1B=s3cr3t\nC=\"s3cr3t\n").unwrap_err();
        let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
        assert_eq!(lines, [2, 3, 4]);
        assert!(errors.iter().all(|error| !error.to_string().contains("s3cr3t")));
    }

    #[test]
    fn lines_are_written_in_the_plainest_quotes() {
        for (value, line) in [
            ("", "A="),
            ("pa$$word", "A=pa$$word"),
            ("trailing\\", "A=trailing\\"),
            ("abc#de", "A=abc#de"),
            ("a b", "A='a b'"),
            ("it's a test", "A=\"it's a test\""),
            ("a\nb", "A=\"a\\nb\""),
            ("a$'\n", "A=\"a\\$'\\n\""),
        ] {
            assert_eq!(print_line("A", value), line);
        }
    }

    proptest! {
        #[test]
        fn every_value_survives_a_round_trip(values in prop::collection::vec("[^\0]{0,40}", 1..5)) {
            let pairs: Vec<(String, String)> = values.into_iter().enumerate().map(|(at, value)| (format!("V{at}"), value)).collect();
            let text = print(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())));
            prop_assert_eq!(parse(&text).unwrap(), pairs);
        }

        #[test]
        fn nasty_values_survive_a_round_trip(value in "[ \t\r\n'\"`\\\\$#={}a]{0,12}") {
            let text = print([("A", value.as_str()), ("B", "end")]);
            prop_assert_eq!(parse(&text).unwrap(), vec![("A".to_owned(), value), ("B".to_owned(), "end".to_owned())]);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,80}") {
            let _ = parse(&text);
        }
    }
}
