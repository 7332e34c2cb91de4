//! `.dockerignore`: patterns in order, the last that matches decides; `!` takes back; a folder takes its content with it.

/// The patterns of one file.
#[derive(Debug, Clone, Default)]
pub struct Ignore(Vec<Pattern>);

#[derive(Debug, Clone)]
struct Pattern {
    parts: Vec<String>,
    keep: bool,
}

impl Ignore {
    pub fn parse(text: &str) -> Self {
        let patterns = text.trim_start_matches('\u{feff}').lines().filter_map(|line| {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                return None;
            }
            let (keep, line) = match line.strip_prefix('!') {
                Some(rest) => (true, rest.trim()),
                None => (false, line),
            };
            let parts = clean(line);
            (!parts.is_empty()).then_some(Pattern { parts, keep })
        });
        Self(patterns.collect())
    }

    /// Whether a path (relative, `/` between its parts) is left out.
    pub fn leaves_out(&self, path: &str) -> bool {
        let parts: Vec<&str> = path.split('/').collect();
        self.0.iter().rfind(|pattern| pattern.takes(&parts)).is_some_and(|pattern| !pattern.keep)
    }

    /// Whether something below a left-out folder may be taken back, so that it must be walked.
    pub fn may_keep_below(&self, _folder: &str) -> bool {
        self.0.iter().any(|pattern| pattern.keep)
    }
}

impl Pattern {
    /// The path itself or one of its folders.
    fn takes(&self, path: &[&str]) -> bool {
        (1..=path.len()).any(|length| path.get(..length).is_some_and(|prefix| matches_parts(&self.parts, prefix)))
    }
}

/// Without `.`, empty parts and a leading `/`; `..` goes up where it can.
fn clean(line: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for part in line.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part.to_owned()),
        }
    }
    parts
}

fn matches_parts(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first == "**" => {
            (0..=path.len()).any(|skipped| path.get(skipped..).is_some_and(|left| matches_parts(rest, left)))
        }
        (Some((first, rest)), Some((name, left))) => {
            let pattern: Vec<char> = first.chars().collect();
            let name: Vec<char> = name.chars().collect();
            matches_name(&pattern, &name) && matches_parts(rest, left)
        }
        _ => false,
    }
}

/// Go's `filepath.Match` for one part: `*`, `?`, `[a-z]`, `[^a]`, `\x`.
fn matches_name(pattern: &[char], name: &[char]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return name.is_empty() };
    match first {
        '*' => (0..=name.len()).any(|skipped| name.get(skipped..).is_some_and(|left| matches_name(rest, left))),
        '?' => name.split_first().is_some_and(|(_, left)| matches_name(rest, left)),
        '[' => {
            let Some((character, left)) = name.split_first() else { return false };
            let Some(end) = rest.iter().skip(1).position(|next| *next == ']').map(|end| end + 1) else { return false };
            let set = rest.get(..end).unwrap_or_default();
            let (negated, set) = match set.split_first() {
                Some(('^' | '!', others)) => (true, others),
                _ => (false, set),
            };
            let mut inside = false;
            let mut index = 0;
            while let Some(low) = set.get(index) {
                match (set.get(index + 1), set.get(index + 2)) {
                    (Some('-'), Some(high)) => {
                        inside |= low <= character && character <= high;
                        index += 3;
                    }
                    _ => {
                        inside |= low == character;
                        index += 1;
                    }
                }
            }
            inside != negated && matches_name(rest.get(end + 1..).unwrap_or_default(), left)
        }
        '\\' => match (rest.split_first(), name.split_first()) {
            (Some((escaped, rest)), Some((character, left))) => escaped == character && matches_name(rest, left),
            _ => false,
        },
        plain => name.split_first().is_some_and(|(character, left)| character == plain && matches_name(rest, left)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_examples_hold() {
        let ignore =
            Ignore::parse("# comment\n*/temp*\n*/*/deep*\ntemp?\n*.md\n!README*.md\n**/*.go\n/rooted\nnode_modules/\n[ab].txt\n!x/keep.go");
        for path in [
            "sub/temporary.txt",
            "a/b/deeper",
            "tempa",
            "CHANGES.md",
            "x/y/z.go",
            "main.go",
            "rooted",
            "rooted/x",
            "node_modules/a/b",
            "a.txt",
            "a/temp/inside",
        ] {
            assert!(ignore.leaves_out(path), "{path}");
        }
        for path in ["temp", "README.md", "README-secret.md", "sub/rooted", "c.txt", "src/main.rs", "x/keep.go", "sub/CHANGES.md"] {
            assert!(!ignore.leaves_out(path), "{path}");
        }
        assert!(Ignore::parse("*\n!app").leaves_out("other"));
        assert!(!Ignore::parse("*\n!app").leaves_out("app/main.js"));
        assert!(Ignore::parse("**").leaves_out("a/b/c"));
        assert!(Ignore::parse("**/cache/**").leaves_out("a/cache/b"));
    }
}
