"""docker-compose.yml as a person would use it: from nothing to an app, and everything is there after a restart."""

import io
import json
import urllib.request
import zipfile

from .client import Client
from .loads import Load
from .machine import APPS, docker, run, until
from .world import OWNER, PASSWORD, SECOND, scenario

NET_BIND_SERVICE = 1 << 10


def inside(world, service, *command):
    return run("docker", "exec", world.seaway.container(service), *command, check=False)


@scenario("compose")
def set_up_over_the_link_in_the_log(world):
    world.set_up()
    assert world.owner.me()["email"] == OWNER
    with urllib.request.urlopen(f"{world.seaway.url}/health", timeout=10) as answer:
        health = json.loads(answer.read())
    assert health["ok"], health
    assert {"database", "engine", "ingress", "firewall"} <= {part["name"] for part in health["parts"]}, health
    # It is PostgreSQL that holds the data, and the key is the owner's alone.
    assert not list(world.seaway.data.glob("*.db")), "there is an SQLite database"
    key = world.seaway.data / "keys" / "master.key"
    assert key.stat().st_mode & 0o777 == 0o600 and world.seaway.data.stat().st_mode & 0o777 == 0o700


@scenario("compose")
def a_second_person_signs_up(world):
    world.session.patch("/instance", {"sign_up": "open"})
    assert world.second_person().me()["email"] == SECOND


@scenario("compose")
def a_static_app_answers_through_the_ingress(world):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((APPS / "static").iterdir()):
            file.write(path, path.name)
    health = {"probe": {"type": "http", "path": "/"}, "interval_ms": 50}
    service = world.service("tides", {"type": "archive"}, builder={"type": "static", "folder": "."}, health=health)
    upload = world.owner.upload(service, archive.getvalue())
    done = world.owner.live(world.owner.deploy(service, upload=upload["id"]))
    assert f":{world.seaway.ingress_port}" in done["url"], done["url"]
    assert "<h1>Tides</h1>" in world.app("tides").text()


@scenario("compose")
def an_app_with_variables_is_fenced_in(world):
    service = world.service("image", {"type": "image", "reference": "seaway-test/behave"}, builder={"type": "none"})
    world.owner.set_variables(f"/services/{service}", {"MESSAGE": "from compose"})
    world.owner.live(world.owner.deploy(service))
    app = world.app("image")
    assert app.json()["message"] == "from compose"
    own = docker("ps", "--quiet", "--filter", f"label=seaway.service={service}").split()
    gateway = json.loads(docker("inspect", *own))[0]["NetworkSettings"]["Networks"]
    gateway = next(iter(gateway.values()))["Gateway"]
    for port in (world.seaway.port, world.seaway.ingress_port, world.seaway.environment["SEAWAY_DATABASE_PORT"]):
        assert app.json(f"/connect?to={gateway}:{port}")["reached"] is False, f"an app reaches port {port} of the machine"


@scenario("compose")
def the_ingress_sees_neither_key_nor_database_nor_docker(world):
    data = world.seaway.data
    assert inside(world, "ingress", "ls", "-A", data).stdout.split() == ["ingress"]
    for path in (data / "keys" / "master.key", "/run/secrets/database_url", "/var/run/docker.sock", "/run/docker.sock"):
        # The same look in the control plane's container shows that the path is right.
        assert inside(world, "ingress", "test", "-e", path).returncode == 1, f"the ingress sees {path}"
    assert inside(world, "seaway", "test", "-e", data / "keys" / "master.key").returncode == 0
    variables = inside(world, "ingress", "cat", "/proc/1/environ").stdout
    assert "SEAWAY_INGRESS_LISTEN" in variables and "DATABASE" not in variables, variables
    status = inside(world, "ingress", "cat", "/proc/1/status").stdout
    capabilities = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd"))
    assert capabilities == NET_BIND_SERVICE, hex(capabilities)
    assert inside(world, "ingress", "touch", "/usr/local/bin/x").returncode != 0, "the image can be written to"


@scenario("compose")
def a_restart_keeps_everything_and_loses_no_request(world):
    app = world.app("image")
    boot = app.json()["boot"]
    with Load(world.seaway.ingress_port, app.host, rate=100) as load:
        world.seaway.restart()
    assert load.report["failed"] == 0, load.report
    assert app.json()["boot"] == boot, "the app was restarted"
    # All containers away, and back: data folder and database stay.
    world.seaway.compose("down", "--timeout", "30")
    world.seaway.start()
    assert world.owner.me()["email"] == OWNER
    Client(world.seaway).log_in(OWNER, PASSWORD)
    until("the app answers again", lambda: app.request()[0] == 200, 30)
    assert app.json()["message"] == "from compose" and "<h1>Tides</h1>" in world.app("tides").text()
    world.owner.live(world.owner.deploy(world.services["image"]))


@scenario("compose")
def the_operators_verbs_work_in_the_container(world):
    doctor = inside(world, "seaway", "seaway", "doctor")
    assert "docker" in doctor.stdout.lower() and doctor.returncode == 0, doctor.stdout + doctor.stderr
    for service in world.services.values():
        world.owner.delete(f"/services/{service}?volumes=true")
    world.owner.delete(f"/projects/{world.project['id']}")
    until("nothing of the instance is left in Docker", lambda: not (world.inventory().added_since(world.before).get("networks") or set()) - compose_networks(world), 60)


def compose_networks(world):
    return set(docker("network", "ls", "--quiet", "--no-trunc", "--filter", f"label=com.docker.compose.project={world.seaway.name}").split())
