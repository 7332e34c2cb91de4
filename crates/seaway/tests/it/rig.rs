//! A Seaway of its own in a temporary folder.

use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

pub const DEADLINE: Duration = Duration::from_secs(30);

pub struct Rig {
    folder: tempfile::TempDir,
    pub port: u16,
    pub ingress_port: u16,
}

pub struct Serving(pub Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _over = self.0.kill();
        let _over = self.0.wait();
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _over = self.run(&["stop-ingress"]);
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Asks again until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        #[expect(clippy::disallowed_methods, reason = "a test without a run time waits between two looks")]
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Rig {
    pub fn new() -> Self {
        let _already = rustls::crypto::ring::default_provider().install_default();
        Self { folder: tempfile::tempdir().unwrap(), port: free_port(), ingress_port: free_port() }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("data")
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    #[expect(clippy::disallowed_methods, reason = "tests start the binary itself")]
    pub fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_seaway"));
        command
            .args(words)
            .env_clear()
            .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
            .env("HOME", self.folder.path())
            .env("SEAWAY_DATA_DIR", self.data())
            .env("SEAWAY_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("SEAWAY_INGRESS_LISTEN", format!("127.0.0.1:{}", self.ingress_port))
            .env("SEAWAY_BASE_URL", self.url())
            // What is tested here needs no engine and changes no firewall.
            .env("DOCKER_HOST", "unix:///nonexistent/docker.sock")
            .env("SEAWAY_FIREWALL", "off")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, words: &[&str]) -> Output {
        self.command(words).output().unwrap()
    }

    /// A process of its own that writes into the log.
    pub fn start(&self, words: &[&str]) -> Serving {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        Serving(self.command(words).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap())
    }

    /// Starts `serve` and waits until it answers as itself.
    pub fn serve(&self) -> Serving {
        let mut serving = self.start(&["serve"]);
        until("serve answers", || {
            assert!(serving.0.try_wait().unwrap().is_none(), "serve ended: {}", self.log());
            self.part("database")
        });
        serving
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// `ok` and detail of a part of the health page.
    pub fn part(&self, name: &str) -> Option<(bool, String)> {
        let (_, health) = self.call("GET", "/health", None, None)?;
        let part = health["parts"].as_array()?.iter().find(|part| part["name"] == name)?.clone();
        Some((part["ok"].as_bool()?, part["detail"].as_str()?.to_owned()))
    }

    /// One HTTP call; `None` when nobody answers.
    pub fn call(&self, method: &str, path: &str, body: Option<Value>, token: Option<&str>) -> Option<(u16, Value)> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let client = reqwest::Client::builder().timeout(DEADLINE).build().unwrap();
            let mut request = client.request(method.parse().unwrap(), format!("{}{path}", self.url()));
            if let Some(body) = body {
                request = request.json(&body);
            }
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            let answer = request.send().await.ok()?;
            let status = answer.status().as_u16();
            Some((status, answer.json().await.unwrap_or(Value::Null)))
        })
    }

    pub fn ingress_pid(&self) -> Option<u32> {
        std::fs::read_to_string(self.data().join("ingress/pid")).ok()?.parse().ok()
    }
}

pub fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

pub fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
