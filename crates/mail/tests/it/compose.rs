//! What a composed mail looks like, and what text of users cannot do to it.

use std::collections::BTreeSet;

use domain::id::MailId;
use domain::{FixedClock, Secret, SeededEntropy};
use mail::{ComposeError, MESSAGE_SIZE_BYTES_MAX, Message, Sender, Template, Where};
use mail_parser::{MessageParser, MimeHeaders};
use proptest::prelude::*;

use crate::samples;

#[test]
fn golden_text_html_and_size_of_every_mail() {
    let all = samples::all();
    let kinds: BTreeSet<&str> = all.iter().map(Template::kind).collect();
    assert_eq!(kinds.len(), samples::TEMPLATES, "a sample of each template");
    for template in &all {
        let message = samples::compose(template);
        let size_bytes = message.to_eml().unwrap().len();
        insta::assert_snapshot!(
            format!("{}.txt", template.kind()),
            format!("Subject: {}\nSize: {size_bytes} bytes\n\n{}", message.subject, message.text)
        );
        insta::assert_snapshot!(format!("{}.html", template.kind()), message.html);
    }
}

#[test]
fn the_wire_form_is_whole() {
    let message = samples::compose(&samples::all()[0]);
    insta::assert_snapshot!("wire", String::from_utf8(message.to_eml().unwrap()).unwrap().replace("\r\n", "\n"));
}

#[test]
fn every_mail_keeps_the_rules_of_format() {
    for template in samples::all() {
        let (kind, message) = (template.kind(), samples::compose(&template));
        let eml = message.to_eml().unwrap();
        assert_eq!(eml, samples::compose(&template).to_eml().unwrap(), "{kind}: the same bytes every time");
        assert!(eml.is_ascii() && eml.len() < MESSAGE_SIZE_BYTES_MAX, "{kind}");
        assert!(eml.split(|byte| *byte == b'\n').all(|line| line.len() <= 998), "{kind}: long line");

        let parsed = MessageParser::default().parse(&eml).unwrap();
        let header = |name: &str| parsed.header_raw(name).map(str::trim).unwrap_or_default().to_owned();
        assert_eq!(header("Auto-Submitted"), "auto-generated");
        assert_eq!(header("X-Auto-Response-Suppress"), "All");
        assert_eq!(
            header("Feedback-ID"),
            format!(
                "{kind}:{}:seaway",
                if kind.starts_with("deployment") || kind.starts_with("service") { "operational" } else { "transactional" }
            )
        );
        assert!(parsed.message_id().unwrap().ends_with("@mail.lighthouse.example"));
        assert_eq!(parsed.date().unwrap().to_rfc3339(), "2026-11-01T00:00:00Z");
        assert_eq!(parsed.subject(), Some(message.subject.as_str()));
        assert_eq!(parsed.from().unwrap().first().unwrap().address(), Some("seaway@mail.lighthouse.example"));
        assert_eq!(parsed.reply_to().unwrap().first().unwrap().address(), Some("support@lighthouse.example"));
        let to = parsed.to().unwrap().first().unwrap();
        assert_eq!((to.name(), to.address()), (Some("Ada Løvelace"), Some("ada@harbor.example")));

        let types: Vec<String> = parsed
            .parts
            .iter()
            .map(|part| {
                part.content_type().map(|kind| format!("{}/{}", kind.ctype(), kind.subtype().unwrap_or_default())).unwrap_or_default()
            })
            .collect();
        assert_eq!(types, ["multipart/alternative", "text/plain", "text/html"], "{kind}: text first");
        assert!(parsed.parts[1..].iter().all(|part| part.content_transfer_encoding() == Some("quoted-printable")));
        assert_eq!(parsed.body_text(0).unwrap().replace("\r\n", "\n"), message.text, "{kind}");
        assert_eq!(parsed.body_html(0).unwrap().replace("\r\n", "\n"), message.html, "{kind}");

        let html = message.html.as_str();
        for forbidden in ["<img", "<script", "<link", "url(", "src=", "@import", "cid:"] {
            assert!(!html.contains(forbidden), "{kind}: {forbidden}");
        }
        for required in ["<html lang=\"en\">", "name=\"color-scheme\" content=\"light dark\"", "prefers-color-scheme: dark"] {
            assert!(html.contains(required), "{kind}: {required}");
        }
        // Every link of the HTML part is in the text part.
        for href in html.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(message.text.contains(&href.replace("&#38;", "&")), "{kind}: {href}");
        }
    }
}

