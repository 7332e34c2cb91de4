//! A certificate authority of the tests, and a TLS client that trusts it.

use std::{net::SocketAddr, sync::Arc};

use ingress::{
    KeyText,
    certificates::{DesiredCertificate, Issuance, Material},
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

pub struct Authority {
    pub pem: String,
    root: CertificateDer<'static>,
    /// `None`: somebody else's.
    issuer: Option<Issuer<'static, KeyPair>>,
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self { pem: certificate.pem(), root: certificate.der().clone(), issuer: Some(Issuer::new(params, key)) }
    }

    /// Another's root, to check what it issued.
    pub fn trusting(pem: &str) -> Self {
        Self { pem: pem.to_owned(), root: CertificateDer::from_pem_slice(pem.as_bytes()).unwrap(), issuer: None }
    }

    /// A leaf and the authority behind it, valid from yesterday for `days`.
    pub fn issue(&self, names: &[&str], days: i64) -> Material {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        params.not_before = epoch + std::time::Duration::from_secs((now - 10 * 86_400) as u64);
        params.not_after = epoch + std::time::Duration::from_secs((now + days * 86_400) as u64);
        let leaf = params.signed_by(&key, self.issuer.as_ref().unwrap()).unwrap();
        Material { chain_pem: format!("{}{}", leaf.pem(), self.pem), key_pem: KeyText::new(key.serialize_pem()) }
    }

    /// A TLS connection for `name` that offers `alpn`.
    pub async fn connect(&self, address: SocketAddr, name: &str, alpn: &[&str]) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(address).await?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        TlsConnector::from(Arc::new(self.client(alpn))).connect(name, stream).await
    }

    pub fn client(&self, alpn: &[&str]) -> ClientConfig {
        self.client_of(&rustls::version::TLS13, alpn)
    }

    pub fn client_of(&self, version: &'static rustls::SupportedProtocolVersion, alpn: &[&str]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_protocol_versions(&[version]);
        let mut config = builder.unwrap().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }
}

/// A pasted certificate.
pub fn own(id: &str, generation: u64, names: &[&str], material: Material) -> DesiredCertificate {
    let how = Issuance::Own { chain_pem: material.chain_pem, key_pem: material.key_pem };
    desired(id, generation, names, how)
}

pub fn desired(id: &str, generation: u64, names: &[&str], how: Issuance) -> DesiredCertificate {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    DesiredCertificate { id: id.to_owned(), generation, group: "org".to_owned(), names, how, material: None }
}
