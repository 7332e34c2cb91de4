"""The machine that the tests run on: paths, processes, Docker."""

import contextlib
import json
import os
import pathlib
import shutil
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
APPS = ROOT / "tests" / "apps"
DOCKER = os.environ.get("SEAWAY_DOCKER") or ("/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker")
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
CACHE = pathlib.Path(os.environ.get("SEAWAY_TEST_CACHE") or pathlib.Path.home() / ".cache" / "seaway-tests")
LABEL = "seaway"


def binary(profile="debug"):
    path = TARGET / profile / "seaway"
    if not path.exists():
        raise SystemExit(f"{path} does not exist: run make {'build' if profile == 'debug' else 'release'}")
    return path


def run(*command, check=True, **options):
    """A program's output as text; what it said is in the error when it fails."""
    options.setdefault("capture_output", True)
    options.setdefault("text", True)
    options.setdefault("timeout", 600)
    done = subprocess.run([str(part) for part in command], **options)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return done


def docker(*command, check=True):
    return run(DOCKER, *command, check=check).stdout.strip()


def free_port():
    with contextlib.closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what, condition, seconds=30, pause=0.05):
    """The first true value of `condition`, or a failure that says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s for: {what}")
        time.sleep(pause)


def compiled(source, name):
    """A single-file Rust program, compiled once per content."""
    import hashlib

    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    path = CACHE / f"{name}-{digest}"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        run("rustc", "--edition", "2024", "-O", "-o", f"{path}.part", source)
        os.rename(f"{path}.part", path)
    return path


class Postgres:
    """A PostgreSQL of the tests' own from Debian's package; `with Postgres(folder) as url`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        programs = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.programs = programs[-1] if programs else pathlib.Path(shutil.which("initdb")).parent
        self.port = free_port()

    def as_user(self, *command):
        """PostgreSQL refuses to run as root."""
        return run(*(["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []), *command, cwd="/")

    def __enter__(self):
        self.folder.mkdir(parents=True)
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
            os.chmod(self.folder.parent, 0o755)
        data = self.folder / "data"
        self.as_user(self.programs / "initdb", "--pgdata", data, "--username", "seaway", "--auth", "trust", "--no-sync")
        options = f"-c port={self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off -c max_connections=100"
        self.as_user(self.programs / "pg_ctl", "--pgdata", data, "--log", self.folder / "log", "--options", options, "--wait", "start")
        return self.database("seaway")

    def database(self, name):
        """A new, empty database; the answer is its address."""
        self.as_user(self.programs / "createdb", "--host", "127.0.0.1", "--port", str(self.port), "--username", "seaway", name)
        return f"postgres://seaway:d41f0c7ab93e@127.0.0.1:{self.port}/{name}"

    def __exit__(self, *_):
        self.as_user(self.programs / "pg_ctl", "--pgdata", self.folder / "data", "--mode", "immediate", "--wait", "stop")


class Inventory:
    """What Docker holds: containers, networks, volumes and images. Two of them can be compared. What carries the label of
    another instance than `instance` is left out: other tests may run beside this one."""

    def __init__(self, instance=None):
        self.parts = {
            "containers": set(docker("ps", "--all", "--quiet", "--no-trunc").split()),
            "networks": set(docker("network", "ls", "--quiet", "--no-trunc").split()),
            "volumes": set(docker("volume", "ls", "--quiet").split()),
            "images": set(docker("image", "ls", "--all", "--quiet", "--no-trunc").split()),
            "tags": set(docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()) - {"<none>:<none>"},
        }

        foreign = self.foreign(instance)
        for kind in ("containers", "networks", "volumes", "images"):
            self.parts[kind] -= foreign[kind]
        self.parts["tags"] -= foreign["tags"]

    @staticmethod
    def foreign(instance):
        form = '{{.ID}} {{.Label "seaway.instance"}}'
        lists = {
            "containers": docker("ps", "--all", "--no-trunc", "--filter", "label=seaway.instance", "--format", form),
            "networks": docker("network", "ls", "--no-trunc", "--filter", "label=seaway.instance", "--format", form),
            "volumes": docker("volume", "ls", "--filter", "label=seaway.instance", "--format", '{{.Name}} {{.Label "seaway.instance"}}'),
        }
        found = {kind: {line.split()[0] for line in text.splitlines() if line.split()[1:] != [instance]} for kind, text in lists.items()}
        every = set(docker("image", "ls", "--all", "--quiet", "--no-trunc", "--filter", "label=seaway.instance").split())
        own = set(docker("image", "ls", "--all", "--quiet", "--no-trunc", "--filter", f"label=seaway.instance={instance}").split()) if instance else set()
        found["images"] = every - own
        tags = docker("image", "ls", "--no-trunc", "--format", "{{.ID}} {{.Repository}}:{{.Tag}}").splitlines()
        found["tags"] = {line.split()[1] for line in tags if line.split()[0] in found["images"]}
        return found

    def added_since(self, before):
        return {kind: added for kind, ids in self.parts.items() if (added := ids - before.parts[kind])}

    @staticmethod
    def describe(added):
        """The same, readable."""
        lines = []
        for kind, ids in added.items():
            for identity in sorted(ids):
                if kind == "tags":
                    lines.append(f"tag {identity}")
                    continue
                form = {"containers": "{{.Name}} {{.Config.Labels}}", "networks": "{{.Name}} {{.Labels}}", "volumes": "{{.Name}} {{.Labels}}", "images": "{{.RepoTags}} {{.Config.Labels}}"}[kind]
                told = docker(kind[:-1], "inspect", "--format", form, identity, check=False)
                lines.append(f"{kind[:-1]} {identity[:19]} {told}")
        return "\n".join(lines)


def containers(**labels):
    """Inspected containers that carry the labels (dots as `__`)."""
    filters = [f"--filter=label={name.replace('__', '.')}={value}" for name, value in labels.items()]
    ids = docker("ps", "--all", "--quiet", *filters).split()
    # One that went between the two calls is left out; the exit status speaks of it, the output of the others.
    return json.loads(docker("inspect", *ids, check=False)) if ids else []


def copy_app(name, folder):
    shutil.copytree(APPS / name, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules", "target", "__pycache__"))
