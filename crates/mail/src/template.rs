//! The mails that Seaway writes. Each variant carries what it must say; text of users comes in raw and is made safe here.

use chrono::{DateTime, Utc};

use crate::document::{Block, Document};
use crate::message::Class;
use crate::text::{self, LINE_LENGTH_MAX, NAME_LENGTH_MAX};

/// One mail, before it has an addressee. Links are complete URLs made by the caller from the configured base URL. It holds
/// codes and links, so its `Debug` names the variant only.
#[derive(Clone)]
pub enum Template {
    /// After sign-up, to prove the address.
    VerifyEmail {
        code: String,
        code_minutes: u32,
        link: String,
        link_hours: u32,
    },
    PasswordReset {
        link: String,
        link_minutes: u32,
    },
    /// Somebody asked for a reset with an address that has no account: same request, same answer, another mail.
    PasswordResetUnknown {
        sign_up_link: String,
    },
    PasswordChanged {
        at: DateTime<Utc>,
        origin: Origin,
        reset_link: String,
    },
    Invitation {
        inviter: String,
        organization: String,
        role: String,
        link: String,
        expires_at: DateTime<Utc>,
    },
    NewSignIn {
        at: DateTime<Utc>,
        origin: Origin,
        sessions_link: String,
    },
    TokenCreated {
        token_name: String,
        at: DateTime<Utc>,
        origin: Origin,
        expires_at: DateTime<Utc>,
        tokens_link: String,
    },
    TokenExpiring {
        token_name: String,
        expires_at: DateTime<Utc>,
        tokens_link: String,
    },
    /// `log_lines` are already masked; at most the last 15 are shown.
    DeploymentFailed {
        place: Where,
        commit: Option<Commit>,
        phase: String,
        cause: String,
        next_step: String,
        log_lines: Vec<String>,
        link: String,
    },
    DeploymentRecovered {
        place: Where,
        commit: Option<Commit>,
        release: String,
        link: String,
    },
    /// The service reached its limit of restarts and is stopped.
    ServiceCrashed {
        place: Where,
        exit: String,
        restarts: u32,
        since: DateTime<Utc>,
        next_step: String,
        log_lines: Vec<String>,
        link: String,
    },
    /// To the new address, to prove it.
    EmailChangeVerify {
        code: String,
        code_minutes: u32,
        link: String,
        link_hours: u32,
    },
    /// Somebody signed up with an address that has an account: same answer, another mail.
    AccountExists {
        log_in_link: String,
        reset_link: String,
    },
    /// To the member who is to become owner.
    OwnershipOffered {
        giver: String,
        organization: String,
        link: String,
        expires_at: DateTime<Utc>,
    },
    /// To the old address: what is going on and how to stop it.
    EmailChangeNotice {
        new_email: String,
        at: DateTime<Utc>,
        origin: Origin,
        cancel_link: String,
        cancel_hours: u32,
    },
}

/// From where something was done, as far as known.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Browser and system, or the program.
    pub device: String,
    /// Network address or approximate place.
    pub place: String,
}

/// Which service a mail is about.
#[derive(Debug, Clone)]
pub struct Where {
    pub service: String,
    pub environment: String,
    pub project: String,
}

/// What was deployed.
#[derive(Debug, Clone)]
pub struct Commit {
    pub id: String,
    pub title: String,
    pub author: String,
}

