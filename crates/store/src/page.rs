//! Lists: filters that are put together at run time, and keyset pages over them.

use std::fmt::{self, Write as _};
use std::str::FromStr;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::statement::expand;
use crate::{Bind, Parameter, Row, StoreError, Unit};

/// Rows of a page when the caller does not say, and at most.
pub const PAGE_LIMIT_DEFAULT: u32 = 50;
pub const PAGE_LIMIT_MAX: u32 = 200;

/// Where a page ended: the sort value and the id of its last row. Its text form is opaque to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    Time(DateTime<Utc>, Uuid),
    Name(String, Uuid),
}

/// Which part of a list is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Clamped to 1 … [`PAGE_LIMIT_MAX`].
    pub limit: u32,
    pub after: Option<Position>,
}

impl Default for Page {
    fn default() -> Self {
        Self { limit: PAGE_LIMIT_DEFAULT, after: None }
    }
}

/// A page of a list; `next` is `None` on the last one.
#[derive(Debug, Clone)]
pub struct Listing<T> {
    pub rows: Vec<T>,
    pub next: Option<Position>,
}

/// How a list is sorted: a column that every row of it has, with the id behind it to make it total.
#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// By a time column, newest first: `Order::Newest("created_at")`.
    Newest(&'static str),
    Oldest(&'static str),
    /// By a text column, ascending by bytes.
    Name(&'static str),
}

/// The orders that lists of named things offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NamedOrder {
    #[default]
    Newest,
    Oldest,
    Name,
    Changed,
}

impl NamedOrder {
    pub fn column(self) -> Order {
        match self {
            Self::Newest => Order::Newest("created_at"),
            Self::Oldest => Order::Oldest("created_at"),
            Self::Name => Order::Name("name"),
            Self::Changed => Order::Newest("updated_at"),
        }
    }
}

/// Conditions joined with AND. The texts are constants with `?` for each value; values are parameters, never text.
#[derive(Debug, Default)]
pub struct Filter {
    text: String,
    parameters: Vec<Parameter>,
}

impl Filter {
    /// Starts with the condition that every tenant table needs: `Filter::of("organization_id = ?", organization)`.
    pub fn of(condition: &'static str, value: impl Bind) -> Self {
        Self::default().and(condition, value)
    }

    pub fn and(self, condition: &'static str, value: impl Bind) -> Self {
        self.and_all(condition, vec![value.parameter()])
    }

    /// Adds the condition when there is a value.
    pub fn and_some(self, condition: &'static str, value: Option<impl Bind>) -> Self {
        match value {
            Some(value) => self.and(condition, value),
            None => self,
        }
    }

    /// The column is one of the values, when there is a list of them.
    pub fn and_in(mut self, column: &'static str, values: Option<Vec<Parameter>>) -> Self {
        let Some(values) = values else { return self };
        self.begin();
        if values.is_empty() {
            self.text.push_str("1 = 0");
        } else {
            let _ = write!(self.text, "{column} IN (");
            for (place, value) in values.into_iter().enumerate() {
                self.parameters.push(value);
                let _ = write!(self.text, "{}${}", if place > 0 { ", " } else { "" }, self.parameters.len());
            }
            self.text.push(')');
        }
        self.text.push(')');
        self
    }

    /// A condition around another filter, for subqueries: `before`, the inner conditions, `after`.
    pub fn and_within(mut self, before: &'static str, inner: impl FnOnce(Filter) -> Filter, after: &'static str) -> Self {
        self.begin();
        self.text.push_str(before);
        // The inner filter counts its values on from ours.
        let inside = inner(Filter { text: String::new(), parameters: std::mem::take(&mut self.parameters) });
        self.text.push_str(&inside.text);
        self.parameters = inside.parameters;
        self.text.push_str(after);
        self.text.push(')');
        self
    }

    fn begin(&mut self) {
        self.text.push_str(if self.text.is_empty() { " WHERE (" } else { " AND (" });
    }

    /// A condition without or with several values.
    pub fn and_all(mut self, condition: &'static str, values: Vec<Parameter>) -> Self {
        self.begin();
        let mut values = values.into_iter();
        for (place, piece) in condition.split('?').enumerate() {
            if place > 0 {
                self.parameters.extend(values.next());
                // Writing to a String cannot fail.
                let _ = write!(self.text, "${}", self.parameters.len());
            }
            self.text.push_str(piece);
        }
        self.text.push(')');
        self
    }
}

/// One page of `select` (a text without WHERE: `"SELECT {columns} FROM projects"`), filtered and sorted.
///
/// The sort column and `id` must be among the selected columns. A position of another order gives the first page's
/// rows from that position's kind: callers bind cursors to the order (api.md section 3).
pub async fn fetch_page<R: Row>(
    unit: &mut impl Unit,
    select: &'static str,
    filter: Filter,
    order: Order,
    page: &Page,
) -> Result<Listing<R>, StoreError> {
    let (column, comparison, direction) = match order {
        Order::Newest(column) => (column, '<', "DESC"),
        Order::Oldest(column) => (column, '>', "ASC"),
        Order::Name(column) => (column, '>', "ASC"),
    };
    let Filter { text: conditions, mut parameters } = filter;
    let mut text = expand(select, R::COLUMNS, unit.dialect()).into_owned();
    text.push_str(&conditions);
    if let Some(position) = &page.after {
        let (value, id) = match position {
            Position::Time(time, id) => (time.parameter(), *id),
            Position::Name(name, id) => (name.parameter(), *id),
        };
        parameters.push(value);
        parameters.push(id.parameter());
        let glue = if conditions.is_empty() { "WHERE" } else { "AND" };
        let last = parameters.len();
        let _ = write!(text, " {glue} ({column}, id) {comparison} (${}, ${last})", last - 1);
    }
    let limit = page.limit.clamp(1, PAGE_LIMIT_MAX);
    // One more than wanted tells whether there is a next page.
    let _ = write!(text, " ORDER BY {column} {direction}, id {direction} LIMIT {}", limit + 1);
    let mut rows = unit.rows(text, parameters, false).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let plain = column.rsplit_once('.').map_or(column, |(_, plain)| plain);
    let next = match rows.last().filter(|_| more) {
        None => None,
        Some(last) => {
            let id = last.get(R::NAME, "id")?;
            Some(match order {
                Order::Name(_) => Position::Name(last.get(R::NAME, plain)?, id),
                _ => Position::Time(last.get(R::NAME, plain)?, id),
            })
        }
    };
    Ok(Listing { rows: rows.iter().map(R::read).collect::<Result<_, _>>()?, next })
}

/// How many rows `from` (`"projects"`) has that pass the filter.
pub async fn count_rows(unit: &mut impl Unit, from: &'static str, filter: Filter) -> Result<i64, StoreError> {
    let text = format!("SELECT count(*) AS value FROM {from}{}", filter.text);
    let rows = unit.rows(text, filter.parameters, false).await?;
    rows.first().map_or(Ok(0), |row| <(i64,)>::read(row).map(|row| row.0))
}

/// The first `limit` rows of `select` in the given order (a constant text), filtered.
pub async fn fetch_filtered<R: Row>(
    unit: &mut impl Unit,
    select: &'static str,
    filter: Filter,
    order: &'static str,
    limit: i64,
) -> Result<Vec<R>, StoreError> {
    let mut text = expand(select, R::COLUMNS, unit.dialect()).into_owned();
    let _ = write!(text, "{} ORDER BY {order} LIMIT {limit}", filter.text);
    unit.rows(text, filter.parameters, false).await?.iter().map(R::read).collect()
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time, id) => write!(formatter, "t.{}.{}", time.timestamp_micros(), id.simple()),
            Self::Name(name, id) => write!(formatter, "n.{}.{name}", id.simple()),
        }
    }
}

