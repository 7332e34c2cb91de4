//! A second set of replicas that gets a share of the visitors.

use serde::{Deserialize, Serialize};

use super::{Replica, RouteError, at_most, range};

/// Visitors that always see the new release.
pub const ALLOWED_MAX: usize = 256;
const NAME_BYTES_MAX: usize = 100;

/// A visitor is known by a cookie: the app's own (`visitor_cookie`), or one that the ingress sets. Its hash decides, so the
/// choice sticks, and a larger share keeps those who see the new release already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Ids must differ from those of the route's other replicas.
    pub replicas: Vec<Replica>,
    /// Of 1000 visitors.
    pub weight_permille: u16,
    /// A cookie of the app whose value stands for the visitor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visitor_cookie: Option<String>,
    /// Values of `visitor_cookie` that see the new release at any weight above or equal to 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub visitors: Vec<String>,
}

impl Canary {
    pub(super) fn validate(&self) -> Result<(), RouteError> {
        at_most("replicas of the canary", self.replicas.len(), super::REPLICAS_MAX)?;
        at_most("visitors of the canary", self.visitors.len(), ALLOWED_MAX)?;
        range("canary.weight_permille", u64::from(self.weight_permille), 0, 1_000)?;
        if self.replicas.is_empty() {
            return Err(RouteError::NoReplica);
        }
        if let Some(name) = &self.visitor_cookie {
            super::policy::validate_cookie_name(name)?;
        }
        match self.visitors.iter().find(|visitor| visitor.is_empty() || visitor.len() > NAME_BYTES_MAX) {
            Some(_) => Err(RouteError::Policy { what: "canary.visitors", reason: format!("a visitor has 1 to {NAME_BYTES_MAX} bytes") }),
            None => Ok(()),
        }
    }
}