impl Template {
    /// The stable name, for the log and the header `Feedback-ID`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::VerifyEmail { .. } => "verify_email",
            Self::PasswordReset { .. } => "password_reset",
            Self::PasswordResetUnknown { .. } => "password_reset_unknown",
            Self::PasswordChanged { .. } => "password_changed",
            Self::Invitation { .. } => "invitation",
            Self::NewSignIn { .. } => "new_sign_in",
            Self::TokenCreated { .. } => "token_created",
            Self::TokenExpiring { .. } => "token_expiring",
            Self::DeploymentFailed { .. } => "deployment_failed",
            Self::DeploymentRecovered { .. } => "deployment_recovered",
            Self::ServiceCrashed { .. } => "service_crashed",
            Self::EmailChangeVerify { .. } => "email_change_verify",
            Self::EmailChangeNotice { .. } => "email_change_notice",
            Self::AccountExists { .. } => "account_exists",
            Self::OwnershipOffered { .. } => "ownership_offered",
        }
    }

    pub fn class(&self) -> Class {
        match self {
            Self::DeploymentFailed { .. } | Self::DeploymentRecovered { .. } | Self::ServiceCrashed { .. } => Class::Operational,
            _ => Class::Transactional,
        }
    }

    pub(crate) fn document(&self) -> Document {
        match self {
            Self::VerifyEmail { code, code_minutes, link, link_hours } => Document {
                subject: format!("{} is your Seaway code", text::one_line(code, NAME_LENGTH_MAX)),
                preheader: format!("It is valid for {}.", text::count(*code_minutes, "minute")),
                heading: "Confirm your e-mail address".into(),
                blocks: confirm_blocks(code, *code_minutes, link, *link_hours),
            },
            Self::EmailChangeVerify { code, code_minutes, link, link_hours } => Document {
                subject: format!("{} confirms your new address", text::one_line(code, NAME_LENGTH_MAX)),
                preheader: format!("It is valid for {}.", text::count(*code_minutes, "minute")),
                heading: "Confirm your new e-mail address".into(),
                blocks: confirm_blocks(code, *code_minutes, link, *link_hours),
            },
            Self::PasswordReset { link, link_minutes } => Document {
                subject: "Reset your Seaway password".into(),
                preheader: format!("The link works once, for {}.", text::count(*link_minutes, "minute")),
                heading: "Reset your password".into(),
                blocks: vec![
                    Block::Paragraph("Somebody, probably you, asked to reset the password of this account.".into()),
                    button("Choose a new password", link),
                    Block::Note(format!(
                        "The link works once, for {}. If it was not you, ignore this mail: your password stays as it is.",
                        text::count(*link_minutes, "minute")
                    )),
                ],
            },
            Self::PasswordResetUnknown { sign_up_link } => Document {
                subject: "Your request to reset a Seaway password".into(),
                preheader: "There is no account with this address.".into(),
                heading: "There is no account with this address".into(),
                blocks: vec![
                    Block::Paragraph(
                        "Somebody, probably you, asked to reset the password of an account with this e-mail address. There is \
                         no such account here. If you have one, it uses another address."
                            .into(),
                    ),
                    button("Sign up", sign_up_link),
                    Block::Note("If it was not you, ignore this mail. Nothing was changed.".into()),
                ],
            },
            Self::AccountExists { log_in_link, reset_link } => Document {
                subject: "You already have a Seaway account".into(),
                preheader: "Sign in with it.".into(),
                heading: "There is an account with this address already".into(),
                blocks: vec![
                    Block::Paragraph("Somebody, probably you, signed up with this e-mail address. It has an account already.".into()),
                    button("Sign in", log_in_link),
                    Block::Paragraph("If you do not know the password any more, choose a new one.".into()),
                    button("Reset the password", reset_link),
                    Block::Note("If it was not you, ignore this mail. Nothing was changed.".into()),
                ],
            },
            Self::OwnershipOffered { giver, organization, link, expires_at } => {
                let (giver, organization) = (text::name(giver), text::name(organization));
                Document {
                    subject: format!("{giver} wants to hand {organization} over to you"),
                    preheader: format!("Valid until {}.", text::time(*expires_at)),
                    heading: format!("Become the owner of {organization}"),
                    blocks: vec![
                        Block::Paragraph(format!(
                            "{giver} wants to make you the owner of the organization {organization}. When you accept, {giver} stays as an admin."
                        )),
                        button("Look at it", link),
                        Block::Note(format!("The offer is valid until {}. Without your consent nothing changes.", text::time(*expires_at))),
                    ],
                }
            }
            Self::PasswordChanged { at, origin, reset_link } => Document {
                subject: "Your Seaway password was changed".into(),
                preheader: "If it was not you, act now.".into(),
                heading: "Your password was changed".into(),
                blocks: vec![
                    origin_facts(*at, origin),
                    Block::Paragraph("All other sessions were signed out. If it was you, there is nothing to do.".into()),
                    Block::Paragraph("If it was not you, set a new password at once.".into()),
                    button("Reset the password", reset_link),
                ],
            },
            Self::Invitation { inviter, organization, role, link, expires_at } => {
                let (inviter, organization) = (text::name(inviter), text::name(organization));
                Document {
                    subject: format!("{inviter} invites you to {organization} on Seaway"),
                    preheader: format!("Valid until {}.", text::time(*expires_at)),
                    heading: format!("Join {organization}"),
                    blocks: vec![
                        Block::Paragraph(format!(
                            "{inviter} invites you to the organization {organization}, with the role {}.",
                            text::name(role)
                        )),
                        button("Look at the invitation", link),
                        Block::Note(format!(
                            "The invitation is valid until {} and for this e-mail address only. If you do not know the sender, \
                             ignore this mail.",
                            text::time(*expires_at)
                        )),
                    ],
                }
            }
            Self::NewSignIn { at, origin, sessions_link } => Document {
                subject: "New sign-in to your Seaway account".into(),
                preheader: format!("{}, {}", text::name(&origin.device), text::name(&origin.place)),
                heading: "New sign-in".into(),
                blocks: vec![
                    Block::Paragraph("Your account was signed in to from a device that was not seen before.".into()),
                    origin_facts(*at, origin),
                    Block::Paragraph("If it was not you, sign that device out and change your password.".into()),
                    button("Show my sessions", sessions_link),
                ],
            },
            Self::TokenCreated { token_name, at, origin, expires_at, tokens_link } => Document {
                subject: "A Seaway access token was created".into(),
                preheader: format!("Token “{}”.", text::name(token_name)),
                heading: "An access token was created".into(),
                blocks: vec![
                    Block::Facts(vec![("Token", text::name(token_name)), ("Expires", text::time(*expires_at))]),
                    origin_facts(*at, origin),
                    Block::Paragraph("Whoever has the token can act in your name. If it was not you, delete it.".into()),
                    button("Show my tokens", tokens_link),
                ],
            },
            Self::TokenExpiring { token_name, expires_at, tokens_link } => Document {
                subject: format!("Your Seaway token “{}” expires soon", text::name(token_name)),
                preheader: format!("On {}.", text::time(*expires_at)),
                heading: "An access token expires soon".into(),
                blocks: vec![
                    Block::Facts(vec![("Token", text::name(token_name)), ("Expires", text::time(*expires_at))]),
                    Block::Paragraph("What uses it stops working then. Make a new token and put it in its place.".into()),
                    button("Show my tokens", tokens_link),
                ],
            },
            Self::DeploymentFailed { place, commit, phase, cause, next_step, log_lines, link } => {
                let mut facts = place.facts();
                facts.extend(commit.iter().flat_map(Commit::facts));
                facts.push(("Failed at", text::name(phase)));
                facts.push(("Cause", text::one_line(cause, LINE_LENGTH_MAX)));
                Document {
                    subject: format!("Deployment of {} failed", place.short()),
                    preheader: text::one_line(cause, LINE_LENGTH_MAX),
                    heading: format!("The deployment of {} failed", text::name(&place.service)),
                    blocks: vec![
                        Block::Facts(facts),
                        Block::Paragraph(text::one_line(next_step, LINE_LENGTH_MAX * 2)),
                        Block::Log(text::log(log_lines)),
                        button("Show the deployment", link),
                        Block::Note("The release before it, if there was one, was not stopped by this.".into()),
                    ],
                }
            }
            Self::DeploymentRecovered { place, commit, release, link } => {
                let mut facts = place.facts();
                facts.extend(commit.iter().flat_map(Commit::facts));
                facts.push(("Release", text::name(release)));
                Document {
                    subject: format!("{} is deployed again", place.short()),
                    preheader: format!("Release {} is live.", text::name(release)),
                    heading: format!("{} is deployed again", text::name(&place.service)),
                    blocks: vec![
                        Block::Paragraph("The last deployment failed; this one went live.".into()),
                        Block::Facts(facts),
                        button("Show the deployment", link),
                    ],
                }
            }
            Self::ServiceCrashed { place, exit, restarts, since, next_step, log_lines, link } => {
                let mut facts = place.facts();
                facts.push(("Ended with", text::one_line(exit, LINE_LENGTH_MAX)));
                facts.push(("Restarts", restarts.to_string()));
                facts.push(("Since", text::time(*since)));
                Document {
                    subject: format!("{} keeps crashing", place.short()),
                    preheader: format!("It was restarted {} and is stopped now.", text::count(*restarts, "time")),
                    heading: format!("{} keeps crashing", text::name(&place.service)),
                    blocks: vec![
                        Block::Paragraph(format!(
                            "It ended again and again. After {} Seaway stopped trying.",
                            text::count(*restarts, "restart")
                        )),
                        Block::Facts(facts),
                        Block::Paragraph(text::one_line(next_step, LINE_LENGTH_MAX * 2)),
                        Block::Log(text::log(log_lines)),
                        button("Show the service", link),
                    ],
                }
            }
            Self::EmailChangeNotice { new_email, at, origin, cancel_link, cancel_hours } => Document {
                subject: "The e-mail address of your Seaway account is being changed".into(),
                preheader: "If it was not you, stop it now.".into(),
                heading: "Your e-mail address is being changed".into(),
                blocks: vec![
                    Block::Paragraph(format!("The new address of your account is to be {}.", text::name(new_email))),
                    origin_facts(*at, origin),
                    Block::Paragraph(format!(
                        "If it was you, there is nothing to do. If it was not, stop the change within {}.",
                        text::count(*cancel_hours, "hour")
                    )),
                    button("Stop the change", cancel_link),
                ],
            },
        }
    }
}

