//! A real authority (`pebble`) and its DNS (`pebble-challtestsrv`), from Debian; `make setup` installs them.

use std::{
    net::{SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use http::Request;
use hyper_util::rt::TokioIo;
use ingress::{
    KeyText,
    certificates::{CertificateState, Challenge, DesiredAccount, DesiredCertificate, ExternalBinding, Issuance},
};
use tempfile::TempDir;

use crate::{
    authority::{Authority, desired},
    rig::{Answer, Rig, collect, empty, full, send},
};

pub const BINDING_ID: &str = "kid-1";
const BINDING_KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
/// Ordering takes a second; the machine may be busy.
const WAIT: Duration = Duration::from_secs(90);

pub struct Options {
    /// Per cent of good nonces that are refused.
    pub nonces_refused: u8,
    pub valid_seconds: Option<u64>,
    pub needs_binding: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { nonces_refused: 15, valid_seconds: None, needs_binding: false }
    }
}

/// The two processes, with the ingress that they look at.
pub struct Pebble {
    pub rig: Rig,
    pub dns_control: SocketAddr,
    listen: SocketAddr,
    control: SocketAddr,
    dns: SocketAddr,
    authority: Authority,
    folder: TempDir,
    options: Options,
    dns_process: Child,
    process: Option<Child>,
}

impl Drop for Pebble {
    fn drop(&mut self) {
        self.kill();
        let _gone = self.dns_process.kill();
        let _reaped = self.dns_process.wait();
    }
}

impl Pebble {
    pub async fn start(options: Options) -> Self {
        let rig = Rig::with(|config| config.listen_tls = vec!["127.0.0.1:0".parse().unwrap()]).await;
        let [listen, control, dns, dns_control] = free_ports();
        let authority = Authority::new("the authority's own front door");
        let folder = tempfile::tempdir().unwrap();
        let door = authority.issue(&["localhost", "127.0.0.1"], 30);
        std::fs::write(folder.path().join("chain.pem"), &door.chain_pem).unwrap();
        std::fs::write(folder.path().join("key.pem"), door.key_pem.reveal()).unwrap();
        let arguments = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
        let mut command = program("pebble-challtestsrv");
        command.args(arguments).arg("-dns01").arg(dns.to_string()).arg("-management").arg(dns_control.to_string());
        let dns_process = spawn(command, folder.path(), "dns.log");
        let mut pebble = Self { rig, dns_control, listen, control, dns, authority, folder, options, dns_process, process: None };
        pebble.run().await;
        pebble
    }

    /// Starts the authority (again, with an empty memory).
    pub async fn run(&mut self) {
        let ingress = self.rig.ingress.as_ref().unwrap();
        let mut config = serde_json::json!({"pebble": {
            "listenAddress": self.listen.to_string(),
            "managementListenAddress": self.control.to_string(),
            "certificate": self.folder.path().join("chain.pem"),
            "privateKey": self.folder.path().join("key.pem"),
            "httpPort": ingress.addresses()[0].port(),
            "tlsPort": ingress.addresses_tls()[0].port(),
            "externalAccountBindingRequired": self.options.needs_binding,
            "externalAccountMACKeys": {BINDING_ID: BINDING_KEY},
        }});
        if let Some(seconds) = self.options.valid_seconds {
            config["pebble"]["certificateValidityPeriod"] = seconds.into();
        }
        let path = self.folder.path().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut command = program("pebble");
        command.arg("-config").arg(&path).arg("-dnsserver").arg(self.dns.to_string());
        command.env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_AUTHZREUSE", "0");
        command.env("PEBBLE_WFE_NONCEREJECT", self.options.nonces_refused.to_string());
        self.process = Some(spawn(command, self.folder.path(), "pebble.log"));
        let deadline = tokio::time::Instant::now() + WAIT;
        while tokio::net::TcpStream::connect(self.control).await.is_err() || tokio::net::TcpStream::connect(self.dns_control).await.is_err()
        {
            assert!(tokio::time::Instant::now() < deadline, "pebble does not start: {}", self.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _gone = process.kill();
            let _reaped = process.wait();
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("pebble.log")).unwrap_or_default()
    }

    pub fn account(&self, generation: u64, binding: Option<&str>) -> DesiredAccount {
        DesiredAccount {
            id: "test".to_owned(),
            generation,
            directory_url: format!("https://localhost:{}/dir", self.listen.port()),
            contacts: vec!["ops@seaway.test".to_owned()],
            external_binding: binding.map(|key_id| ExternalBinding { key_id: key_id.to_owned(), hmac_key: KeyText::new(BINDING_KEY) }),
            authority_pem: Some(self.authority.pem.clone()),
            may_be_private: true,
            material: None,
        }
    }

    pub async fn put_account(&self) {
        self.rig.client.put_acme_account(&self.account(1, None)).await.unwrap();
    }

    pub async fn order(&self, id: &str, names: &[&str], challenge: Challenge) {
        self.rig.client.put_certificate(&ordered(id, 1, names, challenge)).await.unwrap();
    }

    pub async fn state(&self, id: &str) -> CertificateState {
        self.rig.client.certificate(id).await.unwrap().unwrap()
    }

    /// Polls until `condition` holds.
    pub async fn until(&self, id: &str, condition: impl Fn(&CertificateState) -> bool) -> CertificateState {
        let deadline = tokio::time::Instant::now() + WAIT;
        loop {
            let state = self.state(id).await;
            if condition(&state) {
                return state;
            }
            assert!(tokio::time::Instant::now() < deadline, "never happened: {state:#?}\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// One call of the DNS double.
    pub async fn dns(&self, call: &str, body: serde_json::Value) {
        dns_call(self.dns_control, call, body).await;
    }

    /// The certificate that the ingress shows for `name`, checked against the authority's root.
    pub async fn handshake(&self, name: &str) -> std::io::Result<Vec<u8>> {
        let root = self.control_get("/roots/0").await.body;
        let tls = self.rig.ingress.as_ref().unwrap().addresses_tls()[0];
        let stream = Authority::trusting(&root).connect(tls, name, &[]).await?;
        Ok(stream.get_ref().1.peer_certificates().unwrap()[0].to_vec())
    }

    async fn control_get(&self, path: &str) -> Answer {
        let stream = self.authority.connect(self.control, "localhost", &["http/1.1"]).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder().uri(path).header("host", "localhost").body(empty()).unwrap();
        collect(sender.send_request(request).await.unwrap()).await.unwrap()
    }
}

pub fn ordered(id: &str, generation: u64, names: &[&str], challenge: Challenge) -> DesiredCertificate {
    desired(id, generation, names, Issuance::Acme { account: "test".to_owned(), challenge, profile: None })
}

pub async fn dns_call(control: SocketAddr, call: &str, body: serde_json::Value) {
    let request = Request::builder().method("POST").uri(format!("/{call}")).header("host", "dns").body(full(body.to_string())).unwrap();
    assert!(send(control, request).await.unwrap().status.is_success(), "{call}");
}

#[expect(clippy::disallowed_methods, reason = "the product starts no such process; these are tests' own")]
fn program(name: &str) -> Command {
    Command::new(name)
}

fn spawn(mut command: Command, folder: &Path, log: &str) -> Child {
    let log = std::fs::File::create(folder.join(log)).unwrap();
    let started = command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn();
    started.unwrap_or_else(|error| panic!("{command:?} cannot be started: {error}; `tests/setup.sh tools` installs Debian's pebble"))
}

fn free_ports() -> [SocketAddr; 4] {
    // All open at once, so that they differ.
    let listeners = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap())
}
