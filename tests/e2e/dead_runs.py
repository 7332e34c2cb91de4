"""What killed end-to-end runs left besides what tests/leftovers.py removes: the helpers of a world (git host, database), its folder,
and projects of Compose. Each run removes it at its start.

Only what a run that is dead made: each writes its process id and start time into its folder. A folder without an owner is left alone.
"""

import os
import pathlib
import shutil
import signal
import tempfile

from .. import leftovers
from .machine import docker

FOLDER_PREFIX = "seaway-e2e-"
COMPOSE_PREFIX = "seaway-compose-"
OWNER = "owner"


def started(pid):
    """When the process began, in ticks since the machine's start; `None` when there is no such process. A process id is used
    again one day, the pair of both is not."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else fields[19]


def mark_as_ours(folder):
    (folder / OWNER).write_text(f"{os.getpid()} {started(os.getpid())}")


def is_dead(folder):
    try:
        pid, begin = (folder / OWNER).read_text().split()
    except (OSError, ValueError):
        return False
    return started(pid) != begin


def processes_of(folder):
    """Processes whose environment or command line names the folder: an instance's, its git host's, its database's."""
    own, name, found = {os.getpid(), os.getppid()}, str(folder).encode(), []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in own:
            continue
        try:
            told = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
        except OSError:
            continue
        if name + b"/" in told:
            found.append(int(entry.name))
    return found


def remove_folder(folder):
    for pid in processes_of(folder):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    shutil.rmtree(folder, ignore_errors=True)


def remove_composed():
    """Projects of Compose whose name carries a dead process id."""
    label = "com.docker.compose.project"
    for data in pathlib.Path("/var/lib").glob(f"{COMPOSE_PREFIX}*"):
        if started(data.name.removeprefix(COMPOSE_PREFIX)):
            continue
        containers = docker("ps", "--all", "--quiet", "--filter", f"label={label}={data.name}", check=False).split()
        if containers:
            docker("rm", "--force", "--volumes", *containers, check=False)
        for kind in ("volume", "network"):
            for name in docker(kind, "ls", "--quiet", "--filter", f"label={label}={data.name}", check=False).split():
                docker(kind, "rm", name, check=False)
        docker("image", "rm", f"seaway-test/{data.name}", check=False)
        shutil.rmtree(data, ignore_errors=True)


def remove():
    """Everything of dead runs."""
    for instance in leftovers.sweep():
        print(f"removed what the dead test instance {instance} left", flush=True)
    for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*"):
        if is_dead(folder):
            remove_folder(folder)
    remove_composed()
