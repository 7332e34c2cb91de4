//! Levels and references put together into what a container gets.
//!
//! A service inherits its environment's and its project's variables; the lower level wins. A reference is read in the level
//! that its value stands in: `${{X}}` in a project's value is the project's `X`. Whatever a hidden value flowed into is hidden.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use super::VariableKind;
use super::name::VALUE_BYTES_MAX;
use super::reference::{Part, Reference, parts};
use crate::Secret;

/// How long a chain of references may be.
pub const DEPTH_MAX: usize = 32;

/// Whose value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    Project,
    Environment,
    /// A service of the environment, by its slug.
    Service(String),
    /// What Seaway itself knows about a service: `HOST`, `PORT`, `URL`, `SEAWAY_…`.
    BuiltIn(String),
}

/// A value as it was entered.
#[derive(Debug, Clone)]
pub struct Found {
    pub value: Secret<String>,
    pub kind: VariableKind,
}

/// A value that cannot be brought, for example because the vault is sealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct LookupError(pub String);

/// Where values come from. Only what is needed is asked for.
pub trait Lookup {
    /// # Errors
    /// When the value is there but cannot be opened.
    fn find(&self, owner: &Owner, name: &str) -> Result<Option<Found>, LookupError>;
    /// Names of an owner's values; of [`Owner::BuiltIn`], those that go into the environment of the service itself.
    fn names(&self, owner: &Owner) -> Vec<String>;
    fn has_service(&self, slug: &str) -> bool;
}

/// One variable of the container.
#[derive(Debug, Clone)]
pub struct ResolvedValue {
    pub value: Secret<String>,
    /// Must not appear in a log.
    pub hidden: bool,
    /// The level that it comes from.
    pub owner: Owner,
}

#[derive(Debug, Clone, Default)]
pub struct Resolved {
    pub values: BTreeMap<String, ResolvedValue>,
    /// Hidden values that went into others, besides the hidden ones among `values`.
    pub masks: Vec<Secret<String>>,
    /// Services that were referred to: they are to be deployed first.
    pub services: BTreeSet<String>,
}

/// Why a variable has no value. Holds names only.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error("Invalid project environment variable: project.{name} (in {within})")]
    ProjectMissing { name: String, within: String },
    #[error("Invalid environment variable: environment.{name} (in {within})")]
    EnvironmentMissing { name: String, within: String },
    #[error("Invalid service environment variable: {name} (in {within})")]
    OwnMissing { name: String, within: String },
    #[error("Invalid service reference: {slug}.{name} (in {within}): this environment has no service `{slug}`")]
    ServiceMissing { slug: String, name: String, within: String },
    #[error("Invalid service reference: {slug}.{name} (in {within}): service `{slug}` has no variable `{name}`")]
    ServiceVariableMissing { slug: String, name: String, within: String },
    #[error(
        "Invalid reference in {within}: `{text}`. Write ${{{{NAME}}}}, ${{{{project.NAME}}}}, ${{{{environment.NAME}}}} or ${{{{service.NAME}}}}; write $${{{{ for a literal ${{{{"
    )]
    Malformed { text: String, within: String },
    #[error("{within} refers to {what}, which values of its level cannot; put it into the service")]
    Level { what: String, within: String },
    #[error("Variables refer to each other in a circle: {0}")]
    Cycle(String),
    #[error("{0}: the chain of references is longer than {DEPTH_MAX}")]
    TooDeep(String),
    #[error("{0}: the value is longer than {VALUE_BYTES_MAX} bytes once its references are filled in")]
    TooLong(String),
    #[error("{within}: {reason}")]
    Unreadable { within: String, reason: String },
}

