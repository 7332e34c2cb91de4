"""The journeys that must work: from an empty machine to several apps, and back to nothing."""

import base64
import io
import json
import re
import time
import urllib.parse
import zipfile

from .client import App, Client, Refused
from .loads import Load
from .machine import APPS, Inventory, containers, until
from .world import OWNER, PASSWORD, SECOND, scenario

SECRET = "s3cr+t/Väl&ue=42 with spaces"


def refused(status, call, *arguments, **named):
    """The problem that a call is refused with."""
    try:
        answer = call(*arguments, **named)
    except Refused as problem:
        assert problem.status == status, problem
        assert problem.problem["status"] == status and problem.problem["request_id"] and problem.problem["type"], problem
        return problem
    raise AssertionError(f"not refused: {answer}")


# --- people -----------------------------------------------------------------------------------------------------------


@scenario("core")
def set_up_by_the_printed_link(world):
    visitor = Client(world.seaway)
    assert visitor.get("/instance/public")["setup_needed"] is True
    token = world.seaway.setup_token()
    refused(401, visitor.me)
    world.set_up()
    assert world.owner.me()["email"] == OWNER
    assert visitor.get("/instance/public")["setup_needed"] is False
    # The link works once.
    try:
        Client(world.seaway).set_up(token, "eve@example.org", PASSWORD, "Eve", "Evil")
    except Refused as problem:
        assert problem.status in (401, 403, 404, 409, 422), problem
    else:
        raise AssertionError("the set-up link worked twice")
    # The key is where the log says, and only the owner of the process can read it.
    key = world.seaway.data / "keys" / "master.key"
    assert key.stat().st_mode & 0o777 == 0o600, oct(key.stat().st_mode)
    assert "master.key" in world.seaway.said(), "the first start does not tell about the master key"


@scenario("core")
def a_second_person_signs_up_and_sees_nothing_of_the_first(world):
    world.session.patch("/instance", {"sign_up": "open"})
    second = world.second_person()
    mine = second.get("/organizations")["data"]
    assert all(organization["id"] != world.organization for organization in mine)
    foreign = refused(404, second.get, f"/organizations/{world.organization}")
    missing = refused(404, second.get, "/organizations/org_00000000000000000000000000")
    assert foreign.code == missing.code and foreign.problem["title"] == missing.problem["title"]
    refused(404, second.get, f"/projects/{world.project['id']}")
    # Known and unknown addresses look alike.
    known = refused(401, Client(world.seaway).log_in, SECOND, "not-the-right-password-1")
    unknown = refused(401, Client(world.seaway).log_in, "nobody@example.org", "not-the-right-password-1")
    assert known.code == unknown.code and known.problem["detail"] == unknown.problem["detail"]
    refused(422, Client(world.seaway).sign_up, "weak@example.org", "passwordpassword", "Weak")
    world.second = second


# --- three real apps --------------------------------------------------------------------------------------------------


@scenario("core")
def a_node_app_from_a_private_repository_over_https(world):
    repository = world.git.repository("guestbook", "node", closed=True)
    service = world.service("guestbook", {"type": "git", "url": repository.https, "credential": world.token_credential()}, port=3000)
    done = world.owner.live(world.owner.deploy(service))
    assert done["commit"] == repository.git("rev-parse", "HEAD"), done
    app = world.app("guestbook")
    assert urllib.parse.urlsplit(done["url"]).hostname == app.host, done["url"]
    assert "<h1>Welcome</h1>" in app.text()
    status, _, _ = app.request("/sign", "POST", "name=Ann&line=Hello", content_type="application/x-www-form-urlencoded")
    assert status == 303 and "<b>Ann</b> Hello" in app.text()
    assert "npm" in world.owner.log_text(done["id"]), "the build's output is not in the log"


@scenario("core")
def a_python_app_from_a_private_repository_over_ssh(world):
    repository = world.git.repository("converter", "python", closed=True)
    service = world.service("converter", {"type": "git", "url": repository.ssh, "credential": world.key_credential()})
    world.owner.live(world.owner.deploy(service))
    assert world.app("converter").json("/convert?value=1&from=mi&to=km")["value"] == 1.609344


