//! Replaces known secret values in output: as they are, base64-coded (at any of the three alignments, both alphabets),
//! URL-encoded, hex-coded and JSON-escaped; also when a value is split over two chunks.
//!
//! It must never hold back output longer than the longest value, and never change output that holds no secret.

use std::borrow::Cow;

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use domain::Secret;
use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, percent_encode, utf8_percent_encode};

/// What stands in place of a secret.
pub const MASK: &str = "[masked]";
/// Shorter values (`1`, `on`, `dev`) are not masked: they would eat every log and are no secrets.
pub const VALUE_BYTES_MIN: usize = 4;
/// A shorter piece of base64 is ordinary text.
const ENCODED_BYTES_MIN: usize = 8;
/// Held back at most, when masked ranges run into each other without end.
const HELD_BYTES_MAX: usize = 64 * 1024;

/// What `encodeURIComponent` leaves alone.
const COMPONENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'!').remove(b'~').remove(b'*').remove(b'\'').remove(b'(').remove(b')');
/// What a form leaves alone.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// What a URL's user info needs at least.
const USER_INFO: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}')
    .add(b'/')
    .add(b':')
    .add(b';')
    .add(b'=')
    .add(b'@')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'|');

/// The known values, ready to be searched for. Build once per job or release.
#[derive(Clone, Default)]
pub struct Masker {
    search: Option<AhoCorasick>,
    needles: Vec<Vec<u8>>,
    needle_bytes_max: usize,
}

impl std::fmt::Debug for Masker {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Masker({} forms)", self.needles.len())
    }
}

impl Masker {
    pub fn new<'a>(values: impl IntoIterator<Item = &'a Secret<String>>) -> Self {
        let mut needles: Vec<Vec<u8>> = values.into_iter().flat_map(|value| forms(value.reveal())).collect();
        needles.sort();
        needles.dedup();
        // Standard matching reports overlapping hits, whose union is masked.
        let search = AhoCorasick::builder().match_kind(MatchKind::Standard).build(&needles).ok();
        let search = search.filter(|_| !needles.is_empty());
        let needle_bytes_max = needles.iter().map(Vec::len).max().unwrap_or(0);
        Self { search, needles, needle_bytes_max }
    }

    /// Masks a text that is complete, for example a whole line.
    pub fn mask<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let ranges = self.ranges(text.as_bytes());
        if ranges.is_empty() {
            return Cow::Borrowed(text);
        }
        Cow::Owned(String::from_utf8_lossy(&replaced(text.as_bytes(), &ranges)).into_owned())
    }

    /// Starts a stream whose values may be split over chunks.
    pub fn stream(&self) -> MaskStream<'_> {
        MaskStream { masker: self, held: Vec::new() }
    }

    /// Ranges that hold a secret, merged, in order.
    fn ranges(&self, bytes: &[u8]) -> Vec<(usize, usize)> {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        let Some(search) = &self.search else { return ranges };
        for found in search.find_overlapping_iter(bytes) {
            let mut start = found.start();
            while let Some(last) = ranges.last().copied() {
                if last.1 < start {
                    break;
                }
                start = start.min(last.0);
                ranges.pop();
            }
            ranges.push((start, found.end()));
        }
        ranges
    }

    /// Where the longest end of `bytes` begins that could be the beginning of a value.
    fn unfinished(&self, bytes: &[u8]) -> usize {
        let window = bytes.len().saturating_sub(self.needle_bytes_max.saturating_sub(1));
        (window..bytes.len())
            .find(|start| {
                let end = bytes.get(*start..).unwrap_or_default();
                self.needles.iter().any(|needle| needle.len() > end.len() && needle.starts_with(end))
            })
            .unwrap_or(bytes.len())
    }
}

/// One stream through a [`Masker`].
pub struct MaskStream<'m> {
    masker: &'m Masker,
    held: Vec<u8>,
}

impl MaskStream<'_> {
    /// Answers what can be shown so far.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        if self.masker.search.is_none() {
            return chunk.to_vec();
        }
        self.held.extend_from_slice(chunk);
        let ranges = self.masker.ranges(&self.held);
        let mut split = self.masker.unfinished(&self.held);
        if self.held.len() < HELD_BYTES_MAX {
            // A masked range that reaches into the unfinished end waits with it, so that it is replaced once.
            while let Some(range) = ranges.iter().find(|range| range.0 < split && range.1 >= split && split < self.held.len()) {
                split = range.0;
            }
        }
        let rest = self.held.split_off(split);
        let ready = std::mem::replace(&mut self.held, rest);
        let shown: Vec<(usize, usize)> =
            ranges.into_iter().filter(|range| range.0 < split).map(|range| (range.0, range.1.min(split))).collect();
        replaced(&ready, &shown)
    }

    /// The rest, at the end of the stream.
    pub fn finish(&mut self) -> Vec<u8> {
        let rest = std::mem::take(&mut self.held);
        let ranges = self.masker.ranges(&rest);
        replaced(&rest, &ranges)
    }
}

fn replaced(bytes: &[u8], ranges: &[(usize, usize)]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len());
    let mut position = 0;
    for &(start, end) in ranges {
        shown.extend_from_slice(bytes.get(position..start).unwrap_or_default());
        shown.extend_from_slice(MASK.as_bytes());
        position = end;
    }
    shown.extend_from_slice(bytes.get(position..).unwrap_or_default());
    shown
}