impl std::fmt::Debug for Template {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Template({})", self.kind())
    }
}

impl Where {
    fn short(&self) -> String {
        format!("{} ({})", text::name(&self.service), text::name(&self.environment))
    }

    fn facts(&self) -> Vec<(&'static str, String)> {
        vec![("Project", text::name(&self.project)), ("Environment", text::name(&self.environment)), ("Service", text::name(&self.service))]
    }
}

impl Commit {
    /// A commit is known by its first twelve digits.
    const ID_LENGTH_SHOWN: usize = 12;

    fn facts(&self) -> [(&'static str, String); 2] {
        let id: String = self.id.chars().filter(char::is_ascii_alphanumeric).take(Self::ID_LENGTH_SHOWN).collect();
        [("Commit", format!("{id} {}", text::name(&self.title))), ("Author", text::name(&self.author))]
    }
}

fn button(label: &'static str, url: &str) -> Block {
    Block::Button { label, url: url.to_owned() }
}

fn confirm_blocks(code: &str, code_minutes: u32, link: &str, link_hours: u32) -> Vec<Block> {
    vec![
        Block::Paragraph("Type this code where you were asked for it:".into()),
        Block::Code(text::one_line(code, NAME_LENGTH_MAX)),
        Block::Paragraph(format!("It is valid for {}. You can open the link instead.", text::count(code_minutes, "minute"))),
        button("Confirm the address", link),
        Block::Note(format!(
            "The link is valid for {}. If it was not you who asked for this, ignore this mail: without the code nothing happens. \
             Nobody from Seaway will ever ask you for the code.",
            text::count(link_hours, "hour")
        )),
    ]
}

fn origin_facts(at: DateTime<Utc>, origin: &Origin) -> Block {
    Block::Facts(vec![("When", text::time(at)), ("Device", text::name(&origin.device)), ("From", text::name(&origin.place))])
}
