"""Processes die at the worst moments; each ends in a stated result."""

import os
import signal
import time

from .client import Client
from .loads import Load
from .machine import ROOT, Inventory, containers, docker, run, until
from .world import scenario

MOMENTS = ("after_intent", "before_outcome")


def steps(world):
    """The durable steps of a deployment, as the API's own description lists them."""
    return Client(world.seaway).get("/openapi.json")["components"]["schemas"]["Step"]["enum"]


def settled(world, before, allowed):
    """What Docker holds beyond `before`, once everything is quiet; must be what `allowed` names."""

    def surplus():
        added = world.inventory().added_since(before)
        return {kind: ids for kind, ids in added.items() if len(ids) > allowed.get(kind, 0)}

    deadline = time.monotonic() + 30
    while surplus() and time.monotonic() < deadline:
        time.sleep(0.3)
    remains = surplus()
    assert not remains, "orphans:\n" + Inventory.describe(remains)


def quiet(world, service, where=""):
    """Waits until the newest deployment has nothing left to do (`live` comes before the old replicas are gone) and exactly one
    replica exists."""

    def done():
        deployment = world.owner.deployment(world.owner.newest_deployment(service)["id"])
        finished = all(step["finished_at"] for step in deployment["steps"])
        return finished and len(containers(seaway__service=service)) == 1

    try:
        until("one deployed replica and nothing else", done, 30)
        time.sleep(0.2)  # the job's own end is not shown; a fault that is asked for next must not meet it
        until("one deployed replica and nothing else", done, 30)
    except AssertionError as error:
        steps = world.owner.deployment(world.owner.newest_deployment(service)["id"])["steps"]
        states = [(container["Name"], container["State"]["Status"], container["Created"]) for container in containers(seaway__service=service)]
        raise AssertionError(f"{where}: {error}\nsteps: {steps}\ncontainers: {states}") from None


@scenario("faults")
def kill_of_the_control_plane_at_every_step(world):
    service, repository, app = world.behave("steady", release_command=["true"], post_deploy_command=["true"], first_deploy_command=["true"])
    owner, revision, reached = world.owner, 1, []
    for step in steps(world):
        for moment in MOMENTS:
            revision += 1
            world.next_revision(repository, revision)
            quiet(world, service)
            world.seaway.stop()
            world.seaway.start(SEAWAY_TEST_KILL_AT=f"{step}:{moment}")
            before = world.inventory()
            with Load(world.seaway.ingress_port, app.host, rate=100) as load:
                made = None
                try:
                    made = owner.deploy(service, wait=False)
                except OSError:
                    pass  # it died before it could answer
                code = world.seaway.wait_for_death()
                assert code == -signal.SIGKILL or code != 0, code
                begin = time.monotonic()
                world.seaway.start()
                back = time.monotonic() - begin
                newest = owner.newest_deployment(service)
                done = owner.ended(made["id"] if made else newest["id"])
            where = f"{step}:{moment}"
            reached.append(where)
            assert back < 10, f"{where}: back after {back:.1f} s"
            if made:
                assert done["phase"] == "live", f"{where}: {done['phase']} {done.get('failure')}"
                until(f"{where}: revision {revision} serves", lambda: app.json()["revision"] == str(revision), 10)
            assert load.report["failed"] == 0, f"{where}: {load.report}"
            quiet(world, service, where)
            settled(world, before, {"containers": 1, "images": 3, "tags": 2})
    assert len(reached) == len(steps(world)) * len(MOMENTS)
    print(f"      killed and came back at {len(reached)} places")


@scenario("faults")
def kill_of_the_ingress(world):
    _, _, app = world.behave("ingress-victim")
    for pid in world.seaway.processes("ingress"):
        os.kill(pid, signal.SIGKILL)
    begin = time.monotonic()

    def answers():
        try:
            return app.request(timeout=2)[0] == 200
        except OSError:
            return False

    until("the ingress is back", answers, 10)
    print(f"      the ingress was back after {time.monotonic() - begin:.2f} s")
    assert time.monotonic() - begin < 3


@scenario("faults")
def control_plane_dead_while_apps_are_used(world):
    _, _, app = world.behave("orphaned")
    world.seaway.kill()
    with Load(world.seaway.ingress_port, app.host, rate=200) as load:
        time.sleep(3)
    world.seaway.start()
    assert load.report["failed"] == 0, load.report


@scenario("faults")
def dockerd_restarts_in_the_middle_of_a_build(world):
    service, repository, app = world.behave("rebuilt")
    repository.write("Dockerfile", "FROM seaway-test/behave\nCOPY revision /revision\nRUN sleep 8\n")
    world.next_revision(repository, 2)
    made = world.owner.deploy(service, wait=False)
    until("the build runs", lambda: world.owner.deployment(made["id"])["phase"] == "building", 30)
    time.sleep(1)
    run(ROOT / "tests" / "dockerd.sh", "restart")
    done = world.owner.ended(made["id"])
    assert done["phase"] == "live" or (done["phase"] == "failed" and done["failure"]["cause"] in ("engine", "build")), done
    until("a release serves", lambda: app.request()[0] == 200, 40)
    print(f"      the deployment ended {done['phase']}")
    if done["phase"] == "failed":
        world.owner.live(world.owner.deploy(service))
    assert app.json()["revision"] == "2"


