//! Host keys of ssh: which are trusted, and what to show for one that is not.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

/// Public keys of the large git hosts, as they publish them.
const WELL_KNOWN: [(&str, &str); 3] = [
    ("github.com", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"),
    ("gitlab.com", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAfuCHKVTjquxvt6CM6tdG4SLp1Btn/nOeHHE5UOzRdf"),
    ("bitbucket.org", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIazEu89wgQZ4bqs3d63QSMzYVa0MuJ2e2gKTKqu+UUO"),
];

/// A host as `known_hosts` names it.
pub fn name(host: &str, port: u16) -> String {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if port == 22 { bare.to_owned() } else { format!("[{bare}]:{port}") }
}

/// The trusted lines; for a large host whose key the user did not give, the published key.
pub fn with_well_known(trusted: &str, host: &str) -> String {
    let mut lines = trusted.replace("\r\n", "\n").trim().to_owned();
    if lines.is_empty()
        && let Some((name, key)) = WELL_KNOWN.iter().find(|(name, _)| *name == host)
    {
        lines = format!("{name} {key}");
    }
    lines.push('\n');
    lines
}

/// One key that a host showed: its type, key and fingerprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub line: String,
    pub fingerprint: String,
}

/// Reads the output of `ssh-keyscan` and names the host as it was asked for.
pub fn shown(scan: &str, host: &str, port: u16) -> Vec<Shown> {
    scan.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let (kind, key) = (words.next()?, words.next()?);
            let fingerprint = fingerprint(key)?;
            Some(Shown { line: format!("{} {kind} {key}", name(host, port)), fingerprint })
        })
        .collect()
}

/// `SHA256:…` as ssh shows it.
pub fn fingerprint(key: &str) -> Option<String> {
    let bytes = STANDARD.decode(key).ok()?;
    Some(format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(bytes))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_keys_have_the_published_fingerprints() {
        let published = [
            "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU",
            "SHA256:eUXGGm1YGsMAS7vkcx6JOJdOGHPem5gQp4taiCfCLB8",
            "SHA256:ybgmFkzwOSotHTHLJgHO0QN8L0xErw6vd0VhFA9m3SM",
        ];
        for ((host, key), expected) in WELL_KNOWN.iter().zip(published) {
            let key = key.split(' ').next_back().unwrap_or_default();
            assert_eq!(fingerprint(key).as_deref(), Some(expected), "{host}");
        }
    }

    #[test]
    fn a_given_line_wins_and_ports_are_named() {
        assert!(with_well_known("", "github.com").starts_with("github.com ssh-ed25519"));
        assert_eq!(with_well_known("github.com ssh-rsa AAAA\r\n", "github.com"), "github.com ssh-rsa AAAA\n");
        assert_eq!(with_well_known("", "git.example"), "\n");
        assert_eq!(name("git.example", 2222), "[git.example]:2222");
    }
}
