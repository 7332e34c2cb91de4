"""The measurements of README.md: `python3 -m bench [deploy] [zero] [idle] [api] [ingress] [conformance] [--rounds N]`."""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import sys
import tempfile
import time

from tests.e2e.client import App
from tests.e2e.githost import GIT_ENVIRONMENT
from tests.e2e.loads import Load
from tests.e2e.machine import DOCKER, run, until
from tests.e2e.world import World

from .ingress import conformance
from .ingress import measure as ingress

REDEPLOYMENTS, ROLLBACKS, RATE = 50, 20, 500
IDLE_SETTLE_SECONDS, IDLE_SECONDS = 10, 30
SERVICES_MANY = 100


def median(values):
    return statistics.median(values)


def first_answer(app, revision, seconds=120):
    """Waits until the app answers with that revision."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            status, text, _ = app.request(timeout=5)
            if status == 200 and f'"revision":"{revision}"' in text:
                return
        except OSError:
            pass
        time.sleep(0.002)
    raise AssertionError(f"revision {revision} did not answer")


def bare(repository, certificate, revision):
    """Seconds of clone, build and run by hand, to the first answer on the container's own address."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="seaway-bare-"))
    name = f"bare-{os.getpid()}-{revision}"
    begin = time.monotonic()
    run("git", "clone", "--quiet", "--depth", "1", repository.https, folder / "source", env=GIT_ENVIRONMENT | {"GIT_SSL_CAINFO": str(certificate)})
    run(DOCKER, "build", "--quiet", "--tag", name, folder / "source")
    run(DOCKER, "run", "--detach", "--name", name, "--env", "PORT=8080", name)
    address = run(DOCKER, "inspect", "--format", "{{.NetworkSettings.IPAddress}}", name).stdout.strip()

    class Direct(App):
        def __init__(self):
            self.host, self.address = address, address

        def request(self, path="/", timeout=5, **_):
            import http.client

            connection = http.client.HTTPConnection(self.address, 8080, timeout=timeout)
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read().decode(), {}
            finally:
                connection.close()

    first_answer(Direct(), revision)
    seconds = time.monotonic() - begin
    run(DOCKER, "rm", "--force", name)
    run(DOCKER, "rmi", "--force", name)
    shutil.rmtree(folder)
    return seconds


def deploy(world, rounds):
    service, repository, app = world.behave("timed")
    ours, theirs = [], []
    for revision in range(2, 2 + 2 * rounds, 2):
        world.next_revision(repository, revision)
        theirs.append(bare(repository, world.git.certificate, revision))
        world.next_revision(repository, revision + 1)
        begin = time.monotonic()
        made = world.owner.deploy(service, wait=False)
        first_answer(app, revision + 1)
        ours.append(time.monotonic() - begin)
        world.owner.live(world.owner.ended(made["id"]))
    over = median(ours) - median(theirs)
    return [
        ("bare clone + build + run, median", f"{median(theirs):.3f} s", f"{min(theirs):.3f} to {max(theirs):.3f} s, {rounds} rounds"),
        ("Seaway, call to first answer, median", f"{median(ours):.3f} s", f"{min(ours):.3f} to {max(ours):.3f} s"),
        ("over the bare time", f"{over:+.3f} s", "aim: at most +0.150 s"),
    ]


def zero(world, _):
    service, repository, app = world.behave("loaded", drain_seconds=10)
    ids = world.folder / "ids"
    ended = []
    with Load(world.seaway.ingress_port, app.host, rate=RATE, ids=ids) as load:
        time.sleep(2)
        for revision in range(2, 2 + REDEPLOYMENTS):
            world.next_revision(repository, revision)
            ended.append(world.owner.live(world.owner.deploy(service)))
        for _ in range(ROLLBACKS):
            ended.append(world.owner.live(world.owner.rollback(service)))
        time.sleep(2)
    report = load.report
    accepted = ids.read_text().split()
    seen = posted(world, service)
    twice = len(seen) - len(set(seen))
    lost = len(set(accepted) - set(seen))
    cut = sum(deployment["requests_cut"] or 0 for deployment in ended)
    return [
        ("requests sent", str(report["sent"]), f"{report['seconds']:.0f} s at {RATE}/s, open loop, {len(ended)} changes of the release"),
        ("failed", str(report["failed"]), f"{report['failures'] or 'aim: 0'} {'; '.join(report['examples'][:3])}"),
        ("POST bodies seen twice, lost", f"{twice}, {lost}", f"{len(accepted)} accepted; aim: 0, 0"),
        ("answers of an older release after a newer", str(report["backwards"]), "aim: 0"),
        ("requests cut by a drain", str(cut), "aim: 0"),
        ("longest gap without a success", f"{report['gap_ms']:.0f} ms", "aim: 200 ms"),
        ("p50, p99, p99.9 from the intended time", f"{report['p50_ms']:.1f}, {report['p99_ms']:.1f}, {report['p999_ms']:.1f} ms", ""),
    ]


