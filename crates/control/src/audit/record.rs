//! Building a record from the one who acts.

use std::net::IpAddr;

use domain::id::OrganizationId;
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::Write;
use store::audit::{self, Chain, Record, Resource};

use crate::Control;
use crate::access::{Actor, Origin, Principal, Via};
use crate::error::Result;

/// A record that is being filled in.
#[must_use = "a record that is not appended is not written"]
pub struct Recording<'a> {
    control: &'a Control,
    record: Record,
}

impl Control {
    /// A record in the chain of the actor's organization. `action` is `resource.verb` in the past: `project.created`.
    pub fn record(&self, actor: &Actor, action: &'static str) -> Recording<'_> {
        self.record_in(Chain::Organization(actor.organization), &actor.principal, &actor.origin, action)
    }

    /// A record of what somebody did to the own account or to the instance.
    pub fn record_own(&self, principal: &Principal, origin: &Origin, action: &'static str) -> Recording<'_> {
        self.record_in(Chain::Instance, principal, origin, action)
    }

    /// A record in a chain that the principal has just come into, or left.
    pub fn record_in(&self, chain: Chain, principal: &Principal, origin: &Origin, action: &'static str) -> Recording<'_> {
        let who = match &principal.via {
            Via::Session { .. } => audit::Actor::user(principal.user),
            Via::Token { id, .. } => audit::Actor::token(id),
        };
        let mut recording = self.recording(chain, who, Some(origin), action);
        if let Via::Token { .. } = principal.via {
            recording.record.details = serde_json::json!({ "user": principal.user });
        }
        recording
    }

    /// A record of somebody who is not signed in (`user`: whose account it concerns, when there is one).
    pub fn record_visitor(&self, user: Option<domain::id::UserId>, origin: &Origin, action: &'static str) -> Recording<'_> {
        let who = user.map_or_else(audit::Actor::anonymous, audit::Actor::user);
        self.recording(Chain::Instance, who, Some(origin), action)
    }

    /// A record of Seaway itself; `part` is a job's kind or a reconciler's name.
    pub fn record_system(&self, organization: Option<OrganizationId>, part: &str, action: &'static str) -> Recording<'_> {
        let chain = organization.map_or(Chain::Instance, Chain::Organization);
        self.recording(chain, audit::Actor::system(part), None, action)
    }

    fn recording(&self, chain: Chain, who: audit::Actor, origin: Option<&Origin>, action: &'static str) -> Recording<'_> {
        let mut record = Record::new(chain, who, action);
        record.request_id = origin.map(|origin| origin.request.to_string());
        record.source_address = origin.and_then(|origin| origin.address).map(truncated);
        Recording { control: self, record }
    }
}

impl Recording<'_> {
    /// What it was done to: kind, id and its name at that time (not a person's).
    pub fn resource(mut self, kind: &'static str, id: impl ToString, name: Option<&str>) -> Self {
        self.record.resource = Some(Resource { kind, id: id.to_string(), name: name.map(str::to_owned) });
        self
    }

    /// Adds one detail.
    pub fn detail(mut self, name: &str, value: impl serde::Serialize) -> Self {
        if let (Value::Object(details), Ok(value)) = (&mut self.record.details, serde_json::to_value(value)) {
            details.insert(name.to_owned(), value);
        }
        self
    }

    /// Digests of the resource's state before and after.
    pub fn states(mut self, before: Option<&impl serde::Serialize>, after: Option<&impl serde::Serialize>) -> Self {
        self.record.before_digest = before.and_then(digest);
        self.record.after_digest = after.and_then(digest);
        self
    }

    /// Writes the record; the unit may then be committed.
    pub async fn append(self, write: &mut Write) -> Result<()> {
        audit::append(write, self.control.clock(), self.control.entropy(), self.record).await?;
        Ok(())
    }
}

fn digest(value: &impl serde::Serialize) -> Option<[u8; 32]> {
    serde_json::to_vec(value).ok().map(|bytes| Sha256::digest(bytes).into())
}

/// The network of an address: /24 or /48. Whole addresses are not kept.
pub fn truncated(address: IpAddr) -> String {
    let length = if address.is_ipv4() { 24 } else { 48 };
    ipnet::IpNet::new(address, length).map(|network| network.trunc().to_string()).unwrap_or_default()
}
