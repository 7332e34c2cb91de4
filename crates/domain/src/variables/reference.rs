//! References inside values: `${{project.X}}`, `${{environment.X}}`, `${{service.<slug>.X}}` or `${{<slug>.X}}`, `${{X}}`.
//! `$${{` is a literal `${{`.

use std::collections::BTreeSet;

/// What a reference names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reference {
    Project(String),
    Environment(String),
    /// Another service's variable, or its `HOST`, `PORT`, `URL`.
    Service {
        slug: String,
        name: String,
    },
    /// A variable of the level that the value stands in.
    Own(String),
}

/// A piece of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part<'a> {
    Text(&'a str),
    Reference(Reference),
    /// `${{…}}` that cannot be read.
    Malformed(&'a str),
}

/// Takes a value apart. The parts' texts put together again are the value, but for `$${{`.
pub fn parts(value: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = value;
    while let Some(at) = rest.find("${{") {
        let (before, after) = rest.split_at(at);
        let inside = after.get(3..).unwrap_or("");
        if before.ends_with('$') {
            // `$${{`: the second `$` and the braces are text.
            parts.push(Part::Text(before.get(..before.len() - 1).unwrap_or("")));
            parts.push(Part::Text(after.get(..3).unwrap_or("")));
            rest = inside;
            continue;
        }
        let Some(end) = inside.find("}}") else { break };
        parts.push(Part::Text(before));
        let (words, tail) = inside.split_at(end);
        parts.push(read(words).map_or(Part::Malformed(words), Part::Reference));
        rest = tail.get(2..).unwrap_or("");
    }
    parts.push(Part::Text(rest));
    parts.retain(|part| *part != Part::Text(""));
    parts
}

fn read(words: &str) -> Option<Reference> {
    let segments: Vec<&str> = words.trim_matches([' ', '\t']).split('.').collect();
    let word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let slug = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    Some(match segments.as_slice() {
        [name] | ["service", name] if word(name) => Reference::Own((*name).to_owned()),
        ["project", name] if word(name) => Reference::Project((*name).to_owned()),
        ["environment", name] if word(name) => Reference::Environment((*name).to_owned()),
        ["service", service, name] | [service, name] if slug(service) && word(name) => {
            Reference::Service { slug: (*service).to_owned(), name: (*name).to_owned() }
        }
        _ => return None,
    })
}

/// Slugs of the services that a value refers to.
pub fn services_of(value: &str) -> Vec<String> {
    let slugs: BTreeSet<String> = parts(value)
        .into_iter()
        .filter_map(|part| match part {
            Part::Reference(Reference::Service { slug, .. }) => Some(slug),
            _ => None,
        })
        .collect();
    slugs.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found() {
        let own = |name: &str| Part::Reference(Reference::Own(name.into()));
        for (value, expected) in [
            ("", vec![]),
            ("text $X ${X} {{X}}", vec![Part::Text("text $X ${X} {{X}}")]),
            ("${{X}}", vec![own("X")]),
            ("a${{ X }}b${{Y}}", vec![Part::Text("a"), own("X"), Part::Text("b"), own("Y")]),
            ("${{project.DB}}", vec![Part::Reference(Reference::Project("DB".into()))]),
            ("${{environment.N}}", vec![Part::Reference(Reference::Environment("N".into()))]),
            ("${{service.X}}", vec![own("X")]),
            ("${{db-1.URL}}", vec![Part::Reference(Reference::Service { slug: "db-1".into(), name: "URL".into() })]),
            ("${{service.db.URL}}", vec![Part::Reference(Reference::Service { slug: "db".into(), name: "URL".into() })]),
            ("${{a b}}", vec![Part::Malformed("a b")]),
            ("${{vault.a.b.c}}", vec![Part::Malformed("vault.a.b.c")]),
            ("open ${{X", vec![Part::Text("open ${{X")]),
            ("$${{X}}", vec![Part::Text("${{"), Part::Text("X}}")]),
        ] {
            assert_eq!(parts(value), expected, "{value}");
        }
        assert_eq!(services_of("${{b.X}}${{a.Y}}${{b.Z}}${{W}}"), ["a", "b"]);
    }
}
