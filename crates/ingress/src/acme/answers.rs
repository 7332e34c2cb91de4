//! Answers to challenges that are under way: looked at by plain requests (http-01) and handshakes (tls-alpn-01).

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use rustls::sign::CertifiedKey;

const HTTP_PREFIX: &str = "/.well-known/acme-challenge/";

#[derive(Default)]
pub struct Answers {
    /// (host, token) → key authorization.
    http: RwLock<HashMap<(String, String), Arc<str>>>,
    tls: RwLock<HashMap<String, Arc<CertifiedKey>>>,
    /// So that a request costs one read of a number while nothing is under way.
    open: AtomicUsize,
}

impl Answers {
    /// The answer to a plain request, when it asks for a token that we hold for this host. Others go to the app, which may do
    /// its own challenges.
    pub fn http(&self, host: &str, path: &str) -> Option<Arc<str>> {
        if self.open.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let token = path.strip_prefix(HTTP_PREFIX)?;
        let http = self.http.read().unwrap_or_else(PoisonError::into_inner);
        http.get(&(host.to_owned(), token.to_owned())).cloned()
    }

    pub fn tls_alpn(&self, host: &str) -> Option<CertifiedKey> {
        let tls = self.tls.read().unwrap_or_else(PoisonError::into_inner);
        tls.get(host).map(|key| CertifiedKey::clone(key))
    }

    pub fn put_http(self: &Arc<Self>, host: &str, token: &str, answer: &str) -> Given {
        let key = (host.to_owned(), token.to_owned());
        self.http.write().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), Arc::from(answer));
        self.open.fetch_add(1, Ordering::Relaxed);
        Given { answers: Arc::clone(self), what: What::Http(key) }
    }

    pub fn put_tls(self: &Arc<Self>, host: &str, key: CertifiedKey) -> Given {
        self.tls.write().unwrap_or_else(PoisonError::into_inner).insert(host.to_owned(), Arc::new(key));
        Given { answers: Arc::clone(self), what: What::Tls(host.to_owned()) }
    }
}

/// Taken back when dropped.
pub struct Given {
    answers: Arc<Answers>,
    what: What,
}

enum What {
    Http((String, String)),
    Tls(String),
}

impl Drop for Given {
    fn drop(&mut self) {
        match &self.what {
            What::Http(key) => {
                self.answers.http.write().unwrap_or_else(PoisonError::into_inner).remove(key);
                self.answers.open.fetch_sub(1, Ordering::Relaxed);
            }
            What::Tls(host) => {
                self.answers.tls.write().unwrap_or_else(PoisonError::into_inner).remove(host);
            }
        }
    }
}
