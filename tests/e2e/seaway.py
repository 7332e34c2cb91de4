"""The real binary: started, stopped, killed; its client verbs; its mails."""

import email
import email.policy
import json
import os
import pathlib
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request

from .. import leftovers
from .machine import binary, free_port, run, until

START_SECONDS_MAX = 30


class Seaway:
    """One instance in `folder`. `environment` adds to its configuration."""

    def __init__(self, folder, profile="debug", **environment):
        self.folder = pathlib.Path(folder)
        self.data = self.folder / "data"
        self.log = self.folder / "seaway.log"
        self.binary = binary(profile)
        self.port, self.ingress_port = free_port(), free_port()
        self.url = f"http://localhost:{self.port}"
        self.process = self.mark_file = None
        self.tolerated = set()
        self.unwell = "nothing"
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "SEAWAY_DATA_DIR": str(self.data),
            "SEAWAY_LISTEN": f"127.0.0.1:{self.port}",
            "SEAWAY_INGRESS_LISTEN": f"127.0.0.1:{self.ingress_port}",
            "SEAWAY_BASE_URL": self.url,
            "SEAWAY_BASE_DOMAIN": "localhost",
            "SEAWAY_EGRESS_ALLOW": "127.0.0.0/8,::1/128",
            # The tests ask faster than a person; the limits have tests of their own.
            "SEAWAY_RATE_LIMIT_DEFAULT": "1000000",
            "SEAWAY_RATE_LIMIT_DEPLOY": "1000000",
            "SEAWAY_RATE_LIMIT_LOGIN": "1000",
            "SEAWAY_LOG": os.environ.get("SEAWAY_LOG", "info"),
        } | environment
        self.folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.stop()
        self.stop_ingress()
        if self.mark_file:
            leftovers.unmark(self.mark_file)
            self.mark_file = None

    # --- life of the process ---

    def start(self, tolerated=(), **extra):
        """`tolerated`: parts of the health that may be unwell."""
        self.tolerated = set(tolerated)
        self.mark = self.log.stat().st_size if self.log.exists() else 0
        out = open(self.log, "a")
        self.process = subprocess.Popen([str(self.binary), "serve"], env=self.environment | extra, stdout=out, stderr=out, stdin=subprocess.DEVNULL, cwd=self.folder)
        try:
            until("Seaway answers", self.answers, START_SECONDS_MAX)
        except AssertionError as error:
            raise AssertionError(f"{error}\nhealth, when it last answered: {self.unwell}\n{self.tail()}") from None
        self.hold_mark()
        return self

    def hold_mark(self):
        """Tells tests/leftovers.py whose it is."""
        if self.mark_file is None:
            self.mark_file = leftovers.mark((self.data / "agent" / "instance").read_text().strip(), self.data)

    def answers(self):
        if self.process.poll() is not None:
            raise AssertionError(f"seaway serve ended with {self.process.returncode}\n{self.tail()}")
        return self.is_well()

    def is_well(self):
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/health", timeout=5) as answer:
                return answer.status == 200
        except urllib.error.HTTPError as problem:
            # Which part is not well, for the failure's text.
            self.unwell = problem.read().decode(errors="replace")
            try:
                return {part["name"] for part in json.loads(self.unwell)["parts"] if not part["ok"]} <= self.tolerated
            except (ValueError, KeyError, TypeError):
                return False
        except OSError:
            return False

    def stop(self, seconds=60):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
                raise AssertionError(f"seaway serve did not stop within {seconds} s\n{self.tail()}") from None

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def wait_for_death(self, seconds=60):
        """The process is expected to end by itself (a fault that was asked for)."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"seaway serve was to die and did not\n{self.tail()}") from None

    def processes(self, verb):
        """Process ids of this instance with that verb: its own environment tells."""
        found = []
        for folder in pathlib.Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                words = (folder / "cmdline").read_bytes().split(b"\0")
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            if verb.encode() in words and f"SEAWAY_DATA_DIR={self.data}".encode() in environment.split(b"\0"):
                found.append(int(folder.name))
        return found

    def stop_ingress(self):
        for pid in self.processes("ingress"):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + 40
        while self.processes("ingress") and time.monotonic() < deadline:
            time.sleep(0.05)
        for pid in self.processes("ingress"):
            os.kill(pid, signal.SIGKILL)

    # --- what it says ---

    def said(self, since_start=False):
        text = self.log.read_text(errors="replace")
        return text[self.mark :] if since_start else text

    def tail(self, lines=30):
        return "\n".join(self.said().splitlines()[-lines:])

    def setup_token(self):
        match = until("the set-up link is printed", lambda: re.search(r"/setup[#?/](?:token=)?(\S+)", self.said()), 10)
        return match.group(1)

    # --- client verbs ---

    def run(self, *words, check=True, cwd=None, stdin=None, **environment):
        base = {name: self.environment[name] for name in ("PATH", "HOME")}
        return run(self.binary, *words, check=check, cwd=cwd or self.folder, input=stdin, env=base | environment, timeout=300)

    def operator(self, *words, check=True, **environment):
        """A verb of the operator, with the instance's own configuration."""
        return run(self.binary, *words, check=check, cwd=self.folder, env=self.environment | environment, timeout=300)

    # --- mails ---

    def mails(self, address):
        """Mails to an address in the outbox folder, oldest first: (subject, text)."""
        found = []
        for file in sorted((self.data / "outbox").glob("**/*.eml"), key=lambda file: file.stat().st_mtime_ns):
            message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
            if address in str(message["to"]):
                body = message.get_body(preferencelist=("plain", "html"))
                found.append((str(message["subject"]), body.get_content()))
        return found

    def code(self, address):
        """The newest six-digit code that was mailed to the address."""

        def newest():
            for _, text in reversed(self.mails(address)):
                if match := re.search(r"(?<![\d#&;])\d{3} ?\d{3}(?!\d)", text):
                    return match.group().replace(" ", "")

        return until(f"a code arrives for {address}", newest, 15)
