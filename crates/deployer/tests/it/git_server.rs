//! Repositories served over http (`git http-backend`) and ssh (`sshd`) on loopback.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

pub fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=Ada",
            "-c",
            "user.email=ada@example.org",
            "-c",
            "protocol.file.allow=always",
            "-c",
            "init.defaultBranch=main",
        ])
        .args(arguments)
        .current_dir(folder)
        .env("HOME", "/nonexistent")
        .output()
        .expect("git is installed");
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository with one commit of the given files; `.git` is what is served.
pub fn repository(folder: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir_all(&path).unwrap();
    git(&path, &["init", "--quiet"]);
    for (file, text) in files {
        let place = path.join(file);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    }
    git(&path, &["add", "-A"]);
    git(&path, &["commit", "--quiet", "--allow-empty", "-m", "first"]);
    path
}

/// `git http-backend` behind a small server; with a password every request must carry it.
pub async fn serve_http(root: &Path, password: Option<&'static str>) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let root = root.to_path_buf();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let root = root.clone();
            let service = hyper::service::service_fn(move |request| answer(root.clone(), password, request));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    port
}

async fn answer(
    root: PathBuf,
    password: Option<&'static str>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    use base64::Engine as _;
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if let Some(password) = password {
        let expected = format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("git:{password}")));
        if header("authorization") != expected {
            return Ok(Response::builder().status(401).header("www-authenticate", "Basic realm=\"git\"").body(Full::default()).unwrap());
        }
    }
    let path = percent_encoding::percent_decode_str(request.uri().path()).decode_utf8_lossy().into_owned();
    if let Some(rest) = path.strip_prefix("/moved/") {
        let query = request.uri().query().unwrap_or_default();
        return Ok(Response::builder().status(301).header("location", format!("/{rest}?{query}")).body(Full::default()).unwrap());
    }
    let (method, query, content_type, encoding, protocol) = (
        request.method().to_string(),
        request.uri().query().unwrap_or_default().to_owned(),
        header("content-type"),
        header("content-encoding"),
        header("git-protocol"),
    );
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = Command::new("git")
            .arg("http-backend")
            .env("GIT_PROJECT_ROOT", &root)
            .env("GIT_HTTP_EXPORT_ALL", "1")
            .env("REQUEST_METHOD", method)
            .env("PATH_INFO", path)
            .env("QUERY_STRING", query)
            .env("CONTENT_TYPE", content_type)
            .env("HTTP_CONTENT_ENCODING", encoding)
            .env("GIT_PROTOCOL", protocol)
            .env("CONTENT_LENGTH", body.len().to_string())
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let writer = std::thread::spawn(move || {
            let _closed = stdin.write_all(&body);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output.stdout
    })
    .await
    .unwrap();
    let split = output.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(output.len());
    let mut response = Response::builder();
    let mut status = 200;
    for line in String::from_utf8_lossy(&output[..split]).lines() {
        match line.split_once(": ") {
            Some(("Status", code)) => status = code[..3].parse().unwrap(),
            Some((name, value)) => response = response.header(name, value),
            None => {}
        }
    }
    let body = output.get(split + 4..).unwrap_or_default().to_vec();
    Ok(response.status(status).body(Full::new(Bytes::from(body))).unwrap())
}

/// A running sshd with one allowed key.
pub struct Sshd {
    child: Child,
    pub port: u16,
    pub folder: tempfile::TempDir,
    pub private_key: String,
    /// `ssh-ed25519 AAAA…` of the host.
    pub host_key: String,
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

pub fn key(folder: &Path, name: &str) -> (String, String) {
    let path = folder.join(name);
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"])
        .arg(&path)
        .status()
        .expect("ssh-keygen is installed");
    assert!(made.success());
    let public = std::fs::read_to_string(path.with_extension("pub")).unwrap();
    let public: Vec<&str> = public.split_whitespace().take(2).collect();
    (std::fs::read_to_string(&path).unwrap(), public.join(" "))
}

pub fn serve_ssh() -> Sshd {
    let folder = tempfile::tempdir().unwrap();
    let (private_key, public_key) = key(folder.path(), "user");
    let (_, host_key) = key(folder.path(), "host");
    std::fs::write(folder.path().join("authorized"), format!("{public_key}\n")).unwrap();
    std::fs::create_dir_all("/run/sshd").unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = folder.path().display();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {path}/host\nAuthorizedKeysFile {path}/authorized\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\nPidFile none\nSetEnv GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0=*\n"
    );
    std::fs::write(folder.path().join("config"), config).unwrap();
    let child = Command::new("/usr/sbin/sshd")
        .args(["-D", "-e", "-f"])
        .arg(folder.path().join("config"))
        .stderr(Stdio::null())
        .spawn()
        .expect("sshd is installed");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(std::time::Instant::now() < deadline, "sshd does not listen");
        std::thread::yield_now();
    }
    Sshd { child, port, folder, private_key, host_key }
}
