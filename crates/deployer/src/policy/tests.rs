use std::collections::BTreeMap;
use std::path::PathBuf;

use domain::id::{DeploymentId, EnvironmentId, ReleaseId, RunId, ServiceId, VolumeId};
use domain::service::{EngineSettings, HealthCheck, Limits};
use domain::{FixedClock, Secret, SeededEntropy};

use super::*;
use crate::engine::labels;
use crate::protocol::DesiredMount;

type Change = Box<dyn FnOnce(&mut Desired)>;

fn desired() -> Desired {
    let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(1));
    Desired {
        service: ServiceId::new(&clock, &entropy),
        environment: EnvironmentId::new(&clock, &entropy),
        alias: "shop".into(),
        release: ReleaseId::new(&clock, &entropy),
        version: 4,
        image: "sha256:aa".into(),
        processes: vec![process()],
        variables: BTreeMap::from([("TOKEN".to_owned(), Secret::new("s3cret".to_owned()))]),
        port: 3000,
        health: HealthCheck::default(),
        mounts: vec![],
        stop_grace_seconds: 5,
        drain_seconds: 5,
        read_only_root: false,
        engine: EngineSettings::default(),
        hosts: vec![],
        request_body_bytes_max: 1,
        request_timeout_seconds: 1,
        masks: vec![],
    }
}

fn process() -> DesiredProcess {
    DesiredProcess { name: "web".into(), command: None, replicas: 1, limits: Limits::default() }
}

fn host() -> HostFacts {
    HostFacts { instance: "i1".into(), cpus: 2, fingerprint_key: vec![1; 32], ..HostFacts::default() }
}

fn with(desired: &Desired, process: &DesiredProcess, host: &HostFacts, sources: &MountSources) -> Result<Approved, Refused> {
    let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(9));
    let labels = ReplicaLabels {
        service: desired.service,
        environment: desired.environment,
        release: desired.release,
        version: desired.version,
        deployment: DeploymentId::new(&clock, &entropy),
        process: process.name.clone(),
        replica: 1,
        fingerprint: String::new(),
    };
    let wanted = Wanted { desired, process, host, network: "sw-net", sources };
    approve(&wanted, Role::Replica { labels: Box::new(labels), name: "sw-x".into() })
}

fn approved(change: impl FnOnce(&mut Desired)) -> Result<Approved, Refused> {
    let mut desired = desired();
    change(&mut desired);
    let process = desired.processes[0].clone();
    with(&desired, &process, &host(), &MountSources::default())
}

fn refused_field(change: impl FnOnce(&mut Desired)) -> String {
    approved(change).unwrap_err().field
}

#[test]
fn hardening_is_the_default() {
    let spec = approved(|_| {}).unwrap();
    let host = spec.body().host_config.as_ref().unwrap();
    assert_eq!(host.security_opt.as_deref(), Some(&["no-new-privileges".to_owned()][..]));
    assert_eq!(host.cap_drop.as_deref(), Some(&["ALL".to_owned()][..]));
    assert_eq!(host.cap_add.as_ref().unwrap().len(), CAPABILITIES.len());
    assert_eq!(host.privileged, Some(false));
    assert_eq!(host.memory, host.memory_swap, "swap would double the limit");
    assert_eq!(host.memory, Some(512 * 1024 * 1024));
    assert_eq!(host.pids_limit, Some(512));
    assert_eq!(host.nano_cpus, Some(1_000_000_000));
    assert_eq!(host.init, Some(true));
    assert_eq!(host.ipc_mode.as_deref(), Some("private"));
    assert_eq!(host.ulimits.as_ref().unwrap()[0].hard, Some(NOFILE_DEFAULT));
    assert_eq!(host.shm_size, Some(SHM_BYTES_DEFAULT));
    assert_eq!(host.network_mode.as_deref(), Some("sw-net"));
    let log = host.log_config.as_ref().unwrap().config.as_ref().unwrap();
    assert_eq!(log["mode"], "non-blocking");
    assert_eq!(log["max-size"], "10m");
}

#[test]
fn what_opens_the_host_is_never_set() {
    let spec = approved(|_| {}).unwrap();
    let body = spec.body();
    let host = body.host_config.as_ref().unwrap();
    assert!(host.port_bindings.is_none() && host.binds.is_none() && host.devices.is_none() && host.pid_mode.is_none());
    assert!(host.userns_mode.is_none() && host.cgroup_parent.is_none() && host.runtime.is_none() && host.sysctls.is_none());
    assert!(host.device_requests.is_none() && host.extra_hosts.is_none() && host.volumes_from.is_none());
    assert!(body.exposed_ports.is_none() && body.volumes.is_none());
}

#[test]
fn port_and_variables_are_set() {
    let spec = approved(|desired| {
        desired.variables.insert("PORT".into(), Secret::new("1".into()));
    })
    .unwrap();
    let env = spec.body().env.as_ref().unwrap();
    assert!(env.contains(&"PORT=3000".to_owned()) && env.contains(&"TOKEN=s3cret".to_owned()), "{env:?}");
    assert!(!env.contains(&"PORT=1".to_owned()));
    assert!(env.contains(&"SEAWAY_REPLICA=web.1".to_owned()));
}

