//! What a Dockerfile makes the engine fetch: base images, and files by `ADD`. The engine connects by itself, outside of the
//! networks and rules of builds, so what it is sent to is checked before.
//!
//! It must never let through what it cannot read: a name that stays unknown is refused, not passed on.

use std::collections::{BTreeMap, BTreeSet};

use bollard::Docker;
use domain::deployment::{Cause, Failure, Step};

use super::dockerfile::instructions;
use crate::egress::{EgressPolicy, Purpose};
use crate::source::image::{Reference, is_of_builds};

/// What `ADD` understands as an address of the network.
const ADDRESSES: [&str; 7] = ["http://", "https://", "ftp://", "git://", "ssh://", "git@", "github.com/"];
const IMAGES_MAX: usize = 100;

/// What the operator lets a Dockerfile do, and what the engine has.
pub struct Bases<'a> {
    pub docker: &'a Docker,
    pub egress: &'a EgressPolicy,
    pub add_from_network: bool,
}

impl Bases<'_> {
    /// Every image and address that the file names may be fetched.
    ///
    /// # Errors
    /// The first that may not, with the line's text.
    pub async fn check(&self, text: &str, arguments: &BTreeMap<String, String>) -> Result<(), Failure> {
        let needed = needed(text, arguments)?;
        if let Some(address) = needed.added.first().filter(|_| !self.add_from_network) {
            return Err(super::failure::build(
                format!("`ADD {address}` makes the server itself fetch from the network, which this instance does not do."),
                "Fetch it in a step of the build instead, such as `RUN curl -fsSLO …`, or put the file into the source.",
            ));
        }
        if needed.images.len() > IMAGES_MAX {
            return Err(super::failure::build(format!("The Dockerfile names more than {IMAGES_MAX} images."), "Use fewer."));
        }
        for image in &needed.images {
            self.check_image(image).await?;
        }
        Ok(())
    }

    async fn check_image(&self, text: &str) -> Result<(), Failure> {
        let reference = Reference::parse(text).map_err(|failure| Failure { step: Step::Build, ..failure })?;
        if is_of_builds(&reference) {
            return Err(Failure::new(
                Cause::Image,
                Step::Build,
                format!("The image {text} is one that this instance built for a service; such images are not for others."),
                "Push the image to a registry and name it there, or copy the steps of its Dockerfile.",
            ));
        }
        let Some((host, port)) = reference.registry() else { return Ok(()) };
        if self.docker.inspect_image(&reference.full()).await.is_ok() {
            return Ok(());
        }
        self.egress.pin(&host, port, Purpose::Http).await.map(drop).map_err(|error| {
            Failure::new(
                Cause::Image,
                Step::Build,
                format!("The registry of the image {text} cannot be used: {error}."),
                "Use a public registry, or let the operator allow this network (egress_allow).",
            )
        })
    }
}

/// What the engine would fetch.
#[derive(Debug, Default, PartialEq, Eq)]
struct Needed {
    images: BTreeSet<String>,
    added: Vec<String>,
}