def posted(world, service):
    """The ids of POST requests that the app wrote into its log."""
    found, after = [], None
    while True:
        page = world.owner.get(f"/services/{service}/logs", limit=10_000, contains="posted ", **({"after": after} if after is not None else {}))
        found += [match.group(1) for line in page["data"] if (match := re.match(r"posted (\S+)", line["text"]))]
        if not page["data"] or page["next_after"] in (None, after):
            return found
        after = page["next_after"]


def pss_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure_idle(world):
    """(MiB, percent of a core) of control plane and ingress together, over half a minute in which nobody asks anything."""
    time.sleep(IDLE_SETTLE_SECONDS)
    pids = world.seaway.processes("serve") + world.seaway.processes("ingress")
    assert len(pids) >= 2, pids
    before, begin = sum(map(cpu_seconds, pids)), time.monotonic()
    time.sleep(IDLE_SECONDS)
    spent = sum(map(cpu_seconds, pids)) - before
    return sum(map(pss_mib, pids)), 100 * spent / (time.monotonic() - begin)


def idle(world, _):
    world.behave("alone")
    # A restart ends what start-up and the first deployment took.
    one = measure_idle(world)
    for number in range(2, SERVICES_MANY + 1):
        service = world.service(f"many{number}", {"type": "image", "reference": "seaway-test/behave"}, builder={"type": "none"})
        world.owner.live(world.owner.deploy(service))
    many = measure_idle(world)
    return [
        ("idle with 1 service", f"{one[0]:.1f} MiB, {one[1]:.2f} %", "PSS and CPU of control plane + ingress; aim: under 60 MiB, 1 %"),
        (f"idle with {SERVICES_MANY} services", f"{many[0]:.1f} MiB, {many[1]:.2f} %", ""),
    ]


def api(world, _):
    service, _, _ = world.behave("read")
    rows = []
    for what, path in (("one service", f"/services/{service}"), ("list of services", f"/environments/{world.environment['id']}/services")):
        told = run("wrk", "-t", "2", "-c", "32", "-d", "10s", "--latency", "-H", f"Authorization: Bearer {world.owner.token}", f"{world.seaway.url}/api/v1{path}").stdout
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1))
        p99 = re.search(r"99%\s+(\S+)", told).group(1)
        errors = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
        rows.append((f"API reads: {what}", f"{rate:,.0f}/s, p99 {p99}", f"32 connections, 10 s{', ' + errors.group(1) + ' REFUSED' if errors else ''}; aim: 10,000/s, 20 ms"))
    return rows


MEASUREMENTS = {"deploy": deploy, "zero": zero, "idle": idle, "api": api}
# Without an instance of Seaway and without Docker.
ALONE = {"ingress": ingress, "conformance": conformance}


def show(rows):
    for what, value, note in rows:
        print(f"{what:44} {value:26} {note}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("names", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=11)
    arguments = parser.parse_args()
    failed = False
    print(f"load average before: {os.getloadavg()[0]:.2f}; {os.cpu_count()} cores")
    for name in arguments.names or [*MEASUREMENTS, *ALONE]:
        if name in ALONE:
            show(ALONE[name](arguments.rounds))
            continue
        # Each measurement begins with an instance of its own, which has no request limit that could be reached.
        with World("release", SEAWAY_RATE_LIMIT_DEFAULT="100000000") as world:
            try:
                world.set_up()
                rows = MEASUREMENTS[name](world, arguments.rounds)
            except Exception as error:  # the others are still measured
                failed, rows = True, [(f"{name} could not be measured", type(error).__name__, str(error)[:2000])]
            show(rows)
            for service in world.services.values():
                world.owner.delete(f"/services/{service}?volumes=true")
            until("the apps are gone", lambda: not world.left(), 120)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
