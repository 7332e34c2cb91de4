"""What killed test runs left behind on this machine: `python3 -m tests.e2e.leftovers` removes it, and each run does so at its start.

Only what a run that is dead made, and never what somebody else made: each run writes its process id and start time into its
folder; the deployer's own tests put their process id into the instance's name. A folder without an owner is left alone.
"""

import os
import pathlib
import shutil
import signal
import tempfile

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


def forget(instance):
    """Removes every object in Docker that carries the instance's label."""
    if not instance:
        return 0
    label = f"label=seaway.instance={instance}"
    removed = 0
    for listing, removal in (
        (("ps", "--all", "--quiet"), ("rm", "--force", "--volumes")),
        (("network", "ls", "--quiet"), ("network", "rm")),
        (("volume", "ls", "--quiet"), ("volume", "rm", "--force")),
        (("image", "ls", "--quiet"), ("image", "rm", "--force")),
    ):
        ids = sorted(set(docker(*listing, "--filter", label, check=False).split()))
        if ids:
            docker(*removal, *ids, check=False)
            removed += len(ids)
    return removed


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
    instance = folder / "instance" / "data" / "agent" / "instance"
    removed = forget(instance.read_text().strip()) if instance.exists() else 0
    shutil.rmtree(folder, ignore_errors=True)
    return removed


def remove_composed():
    """Projects of Compose whose name carries a dead process id, with the instance in their data folder."""
    removed = 0
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
        instance = data / "agent" / "instance"
        removed += len(containers) + (forget(instance.read_text().strip()) if instance.exists() else 0)
        docker("image", "rm", f"seaway-test/{data.name}", check=False)
        shutil.rmtree(data, ignore_errors=True)
    return removed


def instances_of_tests():
    """Instances of dead test processes of the crate `deployer`: `test-PID-…`."""
    form = '{{.Label "seaway.instance"}}'
    lists = (("ps", "--all"), ("network", "ls"), ("volume", "ls"))
    names = {name for listing in lists for name in docker(*listing, "--filter", "label=seaway.instance", "--format", form, check=False).split()}
    for image in docker("image", "ls", "--quiet", "--filter", "label=seaway.instance", check=False).split():
        names.add(docker("image", "inspect", "--format", '{{index .Config.Labels "seaway.instance"}}', image, check=False))
    return {name for name in names if name.startswith("test-") and not started(name.split("-")[1])}


def remove():
    """Everything of dead runs; answers how many objects of Docker that were."""
    folders = [folder for folder in pathlib.Path(tempfile.gettempdir()).glob(f"{FOLDER_PREFIX}*") if is_dead(folder)]
    removed = sum(remove_folder(folder) for folder in folders)
    removed += remove_composed()
    removed += sum(forget(instance) for instance in instances_of_tests())
    if folders or removed:
        print(f"removed what dead test runs left: {len(folders)} folders, {removed} objects in Docker", flush=True)
    return removed


if __name__ == "__main__":
    remove()