fn needed(text: &str, arguments: &BTreeMap<String, String>) -> Result<Needed, Failure> {
    let mut needed = Needed::default();
    let mut globals = platform();
    let mut stages: Vec<String> = Vec::new();
    for logical in instructions(text) {
        let (word, rest) = first_word(&logical);
        let (word, rest) = if word == "ONBUILD" { first_word(rest) } else { (word, rest) };
        match word.as_str() {
            "ARG" if stages.is_empty() => {
                for declared in rest.split_whitespace() {
                    let (name, default) = declared.split_once('=').map_or((declared, None), |(name, default)| (name, Some(default)));
                    let value = match (arguments.get(name), default) {
                        (Some(given), _) => Some(given.clone()),
                        (None, Some(default)) => expand(unquoted(default), &globals),
                        (None, None) => None,
                    };
                    if let Some(value) = value {
                        globals.insert(name.to_owned(), value);
                    }
                }
            }
            "FROM" => {
                let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
                let written = words.first().copied().unwrap_or_default();
                let image = expand(unquoted(written), &globals).ok_or_else(|| unknown("FROM", written))?;
                if !image.is_empty() && image != "scratch" && !stages.contains(&image.to_lowercase()) {
                    needed.images.insert(image);
                }
                let name = words.get(1).filter(|word| word.eq_ignore_ascii_case("as")).and(words.get(2));
                stages.push(name.map_or_else(String::new, |name| name.to_lowercase()));
            }
            "COPY" => {
                let from = flags(rest).find_map(|flag| flag.strip_prefix("--from=").map(str::to_owned));
                needed.images.extend(from.and_then(|from| outside(&from, &stages)));
            }
            "RUN" => {
                for flag in flags(rest).filter(|flag| flag.starts_with("--mount=")) {
                    let from =
                        flag.trim_start_matches("--mount=").split(',').filter_map(|field| field.trim_matches('"').strip_prefix("from="));
                    needed.images.extend(from.filter_map(|from| outside(from, &stages)));
                }
            }
            "ADD" => needed.added.extend(sources(rest).into_iter().filter(|source| may_be_address(source))),
            _ => {}
        }
    }
    Ok(needed)
}

/// Names that the engine knows without a declaration.
fn platform() -> BTreeMap<String, String> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let mut known = BTreeMap::new();
    for side in ["BUILD", "TARGET"] {
        known.insert(format!("{side}PLATFORM"), format!("linux/{architecture}"));
        known.insert(format!("{side}OS"), "linux".to_owned());
        known.insert(format!("{side}ARCH"), architecture.to_owned());
        known.insert(format!("{side}VARIANT"), String::new());
    }
    known
}

fn first_word(text: &str) -> (String, &str) {
    let text = text.trim_start();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word.to_ascii_uppercase(), rest)
}

fn flags(rest: &str) -> impl Iterator<Item = String> + '_ {
    rest.split_whitespace().take_while(|word| word.starts_with("--")).map(|word| unquoted(word).to_owned())
}

/// A stage is none of the engine's business; everything else is an image.
fn outside(from: &str, stages: &[String]) -> Option<String> {
    let from = unquoted(from);
    let is_stage = from.is_empty() || from == "scratch" || from.parse::<usize>().is_ok() || stages.contains(&from.to_lowercase());
    (!is_stage).then(|| from.to_owned())
}

fn sources(rest: &str) -> Vec<String> {
    let rest = rest.trim_start();
    let skipped: usize = rest.split_whitespace().take_while(|word| word.starts_with("--")).count();
    let after: Vec<&str> = rest.split_whitespace().skip(skipped).collect();
    let joined = after.join(" ");
    let mut words: Vec<String> = match serde_json::from_str::<Vec<String>>(&joined) {
        Ok(words) => words,
        Err(_) => after.iter().map(|word| unquoted(word).to_owned()).collect(),
    };
    words.pop();
    words
}

/// A source that begins with a variable may turn out to be an address.
fn may_be_address(source: &str) -> bool {
    let source: String = source.chars().filter(|character| !matches!(character, '"' | '\'' | '\\')).collect();
    let (known, is_whole) = source.split_once('$').map_or((source.as_str(), true), |(known, _)| (known, false));
    let known = known.to_ascii_lowercase();
    ADDRESSES.iter().any(|address| known.starts_with(address) || (!is_whole && address.starts_with(&known)))
}

fn unquoted(text: &str) -> &str {
    ['"', '\''].iter().find_map(|quote| text.strip_prefix(*quote)?.strip_suffix(*quote)).unwrap_or(text)
}