/// A text that is not a position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a position in a list")]
pub struct InvalidPosition;

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let mut parts = text.splitn(3, '.');
        let (Some(kind), Some(first), Some(second)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(InvalidPosition);
        };
        let id = |text: &str| Uuid::try_parse(text).map_err(|_| InvalidPosition);
        match kind {
            "t" => {
                let time = first.parse().ok().and_then(DateTime::from_timestamp_micros).ok_or(InvalidPosition)?;
                Ok(Self::Time(time, id(second)?))
            }
            "n" => Ok(Self::Name(second.to_owned(), id(first)?)),
            _ => Err(InvalidPosition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_round_trips_through_its_text() {
        let id = Uuid::from_u128(7);
        let time = DateTime::from_timestamp_micros(1_793_491_200_000_001).unwrap();
        for position in [Position::Time(time, id), Position::Name("a.b.c ü".to_owned(), id)] {
            assert_eq!(position.to_string().parse::<Position>().unwrap(), position);
        }
        for text in ["", "t.1", "t.x.y", "q.1.00000000000000000000000000000007"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }

    #[test]
    fn conditions_number_their_values() {
        let filter =
            Filter::of("a = ?", 1i64).and_some("b = ?", None::<i64>).and_all("c = ? OR d = ?", vec![2i64.parameter(), 3i64.parameter()]);
        assert_eq!(filter.text, " WHERE (a = $1) AND (c = $2 OR d = $3)");
        assert_eq!(filter.parameters.len(), 3);
        let filter = Filter::of("a = ?", 1i64)
            .and_in("b", None)
            .and_within("c IN (SELECT d FROM e", |inner| inner.and_in("f", Some(vec![2i64.parameter(), 3i64.parameter()])), ")")
            .and_in("g", Some(Vec::new()))
            .and("h = ?", 4i64);
        assert_eq!(filter.text, " WHERE (a = $1) AND (c IN (SELECT d FROM e WHERE (f IN ($2, $3)))) AND (1 = 0) AND (h = $4)");
        assert_eq!(filter.parameters.len(), 4);
    }
}
