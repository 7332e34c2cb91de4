use ::mail::Template;
use chrono::TimeDelta;
use contract::tokens::{CreateToken, CreatedToken, TokenRate};
use domain::id::{EnvironmentId, OrganizationId, ProjectId, ServiceId, TokenId};
use ipnet::IpNet;
use store::tokens::{self, TokenRow};
use store::{Json, users};
use vault::token::PersonalToken;

use super::shown;
use crate::Control;
use crate::access::{Kind, Located, Origin, Principal};
use crate::accounts::valid_name;
use crate::error::{ControlError, Result};
use crate::mail::Addressee;

const DAYS_DEFAULT: u32 = 90;
const DAYS_MAX: u32 = 365;
/// Tokens of one person.
const TOKENS_MAX: i64 = 50;
const RATE_REQUESTS_MAX: u32 = 100_000;
const RATE_WINDOW_SECONDS_MAX: u32 = 86_400;
/// Networks in a token's list.
const ADDRESSES_MAX: usize = 50;

#[derive(Default)]
struct Confined {
    organization: Option<OrganizationId>,
    project: Option<ProjectId>,
    environment: Option<EnvironmentId>,
    service: Option<ServiceId>,
}

impl Control {
    /// Makes a token of the principal. Its text is in this answer and nowhere else.
    ///
    /// # Errors
    /// `Invalid` for the fields; a resource that the principal cannot reach is `Invalid` too.
    pub async fn create_token(&self, principal: &Principal, origin: &Origin, request: &CreateToken) -> Result<CreatedToken> {
        principal.require_session()?;
        principal.require_verified()?;
        self.require_feature(contract::instance::Feature::Tokens).await?;
        let name = valid_name("/name", &request.name)?;
        if request.scopes.is_empty() {
            return Err(ControlError::invalid("/scopes", "empty", "A token without scopes can do nothing. Name at least one."));
        }
        let days = request.expires_in_days.unwrap_or(DAYS_DEFAULT);
        if !(1..=DAYS_MAX).contains(&days) {
            return Err(ControlError::invalid("/expires_in_days", "out-of-range", format!("{days} is not between 1 and {DAYS_MAX}.")));
        }
        let addresses = request.addresses.as_deref().map(networks).transpose()?;
        if let Some(rate) = request.rate {
            check_rate(rate)?;
        }
        let confined = self.confined(principal, origin, request).await?;
        let mut read = self.store().read().await?;
        let count = tokens::count(&mut read, principal.user).await?;
        if count >= TOKENS_MAX {
            let (current, max) = (u64::try_from(count).unwrap_or(0), u64::try_from(TOKENS_MAX).unwrap_or(0));
            return Err(ControlError::Limit { name: "tokens", current, max });
        }
        let user = users::find(&mut read, principal.user).await?.ok_or(ControlError::NotFound("account"))?;
        let now = self.clock().now();
        let secret = PersonalToken::generate(TokenId::new(self.clock(), self.entropy()), self.entropy());
        let row = TokenRow {
            id: secret.id,
            user_id: user.id,
            name,
            digest: secret.digest.as_bytes().to_vec(),
            scopes: Json(request.scopes.clone()),
            organization_id: confined.organization,
            project_id: confined.project,
            environment_id: confined.environment,
            service_id: confined.service,
            addresses: addresses.map(Json),
            rate_requests: request.rate.map(|rate| i64::from(rate.requests)),
            rate_window_seconds: request.rate.map(|rate| i64::from(rate.window_seconds)),
            created_at: now,
            expires_at: now + TimeDelta::days(i64::from(days)),
            last_used_at: None,
            warned_at: None,
        };
        let template = Template::TokenCreated {
            token_name: row.name.clone(),
            at: now,
            origin: self.mail_origin(origin, None),
            expires_at: row.expires_at,
            tokens_link: self.link("account/tokens"),
        };
        let letter = self.letter(&Addressee::from(&user), None, &template).await?;
        let mut write = self.store().write().await?;
        tokens::insert(&mut write, &row).await?;
        self.post(&mut write, letter).await?;
        self.record_own(principal, origin, "token.created")
            .resource("token", row.id, Some(&row.name))
            .detail("scopes", &row.scopes)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(CreatedToken { token: shown(row), text: secret.text.reveal().clone() })
    }

    /// Each named resource is one that the principal reaches; they lie within each other, and what is above is filled in.
    async fn confined(&self, principal: &Principal, origin: &Origin, request: &CreateToken) -> Result<Confined> {
        let mut confined = Confined::default();
        let named = [
            (Kind::Organization, "/organization", request.organization.map(|id| id.to_string())),
            (Kind::Project, "/project", request.project.map(|id| id.to_string())),
            (Kind::Environment, "/environment", request.environment.map(|id| id.to_string())),
            (Kind::Service, "/service", request.service.map(|id| id.to_string())),
        ];
        for (kind, pointer, text) in named {
            let Some(text) = text else { continue };
            let located = match self.actor(principal, origin, kind, &text).await {
                Ok(actor) => actor.located,
                Err(ControlError::NotFound(_)) => {
                    return Err(ControlError::invalid(
                        pointer,
                        "not-found",
                        format!("There is no such {}, or you have no access to it.", kind.word()),
                    ));
                }
                Err(other) => return Err(other),
            };
            confined
                .narrow(&located)
                .ok_or_else(|| ControlError::invalid(pointer, "elsewhere", "It does not lie within what the other fields name."))?;
        }
        Ok(confined)
    }
}

impl Confined {
    fn narrow(&mut self, located: &Located) -> Option<()> {
        fn agree<T: PartialEq + Copy>(known: &mut Option<T>, found: Option<T>) -> Option<()> {
            match (*known, found) {
                (Some(known), Some(found)) if known != found => None,
                (Some(_), None) => None,
                _ => {
                    *known = found;
                    Some(())
                }
            }
        }
        agree(&mut self.organization, Some(located.organization))?;
        agree(&mut self.project, located.project)?;
        agree(&mut self.environment, located.environment)?;
        agree(&mut self.service, located.service)
    }
}

fn check_rate(rate: TokenRate) -> Result<()> {
    for (pointer, number, max) in
        [("/rate/requests", rate.requests, RATE_REQUESTS_MAX), ("/rate/window_seconds", rate.window_seconds, RATE_WINDOW_SECONDS_MAX)]
    {
        if !(1..=max).contains(&number) {
            return Err(ControlError::invalid(pointer, "out-of-range", format!("{number} is not between 1 and {max}.")));
        }
    }
    Ok(())
}

fn networks(list: &[String]) -> Result<Vec<String>> {
    if list.is_empty() || list.len() > ADDRESSES_MAX {
        return Err(ControlError::invalid("/addresses", "length", format!("Name 1 to {ADDRESSES_MAX} networks, or leave the field out.")));
    }
    let parse = |(place, text): (usize, &String)| {
        let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
        network.map(|network| network.trunc().to_string()).ok_or_else(|| {
            ControlError::invalid(
                format!("/addresses/{place}"),
                "network",
                format!("{text:?} is not an address or a network like 192.0.2.0/24."),
            )
        })
    };
    list.iter().enumerate().map(parse).collect()
}
