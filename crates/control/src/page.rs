//! Lists: a page's cursor is the store's position, signed and bound to the list and its filters.

use contract::page::{LIMIT_DEFAULT, LIMIT_MAX, PageQuery, Sort};
use contract::{Code, Page};
use store::{Listing, NamedOrder, Position};

use crate::error::{ControlError, Result};
use crate::state::Control;

/// The order of a list of named things.
pub(crate) fn order_of(sort: Option<Sort>, default: NamedOrder) -> NamedOrder {
    match sort {
        None => default,
        Some(Sort::Newest) => NamedOrder::Newest,
        Some(Sort::Oldest) => NamedOrder::Oldest,
        Some(Sort::Name) => NamedOrder::Name,
        Some(Sort::Changed) => NamedOrder::Changed,
    }
}

impl Control {
    /// Turns a query into the store's page. `list` names the list with everything that filters it, so that a cursor of
    /// another list or filter is refused.
    ///
    /// # Errors
    /// `invalid` for a limit out of range, `cursor-invalid` for a cursor that was not made for this list.
    pub fn page_of(&self, list: &str, query: &PageQuery) -> Result<store::Page> {
        let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(ControlError::invalid("query/limit", "out-of-range", format!("{limit} is not between 1 and {LIMIT_MAX}")));
        }
        let after = match &query.cursor {
            None => None,
            Some(cursor) => Some(self.position(list, cursor).ok_or_else(|| {
                ControlError::refused(Code::CursorInvalid, "The cursor was not made for this list and filter. Start again without it.")
            })?),
        };
        Ok(store::Page { limit, after })
    }

    fn position(&self, list: &str, cursor: &str) -> Option<Position> {
        let bytes = self.signer().open(list, cursor)?;
        String::from_utf8(bytes).ok()?.parse().ok()
    }

    /// Turns a listing into the answer.
    pub fn listed<R, T>(&self, list: &str, listing: Listing<R>, answer: impl FnMut(R) -> T) -> Page<T> {
        let next_cursor = listing.next.map(|position| self.signer().seal(list, position.to_string().as_bytes()));
        Page { has_more: next_cursor.is_some(), next_cursor, data: listing.rows.into_iter().map(answer).collect() }
    }
}