/// Every way in which a value may be written.
fn forms(value: &str) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    // A value of several lines (a private key) comes out line by line.
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= ENCODED_BYTES_MIN && value.contains('\n'));
    for text in std::iter::once(value).chain(std::iter::once(value.trim())).chain(lines) {
        if text.len() < VALUE_BYTES_MIN {
            continue;
        }
        forms.push(text.as_bytes().to_vec());
        for set in [COMPONENT, UNRESERVED, USER_INFO] {
            let encoded = utf8_percent_encode(text, set).to_string();
            forms.push(encoded.replace("%20", "+").into_bytes());
            forms.push(lower_hex(&encoded).into_bytes());
            forms.push(encoded.into_bytes());
        }
        forms.push(percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string().into_bytes());
        if let Ok(json) = serde_json::to_string(text) {
            forms.push(json.trim_matches('"').as_bytes().to_vec());
        }
        let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
        forms.push(hex.to_uppercase().into_bytes());
        forms.push(hex.into_bytes());
        forms.extend(base64_forms(text.as_bytes()));
    }
    forms.retain(|form| form.len() >= VALUE_BYTES_MIN);
    forms
}

/// The part of the base64 text that depends on the value only, for each position it can have inside a longer text.
fn base64_forms(value: &[u8]) -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for before in 0..3usize {
        let mut padded = vec![0u8; before];
        padded.extend_from_slice(value);
        let first = (before * 8).div_ceil(6);
        let last = (before + value.len()) * 8 / 6;
        for encoded in [STANDARD_NO_PAD.encode(&padded), URL_SAFE_NO_PAD.encode(&padded)] {
            if let Some(stable) = encoded.as_bytes().get(first..last).filter(|stable| stable.len() >= ENCODED_BYTES_MIN) {
                forms.push(stable.to_vec());
            }
            // At the end of the text the last digit is known as well.
            if let Some(whole) = encoded.as_bytes().get(first..).filter(|whole| whole.len() >= ENCODED_BYTES_MIN) {
                forms.push(whole.to_vec());
            }
        }
    }
    forms
}

/// `%2F` as `%2f`.
fn lower_hex(encoded: &str) -> String {
    let mut after_percent = 0;
    encoded
        .chars()
        .map(|character| {
            if character == '%' {
                after_percent = 2;
                character
            } else if after_percent > 0 {
                after_percent -= 1;
                character.to_ascii_lowercase()
            } else {
                character
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masker(values: &[&str]) -> Masker {
        let secrets: Vec<Secret<String>> = values.iter().map(|value| Secret::new((*value).to_owned())).collect();
        Masker::new(&secrets)
    }

    fn streamed(masker: &Masker, text: &[u8], size: usize) -> String {
        let mut stream = masker.stream();
        let mut shown: Vec<u8> = text.chunks(size).flat_map(|chunk| stream.push(chunk)).collect();
        shown.extend(stream.finish());
        String::from_utf8_lossy(&shown).into_owned()
    }

    #[test]
    fn every_form_is_masked() {
        let secret = "p@ss/w0rd+of \"Zoë\"=";
        let masker = masker(&[secret]);
        for prefix in ["", "u", "us", "user:"] {
            let coded = base64::engine::general_purpose::STANDARD.encode(format!("{prefix}{secret}"));
            let shown = masker.mask(&coded).into_owned();
            assert!(shown.contains(MASK), "{coded} -> {shown}");
            let longest = shown.split(MASK).map(str::len).max();
            assert!(longest <= Some(9), "{shown}");
        }
        for form in [
            secret.to_owned(),
            utf8_percent_encode(secret, COMPONENT).to_string(),
            utf8_percent_encode(secret, UNRESERVED).to_string().replace("%20", "+"),
            utf8_percent_encode(secret, UNRESERVED).to_string().to_string(),
            serde_json::to_string(secret).unwrap_or_default(),
            secret.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ] {
            assert!(masker.mask(&form).contains(MASK), "{form}");
        }
    }

    #[test]
    fn chunks_do_not_matter() {
        let masker = masker(&["hunter2-hunter2", "2-hunter", "abcabcabc", "abcabd"]);
        let text = b"x hunter2-hunter2 y abcabcabcabd z abcab abcab";
        let whole = masker.mask(std::str::from_utf8(text).unwrap_or_default()).into_owned();
        assert_eq!(whole, "x [masked] y [masked] z abcab abcab");
        for size in 1..=text.len() {
            assert_eq!(streamed(&masker, text, size), whole, "chunks of {size}");
        }
    }

    #[test]
    fn nothing_else_changes() {
        let empty = masker(&["", "1", "on"]);
        let text = "1 on off \u{1f980} line";
        assert_eq!(empty.mask(text), text);
        assert_eq!(streamed(&empty, text.as_bytes(), 3), text);
        let masker = masker(&["\u{1f980}-secret"]);
        assert_eq!(streamed(&masker, text.as_bytes(), 1), text);
    }

    #[test]
    fn a_key_of_several_lines_is_masked_line_by_line() {
        let masker = masker(&["-----BEGIN KEY-----\nb3BlbnNzaC1rZXktdjE\nAAAABG5vbmUAAAAE\n-----END KEY-----\n"]);
        assert_eq!(masker.mask("key: AAAABG5vbmUAAAAE"), "key: [masked]");
    }

    #[test]
    fn a_run_of_overlapping_values_is_not_held_for_ever() {
        let masker = masker(&["aaaa"]);
        let mut stream = masker.stream();
        let mut shown: Vec<u8> = (0..40).flat_map(|_| stream.push(&[b'a'; 8192])).collect();
        assert!(!shown.is_empty());
        assert!(stream.held.len() < 2 * HELD_BYTES_MAX);
        shown.extend(stream.finish());
        assert!(!String::from_utf8_lossy(&shown).contains("aaaa"));
    }
}