@scenario("core")
def a_rust_app_from_a_public_repository(world):
    repository = world.git.repository("counter", "rust")
    service = world.service("counter", {"type": "git", "url": repository.https, "reference": "main"})
    world.owner.live(world.owner.deploy(service))
    app = world.app("counter")
    assert app.json("/a")["visits"] == 1 and app.json("/a")["visits"] == 2


@scenario("core")
def a_static_site_from_an_archive(world):
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for path in sorted((APPS / "static").iterdir()):
            file.write(path, path.name)
    service = world.service("tides", {"type": "archive"}, builder={"type": "static", "folder": "."}, health={"probe": {"type": "http", "path": "/"}, "interval_ms": 50})
    upload = world.owner.upload(service, archive.getvalue())
    world.owner.live(world.owner.deploy(service, upload=upload["id"]))
    app = world.app("tides")
    assert "<h1>Tides</h1>" in app.text()
    status, _, headers = app.request("/style.css")
    assert status == 200 and headers["content-type"].startswith("text/css"), headers
    assert app.request("/missing")[0] == 404
    assert app.request("/..%2f..%2fetc/passwd")[0] in (400, 404)


@scenario("core")
def a_finished_image(world):
    service = world.service("image", {"type": "image", "reference": "seaway-test/behave"}, builder={"type": "none"})
    world.owner.live(world.owner.deploy(service))
    assert world.app("image").json()["revision"] == "none"


# --- change, break, return --------------------------------------------------------------------------------------------


@scenario("core")
def a_change_replaces_the_release_without_a_lost_request(world):
    repository = world.git.repository("main", "behave")
    world.next_revision(repository, 1)
    world.main = world.service("main", {"type": "git", "url": repository.https, "reference": "main"})
    world.main_repository = repository
    world.owner.live(world.owner.deploy(world.main))
    app = world.app("main")
    assert app.json()["revision"] == "1"
    with Load(world.seaway.ingress_port, app.host, rate=100) as load:
        commit = world.next_revision(repository, 2)
        done = world.owner.live(world.owner.deploy(world.main))
        time.sleep(1)
    assert done["commit"] == commit and app.json()["revision"] == "2"
    assert load.report["failed"] == 0 and load.report["backwards"] == 0, load.report
    assert set(load.report["revisions"]) == {"1", "2"}, load.report


@scenario("core")
def a_broken_release_never_takes_traffic(world):
    repository, app = world.main_repository, world.app("main")
    dockerfile = (repository.tree / "Dockerfile").read_text()
    repository.write("Dockerfile", dockerfile + "ENV HEALTH=never\n")
    world.next_revision(repository, "broken")
    world.owner.configure(world.main, {"health": {"probe": {"type": "http", "path": "/healthz"}, "interval_ms": 50, "deadline_seconds": 4}})
    with Load(world.seaway.ingress_port, app.host, rate=100) as load:
        done = world.owner.deploy(world.main)
    assert done["phase"] == "failed" and done["failure"]["cause"] == "health", done
    assert "503" in json.dumps(done["failure"]), done["failure"]
    assert load.report["failed"] == 0 and set(load.report["revisions"]) == {"2"}, load.report
    repository.write("Dockerfile", dockerfile)
    repository.commit("Mended")


@scenario("core")
def a_rollback_takes_seconds_and_brings_everything_back(world):
    owner, app = world.owner, world.app("main")
    owner.set_variables(f"/services/{world.main}", {"MESSAGE": "before"})
    until("the variable is live", lambda: app.json()["message"] == "before", 30)
    repository = world.main_repository
    world.next_revision(repository, 3)
    owner.live(owner.deploy(world.main))
    owner.set_variables(f"/services/{world.main}", {"MESSAGE": "after"})
    until("the change is live", lambda: app.json()["message"] == "after", 30)
    releases = owner.all(f"/services/{world.main}/releases")
    versions = [release["version"] for release in releases]
    assert versions == sorted(versions, reverse=True) and len(set(versions)) == len(versions), versions
    target = next(release for release in releases if release["version"] == max(versions) - 2)
    begin = time.monotonic()
    done = owner.live(owner.rollback(world.main, version=target["version"]))
    assert time.monotonic() - begin < 10, "a rollback takes longer than 10 s"
    assert app.json()["revision"] == "2" and app.json()["message"] == "before", app.json()
    newest = owner.all(f"/services/{world.main}/releases")[0]
    assert newest["version"] == max(versions) + 1 and newest["rolled_back_to"] == target["version"], newest
    assert not {"fetch", "build"} & {step["step"] for step in done["steps"]}