fn with_text(text: &str) -> Vec<Template> {
    let place = Where { service: text.into(), environment: text.into(), project: text.into() };
    vec![
        Template::Invitation {
            inviter: text.into(),
            organization: text.into(),
            role: text.into(),
            link: samples::link("invitations/x"),
            expires_at: samples::time(),
        },
        Template::DeploymentFailed {
            place,
            commit: Some(mail::Commit { id: text.into(), title: text.into(), author: text.into() }),
            phase: text.into(),
            cause: text.into(),
            next_step: text.into(),
            log_lines: vec![text.into(); 40],
            link: samples::link("deployments/dep_1"),
        },
        Template::TokenExpiring { token_name: text.into(), expires_at: samples::time(), tokens_link: samples::link("account/tokens") },
    ]
}

/// The names of the headers, in their order.
fn header_names(message: &Message) -> Vec<String> {
    let eml = message.to_eml().unwrap();
    let parsed = MessageParser::default().parse(&eml).unwrap();
    parsed.headers().iter().map(|header| header.name().to_owned()).collect()
}

#[test]
fn text_of_users_makes_no_header_and_no_markup() {
    let hostile = [
        "x\r\nBcc: victim@evil.example\r\n\r\n<h1>owned</h1>",
        "x\nContent-Type: text/html\n\nboo",
        "</p><script>alert(1)</script><img src=x onerror=1>",
        "\" onclick=\"x",
        "=?utf-8?q?=0D=0ABcc:_victim=40evil.example?=",
        "a\u{2028}Bcc: v@e\u{85}X: y\u{0}",
        "\u{202e}txt.exe",
        &"x".repeat(100_000),
        &"<&>\"'".repeat(20_000),
        &"🦀".repeat(50_000),
    ];
    for text in hostile {
        for (template, plain) in with_text(text).iter().zip(with_text("plain")) {
            let message = samples::compose(template);
            assert_eq!(header_names(&message), header_names(&samples::compose(&plain)), "{text:.60?}");
            assert!(!message.subject.chars().any(char::is_control));
            for tag in ["<script", "<img", "<h1>owned", "\" onclick"] {
                assert!(!message.html.contains(tag), "{tag}");
            }
            assert!(!message.html.contains('\u{202e}') && !message.text.contains('\u{202e}'));
        }
    }
}

#[test]
fn an_invitation_from_a_name_with_an_address_in_it_links_nowhere() {
    let message = samples::compose(&with_text("Win at http://evil.example/prize")[0]);
    assert!(!message.text.contains("http://evil") && !message.text.contains("evil.example"));
    assert!(!message.html.contains("http://evil") && !message.html.contains("evil.example"));
    assert!(message.text.contains(&samples::link("invitations/x")));
}

#[test]
fn links_that_are_not_whole_are_refused() {
    for link in [
        "",
        "/reset/x",
        "javascript:alert(1)",
        "https://",
        "https:///x",
        "ftp://x.example",
        "https://x.example/\"><script>",
        "https://x.example/a b",
        "https://x.example/\r\nBcc:",
        "data:text/html,x",
    ] {
        let template = Template::PasswordReset { link: link.into(), link_minutes: 30 };
        let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(1));
        let id = MailId::new(&clock, &entropy);
        let result = samples::sender().compose(&template, &samples::addressee(), id, &clock);
        assert!(matches!(result, Err(ComposeError::InvalidLink { kind: "password_reset" })), "{link}");
    }
}

#[test]
fn a_message_is_stored_and_read_back_and_shows_nothing_in_debug() {
    for template in samples::all() {
        let message = samples::compose(&template);
        let stored = message.to_bytes().unwrap();
        assert!(Message::from_bytes(&stored).unwrap() == message);
        assert!(!format!("{message:?}{template:?}").contains("lighthouse.example/"));
        assert!(!format!("{message:?}{template:?}").contains("042917"));
    }
    for damaged in ["", "{}", "null", "{\"id\":1}"] {
        assert!(Message::from_bytes(&Secret::new(damaged.as_bytes().to_vec())).is_err());
    }
}

#[test]
fn a_sender_needs_a_host_name() {
    let from = samples::addressee();
    for domain in ["", "a b", "x>\r\nBcc: y", "ex@mple"] {
        assert!(matches!(Sender::new(from.clone(), None, domain), Err(ComposeError::InvalidDomain)), "{domain:?}");
    }
}

proptest! {
    #[test]
    fn no_text_changes_the_headers(text in "(\\PC|[\\r\\n\\t\\x00-\\x1f<>&\"'=?;:]){0,300}") {
        for (template, plain) in with_text(&text).iter().zip(with_text("plain")) {
            let message = samples::compose(template);
            prop_assert_eq!(header_names(&message), header_names(&samples::compose(&plain)));
            prop_assert!(message.to_eml().unwrap().split(|byte| *byte == b'\n').all(|line| line.len() <= 998));
        }
    }
}
