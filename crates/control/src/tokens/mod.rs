//! Personal access tokens. The right of a token is never more than its owner's role at the moment of use.

mod create;
mod list;
mod revoke;
mod warn;

use contract::tokens::{Token, TokenRate};
use store::tokens::TokenRow;

/// The budget in the row; one that cannot be read is the smallest there is.
pub(crate) fn rate_of(row: &TokenRow) -> Option<TokenRate> {
    let (requests, window) = row.rate_requests.zip(row.rate_window_seconds)?;
    let number = |number: i64| u32::try_from(number).unwrap_or(1).max(1);
    Some(TokenRate { requests: number(requests), window_seconds: number(window) })
}

fn shown(row: TokenRow) -> Token {
    let rate = rate_of(&row);
    Token {
        id: row.id,
        name: row.name,
        scopes: row.scopes.0,
        organization: row.organization_id,
        project: row.project_id,
        environment: row.environment_id,
        service: row.service_id,
        rate,
        addresses: row.addresses.map(|list| list.0),
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    }
}