/// Everything that the service's containers get.
///
/// # Errors
/// Every variable that cannot be resolved, each with its name.
pub fn resolve(service: &str, lookup: &dyn Lookup) -> Result<Resolved, Vec<ResolveError>> {
    let own = Owner::Service(service.to_owned());
    let built_in = Owner::BuiltIn(service.to_owned());
    let mut sources: BTreeMap<String, Owner> = BTreeMap::new();
    // The later wins: Seaway's own names cannot be taken over.
    for owner in [Owner::Project, Owner::Environment, own, built_in] {
        for name in lookup.names(&owner) {
            sources.insert(name, owner.clone());
        }
    }
    let resolver = Resolver { lookup, done: RefCell::default(), masks: RefCell::default(), services: RefCell::default() };
    let mut values = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, owner) in sources {
        match resolver.value(&owner, &name, &mut Vec::new()) {
            Ok(Some((value, hidden))) => {
                values.insert(name, ResolvedValue { value, hidden, owner });
            }
            Ok(None) => {}
            Err(error) if errors.contains(&error) => {}
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() {
        Ok(Resolved { values, masks: resolver.masks.into_inner(), services: resolver.services.into_inner() })
    } else {
        Err(errors)
    }
}

type Value = (Secret<String>, bool);

struct Resolver<'a> {
    lookup: &'a dyn Lookup,
    done: RefCell<BTreeMap<(Owner, String), Value>>,
    masks: RefCell<Vec<Secret<String>>>,
    services: RefCell<BTreeSet<String>>,
}

impl Resolver<'_> {
    fn value(&self, owner: &Owner, name: &str, path: &mut Vec<(Owner, String)>) -> Result<Option<Value>, ResolveError> {
        let key = (owner.clone(), name.to_owned());
        if let Some(value) = self.done.borrow().get(&key) {
            return Ok(Some(value.clone()));
        }
        let within = label(owner, name);
        if path.contains(&key) {
            let names: Vec<String> =
                path.iter().skip_while(|step| **step != key).chain([&key]).map(|(owner, name)| label(owner, name)).collect();
            return Err(ResolveError::Cycle(names.join(" → ")));
        }
        if path.len() >= DEPTH_MAX {
            return Err(ResolveError::TooDeep(within));
        }
        let found = self.lookup.find(owner, name).map_err(|error| ResolveError::Unreadable { within: within.clone(), reason: error.0 })?;
        let Some(found) = found else { return Ok(None) };
        path.push(key.clone());
        let filled = self.fill(owner, &found, &within, path);
        path.pop();
        let value = filled?;
        self.done.borrow_mut().insert(key, value.clone());
        Ok(Some(value))
    }

    fn fill(&self, owner: &Owner, found: &Found, within: &str, path: &mut Vec<(Owner, String)>) -> Result<Value, ResolveError> {
        let mut hidden = found.kind.is_hidden();
        if matches!(owner, Owner::BuiltIn(_)) {
            return Ok((found.value.clone(), hidden));
        }
        let parts = parts(found.value.reveal());
        // In a wrapper, so that a half-filled value is wiped too.
        let mut text = zeroize::Zeroizing::new(String::new());
        for part in parts {
            match part {
                Part::Text(piece) => text.push_str(piece),
                Part::Malformed(piece) => {
                    return Err(ResolveError::Malformed {
                        text: format!("${{{{{}}}}}", piece.chars().take(60).collect::<String>()),
                        within: within.to_owned(),
                    });
                }
                Part::Reference(reference) => {
                    let (value, secret) = self.referred(owner, &reference, within, path)?;
                    hidden |= secret;
                    if secret {
                        self.masks.borrow_mut().push(value.clone());
                    }
                    text.push_str(value.reveal());
                }
            }
            if text.len() > VALUE_BYTES_MAX {
                return Err(ResolveError::TooLong(within.to_owned()));
            }
        }
        Ok((Secret::new(std::mem::take(&mut *text)), hidden))
    }

    fn referred(&self, owner: &Owner, reference: &Reference, within: &str, path: &mut Vec<(Owner, String)>) -> Result<Value, ResolveError> {
        let within = within.to_owned();
        match reference {
            Reference::Project(name) => {
                self.value(&Owner::Project, name, path)?.ok_or_else(|| ResolveError::ProjectMissing { name: name.clone(), within })
            }
            Reference::Environment(_) if *owner == Owner::Project => Err(ResolveError::Level { what: "an environment".into(), within }),
            Reference::Environment(name) => {
                self.value(&Owner::Environment, name, path)?.ok_or_else(|| ResolveError::EnvironmentMissing { name: name.clone(), within })
            }
            Reference::Service { slug, .. } if *owner == Owner::Project => {
                Err(ResolveError::Level { what: format!("the service `{slug}`"), within })
            }
            Reference::Service { slug, name } => {
                if !self.lookup.has_service(slug) {
                    return Err(ResolveError::ServiceMissing { slug: slug.clone(), name: name.clone(), within });
                }
                self.services.borrow_mut().insert(slug.clone());
                self.effective(&Owner::Service(slug.clone()), name, path)?.ok_or_else(|| ResolveError::ServiceVariableMissing {
                    slug: slug.clone(),
                    name: name.clone(),
                    within,
                })
            }
            Reference::Own(name) => {
                self.effective(owner, name, path)?.ok_or_else(|| ResolveError::OwnMissing { name: name.clone(), within })
            }
        }
    }

    /// A value as seen from a level: its own, else what it inherits, else what Seaway knows.
    fn effective(&self, owner: &Owner, name: &str, path: &mut Vec<(Owner, String)>) -> Result<Option<Value>, ResolveError> {
        let chain = match owner {
            Owner::Project => vec![Owner::Project],
            Owner::Environment => vec![Owner::Environment, Owner::Project],
            Owner::Service(slug) | Owner::BuiltIn(slug) => {
                vec![Owner::Service(slug.clone()), Owner::Environment, Owner::Project, Owner::BuiltIn(slug.clone())]
            }
        };
        for owner in chain {
            if let Some(value) = self.value(&owner, name, path)? {
                return Ok(Some(value));
            }
        }
        Ok(None)
    }
}

