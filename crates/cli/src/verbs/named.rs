//! What lists of named things have in common when they are shown.

use serde_json::Value;

use crate::target::{Context, text};

/// A table of names, ids and one more field.
pub fn list(context: &Context, items: &[Value], last: &str) {
    context.output.table(items, &["NAME", "ID", &last.to_uppercase().replace('_', " ")], |item| {
        vec![text(item, "slug").to_owned(), text(item, "id").to_owned(), text(item, last).to_owned()]
    });
}

/// The item that was made or changed.
pub fn one(context: &Context, item: &Value) {
    context.output.answer(item, || vec![format!("{} ({})", called(item), text(item, "id"))]);
}

/// The name in addresses, else the name.
pub fn called(item: &Value) -> &str {
    match text(item, "slug") {
        "" => text(item, "name"),
        slug => slug,
    }
}

/// A date of the API as a day.
pub fn day(item: &Value, key: &str) -> String {
    text(item, key).chars().take(10).collect()
}

/// The one-use token of a printed or mailed link, or the token itself.
pub fn token_in(link: &str) -> &str {
    link.trim().split_once("token=").map_or(link.trim(), |(_, token)| token.split('&').next().unwrap_or(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_or_its_token_is_taken() {
        for text in ["https://x.example/invitation#token=abc", "/setup#token=abc&x=1", "abc", " abc\n"] {
            assert_eq!(token_in(text), "abc", "{text:?}");
        }
    }
}
