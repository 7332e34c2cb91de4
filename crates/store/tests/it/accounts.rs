//! People, memberships, sessions, tokens, invitations, links, throttles, mails, instance settings.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use domain::id::{InvitationId, MailId, OrganizationId, SessionId, TokenId, UserId};
use domain::permission::{Permission, Role};
use domain::{Clock, FixedClock, SeededEntropy};
use serde_json::json;
use store::instance::{self, SignUp};
use store::invitations::{self, InvitationRow};
use store::links::{self, LinkKind, LinkRow};
use store::mails::{self, MailRow, MailState};
use store::memberships::{self, MembershipRow, Switches};
use store::organizations::{self, OrganizationRow};
use store::sessions::{self, SessionRow};
use store::tokens::{self, TokenRow};
use store::users::{self, UserRow, email_key};
use store::{Json, Page, Store, StoreError, Write, throttles};
use testkit::databases::on_both;

struct World {
    clock: FixedClock,
    entropy: SeededEntropy,
}

impl World {
    fn new() -> Self {
        Self { clock: FixedClock::default(), entropy: SeededEntropy::new(1) }
    }

    fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    fn user(&self, email: &str) -> UserRow {
        UserRow {
            id: UserId::new(&self.clock, &self.entropy),
            email: email.to_owned(),
            email_key: email_key(email),
            name: "Ada".into(),
            password_hash: Some("$argon2id$…".into()),
            email_verified_at: None,
            operator: false,
            settings: Json(json!({})),
            version: 1,
            password_changed_at: Some(self.now()),
            created_at: self.now(),
            updated_at: self.now(),
            deleted_at: None,
        }
    }

    fn organization(&self, slug: &str) -> OrganizationRow {
        OrganizationRow {
            id: OrganizationId::new(&self.clock, &self.entropy),
            slug: slug.into(),
            name: slug.to_uppercase(),
            settings: Json(json!({})),
            version: 1,
            created_at: self.now(),
            updated_at: self.now(),
            deleted_at: None,
        }
    }

    fn membership(&self, organization: OrganizationId, user: UserId, role: Role) -> MembershipRow {
        MembershipRow {
            organization_id: organization,
            user_id: user,
            role,
            switches: Json::default(),
            projects: None,
            environments: None,
            services: None,
            version: 1,
            created_at: self.now(),
            updated_at: self.now(),
        }
    }

    fn session(&self, user: UserId, digest: u8) -> SessionRow {
        SessionRow {
            id: SessionId::new(&self.clock, &self.entropy),
            user_id: user,
            digest: vec![digest; 32],
            created_at: self.now(),
            last_used_at: self.now(),
            confirmed_at: self.now(),
            expires_at: self.now() + TimeDelta::hours(24),
            device: Some("Firefox".into()),
            source_address: None,
        }
    }

    fn token(&self, user: UserId, organization: Option<OrganizationId>) -> TokenRow {
        TokenRow {
            id: TokenId::new(&self.clock, &self.entropy),
            user_id: user,
            name: "ci".into(),
            digest: vec![1; 32],
            scopes: Json(BTreeSet::from([Permission::DeploymentsWrite, Permission::LogsRead])),
            organization_id: organization,
            project_id: None,
            environment_id: None,
            service_id: None,
            addresses: Some(Json(vec!["192.0.2.0/24".into()])),
            rate_requests: None,
            rate_window_seconds: None,
            created_at: self.now(),
            expires_at: self.now() + TimeDelta::days(5),
            last_used_at: None,
            warned_at: None,
        }
    }

    fn link(&self, user: UserId, kind: LinkKind, digest: u8) -> LinkRow {
        LinkRow {
            id: domain::id::uuid_v7(&self.clock, &self.entropy),
            kind,
            user_id: user,
            organization_id: None,
            digest: vec![digest; 32],
            code_digest: None,
            code_expires_at: None,
            attempts: 0,
            email: None,
            created_at: self.now(),
            expires_at: self.now() + TimeDelta::hours(1),
        }
    }
}

async fn write(store: &Store) -> Write {
    store.write().await.unwrap()
}

async fn keep(write: Write) {
    write.commit_without_audit("test").await.unwrap();
}

fn page(limit: u32) -> Page {
    Page { limit, after: None }
}

