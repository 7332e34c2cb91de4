//! The blocks of a mail and their two renderings. Text and HTML come from the same blocks, so that the text part lacks
//! nothing; escaping happens in one place, askama's.

use askama::Template;

/// What a mail says.
pub(crate) struct Document {
    pub subject: String,
    /// Shown by mail programs beside the subject.
    pub preheader: String,
    pub heading: String,
    pub blocks: Vec<Block>,
}

pub(crate) enum Block {
    Paragraph(String),
    /// A short code to copy.
    Code(String),
    Button {
        label: &'static str,
        url: String,
    },
    Facts(Vec<(&'static str, String)>),
    Log(Vec<String>),
    /// Small print.
    Note(String),
}

/// Language of the mails; a translation adds a field to the template's input.
const LANGUAGE: &str = "en";

#[derive(Template)]
#[template(path = "mail.html")]
struct Html<'a> {
    language: &'a str,
    document: &'a Document,
    instance: &'a str,
}

#[derive(Template)]
#[template(path = "mail.txt")]
struct Text<'a> {
    document: &'a Document,
    instance: &'a str,
}

impl Document {
    /// (text, html)
    pub(crate) fn render(&self, instance: &str) -> Result<(String, String), askama::Error> {
        let text = Text { document: self, instance }.render()?;
        let html = Html { language: LANGUAGE, document: self, instance }.render()?;
        Ok((text, html))
    }

    pub(crate) fn urls(&self) -> impl Iterator<Item = &str> {
        self.blocks.iter().filter_map(|block| match block {
            Block::Button { url, .. } => Some(url.as_str()),
            _ => None,
        })
    }
}
