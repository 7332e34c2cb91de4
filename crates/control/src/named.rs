//! What use cases of named things share: checks of names with pointers, refusals of taken names, versions.

use contract::{Code, FieldError};
use domain::name::{InvalidName, check_description, check_icon, check_name, check_slug, slug_of};

use crate::error::{ControlError, Result};

/// Collects the faults of a request, so that all are told at once.
#[derive(Default)]
pub(crate) struct Faults(Vec<FieldError>);

impl Faults {
    pub fn add(&mut self, pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, code, detail));
    }

    pub fn check(&mut self, pointer: &str, outcome: std::result::Result<(), InvalidName>) {
        if let Err(error) = outcome {
            self.add(pointer, "invalid", error.0);
        }
    }

    /// # Errors
    /// `Invalid` when there is any.
    pub fn end(self) -> Result<()> {
        if self.0.is_empty() { Ok(()) } else { Err(ControlError::Invalid(self.0)) }
    }

    pub fn named(&mut self, name: Option<&str>, description: Option<&str>, icon: Option<&str>) {
        if let Some(name) = name {
            self.check("/name", check_name(name));
        }
        if let Some(description) = description {
            self.check("/description", check_description(description));
        }
        if let Some(icon) = icon.filter(|icon| !icon.is_empty()) {
            self.check("/icon", check_icon(icon));
        }
    }

    /// The slug that was given, or one made of the name.
    pub fn slug(&mut self, given: Option<String>, name: &str) -> String {
        let slug = match given {
            Some(slug) => slug,
            None => slug_of(name).unwrap_or_default(),
        };
        if slug.is_empty() {
            self.add("/slug", "required", "no slug can be made of the name; give one: lower-case letters, digits and hyphens");
        } else {
            self.check("/slug", check_slug(&slug));
        }
        slug
    }
}

/// A unique index said that the name is taken.
pub(crate) fn taken(index: &'static str, what: &'static str, name: &str) -> impl FnOnce(store::StoreError) -> ControlError {
    let detail = format!("There is already {what} `{name}` here. Choose another name.");
    move |error| if error.is_conflict_of(index) { ControlError::refused(Code::NameTaken, detail) } else { stale(error) }
}

/// A row that was changed since it was read.
pub(crate) fn stale(error: store::StoreError) -> ControlError {
    match error {
        store::StoreError::Stale { .. } => {
            ControlError::refused(Code::PreconditionFailed, "It was changed in the meantime. Read it again and repeat the change.")
        }
        other => other.into(),
    }
}

/// `If-Match` against the present version. `None` is allowed only where `required` is false; `*` fits anything.
///
/// # Errors
/// `precondition-required`, `precondition-failed`.
pub(crate) fn matches(if_match: Option<&str>, version: impl ToString, required: bool) -> Result<()> {
    match if_match {
        None if required => Err(ControlError::refused(
            Code::PreconditionRequired,
            "Send `If-Match` with the ETag that you read, or `If-Match: *` to change it whatever it is now.",
        )),
        None => Ok(()),
        Some(tags) => {
            let version = version.to_string();
            let fits = tags.split(',').map(str::trim).any(|tag| tag == "*" || tag.trim_matches('"') == version);
            if fits {
                Ok(())
            } else {
                Err(ControlError::refused(
                    Code::PreconditionFailed,
                    "It was changed since you read it. Read it again and repeat the change.",
                ))
            }
        }
    }
}

pub(crate) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
