//! The parts that certificates need, opened together at the start of the process.

use std::{sync::Arc, time::Duration};

use domain::Clock;

use crate::{
    IngressError,
    acme::{Answers, Engine},
    admin_certificates::CertificateAdmin,
    certificate_book::CertificateBook,
    config::{IngressConfig, Limits},
    front::Front,
    tls::Handshakes,
};

pub struct Certificates {
    pub engine: Arc<Engine>,
    book: Arc<CertificateBook>,
    answers: Arc<Answers>,
}

impl Certificates {
    pub fn open(config: &IngressConfig, clock: &Arc<dyn Clock>, warnings: &mut Vec<String>) -> Result<Self, IngressError> {
        let failed = |source| IngressError::StateDir { path: config.state_dir.clone(), source };
        let book = CertificateBook::open(&config.state_dir, Arc::clone(clock), warnings).map_err(failed)?;
        let answers = Arc::new(Answers::default());
        let engine = Engine::open(&config.state_dir, Arc::clone(&book), Arc::clone(&answers), warnings).map_err(failed)?;
        Ok(Self { engine, book, answers })
    }

    pub fn front(&self, config: &IngressConfig) -> Front {
        let listened = config.listen_tls.first().map(std::net::SocketAddr::port);
        Front { book: Arc::clone(&self.book), answers: Arc::clone(&self.answers), https_port: config.https_port.or(listened) }
    }

    pub fn handshakes(&self, limits: &Limits) -> Result<Handshakes, IngressError> {
        let timeout = Duration::from_millis(limits.handshake_timeout_ms);
        let (book, answers) = (Arc::clone(&self.book), Arc::clone(&self.answers));
        Handshakes::new(book, answers, limits.handshakes_at_once_max, timeout).map_err(IngressError::Tls)
    }

    pub fn admin(&self) -> CertificateAdmin {
        CertificateAdmin { book: Arc::clone(&self.book), engine: Arc::clone(&self.engine) }
    }
}