@scenario("core")
def three_replicas_share_the_traffic(world):
    app = world.app("main")
    with Load(world.seaway.ingress_port, app.host, rate=100) as load:
        world.owner.live(world.owner.scale(world.main, web=3))
        hosts = set()
        until("three replicas answer", lambda: hosts.add(app.json()["host"]) or len(hosts) == 3, 20)
        world.owner.live(world.owner.scale(world.main, web=1))
    until("one replica answers", lambda: len({app.json()["host"] for _ in range(10)}) == 1, 20)
    assert load.report["failed"] == 0, load.report


@scenario("core")
def stop_start_and_restart(world):
    owner, app = world.owner, world.app("main")
    boot = app.json()["boot"]
    owner.live(owner.ended(owner.post(f"/services/{world.main}/restart")["id"]))
    assert app.json()["boot"] > boot
    owner.post(f"/services/{world.main}/stop")
    until("the app is stopped", lambda: app.request()[0] in (404, 502, 503), 20)
    status, text, headers = app.request(accept="text/html")
    assert headers["content-type"].startswith("text/html") and "stopped" in text.lower(), (status, text[:300])
    owner.post(f"/services/{world.main}/start")
    until("the app is back", lambda: app.request()[0] == 200, 30)


# --- settings ---------------------------------------------------------------------------------------------------------


@scenario("core")
def variables_are_inherited_referenced_and_sealed(world):
    owner, app, service = world.owner, world.app("main"), f"/services/{world.main}"
    owner.set_variables(f"/projects/{world.project['id']}", {"LEVEL": "project", "FROM_PROJECT": "p"})
    owner.set_variables(f"/environments/{world.environment['id']}", {"LEVEL": "environment"})
    owner.set_variables(service, {"LEVEL": "service", "API_KEY": ("secret", SECRET), "ROOT_KEY": ("sealed", "never-again-7"), "NEIGHBOUR": "x-${{guestbook.PORT}}"})
    until("the change is live", lambda: app.variable("LEVEL") == "service", 30)
    assert app.variable("FROM_PROJECT") == "p"
    assert app.variable("API_KEY") == SECRET
    assert app.variable("ROOT_KEY") == "never-again-7"
    assert app.variable("NEIGHBOUR") == "x-3000"
    shown = json.dumps(owner.get(f"{service}/variables"))
    assert "never-again-7" not in shown and SECRET.split("/")[0] not in shown, shown
    # Nothing of it lies readable in the database or its journal.
    for file in world.seaway.data.glob("*.db*"):
        assert b"never-again-7" not in file.read_bytes(), file
    versions = {release["version"] for release in owner.all(f"{service}/releases")}
    owner.unset_variables(service, "LEVEL")
    until("the environment's value shows", lambda: app.variable("LEVEL") == "environment", 30)
    assert len(owner.all(f"{service}/releases")) > len(versions), "a change of variables makes a release"


@scenario("core")
def a_domain_of_ones_own(world):
    shown = world.owner.add_domain(world.main, "Shop.Example.ORG")
    assert shown["host"] == "shop.example.org", shown
    own = App(world.seaway, "shop.example.org")
    until("the domain answers", lambda: own.request()[0] == 200, 20)
    assert own.json()["revision"] == world.app("main").json()["revision"]
    # A host has one owner.
    other = world.services["counter"]
    refused(409, world.owner.add_domain, other, "shop.example.org")
    status, text, headers = App(world.seaway, "unknown.example.org").request(accept="text/html")
    assert status == 404 and headers["content-type"].startswith("text/html"), (status, text[:200])


