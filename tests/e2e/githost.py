"""A git host on loopback: real bare repositories over https (git http-backend) and ssh (a real sshd), in one folder.

Repositories under `open/` are public, those under `closed/` need the token (https) or the deploy key (ssh).
"""

import base64
import http.server
import os
import pathlib
import socketserver
import ssl
import subprocess
import threading

from .machine import copy_app, free_port, run, until

TOKEN = "ghost-token-1f7c2b"
GIT_ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "Ada Author",
    "GIT_AUTHOR_EMAIL": "ada@example.org",
    "GIT_COMMITTER_NAME": "Ada Author",
    "GIT_COMMITTER_EMAIL": "ada@example.org",
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, form, *arguments):
        self.server.host.note(form % arguments)

    def answer(self, method):
        host = self.server.host
        path, _, query = self.path.partition("?")
        if path.startswith("/moved/"):
            # A redirect to an address that must not be reached: the metadata address of clouds.
            self.plain(302, "", location="http://169.254.169.254/latest/meta-data/")
            return
        if path.startswith("/closed/"):
            expected = base64.b64encode(f"token:{TOKEN}".encode()).decode()
            given = self.headers.get("authorization", "")
            accepted = given.startswith("Basic ") and base64.b64decode(given[6:]).decode().rpartition(":")[2] == TOKEN
            if not accepted and given != f"Basic {expected}":
                self.plain(401, "who is it?", **{"www-authenticate": 'Basic realm="git"'})
                return
        host.wait_at_gate(path)
        body = self.body()
        environment = GIT_ENVIRONMENT | {
            "GIT_PROJECT_ROOT": str(host.repositories),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": method,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
            "REMOTE_ADDR": self.client_address[0],
        }
        with subprocess.Popen(["git", "http-backend"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as backend:
            try:
                backend.stdin.write(body)
                backend.stdin.close()
                self.pass_on(backend.stdout)
            finally:
                backend.kill()

    def pass_on(self, answer):
        """The answer of a CGI program, as it comes: a repository may be larger than memory should be."""
        headers = {}
        while line := answer.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name] = value
        self.send_response(int(headers.pop("Status", "200").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        while piece := answer.read1(1 << 16):
            self.wfile.write(b"%x\r\n" % len(piece) + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")

    def body(self):
        if self.headers.get("transfer-encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().strip(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def plain(self, status, text, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def do_GET(self):
        self.answer("GET")

    def do_POST(self):
        self.answer("POST")


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that hang up or distrust the certificate are part of the tests."""


class GitHost:
    """Starts both servers in `folder`; use as a context manager."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.repositories = self.folder / "repositories"
        self.https_port, self.ssh_port = free_port(), free_port()
        self.requests, self.gate = [], None
        self.certificate = self.folder / "tls" / "certificate.pem"

    def __enter__(self):
        self.repositories.mkdir(parents=True)
        self.start_https()
        self.start_ssh()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.sshd.terminate()
        self.sshd.wait(10)

    def note(self, line):
        self.requests.append(line)

    def wait_at_gate(self, path):
        """While a gate is set, requests for packs wait: a fetch that hangs as long as a test wants."""
        gate = self.gate
        if gate is not None and path.endswith("git-upload-pack"):
            gate.wait(120)

    def hold(self):
        self.gate = threading.Event()

    def let_go(self):
        gate, self.gate = self.gate, None
        if gate:
            gate.set()

    # --- https ---

    def start_https(self):
        tls = self.certificate.parent
        tls.mkdir(parents=True)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "3650", "-subj", "/CN=git host of the tests", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", tls / "key.pem", "-out", self.certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, tls / "key.pem")
        self.server = Server(("127.0.0.1", self.https_port), Handler)
        self.server.host = self
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def https(self, name, closed=False):
        return f"https://localhost:{self.https_port}/{'closed' if closed else 'open'}/{name}.git"

    # --- ssh ---

    def start_ssh(self):
        ssh = self.folder / "ssh"
        ssh.mkdir()
        os.chmod(self.folder, 0o755)
        for name in ("host_key", "deploy_key", "other_key"):
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", ssh / name)
        (ssh / "authorized_keys").write_text("restrict " + (ssh / "deploy_key.pub").read_text())
        os.makedirs("/run/sshd", exist_ok=True)
        (ssh / "config").write_text(
            f"ListenAddress 127.0.0.1:{self.ssh_port}\nHostKey {ssh}/host_key\nPidFile none\nUsePAM no\nStrictModes no\n"
            f"PasswordAuthentication no\nKbdInteractiveAuthentication no\nAuthorizedKeysFile {ssh}/authorized_keys\n"
            f"PermitRootLogin yes\nPermitUserRC no\nAllowTcpForwarding no\nX11Forwarding no\n"
            # Only git's own programs, and only below the repositories.
            f"ForceCommand cd {self.repositories} && exec git-shell -c \"$SSH_ORIGINAL_COMMAND\"\n"
        )
        self.sshd = subprocess.Popen(["/usr/sbin/sshd", "-D", "-e", "-f", str(ssh / "config")], stderr=open(ssh / "log", "w"), stdin=subprocess.DEVNULL)
        until("sshd listens", lambda: run("ssh-keyscan", "-p", str(self.ssh_port), "127.0.0.1", check=False).stdout, 15)

    def ssh(self, name, closed=True):
        import getpass

        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.ssh_port}{self.repositories}/{'closed' if closed else 'open'}/{name}.git"

    def authorize(self, public_line):
        """Lets a key in that somebody made elsewhere."""
        with open(self.folder / "ssh" / "authorized_keys", "a") as keys:
            keys.write(f"restrict {public_line.strip()}\n")

    @property
    def deploy_key(self):
        return (self.folder / "ssh" / "deploy_key").read_text()

    @property
    def other_key(self):
        return (self.folder / "ssh" / "other_key").read_text()

    @property
    def known_hosts(self):
        kind, key, *_ = (self.folder / "ssh" / "host_key.pub").read_text().split()
        return f"[127.0.0.1]:{self.ssh_port} {kind} {key}\n"

    # --- repositories ---

    def repository(self, name, app=None, closed=False):
        return Repository(self, name, app, closed)


class Repository:
    """A bare repository on the host and a work tree to commit from."""

    def __init__(self, host, name, app=None, closed=False):
        self.host, self.name = host, name
        self.bare = host.repositories / ("closed" if closed else "open") / f"{name}.git"
        self.tree = host.folder / "trees" / name
        self.tree.mkdir(parents=True)
        run("git", "init", "--quiet", "--bare", "--initial-branch=main", self.bare, env=GIT_ENVIRONMENT)
        run("git", "-C", self.bare, "config", "uploadpack.allowAnySHA1InWant", "true", env=GIT_ENVIRONMENT)
        run("git", "init", "--quiet", "--initial-branch=main", self.tree, env=GIT_ENVIRONMENT)
        self.https, self.ssh = host.https(name, closed), host.ssh(name, closed)
        if app:
            copy_app(app, self.tree)
            self.commit("First version")

    def write(self, path, text):
        file = self.tree / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def commit(self, subject="Change", branch="main"):
        """Commits everything, pushes it, answers the commit id."""
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        self.git("push", "--quiet", "--force", self.bare, f"HEAD:refs/heads/{branch}")
        return self.git("rev-parse", "HEAD")

    def git(self, *command):
        return run("git", "-C", self.tree, *command, env=GIT_ENVIRONMENT | {"HOME": str(self.host.folder)}).stdout.strip()
