//! One sample of every template.

use chrono::{DateTime, Utc};
use domain::id::MailId;
use domain::{FixedClock, SeededEntropy};
use mail::{Address, Commit, Message, Origin, Sender, Template, Where};

pub fn time() -> DateTime<Utc> {
    DateTime::from_timestamp(1_793_523_900, 0).unwrap()
}

pub fn sender() -> Sender {
    let from = Address::new("seaway@mail.lighthouse.example", Some("Seaway")).unwrap();
    let reply_to = Address::new("support@lighthouse.example", None).unwrap();
    Sender::new(from, Some(reply_to), "mail.lighthouse.example").unwrap()
}

pub fn addressee() -> Address {
    Address::new("ada@harbor.example", Some("Ada Løvelace")).unwrap()
}

pub fn compose(template: &Template) -> Message {
    let clock = FixedClock::default();
    let id = MailId::new(&clock, &SeededEntropy::new(1));
    sender().compose(template, &addressee(), id, &clock).unwrap()
}

pub fn origin() -> Origin {
    Origin { device: "Firefox 145 on Debian".into(), place: "203.0.113.7 (Berlin, DE)".into() }
}

pub fn place() -> Where {
    Where { service: "shop".into(), environment: "production".into(), project: "Harbor".into() }
}

pub fn commit() -> Commit {
    Commit { id: "4f9c2a7be1d05c3f88a1".into(), title: "Fix <Cart> & total".into(), author: "Ada Løvelace".into() }
}

pub fn link(path: &str) -> String {
    format!("https://seaway.lighthouse.example/{path}")
}

/// Every template once. The match fails to compile when one is added without a sample.
pub fn all() -> Vec<Template> {
    let samples = vec![
        Template::VerifyEmail { code: "042917".into(), code_minutes: 15, link: link("verify/Zm9v?a=1&b=2"), link_hours: 24 },
        Template::PasswordReset { link: link("reset/Zm9v"), link_minutes: 30 },
        Template::PasswordResetUnknown { sign_up_link: link("sign-up") },
        Template::PasswordChanged { at: time(), origin: origin(), reset_link: link("reset") },
        Template::Invitation {
            inviter: "Grace Hopper".into(),
            organization: "Harbor & Sons".into(),
            role: "member".into(),
            link: link("invitations/Zm9v"),
            expires_at: time(),
        },
        Template::NewSignIn { at: time(), origin: origin(), sessions_link: link("account/sessions") },
        Template::TokenCreated {
            token_name: "ci".into(),
            at: time(),
            origin: origin(),
            expires_at: time(),
            tokens_link: link("account/tokens"),
        },
        Template::TokenExpiring { token_name: "ci".into(), expires_at: time(), tokens_link: link("account/tokens") },
        Template::DeploymentFailed {
            place: place(),
            commit: Some(commit()),
            phase: "health check".into(),
            cause: "The app listens on port 8080, but the service says 3000.".into(),
            next_step: "Set the port of the service to 8080, or let the app listen on $PORT.".into(),
            log_lines: vec!["\u{1b}[32mstarting\u{1b}[0m".into(), "  listening on <0.0.0.0:8080>".into(), "GET /health 200".into()],
            link: link("deployments/dep_1"),
        },
        Template::DeploymentRecovered { place: place(), commit: None, release: "v12".into(), link: link("deployments/dep_2") },
        Template::ServiceCrashed {
            place: place(),
            exit: "exit code 137 (out of memory)".into(),
            restarts: 10,
            since: time(),
            next_step: "Raise the memory limit of the service, then start it again.".into(),
            log_lines: vec!["allocating 512 MB".into(), "Killed".into()],
            link: link("services/svc_1"),
        },
        Template::EmailChangeVerify { code: "770031".into(), code_minutes: 15, link: link("verify/YmFy"), link_hours: 24 },
        Template::AccountExists { log_in_link: link("log-in"), reset_link: link("reset-password") },
        Template::OwnershipOffered {
            giver: "Grace Hopper".into(),
            organization: "Harbor & Sons".into(),
            link: link("organizations/harbor/transfer"),
            expires_at: time(),
        },
        Template::EmailChangeNotice {
            new_email: "ada@other.example".into(),
            at: time(),
            origin: origin(),
            cancel_link: link("account/email/cancel/Zm9v"),
            cancel_hours: 72,
        },
    ];
    for sample in &samples {
        match sample {
            Template::VerifyEmail { .. }
            | Template::PasswordReset { .. }
            | Template::PasswordResetUnknown { .. }
            | Template::PasswordChanged { .. }
            | Template::Invitation { .. }
            | Template::NewSignIn { .. }
            | Template::TokenCreated { .. }
            | Template::TokenExpiring { .. }
            | Template::DeploymentFailed { .. }
            | Template::DeploymentRecovered { .. }
            | Template::ServiceCrashed { .. }
            | Template::EmailChangeVerify { .. }
            | Template::EmailChangeNotice { .. }
            | Template::AccountExists { .. }
            | Template::OwnershipOffered { .. } => {}
        }
    }
    samples
}

/// How many templates there are: see the match in [`all`].
pub const TEMPLATES: usize = 15;