@scenario("core")
def the_ingress_tells_the_truth_about_the_client(world):
    app = world.app("main")
    seen = app.json("/headers", X_Forwarded_For="6.6.6.6", X_Forwarded_Proto="https", X_Real_Ip="6.6.6.6", Forwarded="for=6.6.6.6")["headers"]
    headers = {}
    for name, value in seen:
        headers.setdefault(name, []).append(value)
    assert "6.6.6.6" not in json.dumps(headers), headers
    assert headers["x-forwarded-for"] == ["127.0.0.1"] and headers["x-forwarded-proto"] == ["http"], headers
    assert headers["host"] == [app.host] and headers.get("x-request-id"), headers


@scenario("core")
def web_sockets_and_event_streams_pass(world):
    app = world.app("main")
    web_socket = app.web_socket()
    assert web_socket.status == 101
    web_socket.send("hello")
    assert web_socket.receive() == (1, b"hello")
    begin = time.monotonic()
    status, text, headers = app.request("/sse?count=3&ms=50")
    assert status == 200 and text.count("data:") == 3 and headers["content-type"] == "text/event-stream"
    assert time.monotonic() - begin < 5
    # A deployment leaves the WebSocket open until the drain ends, then closes it with a reason, not a reset.
    world.next_revision(world.main_repository, "ws")
    world.owner.post(f"/services/{world.main}/deployments", {})
    until("the new release serves", lambda: app.json()["revision"] == "ws", 60)
    web_socket.send("still")
    assert web_socket.receive() == (1, b"still")
    closing = web_socket.receive()
    assert closing and closing[0] == 8 and int.from_bytes(closing[1][:2], "big") in (1001, 1012), closing
    until("the deployment ends", lambda: world.owner.newest_deployment(world.main)["phase"] == "live", 30)


# --- logs, commands, volumes ------------------------------------------------------------------------------------------


@scenario("core")
def logs_are_followed_resumed_and_masked(world):
    owner, app = world.owner, world.app("main")
    path = f"/services/{world.main}/logs?follow=true&tail=1"
    seen = []
    stream = owner.follow(path)
    app.request("/log?text=alpha&count=5")
    for identity, event, data in stream:
        if event == "log" and data["text"].startswith("alpha"):
            seen.append((identity, data["text"]))
        if len(seen) == 3:
            break
    stream.close()
    app.request("/log?text=beta&count=2")
    rest = []
    for identity, event, data in owner.follow(path, last_event_id=seen[-1][0]):
        if event == "log" and data["text"].split()[0] in ("alpha", "beta"):
            rest.append(data["text"])
        if len(rest) == 4:
            break
    texts = [text for _, text in seen] + rest
    assert texts == [f"alpha {n}" for n in range(5)] + [f"beta {n}" for n in range(2)], texts
    # Secret values do not reach the log in any form.
    owner.set_variables(f"/services/{world.main}", {"PRINT": "API_KEY,ROOT_KEY"})
    until("the app has printed", lambda: any("percent ROOT_KEY" in line for line in owner.service_log(world.main, tail=100)), 40)
    text = "\n".join(owner.service_log(world.main, tail=200))
    for value in (SECRET, "never-again-7"):
        for form in (value, base64.b64encode(value.encode()).decode(), urllib.parse.quote(value, safe="")):
            assert form not in text, f"the log shows {form}"
    owner.unset_variables(f"/services/{world.main}", "PRINT")


@scenario("core")
def a_command_runs_once(world):
    ended, lines = world.owner.run_once(world.main, ["sh", "-c", "echo $PORT; cat /revision; exit 3"])
    assert ended["exit_code"] == 3 and ended["state"] == "failed", ended
    assert lines[0] == "8080", lines
    ended, lines = world.owner.run_once(world.main, ["echo", "$PORT; id"])
    assert ended["state"] == "succeeded" and lines == ["$PORT; id"], "a word of the user reached a shell"


