//! Personal access tokens. The right of a token is never more than its owner's role at the moment of use.

mod create;
mod list;
mod revoke;
mod warn;

use contract::tokens::Token;
use store::tokens::TokenRow;

fn shown(row: TokenRow) -> Token {
    Token {
        id: row.id,
        name: row.name,
        scopes: row.scopes.0,
        organization: row.organization_id,
        project: row.project_id,
        environment: row.environment_id,
        service: row.service_id,
        addresses: row.addresses.map(|list| list.0),
        created_at: row.created_at,
        expires_at: row.expires_at,
        last_used_at: row.last_used_at,
    }
}