#[test]
fn no_label_holds_a_value_of_a_variable() {
    let spec = approved(|_| {}).unwrap();
    assert!(!format!("{:?}", spec.body().labels).contains("s3cret"));
}

#[test]
fn read_only_root_has_a_tmp() {
    let spec = approved(|desired| desired.read_only_root = true).unwrap();
    let host = spec.body().host_config.as_ref().unwrap();
    assert_eq!(host.readonly_rootfs, Some(true));
    assert!(host.tmpfs.as_ref().unwrap()["/tmp"].contains("nosuid"));
}

#[test]
fn cpu_limit_above_the_servers_cores_is_the_servers_cores() {
    let spec = approved(|desired| desired.processes[0].limits.cpu_millis = 64_000).unwrap();
    assert_eq!(spec.body().host_config.as_ref().unwrap().nano_cpus, Some(2_000_000_000));
}

#[test]
fn open_files_stay_below_what_the_server_can_give() {
    let host = HostFacts { nofile_max: Some(4096), ..host() };
    let spec = with(&desired(), &process(), &host, &MountSources::default()).unwrap();
    assert_eq!(spec.body().host_config.as_ref().unwrap().ulimits.as_ref().unwrap()[0].hard, Some(4096));
}

#[test]
fn settings_beyond_the_lists_are_refused_by_name() {
    let field = refused_field(|desired| desired.engine.capabilities = vec!["CHOWN".into(), "SYS_ADMIN".into()]);
    assert_eq!(field, "engine.capabilities[1]");
    let table: Vec<(&str, Change)> = vec![
        ("engine.labels.seaway.instance", Box::new(|d| drop(d.engine.labels.insert("seaway.instance".into(), "x".into())))),
        ("engine.labels.SEAWAY.x", Box::new(|d| drop(d.engine.labels.insert("SEAWAY.x".into(), "x".into())))),
        ("engine.labels.com.docker.x", Box::new(|d| drop(d.engine.labels.insert("com.docker.x".into(), "x".into())))),
        ("engine.nofile", Box::new(|d| d.engine.nofile = Some(u64::MAX))),
        ("engine.shm_size_bytes", Box::new(|d| d.engine.shm_size_bytes = Some(u64::MAX))),
        ("engine.user", Box::new(|d| d.engine.user = Some("0;id".into()))),
        ("engine.user", Box::new(|d| d.engine.user = Some("4294967296".into()))),
        ("engine.user", Box::new(|d| d.engine.user = Some("1:2:3".into()))),
        ("engine.gpus", Box::new(|d| d.engine.gpus = Some(1))),
        ("engine.memory_reservation_bytes", Box::new(|d| d.engine.memory_reservation_bytes = Some(u64::MAX))),
        ("processes.web.limits.pids", Box::new(|d| d.processes[0].limits.pids = 0)),
        ("processes.web.limits.memory_bytes", Box::new(|d| d.processes[0].limits.memory_bytes = 1)),
        ("processes.web.command", Box::new(|d| d.processes[0].command = Some(vec![]))),
        ("processes.name", Box::new(|d| d.processes[0].name = "Web/..".into())),
        ("variables.A=B", Box::new(|d| drop(d.variables.insert("A=B".into(), Secret::new(String::new()))))),
        ("variables.A", Box::new(|d| drop(d.variables.insert("A".into(), Secret::new("\0".into()))))),
    ];
    for (field, change) in table {
        assert_eq!(refused_field(change), field);
    }
}

#[test]
fn gpus_only_with_the_runtime() {
    let mut wanted = desired();
    wanted.engine.gpus = Some(1);
    let host = HostFacts { gpu_runtime: true, ..host() };
    let spec = with(&wanted, &process(), &host, &MountSources::default()).unwrap();
    assert_eq!(spec.body().host_config.as_ref().unwrap().device_requests.as_ref().unwrap()[0].count, Some(1));
}

#[test]
fn targets_of_mounts_stay_inside() {
    for path in ["relative", "/", "/a/../b", "/proc/x", "/sys", "/dev/shm", "/a:/b", "/a,ro", ""] {
        let field = refused_field(|desired| {
            desired.mounts = vec![DesiredMount::Tmpfs { path: path.into(), size_bytes: 1 << 20 }];
        });
        assert_eq!(field, "mounts[0].path", "{path}");
    }
}

#[test]
fn a_path_is_mounted_once() {
    let twice = |path: &str| DesiredMount::Tmpfs { path: path.into(), size_bytes: 1 << 20 };
    assert_eq!(refused_field(|desired| desired.mounts = vec![twice("/data"), twice("/data/")]), "mounts[1].path");
}