@scenario("core")
def a_volume_outlives_releases_and_never_has_two_writers(world):
    owner = world.owner
    service, repository, app = None, world.git.repository("keeper", "behave"), world.app("keeper")
    world.next_revision(repository, 1)
    service = world.service("keeper", {"type": "git", "url": repository.https, "reference": "main"})
    owner.post(f"/services/{service}/volumes", {"name": "notes", "path": "/data"})
    owner.live(owner.deploy(service))
    app.request("/file?path=/data/notes", "POST", "first;")
    world.next_revision(repository, 2)
    # Visitors wait as long as requests are held (30 s); how long that may take is asserted below.
    with Load(world.seaway.ingress_port, app.host, rate=50, patience_seconds=35) as load:
        done = owner.live(owner.deploy(service))
    assert app.json("/file?path=/data/notes")["text"] == "first;" and app.json()["revision"] == "2"
    assert load.report["failed"] == 0, load.report
    gap = until("the gap is recorded", lambda: owner.deployment(done["id"])["gap_ms"], 20)
    assert 0 < gap < 10_000, gap
    print(f"      requests were held for {gap} ms while the volume changed hands")
    refused(422, owner.scale, service, web=2)


@scenario("core")
def containers_are_hardened_and_fenced_in(world):
    app = world.app("main")
    mine = containers(seaway__service=world.main)
    assert len(mine) == 1
    host = mine[0]["HostConfig"]
    assert any("no-new-privileges" in option for option in host["SecurityOpt"]), host["SecurityOpt"]
    assert "ALL" in [name.removeprefix("CAP_") for name in host["CapDrop"] or []], host["CapDrop"]
    assert host["Memory"] > 0 and host["PidsLimit"] > 0 and host["NanoCpus"] + host.get("CpuQuota", 0) > 0
    assert host["LogConfig"]["Config"].get("max-size") or host["LogConfig"]["Type"] == "none", host["LogConfig"]
    assert not host["Privileged"] and not host["PortBindings"] and host["NetworkMode"] not in ("host", "bridge", "default")
    # No way to the control plane through the bridge's gateway, nor to the metadata address.
    gateway = next(iter(mine[0]["NetworkSettings"]["Networks"].values()))["Gateway"]
    for target in (f"{gateway}:{world.seaway.port}", f"{gateway}:{world.seaway.ingress_port}", f"{gateway}:{world.git.https_port}", "169.254.169.254:80"):
        assert app.json(f"/connect?to={target}")["reached"] is False, f"an app reaches {target}"
    # A neighbour of the same environment is reachable by name.
    assert app.json("/connect?to=guestbook:3000")["reached"] is True


# --- the client and the operator --------------------------------------------------------------------------------------


@scenario("core")
def the_client_does_all_of_it(world):
    seaway = world.seaway
    environment = {"SEAWAY_URL": seaway.url, "SEAWAY_TOKEN": world.owner.token}
    assert OWNER in seaway.run("whoami", **environment).stdout
    folder = world.folder / "cli-app"
    folder.mkdir()
    for name in ("Dockerfile", "revision"):
        (folder / name).write_text((APPS / "behave" / name).read_text())
    run = lambda *words, **more: seaway.run(*words, cwd=folder, **environment, **more)  # noqa: E731
    run("init", "--organization", world.organization, "--project", "desk", "--service", "lamp", "--port", "8080")
    deployed = run("deploy")
    url = re.search(r"https?://\S+localhost\S*", deployed.stdout + deployed.stderr).group()
    app = App(seaway, url)
    assert app.json()["revision"] == "1"
    run("env", "set", "MESSAGE=from the client")
    until("the change is live", lambda: app.json()["message"] == "from the client", 30)
    assert "from the client" in run("env", "get", "MESSAGE").stdout
    (folder / ".env").write_text("ONE=1\nTWO='2 2'\n")
    run("env", "import", ".env")
    until("the import is live", lambda: app.request("/env?name=TWO")[0] == 200, 30)
    app.request("/log?text=from-the-app&count=1")
    until("the log shows it", lambda: "from-the-app" in run("logs").stdout, 15)
    assert json.loads(run("ps", "--json").stdout)
    assert json.loads(run("status", "--json").stdout)
    run("scale", "web=2")
    assert len(json.loads(run("releases", "--json").stdout)) >= 2
    run("rollback")
    assert run("run", "--", "sh", "-c", "exit 4", check=False).returncode == 4
    run("domains", "add", "lamp.example.org")
    assert "lamp.example.org" in run("domains", "ls").stdout
    assert url.rstrip("/") in run("open", "--print").stdout
    assert "_seaway" in run("completions", "bash").stdout
    (folder / "Dockerfile").write_text("FROM seaway-test/behave\nRUN exit 9\n")
    failed = run("deploy", check=False)
    assert failed.returncode == 1 and "build" in (failed.stdout + failed.stderr), failed
    world.desk = True


