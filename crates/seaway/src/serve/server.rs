//! The server side of this machine, as a function call.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use deployer::local::{LocalServer, LocalServerConfig};
use domain::{Clock, Entropy};

use crate::configuration::{self, Configuration};
use crate::data_dir::DataDir;

const INSTANCE_FILE: &str = "instance";

/// Opens it. The engine need not be up.
///
/// # Errors
/// The state folder cannot be used.
pub fn start(
    configuration: &Configuration,
    data_dir: &DataDir,
    clock: &Arc<dyn Clock>,
    entropy: &Arc<dyn Entropy>,
) -> Result<Arc<LocalServer>> {
    let state_dir = data_dir.folder("agent")?;
    let instance = instance_id(&state_dir, entropy.as_ref()).context("the id of this instance cannot be stored")?;
    let ingress_listen = configuration.ingress.local_address().context("the ingress has no address")?;
    let ingress = &configuration.ingress;
    let ports = configuration.http.listen.iter().chain(&ingress.listen).chain(&ingress.listen_tls).map(|address| address.port());
    let database = configuration.database.server();
    let ca_bundle = configuration.server.egress_ca.as_ref().map(|text| {
        let path = state_dir.join("egress-ca.pem");
        std::fs::write(&path, text).map(|()| path)
    });
    let egress = deployer::egress::EgressPolicy {
        allow: configuration.server.egress_allow.clone(),
        deny: configuration.server.ranges_denied.clone(),
        hosts_denied: database.iter().cloned().collect(),
        ports: configuration.server.egress_ports.clone(),
        plain_http: configuration.server.git_over_http,
        ca_bundle: ca_bundle.transpose().context("the certificates for outgoing connections cannot be stored")?,
        ..Default::default()
    };
    // Credentials of builds stay in memory where the system has such a folder.
    let memory = Path::new("/dev/shm");
    let secret_dir = if memory.is_dir() { memory.join(format!("seaway-{instance}")) } else { state_dir.join("secrets") };
    let config = LocalServerConfig {
        state_dir,
        docker_socket: configuration.server.docker_socket.clone(),
        instance,
        ingress_socket: configuration::ingress::admin_socket(data_dir.path()),
        ingress_listen,
        firewall: configuration.server.firewall,
        own_ports: ports.chain(database.iter().map(|(_, port)| *port)).collect(),
        ranges_denied: configuration.server.ranges_denied.clone(),
        hosts_denied: database.into_iter().map(|(host, _)| host).collect(),
        address_range: configuration.server.address_range,
        bind_allowed: configuration.server.bind_allowed.clone(),
        egress,
        secret_dir,
        fileserver: None,
        frontends: configuration.server.frontends.clone(),
        add_from_network: configuration.server.add_from_network,
        builder: configuration.server.builder,
        disk: configuration.server.disk.clone(),
        replica_disk_bytes_max: configuration.server.replica_disk_bytes_max,
    };
    let server =
        LocalServer::new(config, Arc::clone(clock), Arc::clone(entropy)).context("the folder of the server side cannot be used")?;
    Ok(Arc::new(server))
}

/// Random, made once: what carries another instance's id is never touched.
pub fn instance_id(folder: &Path, entropy: &dyn Entropy) -> std::io::Result<String> {
    let path = folder.join(INSTANCE_FILE);
    match std::fs::read_to_string(&path) {
        Ok(text) if text.trim().len() == 16 => return Ok(text.trim().to_owned()),
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut random = [0u8; 8];
    entropy.fill(&mut random);
    let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let temporary = path.with_extension("new");
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(&temporary, &path)?;
    Ok(id)
}
