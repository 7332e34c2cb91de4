//! People: sign-up, log-in, the own account, sessions.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use domain::Secret;
use domain::id::{EnvironmentId, OrganizationId, ProjectId, ServiceId, SessionId, TokenId, UserId};
use domain::permission::Permission;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What was done, in words; the same for known and unknown addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Notice {
    pub detail: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignUp {
    pub email: String,
    pub password: Secret<String>,
    pub name: String,
    /// The token of an invitation; needed where sign-up is by invitation.
    #[serde(default)]
    pub invitation: Option<Secret<String>>,
}

/// Either the address with the code, or the token of the link.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct VerifyEmail {
    #[serde(default)]
    pub email: Option<String>,
    #[serde(default)]
    pub code: Option<Secret<String>>,
    #[serde(default)]
    pub token: Option<Secret<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailOnly {
    pub email: String,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenOnly {
    pub token: Secret<String>,
}

/// Either the token of the link or the code, both from the mail to the new address.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmEmailChange {
    #[serde(default)]
    pub token: Option<Secret<String>>,
    #[serde(default)]
    pub code: Option<Secret<String>>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LogIn {
    pub email: String,
    pub password: Secret<String>,
}

/// A session has begun or has a new cookie: send `csrf_token` as `X-CSRF-Token` with every change.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SignedIn {
    pub user: User,
    pub csrf_token: String,
    pub expires_at: DateTime<Utc>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub name: String,
    pub email_verified: bool,
    /// May change the instance's settings.
    pub operator: bool,
}

/// Who the request comes from, and by what right.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Me {
    #[serde(flatten)]
    pub user: User,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_organization: Option<OrganizationId>,
    /// Only for sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<MySession>,
    /// Only for tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<MyToken>,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MySession {
    pub id: SessionId,
    pub csrf_token: String,
    /// False: what needs a fresh password asks for `POST /me/step-up` first.
    pub password_is_fresh: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct MyToken {
    pub id: TokenId,
    pub scopes: BTreeSet<Permission>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub organization: Option<OrganizationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ProjectId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceId>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeMe {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The organization that is shown first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_organization: Option<OrganizationId>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUp {
    pub password: Secret<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangePassword {
    pub current_password: Secret<String>,
    pub new_password: Secret<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetPassword {
    /// From the link in the mail.
    pub token: Secret<String>,
    pub password: Secret<String>,
}

/// A signed-in browser.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Session {
    pub id: SessionId,
    /// Browser and system.
    pub device: Option<String>,
    /// Network it was signed in from.
    pub network: Option<String>,
    pub created_at: DateTime<Utc>,
    pub last_used_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    /// The one that asks.
    pub current: bool,
}

/// How many sessions ended.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionsEnded {
    pub ended: u64,
}
