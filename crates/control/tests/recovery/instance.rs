//! A small instance: two tenants with sealed values in every sealed column.

use std::path::Path;
use std::sync::Arc;

use control::keys::{INSTANCE, Keys};
use control::rotation::MasterKeyFiles;
use domain::{Clock, FixedClock, Secret, SystemEntropy};
use serde_json::json;
use store::audit::{self, Actor, Chain, Record};
use store::sealed::{self, SealedBy};
use store::{Store, execute, instance};
use uuid::Uuid;
use vault::{KeyCheck, KeyRing, MasterKey, MasterRing, Place};

pub const TENANTS: [Uuid; 2] = [Uuid::from_u128(0xA1), Uuid::from_u128(0xB2)];
pub const VALUES: u128 = 60;

pub fn value(tenant: Uuid, row: u128) -> String {
    format!("canary-{}-{row}", tenant.as_u128())
}

pub fn id(tenant: Uuid, row: u128) -> Uuid {
    Uuid::from_u128((tenant.as_u128() << 64) | row)
}

/// Keys as another process would have them.
pub fn keys(masters: MasterRing, clock: &Arc<FixedClock>) -> Keys {
    Keys::new(Arc::new(KeyRing::new(Arc::new(SystemEntropy))), masters, clock.clone(), Arc::new(SystemEntropy))
}

/// A master key in `folder/keys/master.key`.
pub fn key_files(folder: &Path) -> MasterKeyFiles {
    let files = MasterKeyFiles::new(folder.join("keys/master.key"));
    MasterKey::generate(&SystemEntropy).write_new_file(files.current(), &SystemEntropy).unwrap();
    files
}

/// [`VALUES`] variables and a credential per tenant, a release each, a mail of the instance, an audit entry per chain.
pub async fn fill(store: &Store, keys: &Keys, clock: &FixedClock) {
    let now = clock.now();
    let mut write = store.write().await.unwrap();
    instance::ensure(&mut write, now).await.unwrap();
    let check = KeyCheck::create(&keys.masters(), &SystemEntropy).unwrap();
    instance::set_key_check(&mut write, check.as_bytes(), now).await.unwrap();
    for tenant in TENANTS {
        let slug = format!("org-{}", tenant.as_u128());
        let text =
            "INSERT INTO organizations (id, slug, name, settings, version, created_at, updated_at) VALUES ($1, $2, $2, $3, 1, $4, $4)";
        execute!(&mut write, text, tenant, &slug, json!({}), now).await.unwrap();
        audit::append(
            &mut write,
            clock,
            &SystemEntropy,
            Record::new(Chain::Organization(domain::id::Id::from_uuid(tenant)), Actor::system("test"), "test.made"),
        )
        .await
        .unwrap();
    }
    audit::append(&mut write, clock, &SystemEntropy, Record::new(Chain::Instance, Actor::system("test"), "test.made")).await.unwrap();
    write.commit().await.unwrap();
    for tenant in TENANTS {
        for row in 0..VALUES {
            add_variable(store, keys, tenant, row, clock).await;
        }
        let sealed = seal(store, keys, tenant, "credentials", "sealed_value", id(tenant, 500)).await;
        let mut write = store.write().await.unwrap();
        let text = "INSERT INTO credentials (id, organization_id, kind, name, sealed_value, version, author_kind, created_at, updated_at) \
                    VALUES ($1, $2, 'git_token', 'c', $3, 1, 'system', $4, $4)";
        execute!(&mut write, text, id(tenant, 500), tenant, sealed, now).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
        let sealed = seal(store, keys, tenant, "releases", "sealed_variables", id(tenant, 600)).await;
        let mut write = store.write().await.unwrap();
        let text = "INSERT INTO releases (id, organization_id, service_id, version, deployment_id, reason, image, image_bytes, image_kept, revision, \
                    configuration, sealed_variables, variable_names, hosts, service_revision, irreversible, created_at) \
                    VALUES ($1, $2, $1, 1, $1, 'deploy', 'i', 1, $5, 'r', $4, $3, $4, $4, 1, $5, $6)";
        execute!(&mut write, text, id(tenant, 600), tenant, sealed, json!([]), false, now).await.unwrap();
        write.commit_without_audit("test").await.unwrap();
    }
    let sealed = seal(store, keys, INSTANCE, "mails", "payload_sealed", id(INSTANCE, 700)).await;
    let mut write = store.write().await.unwrap();
    let text = "INSERT INTO mails (id, kind, recipient, payload_sealed, state, attempts, created_at) VALUES ($1, 'k', 'a@b.test', $2, 'queued', 0, $3)";
    execute!(&mut write, text, id(INSTANCE, 700), sealed, now).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
}

async fn seal(store: &Store, keys: &Keys, tenant: Uuid, table: &str, column: &str, row: Uuid) -> Vec<u8> {
    let place = Place { tenant, table, column, row, name: "" };
    keys.seal(store, &place, &Secret::new(value(tenant, row.as_u128() & u128::from(u64::MAX)))).await.unwrap()
}

pub async fn add_variable(store: &Store, keys: &Keys, tenant: Uuid, row: u128, clock: &FixedClock) {
    let sealed = seal(store, keys, tenant, "variable_versions", "sealed_value", id(tenant, row)).await;
    let now = clock.now();
    let mut write = store.write().await.unwrap();
    let name = format!("V{row}");
    let text = "INSERT INTO variables (id, organization_id, scope_kind, scope_id, name, kind, version, refers_to, created_at, updated_at) \
                VALUES ($1, $2, 'project', $2, $3, 'secret', 1, $4, $5, $5)";
    execute!(&mut write, text, id(tenant, row), tenant, &name, json!([]), now).await.unwrap();
    let text = "INSERT INTO variable_versions (id, organization_id, variable_id, version, kind, sealed_value, size_bytes, author_kind, created_at) \
                VALUES ($1, $2, $1, 1, 'secret', $3, 1, 'system', $4)";
    execute!(&mut write, text, id(tenant, row), tenant, sealed, now).await.unwrap();
    write.commit_without_audit("test").await.unwrap();
}

/// Opens every sealed value of the instance; gives how many, and how many are under an older key than the current one.
pub async fn open_all(store: &Store, keys: &Keys) -> (u64, u64) {
    let (mut opened, mut old) = (0, 0);
    for column in sealed::by_data_keys() {
        let tenants: &[Uuid] = if column.by == SealedBy::Instance { &[INSTANCE] } else { &TENANTS };
        for tenant in tenants {
            let rows = column.list_under_other_key(&mut store.read().await.unwrap(), *tenant, b"none", Uuid::nil(), 10_000).await.unwrap();
            for row in rows {
                let place = Place { tenant: *tenant, table: column.table, column: column.column, row: row.id, name: "" };
                let text = keys.open(store, &place, &row.sealed).await.unwrap();
                assert_eq!(text.reveal(), &value(*tenant, row.id.as_u128() & u128::from(u64::MAX)), "{column:?}");
                let current = keys.ring().current_version(*tenant).unwrap().1;
                old += u64::from(vault::Sealed::from_bytes(row.sealed).unwrap().key_version() != current);
                opened += 1;
            }
        }
    }
    (opened, old)
}

/// What [`fill`] seals.
pub fn sealed_count() -> u64 {
    u64::try_from(VALUES).unwrap() * 2 + 2 + 2 + 1
}