@scenario("core")
def the_operator_checks_backs_up_and_restores(world):
    seaway = world.seaway
    doctor = seaway.operator("doctor", check=False)
    assert "docker" in doctor.stdout.lower() and doctor.returncode == 0, doctor.stdout + doctor.stderr
    verified = seaway.operator("audit", "verify")
    assert re.search(r"\d+ entries|intact|verified|unbroken|holds", verified.stdout + verified.stderr), verified
    archive = world.folder / "backup.tar.gz"
    passphrase = world.folder / "passphrase"
    passphrase.write_text("harbour-thistle-pewter-94\n")
    key = ("--passphrase-file", str(passphrase))
    seaway.operator("backup", "--to", str(archive), "--with-key", *key)
    copy = world.folder / "restored"
    into = ("restore", "--from", str(archive), "--data-dir", str(copy), *key)
    elsewhere = {}
    if world.postgres:
        # The running instance's own database is not touched; the copy gets one of its own.
        assert "nothing was changed" in seaway.operator(*into, check=False).stderr
        elsewhere["DATABASE_URL"] = world.postgres.database("restored")
    restored = seaway.operator(*into, **elsewhere)
    assert re.search(r"sealed values were tried", restored.stdout), restored
    assert (copy / "keys" / "master.key").exists()
    again = seaway.operator("audit", "verify", "--data-dir", str(copy), **elsewhere)
    assert re.search(r"\d+ entries|intact|verified|unbroken|holds", again.stdout + again.stderr), again
    # A backup without the right key must not say success.
    bare, wrong = world.folder / "bare.tar.gz", world.folder / "wrong"
    seaway.operator("backup", "--to", str(bare))
    if world.postgres:
        elsewhere["DATABASE_URL"] = world.postgres.database("wrong")
    refusal = seaway.operator("restore", "--from", str(bare), "--data-dir", str(wrong), check=False, **elsewhere)
    assert refusal.returncode != 0 and "key" in refusal.stderr, refusal


@scenario("core")
def a_restart_of_seaway_changes_nothing_for_the_apps(world):
    app = world.app("main")
    boot = app.json()["boot"]
    with Load(world.seaway.ingress_port, app.host, rate=200) as load:
        world.seaway.stop()
        time.sleep(0.5)
        world.seaway.start()
    assert load.report["failed"] == 0, load.report
    assert app.json()["boot"] == boot, "the app was restarted"
    assert world.owner.me()["email"] == OWNER


@scenario("core")
def after_the_delete_nothing_is_left(world):
    owner = world.owner
    for project in owner.all(f"/organizations/{world.organization}/projects"):
        for environment in owner.environments(project["id"]):
            for service in owner.all(f"/environments/{environment['id']}/services"):
                owner.delete(f"/services/{service['id']}?volumes=true")
        owner.delete(f"/projects/{project['id']}")
    until("the address is gone", lambda: world.app("main").request()[0] == 404, 30)

    def left():
        added = world.inventory().added_since(world.before)
        return added or None

    deadline = time.monotonic() + 60
    while left() and time.monotonic() < deadline:
        time.sleep(0.5)
    remains = left()
    assert not remains, "left in Docker:\n" + Inventory.describe(remains)