/// `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME:+word}`. `None`: another form, whose value is not known here.
fn expand(text: &str, values: &BTreeMap<String, String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(inner) = after.strip_prefix('{') {
            let (inner, behind) = inner.split_once('}')?;
            let end = inner.find(|character: char| !is_name(character)).unwrap_or(inner.len());
            let (name, form) = inner.split_at(end);
            let value = values.get(name).filter(|value| !value.is_empty());
            match (form.get(..2), form.get(2..)) {
                _ if form.is_empty() && !name.is_empty() => out.push_str(value.map_or("", String::as_str)),
                (Some(":-"), Some(word)) if !word.contains('$') => out.push_str(value.map_or(word, String::as_str)),
                (Some(":+"), Some(word)) if !word.contains('$') => out.push_str(if value.is_some() { word } else { "" }),
                _ => return None,
            }
            rest = behind;
        } else {
            let end = after.find(|character: char| !is_name(character)).unwrap_or(after.len());
            let (name, behind) = after.split_at(end);
            if name.is_empty() {
                return None;
            }
            out.push_str(values.get(name).map_or("", String::as_str));
            rest = behind;
        }
    }
    out.push_str(rest);
    Some(out)
}

fn is_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn unknown(instruction: &str, written: &str) -> Failure {
    super::failure::build(
        format!("`{instruction} {written}` uses a form of variable that Seaway cannot work out, so the image cannot be checked."),
        "Use ${NAME} or ${NAME:-default}, or write the image's name out.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(text: &str) -> Vec<String> {
        needed(text, &BTreeMap::from([("GIVEN".into(), "10.0.0.1:5000".into())])).unwrap().images.into_iter().collect()
    }

    #[test]
    fn images_are_found_wherever_they_are_named() {
        let table: &[(&str, &[&str])] = &[
            ("FROM a", &["a"]),
            ("from --platform=$BUILDPLATFORM a:1 as x\nFROM x\nCOPY --from=x / /\nCOPY --from=0 / /\n", &["a:1"]),
            ("FROM scratch\nCOPY --chown=1 --from=b/c:2 /x /y", &["b/c:2"]),
            ("FROM a\nRUN --mount=type=bind,from=10.0.0.2/x,target=/x true", &["10.0.0.2/x", "a"]),
            ("ARG V=2\nFROM a:${V}", &["a:2"]),
            ("ARG GIVEN=public.example\nFROM ${GIVEN}/a", &["10.0.0.1:5000/a"]),
            ("ARG NONE\nFROM ${NONE:-127.0.0.1:5000}/a", &["127.0.0.1:5000/a"]),
            ("FROM \\\n  \"10.0.0.3/a\"", &["10.0.0.3/a"]),
            ("FROM a\nRUN <<EOF\nFROM nothing\nEOF\n", &["a"]),
            ("FROM a AS one-amd64\nFROM one-${TARGETARCH}", &["a"]),
        ];
        for (text, expected) in table {
            if text.contains("one-") && std::env::consts::ARCH != "x86_64" {
                continue;
            }
            assert_eq!(images(text), *expected, "{text}");
        }
        assert!(needed("ARG V=1\nFROM a:${V%x}", &BTreeMap::new()).is_err());
    }

    #[test]
    fn additions_from_the_network_are_found() {
        let added = |line: &str| needed(&format!("FROM a\n{line}\n"), &BTreeMap::new()).unwrap().added.len();
        for line in [
            "ADD https://a.example/x /x",
            "add --chown=1:1 HTTP://169.254.169.254/ /x",
            "ADD [\"http://127.0.0.1/\", \"/x\"]",
            "ADD $URL /x",
            "ADD ht${T}p://127.0.0.1/ /x",
            "ADD \\\n http://127.0.0.1/ /x",
            "ONBUILD ADD http://127.0.0.1/ /x",
            "ADD git@a.example:b.git /x",
            "ADD h\"tt\"p://127.0.0.1/ /x",
        ] {
            assert_eq!(added(line), 1, "{line}");
        }
        for line in ["ADD a.tar /x", "ADD ./$NAME /x", "COPY $A /x", "ADD files/http /x", "# ADD http://a /x"] {
            assert_eq!(added(line), 0, "{line}");
        }
    }
}
