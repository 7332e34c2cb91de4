"""Removes what killed test runs left on this machine: `python3 -m tests.leftovers`.

Every instance that a test starts has a mark: a file named after its id that the test's process keeps locked. A mark that nobody
holds belongs to a run that is dead; its containers, networks, volumes, images, firewall chains and processes go, and then the mark.
What has no mark is never touched: it is nobody's test.
"""

import fcntl
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

MARKS = pathlib.Path(tempfile.gettempdir()) / "seaway-test-instances"
DOCKER = os.environ.get("SEAWAY_DOCKER") or ("/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker")
INSTANCE = re.compile(r"[0-9a-f]{16}")


def mark(instance, data_dir=""):
    """Marks an instance as one of a test that lives as long as the answered file is open."""
    MARKS.mkdir(exist_ok=True)
    file = open(MARKS / instance, "w")
    fcntl.flock(file, fcntl.LOCK_EX)
    file.write(str(data_dir))
    file.flush()
    return file


def unmark(file):
    pathlib.Path(file.name).unlink(missing_ok=True)
    file.close()


def said(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return done.stdout.split() if done.returncode == 0 else []


def end_processes(data_dir):
    """`seaway serve` and `seaway ingress` of that data folder, which outlive a killed test."""
    wanted = f"SEAWAY_DATA_DIR={data_dir}".encode()
    for folder in pathlib.Path("/proc").iterdir():
        try:
            if folder.name.isdigit() and wanted in (folder / "environ").read_bytes().split(b"\0"):
                os.kill(int(folder.name), signal.SIGKILL)
        except OSError:
            continue


def remove_rules(instance):
    for program in ("iptables", "ip6tables"):
        if not shutil.which(program):
            continue
        rules = subprocess.run([program, "-w", "5", "-S"], capture_output=True, text=True, timeout=60).stdout.splitlines()
        chains = [line.split()[1] for line in rules if line.startswith("-N SEAWAY-") and line.endswith(f"-{instance}")]
        for line in rules:
            words = line.split()
            if words[0] == "-A" and words[-1] in chains:
                said(program, "-w", "5", "-D", *words[1:])
        for action in ("-F", "-X"):
            for chain in chains:
                said(program, "-w", "5", action, chain)


def remove(instance):
    label = f"label=seaway.instance={instance}"
    for listed, removal in (
        (("ps", "--all", "--quiet"), ("rm", "--force", "--volumes")),
        (("network", "ls", "--quiet"), ("network", "rm")),
        (("volume", "ls", "--quiet"), ("volume", "rm")),
        (("image", "ls", "--quiet", "--no-trunc"), ("image", "rm", "--force")),
    ):
        found = sorted(set(said(DOCKER, *listed, "--filter", label)))
        if found:
            said(DOCKER, *removal, *found)
    remove_rules(instance)


def sweep():
    """Answers the instances that were dead."""
    dead = []
    for path in sorted(MARKS.glob("*")) if MARKS.is_dir() else []:
        if not INSTANCE.fullmatch(path.name):
            continue
        try:
            file = open(path, "r+")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        data_dir = file.read().strip()
        if data_dir:
            end_processes(data_dir)
        remove(path.name)
        path.unlink(missing_ok=True)
        file.close()
        dead.append(path.name)
    return dead


if __name__ == "__main__":
    for instance in sweep():
        print(f"removed what the dead test instance {instance} left")