#[tokio::test]
async fn an_address_has_one_account_whatever_its_case() {
    on_both(async |store| {
        let world = World::new();
        let user = world.user("Ada@Harbor.Example");
        let mut unit = write(store).await;
        users::insert(&mut unit, &user).await.unwrap();
        users::mark_verified(&mut unit, user.id, world.now()).await.unwrap();
        keep(unit).await;
        let mut unit = write(store).await;
        let error = users::insert(&mut unit, &world.user("ada@harbor.example ")).await.unwrap_err();
        assert!(error.is_conflict_of("users_email_key"), "{error:?}");
        drop(unit);
        let mut read = store.read().await.unwrap();
        let found = users::find_by_email(&mut read, &email_key("ADA@harbor.example")).await.unwrap().unwrap();
        assert_eq!((found.id, found.email.as_str(), found.version), (user.id, "Ada@Harbor.Example", 2));
        assert_eq!(found.email_verified_at, Some(world.now()));
        assert!(!users::has_operator(&mut read).await.unwrap());

        let mut unit = write(store).await;
        users::update_password(&mut unit, user.id, "other", world.now()).await.unwrap();
        users::update_email(&mut unit, user.id, " New@Harbor.example", world.now()).await.unwrap();
        users::update_profile(&mut unit, user.id, "Grace", &json!({ "a": 1 }), world.now()).await.unwrap();
        let row = users::get_for_update(&mut unit, user.id).await.unwrap();
        assert_eq!((row.email.as_str(), row.email_key.as_str(), row.name.as_str()), ("New@Harbor.example", "new@harbor.example", "Grace"));
        assert_eq!(row.password_hash.as_deref(), Some("other"));
        users::erase(&mut unit, user.id, world.now()).await.unwrap();
        keep(unit).await;
        assert!(users::find(&mut read, user.id).await.unwrap().is_none());
        let mut unit = write(store).await;
        users::insert(&mut unit, &world.user("new@harbor.example")).await.unwrap();
        assert!(matches!(users::mark_verified(&mut unit, user.id, world.now()).await, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn memberships_end_with_the_organization() {
    on_both(async |store| {
        let world = World::new();
        let (owner, member) = (world.user("a@x.example"), world.user("b@x.example"));
        let (organization, other) = (world.organization("acme"), world.organization("other"));
        let mut unit = write(store).await;
        for user in [&owner, &member] {
            users::insert(&mut unit, user).await.unwrap();
        }
        for row in [&organization, &other] {
            organizations::insert(&mut unit, row).await.unwrap();
        }
        memberships::insert(&mut unit, &world.membership(organization.id, owner.id, Role::Owner)).await.unwrap();
        world.clock.advance(TimeDelta::seconds(1));
        memberships::insert(&mut unit, &world.membership(organization.id, member.id, Role::Member)).await.unwrap();
        let switches = Switches::from([(Permission::ProjectsWrite, false)]);
        let change = (Role::Viewer, &switches, &store::Sight { projects: Some(BTreeSet::new()), ..Default::default() });
        memberships::update(&mut unit, organization.id, member.id, change, world.now()).await.unwrap();
        assert!(matches!(memberships::delete(&mut unit, other.id, member.id).await, Err(StoreError::NotFound { .. })));
        assert_eq!(memberships::list_for_update(&mut unit, organization.id).await.unwrap().len(), 2);
        keep(unit).await;

        let mut read = store.read().await.unwrap();
        let found = memberships::find(&mut read, organization.id, member.id).await.unwrap().unwrap();
        assert_eq!((found.role, found.switches.0, found.projects), (Role::Viewer, switches, Some(Json(BTreeSet::new()))));
        assert!(memberships::find(&mut read, other.id, member.id).await.unwrap().is_none());
        let first = memberships::list_members(&mut read, organization.id, &page(1)).await.unwrap();
        assert_eq!(first.rows[0].id, owner.id);
        let rest = memberships::list_members(&mut read, organization.id, &Page { limit: 1, after: first.next }).await.unwrap();
        assert_eq!((rest.rows[0].id, rest.next.is_none()), (member.id, true));
        assert_eq!(memberships::find_member(&mut read, organization.id, owner.id).await.unwrap().unwrap().email, "a@x.example");
        assert_eq!(memberships::owners(&mut read, organization.id).await.unwrap().len(), 1);
        assert!(memberships::is_member(&mut read, organization.id, "b@x.example").await.unwrap());
        assert_eq!(organizations::list_of_user(&mut read, member.id, None, &page(9)).await.unwrap().rows[0].role, Role::Viewer);
        assert!(organizations::list_of_user(&mut read, member.id, Some(other.id), &page(9)).await.unwrap().rows.is_empty());

        let mut unit = write(store).await;
        let mut renamed = organizations::get_for_update(&mut unit, organization.id).await.unwrap();
        renamed.slug = "beta".into();
        organizations::update(&mut unit, &renamed, world.now()).await.unwrap();
        let stale = organizations::update(&mut unit, &renamed, world.now()).await.unwrap_err();
        assert!(matches!(stale, StoreError::Stale { .. }), "{stale:?}");
        organizations::delete(&mut unit, organization.id, world.now()).await.unwrap();
        keep(unit).await;
        assert!(memberships::find(&mut read, organization.id, owner.id).await.unwrap().is_none());
        assert!(memberships::list_of_user(&mut read, owner.id).await.unwrap().is_empty());
        let mut unit = write(store).await;
        organizations::insert(&mut unit, &world.organization("beta")).await.unwrap();
        assert_eq!(organizations::list_ids(&mut unit).await.unwrap().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn sessions_are_found_by_digest_and_end() {
    on_both(async |store| {
        let world = World::new();
        let user = world.user("a@x.example");
        let (one, other) = (world.session(user.id, 1), world.session(user.id, 2));
        let mut unit = write(store).await;
        users::insert(&mut unit, &user).await.unwrap();
        assert!(!sessions::knows_device(&mut unit, user.id, Some("Firefox")).await.unwrap());
        for session in [&one, &other] {
            sessions::insert(&mut unit, session).await.unwrap();
        }
        assert!(sessions::knows_device(&mut unit, user.id, Some("Firefox")).await.unwrap());
        sessions::rotate(&mut unit, user.id, one.id, &[3; 32], world.now()).await.unwrap();
        keep(unit).await;
        let mut read = store.read().await.unwrap();
        assert!(sessions::find_by_digest(&mut read, &[1; 32]).await.unwrap().is_none());
        assert_eq!(sessions::find_by_digest(&mut read, &[3; 32]).await.unwrap().unwrap().id, one.id);
        assert_eq!(sessions::list(&mut read, user.id, &page(9)).await.unwrap().rows.len(), 2);
        let stranger = UserId::new(&world.clock, &world.entropy);
        let mut unit = write(store).await;
        assert!(matches!(sessions::delete(&mut unit, stranger, one.id).await, Err(StoreError::NotFound { .. })));
        let later = world.now() + TimeDelta::hours(2);
        sessions::touch(&mut unit, one.id, later).await.unwrap();
        assert_eq!(sessions::purge(&mut unit, later, later - TimeDelta::hours(1)).await.unwrap(), 1);
        assert_eq!(sessions::delete_others(&mut unit, user.id, Some(one.id)).await.unwrap(), 0);
        sessions::delete(&mut unit, user.id, one.id).await.unwrap();
        sessions::insert(&mut unit, &other).await.unwrap();
        assert_eq!(sessions::delete_others(&mut unit, user.id, None).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn tokens_end_with_their_owner_and_organization() {
    on_both(async |store| {
        let world = World::new();
        let (user, organization) = (world.user("a@x.example"), world.organization("acme"));
        let (free, confined) = (world.token(user.id, None), world.token(user.id, Some(organization.id)));
        let mut unit = write(store).await;
        users::insert(&mut unit, &user).await.unwrap();
        organizations::insert(&mut unit, &organization).await.unwrap();
        for token in [&free, &confined] {
            tokens::insert(&mut unit, token).await.unwrap();
        }
        tokens::touch(&mut unit, free.id, world.now()).await.unwrap();
        keep(unit).await;
        let mut read = store.read().await.unwrap();
        let found = tokens::find(&mut read, free.id).await.unwrap().unwrap();
        assert_eq!((found.scopes, found.addresses, found.last_used_at), (free.scopes, free.addresses, Some(world.now())));
        assert_eq!(tokens::count(&mut read, user.id).await.unwrap(), 2);
        assert_eq!(tokens::list(&mut read, user.id, &page(1)).await.unwrap().rows.len(), 1);
        let week = world.now() + TimeDelta::days(7);
        assert_eq!(tokens::list_expiring(&mut read, world.now(), week, 10).await.unwrap().len(), 2);
        let mut unit = write(store).await;
        assert!(tokens::mark_warned(&mut unit, free.id, world.now()).await.unwrap());
        assert!(!tokens::mark_warned(&mut unit, free.id, world.now()).await.unwrap());
        assert_eq!(tokens::delete_of_member(&mut unit, organization.id, user.id).await.unwrap(), 1);
        assert_eq!(tokens::delete_of_organization(&mut unit, organization.id).await.unwrap(), 0);
        assert_eq!(tokens::purge(&mut unit, world.now()).await.unwrap(), 0);
        assert_eq!(tokens::purge(&mut unit, week).await.unwrap(), 1);
        tokens::insert(&mut unit, &confined).await.unwrap();
        assert_eq!(tokens::delete_of_user(&mut unit, user.id).await.unwrap(), 1);
        assert!(matches!(tokens::delete(&mut unit, user.id, free.id).await, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_newer_invitation_takes_the_place_of_the_old() {
    on_both(async |store| {
        let world = World::new();
        let (user, organization) = (world.user("a@x.example"), world.organization("acme"));
        let invitation = |digest: u8| InvitationRow {
            id: InvitationId::new(&world.clock, &world.entropy),
            organization_id: organization.id,
            email: "B@x.example".into(),
            email_key: "b@x.example".into(),
            role: Role::Member,
            switches: Json::default(),
            projects: None,
            environments: None,
            services: None,
            digest: vec![digest; 32],
            invited_by: user.id,
            created_at: world.now(),
            expires_at: world.now() + TimeDelta::hours(72),
        };
        let mut unit = write(store).await;
        users::insert(&mut unit, &user).await.unwrap();
        organizations::insert(&mut unit, &organization).await.unwrap();
        invitations::replace(&mut unit, &invitation(1)).await.unwrap();
        let second = invitation(2);
        invitations::replace(&mut unit, &second).await.unwrap();
        keep(unit).await;
        let mut read = store.read().await.unwrap();
        assert!(invitations::find_by_digest(&mut read, &[1; 32]).await.unwrap().is_none());
        assert_eq!(invitations::find_by_digest(&mut read, &[2; 32]).await.unwrap().unwrap().id, second.id);
        assert_eq!(invitations::find(&mut read, organization.id, second.id).await.unwrap().unwrap().role, Role::Member);
        assert_eq!(invitations::count(&mut read, organization.id).await.unwrap(), 1);
        assert_eq!(invitations::list(&mut read, organization.id, &page(5)).await.unwrap().rows.len(), 1);
        let mut unit = write(store).await;
        assert_eq!(invitations::purge(&mut unit, world.now()).await.unwrap(), 0);
        invitations::delete(&mut unit, organization.id, second.id).await.unwrap();
        for by in 0..3 {
            invitations::replace(&mut unit, &invitation(3)).await.unwrap();
            let removed = match by {
                0 => invitations::delete_of_inviter(&mut unit, organization.id, user.id).await,
                1 => invitations::delete_of_organization(&mut unit, organization.id).await,
                _ => invitations::purge(&mut unit, world.now() + TimeDelta::hours(72)).await,
            };
            assert_eq!(removed.unwrap(), 1);
        }
        assert!(matches!(invitations::delete(&mut unit, organization.id, second.id).await, Err(StoreError::NotFound { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_link_works_once_and_its_code_a_few_times() {
    on_both(async |store| {
        let world = World::new();
        let (user, organization) = (world.user("a@x.example"), world.organization("acme"));
        let verify = world.link(user.id, LinkKind::VerifyEmail, 1);
        let offer = LinkRow { organization_id: Some(organization.id), ..world.link(user.id, LinkKind::TransferOwnership, 2) };
        let mut unit = write(store).await;
        users::insert(&mut unit, &user).await.unwrap();
        organizations::insert(&mut unit, &organization).await.unwrap();
        links::insert(&mut unit, &verify).await.unwrap();
        links::insert(&mut unit, &offer).await.unwrap();
        assert!(links::find_by_digest(&mut unit, LinkKind::ResetPassword, &[1; 32]).await.unwrap().is_none());
        assert_eq!(links::find_by_digest(&mut unit, LinkKind::VerifyEmail, &[1; 32]).await.unwrap().unwrap().id, verify.id);
        assert_eq!(links::newest(&mut unit, user.id, LinkKind::VerifyEmail).await.unwrap().unwrap().id, verify.id);
        let before = world.now() - TimeDelta::seconds(1);
        assert_eq!(links::count_since(&mut unit, user.id, LinkKind::VerifyEmail, before).await.unwrap(), 1);
        assert!(links::try_code(&mut unit, verify.id, 2).await.unwrap() && links::try_code(&mut unit, verify.id, 2).await.unwrap());
        assert!(!links::try_code(&mut unit, verify.id, 2).await.unwrap());
        assert!(links::consume(&mut unit, verify.id).await.unwrap());
        assert!(!links::consume(&mut unit, verify.id).await.unwrap());
        assert_eq!(links::find_transfer(&mut unit, organization.id, user.id).await.unwrap().unwrap().id, offer.id);
        assert_eq!(links::delete_transfers(&mut unit, organization.id).await.unwrap(), 1);
        links::insert(&mut unit, &offer).await.unwrap();
        assert_eq!(links::delete_transfer_to(&mut unit, organization.id, user.id).await.unwrap(), 1);
        links::insert(&mut unit, &verify).await.unwrap();
        assert_eq!(links::delete_of_user(&mut unit, user.id, LinkKind::ResetPassword).await.unwrap(), 0);
        assert_eq!(links::purge(&mut unit, world.now()).await.unwrap(), 0);
        assert_eq!(links::purge(&mut unit, world.now() + TimeDelta::hours(1)).await.unwrap(), 1);
    })
    .await;
}

#[tokio::test]
async fn throttles_count_and_mails_wait() {
    on_both(async |store| {
        let world = World::new();
        let now = world.now();
        let mut unit = write(store).await;
        assert_eq!((throttles::fail(&mut unit, &[1], now).await.unwrap(), throttles::fail(&mut unit, &[1], now).await.unwrap()), (1, 2));
        throttles::block(&mut unit, &[1], now + TimeDelta::minutes(1)).await.unwrap();
        let row = throttles::find(&mut unit, &[1]).await.unwrap().unwrap();
        assert_eq!((row.failures, row.blocked_until), (2, now + TimeDelta::minutes(1)));
        throttles::clear(&mut unit, &[1]).await.unwrap();
        assert!(throttles::find(&mut unit, &[1]).await.unwrap().is_none());
        throttles::fail(&mut unit, &[2], now).await.unwrap();
        assert_eq!(throttles::purge(&mut unit, now).await.unwrap(), 0);
        assert_eq!(throttles::purge(&mut unit, now + TimeDelta::seconds(1)).await.unwrap(), 1);

        let mail = |name: &str| MailRow {
            id: MailId::new(&world.clock, &world.entropy),
            user_id: None,
            organization_id: None,
            kind: name.into(),
            recipient: "a@x.example".into(),
            payload_sealed: Some(vec![1]),
            state: MailState::Queued,
            attempts: 0,
            error: None,
            created_at: now,
            sent_at: None,
        };
        let (sent, failed) = (mail("sent"), mail("failed"));
        mails::insert(&mut unit, &sent).await.unwrap();
        mails::insert(&mut unit, &failed).await.unwrap();
        assert_eq!(mails::list_queued(&mut unit, 9).await.unwrap().len(), 2);
        mails::mark_sent(&mut unit, sent.id, now).await.unwrap();
        mails::mark_failed(&mut unit, failed.id, "greylisted", false).await.unwrap();
        let row = mails::find(&mut unit, failed.id).await.unwrap().unwrap();
        assert_eq!((row.state, row.attempts, row.payload_sealed), (MailState::Queued, 1, Some(vec![1])));
        mails::mark_failed(&mut unit, failed.id, "no such mailbox", true).await.unwrap();
        let row = mails::find(&mut unit, failed.id).await.unwrap().unwrap();
        assert_eq!((row.state, row.payload_sealed, row.error.as_deref()), (MailState::Failed, None, Some("no such mailbox")));
        let row = mails::find(&mut unit, sent.id).await.unwrap().unwrap();
        assert_eq!((row.state, row.payload_sealed, row.sent_at), (MailState::Sent, None, Some(now)));
        assert_eq!(mails::purge(&mut unit, now).await.unwrap(), 0);
        assert_eq!(mails::purge(&mut unit, now + TimeDelta::seconds(1)).await.unwrap(), 2);
    })
    .await;
}

#[tokio::test]
async fn the_instance_has_one_row_of_settings() {
    on_both(async |store| {
        let world = World::new();
        let mut unit = write(store).await;
        assert!(instance::find(&mut unit).await.unwrap().is_none());
        instance::ensure(&mut unit, world.now()).await.unwrap();
        instance::ensure(&mut unit, world.now()).await.unwrap();
        instance::set_setup_token(&mut unit, Some(&[1; 32]), world.now()).await.unwrap();
        instance::set_key_check(&mut unit, &[2], world.now()).await.unwrap();
        let row = instance::get_for_update(&mut unit).await.unwrap();
        assert_eq!((row.sign_up, row.setup_token_digest, row.key_check), (SignUp::Invitation, Some(vec![1; 32]), Some(vec![2])));
        instance::update(&mut unit, SignUp::Open, &json!({ "a": 1 }), row.version, world.now()).await.unwrap();
        let stale = instance::update(&mut unit, SignUp::Closed, &json!({}), row.version, world.now()).await.unwrap_err();
        assert!(matches!(stale, StoreError::Stale { .. }), "{stale:?}");
        let row = instance::find(&mut unit).await.unwrap().unwrap();
        assert_eq!((row.sign_up, row.settings.0), (SignUp::Open, json!({ "a": 1 })));
    })
    .await;
}
