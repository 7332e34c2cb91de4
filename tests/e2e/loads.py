"""The open-loop load generator, as a context manager."""

import json
import os
import subprocess

from .machine import ROOT, compiled


class Load:
    """`with Load(port, host) as load: …`; then `load.report`."""

    def __init__(self, port, host, rate=500, seconds_max=1800, ids=None, patience_seconds=5):
        program = compiled(ROOT / "tests" / "load" / "load.rs", "load")
        self.command = [str(program), f"127.0.0.1:{port}", host, str(rate), str(seconds_max)] + ([str(ids)] if ids else [])
        self.environment = os.environ | {"LOAD_PATIENCE_SECONDS": str(patience_seconds)}
        self.report = None

    def __enter__(self):
        self.process = subprocess.Popen(self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.environment)
        return self

    def __exit__(self, kind, *_):
        told, _ = self.process.communicate("", timeout=120)
        if kind is None:
            self.report = json.loads(told)
