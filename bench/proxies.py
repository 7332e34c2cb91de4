"""Our ingress and its rivals from Debian, each as a reverse proxy in front of one origin, with the same job."""

import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

from tests.e2e.machine import binary, free_port

HOST = "a.test"
START_SECONDS_MAX = 15
WORKERS = os.cpu_count() or 2


def started(arguments, log, **environment):
    """In a process group of its own, so that its workers end with it."""
    with open(log, "ab") as out:
        return subprocess.Popen(arguments, stdout=out, stderr=out, env=os.environ | environment, start_new_session=True)


class Proxy:
    """One program. `configure` writes its configuration and answers the command line."""

    name = "?"

    def __init__(self, folder, origin, sockets):
        self.folder = pathlib.Path(folder) / self.name
        self.folder.mkdir(parents=True)
        self.origin, self.sockets, self.port = origin, sockets, free_port()
        self.process = None

    def __enter__(self):
        if not shutil.which(self.program()):
            raise AssertionError(f"{self.program()} is missing: apt-get install {self.name}")
        self.process = started(self.configure(), self.folder / "log")
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                self.ready()
                if self.status("/") == 200:
                    return self
            except (OSError, http.client.HTTPException):
                pass
            if time.monotonic() > deadline or self.process.poll() is not None:
                tail = (self.folder / "log").read_text()[-2000:]
                self.__exit__()
                raise AssertionError(f"{self.name} does not serve: {tail}")
            time.sleep(0.1)

    def __exit__(self, *_):
        if self.process:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.process.wait()

    def program(self):
        return self.name

    def ready(self):
        pass

    def configure(self):
        raise NotImplementedError

    def status(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path, headers={"Host": HOST})
            return connection.getresponse().status
        finally:
            connection.close()

    def pids(self):
        group = self.process.pid
        found = []
        for entry in pathlib.Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and os.getpgid(int(entry.name)) == group:
                    found.append(int(entry.name))
            except ProcessLookupError:
                pass
        return found

    def pss_mib(self):
        total = 0.0
        for pid in self.pids():
            try:
                text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
            except OSError:
                continue
            total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) / 1024
        return total


class Seaway(Proxy):
    name = "seaway"

    def program(self):
        return os.environ.get("SEAWAY_BENCH_INGRESS") or str(binary("release"))

    def configure(self):
        state = self.folder / "state"
        routes = state / "routes"
        routes.mkdir(parents=True)
        replica = lambda name, port: {"id": name, "address": f"127.0.0.1:{port}", "release": 1}
        for service, host, port in (("app", HOST, self.origin), ("sockets", "ws.test", self.sockets)):
            route = {"service": service, "generation": 1, "hosts": [host], "state": "serving", "replicas": [replica(service, port)]}
            body = json.dumps({"service": service, "generation": 1, "route": route}).encode()
            head = f"seaway-route/1 sha256={hashlib.sha256(body).hexdigest()}\n".encode()
            (routes / f"{service}.route").write_bytes(head + body)
        if os.environ.get("SEAWAY_BENCH_INGRESS"):  # crates/ingress/examples/alone.rs
            return [self.program(), str(self.folder), f"127.0.0.1:{self.port}"]
        os.environ["SEAWAY_INGRESS_LISTEN"] = f"127.0.0.1:{self.port}"
        os.environ["SEAWAY_DATA_DIR"] = str(self.folder)
        state.rename(self.folder / "ingress")
        return [self.program(), "ingress"]


class Nginx(Proxy):
    name = "nginx"

    def configure(self):
        backend = lambda name, port: f"upstream {name} {{ server 127.0.0.1:{port}; keepalive 256; }}"
        (self.folder / "nginx.conf").write_text(f"""
daemon off; worker_processes {WORKERS}; pid {self.folder}/pid; error_log {self.folder}/error.log error;
events {{ worker_connections 20000; }}
http {{
  access_log off; keepalive_requests 1000000; proxy_buffering on; proxy_max_temp_file_size 0; client_body_temp_path {self.folder}/b;
  proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  {backend("app", self.origin)} {backend("sockets", self.sockets)}
  server {{ listen 127.0.0.1:{self.port}; server_name {HOST};
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-Id $request_id; }} }}
  server {{ listen 127.0.0.1:{self.port}; server_name ws.test;
    location / {{ proxy_pass http://sockets; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade; proxy_read_timeout 1h; }} }}
}}""")
        return ["nginx", "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder)]


class Haproxy(Proxy):
    name = "haproxy"

    def configure(self):
        (self.folder / "haproxy.cfg").write_text(f"""
global
  nbthread {WORKERS}
  maxconn 8000
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  timeout tunnel 1h
  option forwardfor
  http-reuse always
frontend f
  bind 127.0.0.1:{self.port}
  unique-id-format %{{+X}}o%ci%cp%fi%fp%Ts%rt
  unique-id-header X-Request-Id
  use_backend sockets if {{ hdr(host) -i ws.test }}
  default_backend app
backend app
  server s 127.0.0.1:{self.origin}
backend sockets
  server s 127.0.0.1:{self.sockets}
""")
        return ["haproxy", "-db", "-f", str(self.folder / "haproxy.cfg")]


class Caddy(Proxy):
    name = "caddy"

    def configure(self):
        (self.folder / "Caddyfile").write_text(f"""
{{
  admin off
  auto_https off
}}
http://{HOST}:{self.port} {{
  reverse_proxy 127.0.0.1:{self.origin} {{
    transport http {{
      keepalive_idle_conns_per_host 256
      compression off
    }}
  }}
}}
http://ws.test:{self.port} {{
  reverse_proxy 127.0.0.1:{self.sockets}
}}
""")
        os.environ["XDG_DATA_HOME"] = os.environ["XDG_CONFIG_HOME"] = str(self.folder)
        return ["caddy", "run", "--config", str(self.folder / "Caddyfile"), "--adapter", "caddyfile"]


class Origin(Proxy):
    """nginx with three answers: `/` (2 bytes), `/64k`, `/10m`."""

    name = "origin"

    def __init__(self, folder):
        super().__init__(folder, None, None)

    def program(self):
        return "nginx"

    def configure(self):
        for name, size in (("64k", 64 * 1024), ("10m", 10 * 1024 * 1024)):
            (self.folder / name).write_bytes(os.urandom(1024) * (size // 1024))
        os.chmod(self.folder, 0o755)
        (self.folder / "nginx.conf").write_text(f"""
daemon off; worker_processes 1; user root; pid {self.folder}/pid; error_log {self.folder}/error.log error;
events {{ worker_connections 20000; }}
http {{ access_log off; keepalive_requests 1000000; sendfile on; tcp_nopush on;
  client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p; fastcgi_temp_path {self.folder}/f;
  uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
  server {{ listen 127.0.0.1:{self.port}; root {self.folder}; location = / {{ return 200 "ok"; }} }} }}""")
        return ["nginx", "-c", str(self.folder / "nginx.conf"), "-p", str(self.folder)]


def exchange(port, request, seconds=3):
    """Raw bytes there, raw bytes back until the other side closes or is silent."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as stream:
        answer = b""
        try:
            stream.sendall(request)
            while chunk := stream.recv(65536):
                answer += chunk
        except OSError:
            pass
        return answer
