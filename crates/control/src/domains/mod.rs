//! Hosts of services. Until proof of control by a TXT record exists (it comes with certificates), whoever adds a host first
//! has it; nobody else can take it then.

use contract::Code;
use contract::Page;
use contract::page::PageQuery;
use contract::services::{AddDomain, Domain, Domains};
use domain::host::{canonical, is_within};
use domain::id::DomainId;
use domain::permission::Permission;
use store::domains::{self, DomainRow};
use store::services::{self, Reach, ServiceRow};

use crate::access::Actor;
use crate::error::{ControlError, Result};
use crate::state::Control;

/// Custom domains of one service.
const DOMAINS_MAX: usize = 100;

impl Control {
    fn shown_domain(&self, row: DomainRow) -> Domain {
        Domain {
            id: Some(row.id),
            service: row.service_id,
            url: self.url_of(&row.host),
            host: row.host,
            primary: row.is_primary,
            generated: false,
            created_at: row.created_at,
        }
    }

    fn generated_domain(&self, row: &ServiceRow, primary: bool) -> Domain {
        Domain {
            id: None,
            service: row.id,
            host: self.generated_host(&row.app_name),
            url: self.generated_url(&row.app_name),
            primary,
            generated: true,
            created_at: row.created_at,
        }
    }

    /// The host of the instance itself.
    pub(crate) fn is_own_host(&self, host: &str) -> bool {
        let base = self.base_url();
        let authority = base.split_once("://").map_or(base, |(_, rest)| rest).split('/').next().unwrap_or_default();
        let own = authority
            .rsplit_once(':')
            .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
            .map_or(authority, |(name, _)| name);
        own.eq_ignore_ascii_case(host)
    }

    /// The generated host and the custom ones of the service.
    pub async fn list_domains(&self, actor: &Actor) -> Result<Domains> {
        actor.require(Permission::ServicesRead)?;
        let mut read = self.store().read().await?;
        let row = services::find(&mut read, actor.organization, actor.service()?).await?.ok_or(ControlError::NotFound("service"))?;
        let own = domains::all_of_service(&mut read, actor.organization, row.id).await?;
        let generated = self.generated_domain(&row, own.iter().all(|domain| !domain.is_primary));
        Ok(Domains { data: std::iter::once(generated).chain(own.into_iter().map(|row| self.shown_domain(row))).collect() })
    }

    /// Custom domains of the whole organization.
    pub async fn list_organization_domains(&self, actor: &Actor, query: &PageQuery) -> Result<Page<Domain>> {
        actor.require(Permission::ServicesRead)?;
        let list = format!("domains/{}", actor.organization);
        let page = self.page_of(&list, query)?;
        let listing = domains::list(&mut self.store().read().await?, actor.organization, &actor.sight, &page).await?;
        Ok(self.listed(&list, listing, |row| self.shown_domain(row)))
    }

    /// # Errors
    /// `invalid` for what is no host, a wildcard, or one of the instance's own; `conflict` for a host that has an owner.
    pub async fn add_domain(&self, actor: &Actor, wanted: AddDomain, deploy: bool) -> Result<Domain> {
        actor.require(Permission::ServicesWrite)?;
        let host = canonical(&wanted.host).map_err(|error| ControlError::invalid("/host", "invalid", error.to_string()))?;
        if self.is_own_host(&host) || is_within(&host, &self.config().base_domain) {
            return Err(ControlError::invalid(
                "/host",
                "reserved",
                "this host belongs to the instance; every service already has one below the base domain",
            ));
        }
        let mut write = self.store().write().await?;
        let service = services::get_locked(&mut write, actor.organization, actor.service()?).await?;
        if service.deleting_at.is_some() {
            return Err(ControlError::refused(Code::Conflict, "The service is being deleted."));
        }
        let count = domains::all_of_service(&mut write, actor.organization, service.id).await?.len();
        if count >= DOMAINS_MAX {
            return Err(ControlError::Limit { name: "domains of the service", current: count as u64, max: DOMAINS_MAX as u64 });
        }
        let row = DomainRow {
            id: DomainId::new(self.clock(), self.entropy()),
            organization_id: actor.organization,
            service_id: service.id,
            host,
            is_primary: false,
            created_at: self.clock().now(),
        };
        domains::insert(&mut write, &row).await.map_err(|error| match error.is_conflict_of("domains_host") {
            true => ControlError::refused(
                Code::Conflict,
                "This host is in use on this instance already. Remove it there first, or ask the operator.",
            ),
            false => error.into(),
        })?;
        if wanted.primary {
            domains::set_primary(&mut write, actor.organization, service.id, Some(row.id)).await?;
        }
        self.changed(&mut write, actor, Reach::Service(service.id), deploy, &format!("Domain {} added", row.host)).await?;
        self.record(actor, "domain.added")
            .resource("domain", row.id, Some(&row.host))
            .detail("service", service.id)
            .append(&mut write)
            .await?;
        write.commit().await?;
        Ok(self.shown_domain(DomainRow { is_primary: wanted.primary, ..row }))
    }

    /// By id or host.
    async fn domain_of(&self, actor: &Actor, text: &str) -> Result<DomainRow> {
        let mut read = self.store().read().await?;
        let service = actor.service()?;
        let found = match text.parse::<DomainId>() {
            Ok(id) => domains::find(&mut read, actor.organization, service, id).await?,
            Err(_) => domains::find_by_host(&mut read, actor.organization, service, text).await?,
        };
        found.ok_or(ControlError::NotFound("domain"))
    }

    /// # Errors
    /// `not-found`.
    pub async fn remove_domain(&self, actor: &Actor, domain: &str, deploy: bool) -> Result<()> {
        actor.require(Permission::ServicesWrite)?;
        let row = self.domain_of(actor, domain).await?;
        let mut write = self.store().write().await?;
        domains::delete(&mut write, actor.organization, row.service_id, row.id).await?;
        self.changed(&mut write, actor, Reach::Service(row.service_id), deploy, &format!("Domain {} removed", row.host)).await?;
        self.record(actor, "domain.removed")
            .resource("domain", row.id, Some(&row.host))
            .detail("service", row.service_id)
            .append(&mut write)
            .await?;
        Ok(write.commit().await?)
    }

    /// Makes a domain the one that the service is known by.
    pub async fn make_domain_primary(&self, actor: &Actor, domain: &str) -> Result<Domain> {
        actor.require(Permission::ServicesWrite)?;
        let row = self.domain_of(actor, domain).await?;
        let mut write = self.store().write().await?;
        domains::set_primary(&mut write, actor.organization, row.service_id, Some(row.id)).await?;
        self.record(actor, "domain.made_primary").resource("domain", row.id, Some(&row.host)).append(&mut write).await?;
        write.commit().await?;
        Ok(self.shown_domain(DomainRow { is_primary: true, ..row }))
    }
}
