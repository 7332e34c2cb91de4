//! Orders and renewals against a real authority that refuses good nonces now and then.

use std::time::Duration;

use ingress::certificates::{CertificateStanding, Challenge, FailureCause};

use crate::{
    nameserver::NameServer,
    pebble::{BINDING_ID, Options, Pebble, ordered},
};

fn is_issued(state: &ingress::certificates::CertificateState) -> bool {
    state.standing == CertificateStanding::Issued
}

#[tokio::test(flavor = "multi_thread")]
async fn http_01_issues_and_the_certificate_survives_restart_and_loss() {
    let mut pebble = Pebble::start(Options::default()).await;
    assert!(pebble.handshake("a.test").await.is_err());
    pebble.put_account().await;
    pebble.order("c1", &["a.test", "b.test"], Challenge::Http01).await;
    let state = pebble.until("c1", is_issued).await;
    let served = state.served.clone().unwrap();
    assert!(served.issuer.contains("Pebble") && served.chain_length == 2, "{served:?}");
    assert!(state.renew_at.unwrap() < served.not_after && state.days_left.unwrap() > 0);
    let shown = pebble.handshake("b.test").await.unwrap();
    let list = pebble.rig.client.certificates(None).await.unwrap();
    assert!(list.accounts[0].url.is_some() && list.accounts[0].material_version == 1, "{list:?}");
    assert!(pebble.rig.client.certificates(Some(list.revision)).await.unwrap().certificates.is_empty(), "nothing new");

    // The control plane seals copies; the machine is lost; the copies are given back: nothing is ordered again.
    let material = pebble.rig.client.certificate_material("c1").await.unwrap().unwrap();
    let account = pebble.rig.client.acme_account_material("test").await.unwrap().unwrap();
    pebble.rig.ingress.take().unwrap().stop().await;
    pebble.rig.ingress = Some(crate::rig::begin(&pebble.rig.config).await);
    assert_eq!(pebble.handshake("a.test").await.unwrap(), shown, "after a restart");
    pebble.rig.ingress.take().unwrap().stop().await;
    std::fs::remove_dir_all(&pebble.rig.config.state_dir).unwrap();
    pebble.rig.ingress = Some(crate::rig::begin(&pebble.rig.config).await);
    let mut desired_account = pebble.account(1, None);
    desired_account.material = Some(account);
    pebble.rig.client.put_acme_account(&desired_account).await.unwrap();
    let mut desired = ordered("c1", 1, &["a.test", "b.test"], Challenge::Http01);
    desired.material = Some(material);
    pebble.rig.client.put_certificate(&desired).await.unwrap();
    assert_eq!(pebble.handshake("a.test").await.unwrap(), shown, "after a loss");
    // The account is the one from before: its key opens it, and rolls.
    let rolled = pebble.rig.client.roll_acme_account("test").await.unwrap();
    assert_eq!(rolled.url.unwrap(), list.accounts[0].url.clone().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_alpn_01_and_renewal_before_the_end() {
    let pebble = Pebble::start(Options { valid_seconds: Some(24), ..Options::default() }).await;
    pebble.put_account().await;
    pebble.order("c1", &["a.test"], Challenge::TlsAlpn01).await;
    let first = pebble.until("c1", is_issued).await;
    let served = first.served.clone().unwrap();
    assert!((served.not_after - served.not_before).num_seconds() < 60, "{served:?}");
    let renewed = pebble.until("c1", |state| state.material_version > first.material_version).await;
    assert!(renewed.served.unwrap().not_before < served.not_after, "renewed before the first expired");
    assert_eq!(renewed.attempts, 0, "{:?}", renewed.last_error);
    pebble.handshake("a.test").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn dns_01_issues_a_wildcard_by_dynamic_update() {
    let pebble = Pebble::start(Options::default()).await;
    let name_server = NameServer::start(pebble.dns_control).await;
    pebble.put_account().await;
    pebble.rig.client.put_dns_provider(&name_server.provider(1, b"another key, which the server does not know")).await.unwrap();
    let challenge = Challenge::Dns01 { provider: "dns".to_owned() };
    pebble.order("c1", &["zone.test", "*.zone.test"], challenge).await;
    let state = pebble.until("c1", |state| state.last_error.is_some() && state.standing == CertificateStanding::Failed).await;
    let failure = state.last_error.unwrap();
    assert_eq!(failure.cause, FailureCause::Provider);
    assert!(failure.message.contains("refused the update") && failure.remedy.contains("credential"), "{failure:?}");
    pebble.rig.client.put_dns_provider(&name_server.provider(2, NameServer::right_key())).await.unwrap();
    pebble.rig.client.retry_certificate("c1").await.unwrap();
    pebble.until("c1", is_issued).await;
    for name in ["zone.test", "any.zone.test"] {
        pebble.handshake(name).await.unwrap();
    }
    let seen = name_server.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 2, "both values stood at one name: {seen:?}");
    assert!(seen.iter().all(|(name, _)| name == "_acme-challenge.zone.test."));
    assert_eq!(name_server.standing(), 0, "taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_challenge_is_told_in_the_authoritys_words_and_retried() {
    let pebble = Pebble::start(Options::default()).await;
    pebble.put_account().await;
    // Nothing listens there.
    pebble.dns("add-a", serde_json::json!({"host": "away.test.", "addresses": ["127.0.0.9"]})).await;
    pebble.order("away", &["away.test"], Challenge::Http01).await;
    let state = pebble.until("away", |state| state.attempts == 1).await;
    let failure = state.last_error.clone().unwrap();
    assert_eq!((state.standing, failure.cause), (CertificateStanding::Failed, FailureCause::Challenge));
    assert!(failure.message.contains("away.test") && failure.message.contains("urn:ietf:params:acme:error:"), "{failure:?}");
    assert!(failure.remedy.contains("ports 80 and 443"));
    assert!(state.next_attempt_at.unwrap() > failure.at, "it waits");

    pebble.dns("set-servfail", serde_json::json!({"host": "lost.test."})).await;
    pebble.order("lost", &["lost.test"], Challenge::Http01).await;
    let failure = pebble.until("lost", |state| state.attempts == 1).await.last_error.unwrap();
    assert_eq!(failure.cause, FailureCause::Dns, "{failure:?}");

    // One tenant's errors do not hold up another's.
    pebble.order("good", &["good.test"], Challenge::Http01).await;
    pebble.until("good", is_issued).await;
    pebble.dns("clear-a", serde_json::json!({"host": "away.test."})).await;
    pebble.rig.client.retry_certificate("away").await.unwrap();
    pebble.until("away", is_issued).await;

    // Four failed checks of a name are the limit that we keep.
    for attempt in 2..=4 {
        pebble.rig.client.retry_certificate("lost").await.unwrap();
        pebble.until("lost", |state| state.attempts == attempt).await;
    }
    pebble.rig.client.retry_certificate("lost").await.unwrap();
    let state = pebble.until("lost", |state| state.last_error.as_ref().unwrap().cause == FailureCause::RateLimited).await;
    assert_eq!(state.attempts, 4, "held back here, the authority was not asked");
    assert!((state.next_attempt_at.unwrap() - state.last_error.unwrap().at).num_minutes() > 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_down_at_renewal_and_comes_back_without_memory() {
    let mut pebble = Pebble::start(Options { valid_seconds: Some(60), ..Options::default() }).await;
    pebble.put_account().await;
    pebble.order("c1", &["a.test"], Challenge::Http01).await;
    let first = pebble.until("c1", is_issued).await;
    let shown = pebble.handshake("a.test").await.unwrap();
    pebble.kill();
    let failed = pebble.until("c1", |state| state.standing == CertificateStanding::RenewalFailed).await;
    assert_eq!(failed.last_error.unwrap().cause, FailureCause::AuthorityDown);
    assert_eq!(failed.served, first.served, "what was there is served on");
    pebble.run().await;
    // It has forgotten the account: a new one is registered at the attempt after that.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    while pebble.state("c1").await.material_version == first.material_version {
        assert!(tokio::time::Instant::now() < deadline, "{:?}", pebble.state("c1").await);
        pebble.rig.client.retry_certificate("c1").await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_ne!(pebble.handshake("a.test").await.unwrap(), shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_with_an_external_binding() {
    let pebble = Pebble::start(Options { needs_binding: true, ..Options::default() }).await;
    pebble.put_account().await;
    pebble.order("c1", &["a.test"], Challenge::Http01).await;
    let state = pebble.until("c1", |state| state.attempts == 1).await;
    assert_eq!(state.last_error.as_ref().unwrap().cause, FailureCause::Account, "{:?}", state.last_error);
    let noted = pebble.rig.client.certificates(None).await.unwrap().accounts[0].last_error.clone();
    assert_eq!(noted.unwrap().cause, FailureCause::Account);
    pebble.rig.client.put_acme_account(&pebble.account(2, Some(BINDING_ID))).await.unwrap();
    pebble.rig.client.retry_certificate("c1").await.unwrap();
    pebble.until("c1", is_issued).await;
    let url = pebble.rig.client.certificates(None).await.unwrap().accounts[0].url.clone();
    let rolled = pebble.rig.client.roll_acme_account("test").await.unwrap();
    assert_eq!((rolled.url, rolled.material_version), (url, 2));
    // The new key works.
    pebble.order("c2", &["b.test"], Challenge::Http01).await;
    pebble.until("c2", is_issued).await;
}