fn label(owner: &Owner, name: &str) -> String {
    match owner {
        Owner::Project => format!("project.{name}"),
        Owner::Environment => format!("environment.{name}"),
        Owner::Service(slug) | Owner::BuiltIn(slug) => format!("{slug}.{name}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Values(BTreeMap<(Owner, String), (String, VariableKind)>);

    impl Values {
        fn with(mut self, owner: &str, name: &str, value: &str) -> Self {
            let (owner, kind) = owner.split_once('!').map_or((owner, VariableKind::Plain), |(owner, _)| (owner, VariableKind::Secret));
            let owner = match owner {
                "P" => Owner::Project,
                "E" => Owner::Environment,
                other => match other.strip_prefix('+') {
                    Some(slug) => Owner::BuiltIn(slug.into()),
                    None => Owner::Service(other.into()),
                },
            };
            self.0.insert((owner, name.into()), (value.into(), kind));
            self
        }

        fn of_web(self) -> Result<BTreeMap<String, String>, Vec<ResolveError>> {
            resolve("web", &self)
                .map(|resolved| resolved.values.into_iter().map(|(name, value)| (name, value.value.reveal().clone())).collect())
        }

        fn get(self, name: &str) -> String {
            self.of_web().unwrap().remove(name).unwrap()
        }

        fn error(self) -> String {
            self.of_web().unwrap_err().iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
        }
    }

    impl Lookup for Values {
        fn find(&self, owner: &Owner, name: &str) -> Result<Option<Found>, LookupError> {
            Ok(self.0.get(&(owner.clone(), name.to_owned())).map(|(value, kind)| Found { value: Secret::new(value.clone()), kind: *kind }))
        }
        fn names(&self, owner: &Owner) -> Vec<String> {
            let public = |name: &str| !matches!(owner, Owner::BuiltIn(_)) || !matches!(name, "HOST" | "URL");
            self.0.keys().filter(|(of, name)| of == owner && public(name)).map(|(_, name)| name.clone()).collect()
        }
        fn has_service(&self, slug: &str) -> bool {
            self.0.keys().any(|(owner, _)| matches!(owner, Owner::Service(of) | Owner::BuiltIn(of) if of == slug))
        }
    }

    fn values() -> Values {
        Values::default()
    }

    #[test]
    fn levels_are_inherited_and_the_lower_one_wins() {
        let all = values()
            .with("P", "A", "p")
            .with("P", "V", "p")
            .with("E", "B", "e")
            .with("E", "V", "e")
            .with("web", "V", "s")
            .of_web()
            .unwrap();
        assert_eq!(all, BTreeMap::from([("A", "p"), ("B", "e"), ("V", "s")].map(|(name, value)| (name.to_owned(), value.to_owned()))));
        assert!(values().of_web().unwrap().is_empty());
    }

    #[test]
    fn references_are_filled_in() {
        assert_eq!(
            values().with("P", "ENVIRONMENT", "staging").with("web", "ENVIRONMENT", "${{project.ENVIRONMENT}}").get("ENVIRONMENT"),
            "staging"
        );
        assert_eq!(
            values().with("P", "DB", "d").with("E", "NAME", "n").with("web", "U", "${{project.DB}}/${{environment.NAME}}").get("U"),
            "d/n"
        );
        assert_eq!(
            values()
                .with("E", "NODE_ENV", "development")
                .with("web", "SERVICE_NAME", "my-service")
                .with("web", "C", "${{SERVICE_NAME}}-${{environment.NODE_ENV}}")
                .get("C"),
            "my-service-development"
        );
        let database = values().with("db", "PASSWORD", "x").with("+db", "HOST", "db-host").with("+db", "PORT", "5432");
        assert_eq!(
            database.with("web", "U", "postgres://u:${{db.PASSWORD}}@${{service.db.HOST}}:${{db.PORT}}").get("U"),
            "postgres://u:x@db-host:5432"
        );
        assert_eq!(
            values().with("P", "A", "p").with("P", "B", "${{A}}").with("web", "A", "s").get("B"),
            "p",
            "a value is read in its own level"
        );
        assert_eq!(values().with("E", "REGION", "eu").with("db", "X", "${{REGION}}").with("web", "Y", "${{db.X}}").get("Y"), "eu");
        assert_eq!(values().with("+web", "PORT", "3000").with("web", "PORT", "1").get("PORT"), "3000", "what Seaway sets wins");
        assert_eq!(values().with("web", "X", "$${{A}} pa$$word ${{").get("X"), "${{A}} pa$$word ${{");
        assert_eq!(values().with("web", "X", "${{Y}}").with("+web", "Y", "${{X}}").get("X"), "${{X}}", "built-ins are not read again");
    }

    #[test]
    fn missing_names_are_named() {
        assert!(
            values().with("web", "X", "${{project.MISSING}}").error().starts_with("Invalid project environment variable: project.MISSING")
        );
        assert!(
            values().with("web", "X", "${{environment.MISSING}}").error().starts_with("Invalid environment variable: environment.MISSING")
        );
        assert!(values().with("web", "X", "${{MISSING}}").error().starts_with("Invalid service environment variable: MISSING"));
        assert!(values().with("web", "X", "${{db.URL}}").error().contains("no service `db`"));
        assert!(values().with("db", "A", "1").with("web", "X", "${{db.URL}}").error().contains("no variable `URL`"));
        assert!(values().with("web", "X", "${{a b}}").error().contains("${{a b}}"));
        assert!(values().with("P", "X", "${{db.URL}}").error().contains("cannot"));
        let both = values().with("web", "X", "${{A}}").with("web", "Y", "${{B}}").of_web().unwrap_err();
        assert_eq!(both.len(), 2, "every error at once");
    }

    #[test]
    fn circles_and_long_chains_are_refused() {
        assert_eq!(
            values().with("web", "A", "${{B}}").with("web", "B", "${{A}}").error(),
            "Variables refer to each other in a circle: web.A → web.B → web.A; Variables refer to each other in a circle: web.B → web.A → web.B"
        );
        assert!(values().with("web", "A", "${{A}}").error().contains("circle"));
        assert!(values().with("web", "A", "${{db.A}}").with("db", "A", "${{web.A}}").error().contains("circle"));
        let mut chain = values();
        for at in 0..40 {
            chain = chain.with("web", &format!("A{at:02}"), &format!("${{{{A{:02}}}}}", at + 1));
        }
        assert!(chain.with("web", "A40", "end").error().contains("longer than"));
        let mut doubling = values().with("web", "A0", "xxxxxxxxxxxxxxxx");
        for at in 1..20 {
            doubling = doubling.with("web", &format!("A{at}"), &format!("${{{{A{0}}}}}${{{{A{0}}}}}", at - 1));
        }
        assert!(doubling.error().contains("bytes"));
    }

    #[test]
    fn what_a_secret_flowed_into_is_hidden() {
        let resolved =
            resolve("web", &values().with("db!", "PASSWORD", "s3cr3t").with("web", "URL", "u:${{db.PASSWORD}}").with("web", "PLAIN", "p"))
                .unwrap();
        assert!(resolved.values["URL"].hidden && !resolved.values["PLAIN"].hidden);
        assert_eq!(resolved.masks.len(), 1);
        assert_eq!(resolved.masks[0].reveal(), "s3cr3t");
        assert_eq!(resolved.services, BTreeSet::from(["db".to_owned()]));
    }
}
