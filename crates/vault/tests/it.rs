//! Sealing, moving, damaging, rotating and losing keys, through the public interface.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::Arc;

use domain::{Secret, SeededEntropy};
use proptest::prelude::*;
use uuid::Uuid;
use vault::{DataKey, KeyRing, MasterKey, MasterRing, PLAINTEXT_SIZE_BYTES_MAX, Place, Sealed, Unreadable, VaultError, WrappedDataKey};

const TENANT: Uuid = Uuid::from_u128(0x0a);
const OTHER: Uuid = Uuid::from_u128(0x0b);
const ROW: Uuid = Uuid::from_u128(0x0c);
const PLACE: Place<'static> = Place { tenant: TENANT, table: "variables", column: "value_sealed", row: ROW, name: "DATABASE_URL" };

fn key(tenant: Uuid, version: u32) -> DataKey {
    let id = Uuid::from_u128(tenant.as_u128() << 64 | u128::from(version));
    DataKey::generate(tenant, id, version, &SeededEntropy::new(u64::from(version) + tenant.as_u64_pair().1))
}

fn ring() -> KeyRing {
    let ring = KeyRing::new(Arc::new(SeededEntropy::new(99)));
    ring.load(TENANT, vec![key(TENANT, 1)], 1).unwrap();
    ring.load(OTHER, vec![key(OTHER, 1)], 1).unwrap();
    ring
}

fn bytes(value: &[u8]) -> Secret<Vec<u8>> {
    Secret::new(value.to_vec())
}