@scenario("faults")
def docker_is_down(world):
    service, repository, app = world.behave("engineless")
    pid = int(open("/var/run/docker.pid").read())
    os.kill(pid, signal.SIGSTOP)
    try:
        world.next_revision(repository, 2)
        made = world.owner.deploy(service, wait=False)
        assert world.owner.me(), "the API waits for Docker"
        health = Client(world.seaway)
        time.sleep(2)
        assert app.request()[0] == 200
    finally:
        os.kill(pid, signal.SIGCONT)
    done = world.owner.ended(made["id"])
    assert done["phase"] in ("live", "failed"), done
    assert done["phase"] == "live" or done["failure"]["cause"] == "engine", done
    assert health


@scenario("faults")
def a_newer_deployment_supersedes_those_that_wait(world):
    service, repository, app = world.behave("burst")
    repository.write("Dockerfile", "FROM seaway-test/behave\nRUN sleep 2\nCOPY revision /revision\n")
    made = []
    for revision in range(2, 8):
        world.next_revision(repository, revision)
        made.append(world.owner.deploy(service, wait=False)["id"])
    ends = [world.owner.ended(identity) for identity in made]
    assert ends[-1]["phase"] == "live" and app.json()["revision"] == "7"
    assert all(end["phase"] in ("live", "skipped") for end in ends), [end["phase"] for end in ends]
    assert any(end["phase"] == "skipped" and end["superseded_by"] for end in ends)


@scenario("faults")
def a_cancel_really_stops_the_build(world):
    service, repository, app = world.behave("canceled")
    repository.write("Dockerfile", "FROM seaway-test/behave\nRUN echo going; sleep 300\n")
    world.next_revision(repository, 2)
    made = world.owner.deploy(service, wait=False)
    until("the build runs", lambda: "going" in world.owner.log_text(made["id"]), 40)
    world.owner.post(f"/deployments/{made['id']}/cancel")
    done = world.owner.ended(made["id"], 20)
    assert done["phase"] == "canceled" and done["canceled_by"], done
    until("the build's container is gone", lambda: "sleep 300" not in run("ps", "-eo", "args").stdout, 20)
    assert app.json()["revision"] == "1"


@scenario("faults")
def a_flood_of_one_app_slows_nobody_else(world):
    """100 MB/s and more of log output, as the kernel counts what the app writes; a neighbour is used, deployed and heard meanwhile."""
    beside, beside_repository, quiet = world.behave("quiet")
    begin = time.monotonic()
    world.next_revision(beside_repository, 2)
    world.owner.live(world.owner.deploy(beside))
    alone = time.monotonic() - begin
    # The limit is the app's, not the log's: it gets the cores that it needs to write that fast.
    limits = {"processes": [{"name": "web", "replicas": 1, "limits": {"cpu_millis": 2000}}]}
    service, repository, _ = world.behave("flooding", **limits)
    world.owner.set_variables(f"/services/{service}", {"FLOOD": "1"})

    def written():
        """Bytes that the flooding app has written so far."""
        pids = [line.split()[1] for container in containers(seaway__service=service) for line in docker("top", container["Id"], check=False).splitlines()[1:]]
        counts = [open(f"/proc/{pid}/io").read().split("wchar: ")[1].split()[0] for pid in pids if os.path.exists(f"/proc/{pid}/io")]
        return sum(map(int, counts))

    def floods():
        try:
            return written() > 50e6
        except (AssertionError, OSError):
            return False  # the release before is just going, container or process

    until("it floods", floods, 40)
    until("the release before is gone", lambda: len(docker("ps", "--all", "--quiet", f"--filter=label=seaway.service={service}").split()) == 1, 30)
    first, begin = written(), time.monotonic()
    with Load(world.seaway.ingress_port, quiet.host, rate=100) as load:
        time.sleep(6)
        rate = (written() - first) / (time.monotonic() - begin) / 1e6
        asked = time.monotonic()
        world.owner.me()
        assert time.monotonic() - asked < 1
        deployed = time.monotonic()
        world.next_revision(beside_repository, 3)
        world.owner.live(world.owner.deploy(beside))
        loud = time.monotonic() - deployed
        quiet.request("/log?text=still-heard&count=3")
        until("the neighbour is heard", lambda: sum("still-heard" in line for line in world.owner.service_log(beside, tail=200)) == 3, 10)
    print(f"      {rate:.0f} MB/s; the neighbour's deployment took {loud:.2f} s, alone {alone:.2f} s")
    assert rate >= 100, f"it writes only {rate:.0f} MB/s"
    assert loud < 4 * alone + 3, (loud, alone)
    assert load.report["failed"] == 0, load.report
    until("the log tells about dropped lines", lambda: any(line.get("dropped") for line in world.owner.get(f"/services/{service}/logs", tail=1000)["data"]), 20)
    world.owner.post(f"/services/{service}/stop")
