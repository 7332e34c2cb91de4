use contract::Page;
use contract::audit::{AuditActor, AuditEvent, AuditQuery, AuditResource};
use contract::page::PageQuery;
use domain::permission::Permission;
use store::audit::{self, AuditEntryRow, AuditFilter, Chain};

use crate::Control;
use crate::access::{Actor, Principal};
use crate::error::Result;

/// Rows of one export; narrow the times for more.
pub const CSV_ROWS_MAX: usize = 10_000;

fn shown(row: AuditEntryRow) -> AuditEvent {
    AuditEvent {
        id: row.id,
        sequence: row.sequence,
        at: row.at,
        actor: AuditActor { kind: store::text_of(&row.actor_kind).unwrap_or_default(), id: row.actor_id },
        action: row.action,
        resource: row.resource_kind.zip(row.resource_id).map(|(kind, id)| AuditResource { kind, id, name: row.resource_name }),
        request_id: row.request_id,
        network: row.source_address,
        details: serde_json::from_str(&row.details).unwrap_or_default(),
        hash: row.hash.iter().map(|byte| format!("{byte:02x}")).collect(),
    }
}

fn filter(query: &AuditQuery) -> AuditFilter {
    AuditFilter {
        actor_id: query.actor.clone(),
        action: query.action.clone(),
        resource_id: query.resource.clone(),
        from: query.from,
        to: query.to,
    }
}

impl Control {
    /// The organization's log, newest first.
    pub async fn list_audit_events(&self, actor: &Actor, query: &AuditQuery) -> Result<Page<AuditEvent>> {
        actor.require(Permission::AuditRead)?;
        self.audit_page(Chain::Organization(actor.organization), query).await
    }

    /// The instance's own log (accounts, settings, clean-up), newest first; for operators.
    pub async fn list_instance_audit_events(&self, principal: &Principal, query: &AuditQuery) -> Result<Page<AuditEvent>> {
        crate::instance::operator(principal)?;
        self.audit_page(Chain::Instance, query).await
    }

    async fn audit_page(&self, chain: Chain, query: &AuditQuery) -> Result<Page<AuditEvent>> {
        let filter = filter(query);
        let list = format!("audit events of {chain:?} {filter:?}");
        let page = self.page_of(&list, &PageQuery { limit: query.limit, cursor: query.cursor.clone() })?;
        let listing = audit::list(&mut self.store().read().await?, chain, &filter, &page).await?;
        Ok(self.listed(&list, listing, shown))
    }

    /// The same as CSV with a heading line, at most [`CSV_ROWS_MAX`] rows.
    pub async fn export_audit_events(&self, actor: &Actor, query: &AuditQuery) -> Result<String> {
        actor.require(Permission::AuditRead)?;
        self.audit_csv(Chain::Organization(actor.organization), query).await
    }

    /// The instance's own log as CSV.
    pub async fn export_instance_audit_events(&self, principal: &Principal, query: &AuditQuery) -> Result<String> {
        crate::instance::operator(principal)?;
        self.audit_csv(Chain::Instance, query).await
    }

    async fn audit_csv(&self, chain: Chain, query: &AuditQuery) -> Result<String> {
        let filter = filter(query);
        let mut read = self.store().read().await?;
        let mut text =
            String::from("sequence,at,actor_kind,actor,action,resource_kind,resource,resource_name,request,network,details,hash\r\n");
        let mut page = store::Page { limit: store::PAGE_LIMIT_MAX, after: None };
        let mut rows = 0;
        loop {
            let listing = audit::list(&mut read, chain, &filter, &page).await?;
            for row in listing.rows {
                rows += 1;
                csv_line(&mut text, &shown(row));
            }
            match listing.next {
                Some(next) if rows < CSV_ROWS_MAX => page.after = Some(next),
                _ => return Ok(text),
            }
        }
    }
}

fn csv_line(text: &mut String, event: &AuditEvent) {
    let resource = event.resource.as_ref();
    let fields = [
        event.sequence.to_string(),
        event.at.to_rfc3339_opts(chrono::SecondsFormat::Micros, true),
        event.actor.kind.clone(),
        event.actor.id.clone().unwrap_or_default(),
        event.action.clone(),
        resource.map(|resource| resource.kind.clone()).unwrap_or_default(),
        resource.map(|resource| resource.id.clone()).unwrap_or_default(),
        resource.and_then(|resource| resource.name.clone()).unwrap_or_default(),
        event.request_id.clone().unwrap_or_default(),
        event.network.clone().unwrap_or_default(),
        event.details.to_string(),
        event.hash.clone(),
    ];
    let fields: Vec<String> = fields.iter().map(|field| csv_field(field)).collect();
    text.push_str(&fields.join(","));
    text.push_str("\r\n");
}

/// Quoted (RFC 4180); what a spreadsheet would take for a formula gets an apostrophe.
fn csv_field(field: &str) -> String {
    let guard = if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { "'" } else { "" };
    format!("\"{guard}{}\"", field.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    #[test]
    fn fields_are_quoted_and_formulas_disarmed() {
        assert_eq!(super::csv_field("a\"b,c"), "\"a\"\"b,c\"");
        assert_eq!(super::csv_field("=cmd()"), "\"'=cmd()\"");
    }
}
