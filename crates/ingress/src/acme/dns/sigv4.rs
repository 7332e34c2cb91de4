//! AWS Signature Version 4, for one request without a query that needs encoding:
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html>.

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::key_text::KeyText;

pub struct Signing<'a> {
    pub access_key_id: &'a str,
    pub secret_access_key: &'a KeyText,
    pub region: &'a str,
    pub service: &'a str,
}

pub struct Unsigned<'a> {
    pub method: &'a str,
    pub host: &'a str,
    pub path: &'a str,
    /// Names and values in order, already encoded.
    pub query: &'a str,
    pub body: &'a [u8],
}

/// `X-Amz-Date` and `Authorization`. Signs `host` and `x-amz-date`.
pub fn sign(signing: &Signing<'_>, request: &Unsigned<'_>, now: DateTime<Utc>) -> (String, String) {
    let (time, date) = (now.format("%Y%m%dT%H%M%SZ").to_string(), now.format("%Y%m%d").to_string());
    let Unsigned { method, host, path, query, body } = request;
    let canonical = format!("{method}\n{path}\n{query}\nhost:{host}\nx-amz-date:{time}\n\nhost;x-amz-date\n{}", hex(&Sha256::digest(body)));
    let scope = format!("{date}/{}/{}/aws4_request", signing.region, signing.service);
    let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = format!("AWS4{}", signing.secret_access_key.reveal()).into_bytes();
    for part in [date.as_str(), signing.region, signing.service, "aws4_request"] {
        key = mac(&key, part);
    }
    let signature = hex(&mac(&key, &to_sign));
    let credential = signing.access_key_id;
    (time, format!("AWS4-HMAC-SHA256 Credential={credential}/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}"))
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    // HMAC takes a key of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return Vec::new() };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `get-vanilla` of the published test suite.
    #[test]
    fn published_vector() {
        let secret = KeyText::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
        let signing = Signing { access_key_id: "AKIDEXAMPLE", secret_access_key: &secret, region: "us-east-1", service: "service" };
        let request = Unsigned { method: "GET", host: "example.amazonaws.com", path: "/", query: "", body: b"" };
        let (time, authorization) = sign(&signing, &request, "2015-08-30T12:36:00Z".parse().unwrap());
        assert_eq!(time, "20150830T123600Z");
        assert!(authorization.ends_with("Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"), "{authorization}");
    }
}
