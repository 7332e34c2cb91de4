//! TLS to clients: which certificate a name gets, the handshake, and what a connection may ask for afterwards.
//!
//! A name without a certificate gets the fatal alert `unrecognized_name`, never another name's certificate.

mod chain;
mod handshake;
mod index;
mod self_signed;

pub use chain::{Checked, Unusable, check, check_own};
pub use handshake::{Greeting, Handshakes};
pub use index::{Entry, Index, Rank};
pub use self_signed::{challenge_certificate, self_signed};

use std::sync::Arc;

/// What is known of a connection over TLS.
#[derive(Debug, Clone)]
pub struct TlsFacts {
    /// The name that the client asked for in its ClientHello, normalised.
    pub server_name: Arc<str>,
    /// The certificate that it was shown.
    pub entry: Arc<Entry>,
}

impl TlsFacts {
    /// Whether the certificate of this connection speaks for `host`.
    pub fn covers(&self, host: &str) -> bool {
        *self.server_name == *host || self.entry.covers(host)
    }
}