#[test]
fn binds_only_below_what_the_operator_allows() {
    let bind = |path: &str| DesiredMount::Bind { host_path: path.into(), path: "/data".into(), read_only: false };
    let sources = MountSources {
        binds: BTreeMap::from([
            ("/srv/shared/a".to_owned(), PathBuf::from("/srv/shared/a")),
            ("/srv/shared/link".to_owned(), PathBuf::from("/etc/shadow")),
            ("/var/run/docker.sock".to_owned(), PathBuf::from("/run/docker.sock")),
            ("/srv/other".to_owned(), PathBuf::from("/srv/other")),
        ]),
        ..MountSources::default()
    };
    let try_bind = |path: &str, allowed: &[&str]| {
        let mut wanted = desired();
        wanted.mounts = vec![bind(path)];
        let host = HostFacts { bind_allowed: allowed.iter().map(PathBuf::from).collect(), ..host() };
        with(&wanted, &process(), &host, &sources)
    };
    assert!(try_bind("/srv/shared/a", &["/srv/shared"]).is_ok());
    for (path, allowed) in [
        ("/srv/shared/a", &[][..]),
        ("/srv/other", &["/srv/shared"][..]),
        ("/srv/shared/link", &["/srv/shared"][..]),
        ("/srv/shared/../other", &["/srv/shared"][..]),
        ("/srv/missing", &["/srv"][..]),
        ("/var/run/docker.sock", &["/"][..]),
    ] {
        assert_eq!(try_bind(path, allowed).unwrap_err().field, "mounts[0].host_path", "{path}");
    }
}

#[test]
fn volumes_and_files_are_mounted() {
    let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(3));
    let volume = VolumeId::new(&clock, &entropy);
    let mut wanted = desired();
    wanted.mounts = vec![
        DesiredMount::Volume { volume, path: "/data".into(), read_only: false },
        DesiredMount::File { path: "/etc/app.conf".into(), content: Secret::new("k=v".into()) },
    ];
    let sources =
        MountSources { files: BTreeMap::from([("/etc/app.conf".to_owned(), PathBuf::from("/state/files/1"))]), ..MountSources::default() };
    let spec = with(&wanted, &process(), &host(), &sources).unwrap();
    let mounts = spec.body().host_config.as_ref().unwrap().mounts.as_ref().unwrap();
    assert_eq!(mounts[0].source, Some(volume_name(volume)));
    assert_eq!(mounts[1].read_only, Some(true));
    assert!(!format!("{:?}", spec.body()).contains("k=v"), "the content of a file must not stand in the spec");
}

#[test]
fn fingerprint_changes_with_what_needs_a_restart_and_with_nothing_else() {
    let base = approved(|_| {}).unwrap().fingerprint().to_owned();
    for _ in 0..20 {
        assert_eq!(approved(|_| {}).unwrap().fingerprint(), base, "hash maps must not leak their order");
    }
    let same: Vec<Change> = vec![
        Box::new(|d| d.version = 5),
        Box::new(|d| d.hosts = vec!["a.test".into()]),
        Box::new(|d| d.processes[0].replicas = 3),
        Box::new(|d| d.drain_seconds = 1),
    ];
    for change in same {
        assert_eq!(approved(change).unwrap().fingerprint(), base);
    }
    let other: Vec<Change> = vec![
        Box::new(|d| d.image = "sha256:bb".into()),
        Box::new(|d| drop(d.variables.insert("A".into(), Secret::new("1".into())))),
        Box::new(|d| d.port = 8080),
        Box::new(|d| d.processes[0].limits.memory_bytes += 1),
        Box::new(|d| d.processes[0].command = Some(vec!["x".into()])),
    ];
    for change in other {
        assert_ne!(approved(change).unwrap().fingerprint(), base);
    }
}

#[test]
fn an_image_cannot_forge_labels_and_users_labels_are_kept() {
    let spec = approved(|desired| drop(desired.engine.labels.insert("team".into(), "a".into()))).unwrap();
    let written = spec.body().labels.as_ref().unwrap();
    assert_eq!(written["team"], "a");
    assert_eq!(written[labels::INSTANCE], "i1");
    assert_eq!(written[labels::RUN], "");
}

#[test]
fn a_one_off_runs_its_command_as_given_and_has_no_alias() {
    let (clock, entropy) = (FixedClock::default(), SeededEntropy::new(3));
    let (wanted, process, host, sources) = (desired(), process(), host(), MountSources::default());
    let labels = RunLabels { run: RunId::new(&clock, &entropy), service: wanted.service, environment: wanted.environment, deadline: 5 };
    let wanted = Wanted { desired: &wanted, process: &process, host: &host, network: "sw-net", sources: &sources };
    let command = vec!["rake".to_owned(), "; id".to_owned()];
    let spec = approve(&wanted, Role::OneOff { labels, name: "sw-run".into(), command: command.clone() }).unwrap();
    assert_eq!(spec.body().entrypoint.as_ref(), Some(&command));
    let networks = spec.body().networking_config.as_ref().unwrap().endpoints_config.as_ref().unwrap();
    assert_eq!(networks["sw-net"].aliases, None, "other services must not reach a one-off by the service's name");
}