fn unreadable(result: Result<Secret<Vec<u8>>, VaultError>) -> Unreadable {
    match result {
        Err(VaultError::Unreadable(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_value_opens_at_its_place_and_every_envelope_differs() {
    let ring = ring();
    let sealed = ring.seal(&bytes(b"postgres://u:p@db/x"), &PLACE).unwrap();
    assert_eq!(ring.open(&sealed, &PLACE).unwrap().reveal(), b"postgres://u:p@db/x");
    let again = ring.seal(&bytes(b"postgres://u:p@db/x"), &PLACE).unwrap();
    assert_ne!(sealed, again, "a nonce of its own");
    assert!(!sealed.as_bytes().windows(8).any(|window| window == b"postgres"));
    assert!(!format!("{sealed:?}{ring:?}").contains("postgres"));
}

#[test]
fn what_looks_like_an_envelope_or_a_prefix_is_data() {
    let ring = ring();
    let envelope = ring.seal(&bytes(b"inner"), &PLACE).unwrap().into_bytes();
    for value in [&b""[..], b"enc:v1:abcdef", b"vault:v1:AAAA", b"sealed:", &[1, 1], &envelope, &[0; 50]] {
        let sealed = ring.seal(&bytes(value), &PLACE).unwrap();
        let stored = Sealed::from_bytes(sealed.into_bytes()).unwrap();
        assert_eq!(ring.open(&stored, &PLACE).unwrap().reveal(), value);
    }
    let sealed = ring.seal_text(&Secret::new(String::new()), &PLACE).unwrap();
    assert_eq!(sealed.as_bytes().len(), 50);
    assert_eq!(ring.open_text(&sealed, &PLACE).unwrap().reveal(), "");
    let sealed = ring.seal(&bytes(&[0xff, 0xfe]), &PLACE).unwrap();
    assert!(matches!(ring.open_text(&sealed, &PLACE), Err(VaultError::NotText)));
}

#[test]
fn bytes_that_are_no_envelope_are_an_error_never_plaintext() {
    for stored in [&b""[..], b"postgres://u:p@db/x", b"enc:v1:abcdef", &[1], &[1, 1], &[1; 49], &[2; 60], &[0; 60]] {
        let error = Sealed::from_bytes(stored.to_vec()).unwrap_err();
        assert!(matches!(error, VaultError::Unreadable(Unreadable::NotAnEnvelope)), "{stored:?}");
    }
}

#[test]
fn every_flipped_bit_and_every_other_length_is_refused() {
    let ring = ring();
    let sealed = ring.seal(&bytes(b"thirty-two bytes of a plain text"), &PLACE).unwrap().into_bytes();
    let open = |stored: Vec<u8>| Sealed::from_bytes(stored).and_then(|sealed| ring.open(&sealed, &PLACE));
    assert!(open(sealed.clone()).is_ok());
    for place in 0..sealed.len() {
        for bit in 0..8 {
            let mut changed = sealed.clone();
            changed[place] ^= 1 << bit;
            let why = unreadable(open(changed));
            match place {
                0..2 => assert_eq!(why, Unreadable::NotAnEnvelope),
                2..22 => assert!(matches!(why, Unreadable::UnknownKey { .. })),
                _ => assert_eq!(why, Unreadable::NotAuthentic, "byte {place} bit {bit}"),
            }
        }
    }
    for length in 0..sealed.len() {
        unreadable(open(sealed[..length].to_vec()));
    }
    for extra in 1..20 {
        let mut longer = sealed.clone();
        longer.extend(vec![0; extra]);
        unreadable(open(longer));
    }
}

#[test]
fn moved_ciphertext_does_not_open() {
    let ring = ring();
    let sealed = ring.seal(&bytes(b"value"), &PLACE).unwrap();
    for place in [
        Place { table: "credentials", ..PLACE },
        Place { column: "other", ..PLACE },
        Place { row: Uuid::from_u128(0x0d), ..PLACE },
        Place { name: "DATABASE_URL2", ..PLACE },
        Place { name: "", ..PLACE },
        Place { table: "variable", column: "svalue_sealed", ..PLACE },
    ] {
        assert_eq!(unreadable(ring.open(&sealed, &place)), Unreadable::NotAuthentic, "{place:?}");
    }
    let foreign = Place { tenant: OTHER, ..PLACE };
    assert!(matches!(unreadable(ring.open(&sealed, &foreign)), Unreadable::UnknownKey { .. }));
    // The same even if both organizations had the same key.
    let shared = KeyRing::new(Arc::new(SeededEntropy::new(1)));
    let same_key = |tenant| DataKey::generate(tenant, Uuid::from_u128(7), 1, &SeededEntropy::new(7));
    shared.load(TENANT, vec![same_key(TENANT)], 1).unwrap();
    shared.load(OTHER, vec![same_key(OTHER)], 1).unwrap();
    let sealed = shared.seal(&bytes(b"value"), &PLACE).unwrap();
    assert_eq!(unreadable(shared.open(&sealed, &foreign)), Unreadable::NotAuthentic);
}

#[test]
fn a_data_key_rotates_while_old_rows_stay_readable() {
    let ring = ring();
    let old = ring.seal(&bytes(b"old"), &PLACE).unwrap();
    ring.add_pending(key(TENANT, 2)).unwrap();
    assert_eq!(ring.seal(&bytes(b"x"), &PLACE).unwrap().key_version(), 1, "a pending key does not seal");
    ring.promote(TENANT, 2).unwrap();
    let new = ring.seal(&bytes(b"new"), &PLACE).unwrap();
    assert_eq!((old.key_version(), new.key_version()), (1, 2));
    assert_eq!(ring.open(&old, &PLACE).unwrap().reveal(), b"old");
    assert!(ring.needs_reseal(&old, TENANT).unwrap() && !ring.needs_reseal(&new, TENANT).unwrap());

    let resealed = ring.reseal(&old, &PLACE).unwrap();
    assert!(!ring.needs_reseal(&resealed, TENANT).unwrap());
    assert_eq!(ring.open(&resealed, &PLACE).unwrap().reveal(), b"old");
    assert!(ring.reseal(&old, &Place { name: "OTHER", ..PLACE }).is_err(), "a reseal does not move a value");

    assert!(matches!(ring.retire(TENANT, 2), Err(VaultError::Rotation(_))));
    ring.retire(TENANT, 1).unwrap();
    assert_eq!(ring.open(&resealed, &PLACE).unwrap().reveal(), b"old");
    let error = ring.open(&old, &PLACE).unwrap_err();
    assert!(error.to_string().contains("version 1"), "{error}");
}

#[test]
fn rotation_refuses_what_would_lose_data() {
    let ring = ring();
    for wrong in [ring.promote(TENANT, 2), ring.promote(TENANT, 0), ring.retire(TENANT, 1), ring.add_pending(key(TENANT, 1))] {
        assert!(matches!(wrong, Err(VaultError::Rotation(_))));
    }
    assert!(matches!(ring.load(TENANT, vec![key(OTHER, 1)], 1), Err(VaultError::Rotation(_))));
    assert!(matches!(ring.load(TENANT, vec![key(TENANT, 1), key(TENANT, 1)], 1), Err(VaultError::Rotation(_))));
    assert!(matches!(ring.load(TENANT, vec![key(TENANT, 1)], 2), Err(VaultError::Rotation(_))));
    let unknown = Uuid::from_u128(1);
    assert!(matches!(ring.promote(unknown, 1), Err(VaultError::NotLoaded { tenant }) if tenant == unknown));
}

#[test]
fn uses_are_counted_and_limited() {
    let ring = KeyRing::new(Arc::new(SeededEntropy::new(1)));
    let first = key(TENANT, 1);
    first.restore_uses(vault::USES_BEFORE_ROTATION - 1);
    ring.load(TENANT, vec![first], 1).unwrap();
    assert!(!ring.rotation_due(TENANT).unwrap());
    ring.seal(&bytes(b"x"), &PLACE).unwrap();
    assert!(ring.rotation_due(TENANT).unwrap());
    // Loading the keys anew does not forget the count.
    ring.load(TENANT, vec![key(TENANT, 1)], 1).unwrap();
    assert_eq!(ring.uses(), vec![(TENANT, key(TENANT, 1).id(), 1, vault::USES_BEFORE_ROTATION)]);
    let last = key(TENANT, 1);
    last.restore_uses(vault::USES_MAX);
    ring.load(TENANT, vec![last], 1).unwrap();
    assert!(matches!(ring.seal(&bytes(b"x"), &PLACE), Err(VaultError::UsedUp { version: 1, .. })));
}

#[test]
fn a_dropped_key_is_the_end_of_its_values_and_of_no_others() {
    let ring = ring();
    let sealed = ring.seal(&bytes(b"value"), &PLACE).unwrap();
    let other_place = Place { tenant: OTHER, ..PLACE };
    let others = ring.seal(&bytes(b"theirs"), &other_place).unwrap();
    ring.forget(TENANT);
    assert!(!ring.is_loaded(TENANT));
    assert!(matches!(ring.open(&sealed, &PLACE), Err(VaultError::NotLoaded { tenant: TENANT })));
    assert_eq!(ring.open(&others, &other_place).unwrap().reveal(), b"theirs");
    ring.clear();
    assert!(ring.open(&others, &other_place).is_err());
}

#[test]
fn too_large_a_value_is_refused() {
    let value = Secret::new(vec![0; PLAINTEXT_SIZE_BYTES_MAX + 1]);
    assert!(matches!(ring().seal(&value, &PLACE), Err(VaultError::TooLarge { .. })));
}

#[test]
fn a_data_key_wraps_and_unwraps_under_its_master_only() {
    let entropy = SeededEntropy::new(1);
    let (first, second) = (MasterKey::generate(&entropy), MasterKey::generate(&entropy));
    let masters = MasterRing::new(first.clone(), vec![]);
    let data_key = key(TENANT, 3);
    let wrapped = data_key.wrap(&masters, &entropy).unwrap();
    let stored = WrappedDataKey::from_bytes(wrapped.as_bytes().to_vec()).unwrap();
    let unwrapped = stored.unwrap_key(&masters, TENANT).unwrap();
    assert_eq!((unwrapped.id(), unwrapped.version(), unwrapped.tenant()), (data_key.id(), 3, TENANT));

    // It is the same key: one seals, the other opens.
    let (one, two) = (KeyRing::new(Arc::new(SeededEntropy::new(1))), KeyRing::new(Arc::new(SeededEntropy::new(2))));
    one.load(TENANT, vec![data_key], 3).unwrap();
    two.load(TENANT, vec![unwrapped], 3).unwrap();
    let sealed = one.seal(&bytes(b"value"), &PLACE).unwrap();
    assert_eq!(two.open(&sealed, &PLACE).unwrap().reveal(), b"value");

    let wrong = MasterRing::new(second.clone(), vec![]);
    let error = stored.unwrap_key(&wrong, TENANT).unwrap_err();
    assert!(matches!(error, VaultError::WrongMasterKey { needed, .. } if needed == first.id()), "{error}");
    assert!(matches!(stored.unwrap_key(&masters, OTHER), Err(VaultError::Unreadable(_))));

    for place in 0..stored.as_bytes().len() {
        for bit in 0..8 {
            let mut changed = stored.as_bytes().to_vec();
            changed[place] ^= 1 << bit;
            let result = WrappedDataKey::from_bytes(changed).and_then(|wrapped| wrapped.unwrap_key(&masters, TENANT));
            assert!(matches!(result, Err(VaultError::Unreadable(_) | VaultError::WrongMasterKey { .. })), "byte {place} bit {bit}");
        }
    }
    for length in [0, 1, 20, stored.as_bytes().len() - 1] {
        assert!(WrappedDataKey::from_bytes(stored.as_bytes()[..length].to_vec()).is_err());
    }
}

#[test]
fn a_master_key_rotates_without_touching_values() {
    let entropy = SeededEntropy::new(1);
    let (old, new) = (MasterKey::generate(&entropy), MasterKey::generate(&entropy));
    let before = MasterRing::new(old.clone(), vec![]);
    let ring = ring();
    let data_key = key(TENANT, 1);
    let sealed = ring.seal(&bytes(b"value"), &PLACE).unwrap();
    let wrapped = data_key.wrap(&before, &entropy).unwrap();

    let during = MasterRing::new(new.clone(), vec![old]);
    assert!(wrapped.needs_rewrap(&during) && !wrapped.needs_rewrap(&before));
    let rewrapped = wrapped.rewrap(&during, TENANT, &entropy).unwrap();
    assert!(!rewrapped.needs_rewrap(&during));
    assert!(wrapped.unwrap_key(&during, TENANT).is_ok(), "a row not yet re-wrapped still opens");

    let after = MasterRing::new(new, vec![]);
    assert!(matches!(wrapped.unwrap_key(&after, TENANT), Err(VaultError::WrongMasterKey { .. })));
    let loaded = KeyRing::new(Arc::new(SeededEntropy::new(5)));
    loaded.load(TENANT, vec![rewrapped.unwrap_key(&after, TENANT).unwrap()], 1).unwrap();
    assert_eq!(loaded.open(&sealed, &PLACE).unwrap().reveal(), b"value");
}

proptest! {
    #[test]
    fn what_is_sealed_opens_and_only_there(
        value in proptest::collection::vec(any::<u8>(), 0..2048),
        table in ".{0,20}", column in ".{0,20}", name in ".{0,40}", other_name in ".{0,40}", row in any::<u128>(),
    ) {
        let ring = ring();
        let place = Place { tenant: TENANT, table: &table, column: &column, row: Uuid::from_u128(row), name: &name };
        let sealed = Sealed::from_bytes(ring.seal(&bytes(&value), &place).unwrap().into_bytes()).unwrap();
        let opened = ring.open(&sealed, &place).unwrap();
        prop_assert_eq!(opened.reveal(), &value);
        if name != other_name {
            let elsewhere = ring.open(&sealed, &Place { name: &other_name, ..place });
            prop_assert!(elsewhere.is_err());
        }
    }

    #[test]
    fn no_bytes_make_the_parsers_panic(stored in proptest::collection::vec(any::<u8>(), 0..200)) {
        let ring = ring();
        let masters = MasterRing::new(MasterKey::generate(&SeededEntropy::new(1)), vec![]);
        prop_assert!(Sealed::from_bytes(stored.clone()).and_then(|sealed| ring.open(&sealed, &PLACE)).is_err());
        prop_assert!(WrappedDataKey::from_bytes(stored.clone()).and_then(|key| key.unwrap_key(&masters, TENANT)).is_err());
        prop_assert!(vault::KeyCheck::from_bytes(stored).verify(&masters).is_err());
    }
}
