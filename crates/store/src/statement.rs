//! Statements: one text for both databases, with a few words in braces for what they write differently.

use std::borrow::Cow;

use crate::backend::Dialect;

/// Expands `{columns}`, `{alias.columns}` and `{for update}`; other braces stay as they are.
///
/// `{for update}` locks the selected rows until the unit ends on PostgreSQL; SQLite's write unit is alone anyway.
pub(crate) fn expand(text: &'static str, columns: &[&str], dialect: Dialect) -> Cow<'static, str> {
    if !text.contains('{') {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len() + 16 * columns.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        result.push_str(before);
        let Some((word, tail)) = after.split_once('}') else {
            result.push('{');
            rest = after;
            continue;
        };
        match word {
            "columns" => push_columns(&mut result, columns, None),
            "for update" => result.push_str(dialect.choose("", "FOR UPDATE")),
            _ => match word.strip_suffix(".columns") {
                Some(alias) => push_columns(&mut result, columns, Some(alias)),
                None => {
                    result.push('{');
                    result.push_str(word);
                    result.push('}');
                }
            },
        }
        rest = tail;
    }
    result.push_str(rest);
    Cow::Owned(result)
}

fn push_columns(result: &mut String, columns: &[&str], alias: Option<&str>) {
    for (place, column) in columns.iter().enumerate() {
        if place > 0 {
            result.push_str(", ");
        }
        if let Some(alias) = alias {
            result.push_str(alias);
            result.push('.');
        }
        result.push_str(column);
    }
}

/// True for a statement that cannot change anything by its form.
pub(crate) fn is_query(text: &str) -> bool {
    let word = text.trim_start().split(|letter: char| !letter.is_ascii_alphabetic()).next().unwrap_or("");
    word.eq_ignore_ascii_case("select")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_in_braces_are_expanded() {
        let text = "SELECT {p.columns} FROM projects p WHERE x = '{}' {for update}";
        let columns = ["id", "name"];
        assert_eq!(expand(text, &columns, Dialect::Postgres), "SELECT p.id, p.name FROM projects p WHERE x = '{}' FOR UPDATE");
        assert_eq!(expand(text, &columns, Dialect::Sqlite), "SELECT p.id, p.name FROM projects p WHERE x = '{}' ");
        assert_eq!(expand("SELECT {columns} FROM t", &columns, Dialect::Sqlite), "SELECT id, name FROM t");
    }

    #[test]
    fn only_select_is_a_query() {
        assert!(is_query("\n  SELECT 1"));
        assert!(!is_query("WITH a AS (SELECT 1) DELETE FROM t"));
        assert!(!is_query("INSERT INTO t VALUES (1) RETURNING id"));
        assert!(!is_query("selection"));
    }
}
