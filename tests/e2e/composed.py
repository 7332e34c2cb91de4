"""Seaway as docker-compose.yml starts it, with PostgreSQL: containers of the binary that was built, on this machine's Docker."""

import os
import pathlib
import shutil
import subprocess
import time

from .. import leftovers
from .dead_runs import COMPOSE_PREFIX
from .machine import DOCKER, ROOT, docker, free_port, run, until
from .seaway import Seaway

START_SECONDS_MAX = 120


def compose_program():
    """The plugin of Docker where it is there, else the program of Debian's package."""
    if subprocess.run([DOCKER, "compose", "version"], capture_output=True, check=False).returncode == 0:
        return [DOCKER, "compose"]
    program = shutil.which("docker-compose")
    if not program:
        raise SystemExit("neither `docker compose` nor docker-compose is here: run tests/setup.sh")
    return [program]


class Composed(Seaway):
    """One project of Compose with a data folder, ports and secrets of its own."""

    def __init__(self, folder, profile="debug", **_):
        super().__init__(folder, profile)
        self.name = f"{COMPOSE_PREFIX}{os.getpid()}"
        self.image = f"seaway-test/{self.name}"
        # Not below /tmp, which is another one inside the containers.
        self.data = pathlib.Path("/var/lib") / self.name
        self.secrets = self.folder / "secrets"
        self.program = compose_program()
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "SEAWAY_IMAGE": self.image,
            "POSTGRES_IMAGE": "seaway-test/postgres",
            "SEAWAY_DATA_DIR": str(self.data),
            "SEAWAY_SECRETS": str(self.secrets),
            "SEAWAY_LISTEN": f"127.0.0.1:{self.port}",
            "SEAWAY_INGRESS_LISTEN": f"127.0.0.1:{self.ingress_port}",
            "SEAWAY_BASE_URL": self.url,
            "SEAWAY_DATABASE_PORT": str(free_port()),
        }

    def __enter__(self):
        try:
            self.make_image()
            self.make_secrets()
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.compose("down", "--volumes", "--timeout", "20", check=False)
        shutil.rmtree(self.data, ignore_errors=True)
        docker("image", "rm", self.image, check=False)
        if self.mark_file:
            leftovers.unmark(self.mark_file)
            self.mark_file = None

    def compose(self, *words, check=True):
        command = [*self.program, "--project-name", self.name, "--file", ROOT / "docker-compose.yml", *words]
        return run(*command, env=self.environment, cwd=self.folder, check=check)

    def container(self, service):
        return self.compose("ps", "--quiet", service).stdout.strip()

    def make_image(self):
        """deploy/Dockerfile around the binary that was built; `make image` compiles it inside."""
        run(ROOT / "tests" / "images" / "build.sh", "runtime", "postgres", timeout=900)
        prebuilt = self.folder / "image" / "prebuilt"
        prebuilt.mkdir(parents=True)
        run("strip", "--strip-debug", "-o", prebuilt / "seaway", self.binary)
        shutil.copy(self.binary.parent / "seaway-fileserver", prebuilt)
        images = ("--build-arg", "BUILD_IMAGE=seaway-test/base", "--build-arg", "RUN_IMAGE=seaway-test/runtime")
        docker("build", "--quiet", "--file", ROOT / "deploy" / "Dockerfile", *images, "--tag", self.image, prebuilt.parent)

    def make_secrets(self):
        """As the head of docker-compose.yml says."""
        self.secrets.mkdir(mode=0o700)
        password = os.urandom(24).hex()
        address = f"postgres://seaway:{password}@127.0.0.1:{self.environment['SEAWAY_DATABASE_PORT']}/seaway"
        for name, text in {"postgres_password": password, "database_url": address}.items():
            (self.secrets / name).touch(mode=0o600)
            (self.secrets / name).write_text(text)

    # --- life ---

    def start(self, **_):
        self.compose("up", "--detach", "--no-build")
        return self.wait()

    def wait(self):
        try:
            until("Seaway answers", self.answers, START_SECONDS_MAX)
        except AssertionError as error:
            raise AssertionError(f"{error}\nhealth, when it last answered: {self.unwell}\n{self.compose('ps', check=False).stdout}\n{self.tail()}") from None
        self.hold_mark()
        return self

    def answers(self):
        return self.is_well()

    def stop(self, seconds=60):
        self.compose("stop", "seaway")

    def restart(self):
        self.compose("restart", "seaway")
        time.sleep(0.1)
        return self.wait()

    def stop_ingress(self):
        self.compose("stop", "ingress")

    # --- what it says ---

    def said(self, since_start=False):
        parts = []
        for service in ("ingress", "seaway"):
            if container := self.compose("ps", "--quiet", service, check=False).stdout.strip():
                done = run(DOCKER, "logs", container, check=False)
                parts.append(done.stdout + done.stderr)
        return "".join(parts)
