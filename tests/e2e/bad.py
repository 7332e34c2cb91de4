"""Bad input: a clear error with cause and next step, and nothing lost."""

import io
import os
import time
import zipfile

from .client import Refused
from .core import refused
from .loads import Load
from .machine import containers, docker, run, until
from .world import scenario


def fails(world, service, cause, *words):
    """A deployment that must fail with that cause and say those words; the answer is the deployment."""
    done = world.owner.deploy(service)
    assert done["phase"] == "failed", done
    causes = cause if isinstance(cause, tuple) else (cause,)
    assert done["failure"]["cause"] in causes, done["failure"]
    told = str(done["failure"]).lower()
    for word in words:
        assert word.lower() in told, f"“{word}” is not in {done['failure']}"
    return done


def git_service(world, name, url, **more):
    return world.service(name, {"type": "git", "url": url} | more)


@scenario("bad")
def repositories_that_cannot_be_read(world):
    private = world.git.repository("private", "behave", closed=True)
    missing = fails(world, git_service(world, "missing", world.git.https("nothing-here")), "clone")
    closed = fails(world, git_service(world, "closed", private.https), "clone")
    assert closed["failure"].get("next_step") or closed["failure"].get("hint") or len(str(closed["failure"])) > 40, closed
    wrong = world.owner.create_credential(world.organization, {"name": "wrong", "kind": "git_token", "username": "token", "token": "wrong"})["id"]
    fails(world, git_service(world, "wrong-token", private.https, credential=wrong), "clone")
    key = world.key_credential(world.git.other_key)
    fails(world, git_service(world, "wrong-key", private.ssh, credential=key), "clone")
    unknown = world.owner.create_credential(world.organization, {"name": "other host", "kind": "deploy_key", "private_key": world.git.deploy_key, "known_hosts": "[127.0.0.1]:1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJf0T0T0T0T0T0T0T0T0T0T0T0T0T0T0T0T0T0T0T0T0\n"})["id"]
    fails(world, git_service(world, "wrong-host-key", private.ssh, credential=unknown), "clone", "host key")
    # Nothing listens there.
    fails(world, git_service(world, "unreachable", "https://localhost:1/a.git"), "clone")
    assert missing


@scenario("bad")
def addresses_and_references_that_are_tricks(world):
    for url in ("ext::sh -c id", "file:///etc", "--upload-pack=touch /tmp/x", "https://user:password@localhost/x.git", "http://169.254.169.254/x.git"):
        try:
            service = git_service(world, f"trick{next(world.numbers)}", url)
        except Refused as problem:
            assert problem.status == 422, problem
            continue
        fails(world, service, ("clone", "source", "configuration"))
    repository = world.git.repository("tricks", "behave")
    for reference in ("main;id", "--upload-pack=x", "-x", "a..b", "$(id)"):
        try:
            service = git_service(world, f"reference{next(world.numbers)}", repository.https, reference=reference)
        except Refused as problem:
            assert problem.status == 422, problem
            continue
        fails(world, service, "clone")
    fails(world, git_service(world, "moved", f"https://localhost:{world.git.https_port}/moved/x.git"), "clone")


@scenario("bad")
def dockerfiles_that_are_missing_or_wrong(world):
    empty = world.git.repository("empty", None)
    empty.write("README", "nothing")
    empty.commit("Nothing")
    fails(world, git_service(world, "no-dockerfile", empty.https), "build", "dockerfile")
    wrong = world.git.repository("invalid", "behave")
    wrong.write("Dockerfile", "FORM seaway-test/behave\n")
    wrong.commit("Typo")
    fails(world, git_service(world, "invalid-dockerfile", wrong.https), "build", "form")
    step = world.git.repository("failing-step", "behave")
    step.write("Dockerfile", "FROM seaway-test/behave\nRUN echo the-last-words; exit 7\n")
    step.commit("Fails")
    fails(world, git_service(world, "failing-step", step.https), "build", "7")
    link = world.git.repository("links", "behave")
    os.symlink("/etc/passwd", link.tree / "secret")
    link.write("Dockerfile", "FROM seaway-test/behave\nCOPY secret /secret\nCOPY revision /revision\n")
    link.commit("A link out of the tree")
    done = world.owner.deploy(git_service(world, "links", link.https))
    assert done["phase"] == "failed", done


def behaves(world, name, environment, **configuration):
    """A service of the behave app with these variables."""
    repository = world.git.repository(name, "behave")
    service = world.service(name, {"type": "git", "url": repository.https}, **configuration)
    world.owner.set_variables(f"/services/{service}", environment)
    return service


@scenario("bad")
def apps_that_do_not_start(world):
    short = {"health": {"probe": {"type": "http", "path": "/healthz"}, "interval_ms": 50, "deadline_seconds": 4}}
    fails(world, behaves(world, "other-port", {"LISTEN_PORT": "9999"}, **short), "port_mismatch", "9999", "8080")
    fails(world, behaves(world, "exits", {"EXIT_CODE": "3"}, **short), "start", "3")
    fails(world, behaves(world, "never-healthy", {"HEALTH": "never"}, **short), "health", "503")
    fails(world, behaves(world, "hangs", {"HEALTH": "hang"}, health={"probe": {"type": "http", "path": "/healthz"}, "timeout_ms": 500, "deadline_seconds": 4}), "health")
    limits = {"processes": [{"name": "web", "replicas": 1, "limits": {"memory_bytes": 64 * 1024 * 1024}}]}
    fails(world, behaves(world, "eats", {"EAT_MEMORY_MB": "4000", "HEALTH": "never"}, **(short | limits)), "out_of_memory")
    fails(world, behaves(world, "release-command", {}, release_command=["sh", "-c", "echo no migration; exit 5"]), "release_command", "5")


@scenario("bad")
def apps_that_misbehave_while_they_run(world):
    stubborn, repository, app = world.behave("stubborn", stop_grace_seconds=1, drain_seconds=1)
    world.owner.set_variables(f"/services/{stubborn}", {"IGNORE_TERM": "1"})
    until("the change is live", lambda: app.variable("IGNORE_TERM") == "1", 30)
    world.next_revision(repository, 2)
    world.owner.live(world.owner.deploy(stubborn))
    assert app.json()["revision"] == "2"
    # Memory: the replica dies, comes back, and the reason is shown.
    app.request("/eat?mb=100000")
    until("the replica was ended for its memory", lambda: any(replica["out_of_memory"] or replica["restarts"] for replica in world.owner.get(f"/services/{stubborn}/status")["replicas"]), 40)
    until("the app is back", lambda: app.request()[0] == 200, 40)


@scenario("bad")
def a_fork_bomb_stays_inside_its_own_limit(world):
    """The engine's own count shows how far it came; the neighbour answers every request meanwhile."""
    _, _, neighbour = world.behave("beside-forks")
    limits = {"processes": [{"name": "web", "replicas": 1, "limits": {"pids": 64}}]}
    short = {"health": {"probe": {"type": "http", "path": "/healthz"}, "interval_ms": 50, "deadline_seconds": 8}}
    service = behaves(world, "forks", {"FORK": "1"}, **(short | limits))
    counts = []
    with Load(world.seaway.ingress_port, neighbour.host, rate=50) as load:
        made = world.owner.deploy(service, wait=False)

        def ended():
            for container in containers(seaway__service=service):
                top = docker("top", container["Id"], check=False).splitlines()
                counts.append(max(len(top) - 1, 0))
            return world.owner.deployment(made["id"])["phase"] in ("live", "failed")

        until("the deployment of the fork bomb ends", ended, 60)
    done = world.owner.ended(made["id"])
    assert done["phase"] == "failed" and done["failure"]["cause"] in ("health", "start", "port_mismatch"), done
    assert counts and 50 <= max(counts) <= 64, f"processes seen: {sorted(set(counts))}"
    assert load.report["failed"] == 0, load.report
    until("nothing of it is left", lambda: not containers(seaway__service=service), 20)


@scenario("bad")
def a_repository_of_two_gigabytes(world):
    """Against the usual limit of 1 GiB: it is stopped while it comes, and not after it is there."""
    repository = world.git.repository("large", "behave")
    # Nothing of it can be made smaller; git and the server need not try.
    for folder in (repository.tree, repository.bare):
        for setting in (("core.compression", "0"), ("core.bigFileThreshold", "1m"), ("pack.compression", "0"), ("pack.window", "0")):
            run("git", "-C", folder, "config", *setting)
    noise = os.urandom(64 * 1024 * 1024)
    for number in range(32):
        # A different beginning makes a different object; the rest is incompressible all the same.
        (repository.tree / f"blob{number}").write_bytes(number.to_bytes(4, "big") + noise[number:] + os.urandom(1024))
    repository.commit("2 GiB")
    service = world.service("large", {"type": "git", "url": repository.https})
    work, most = world.seaway.data / "agent" / "work", [0]
    begin = time.monotonic()
    made = world.owner.deploy(service, wait=False)

    def ended():
        sizes = (file.stat().st_size for file in work.rglob("*") if file.is_file())
        try:
            most[0] = max(most[0], sum(sizes))
        except OSError:
            pass  # it went while it was counted
        return world.owner.deployment(made["id"])["phase"] in ("live", "failed")

    until("the clone is stopped", ended, 300, pause=0.2)
    done = world.owner.ended(made["id"])
    assert done["phase"] == "failed" and done["failure"]["cause"] == "source", done
    assert "large" in str(done["failure"]).lower() and done["failure"]["next_step"], done
    assert most[0] < 1.5 * 1024**3, f"{most[0]} bytes were on disk"
    until("nothing of it is left", lambda: not [file for file in work.rglob("*") if file.is_file()], 20)
    print(f"      stopped after {time.monotonic() - begin:.1f} s with {most[0] / 1024**2:.0f} MiB on disk")


@scenario("bad")
def archives_that_are_traps(world):
    def archive(fill):
        data = io.BytesIO()
        with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as file:
            fill(file)
        return data.getvalue()

    def bomb(file):
        file.writestr("Dockerfile", "FROM seaway-test/behave\n")
        with file.open("zeros", "w", force_zip64=True) as member:
            for _ in range(3 * 1024):
                member.write(b"\0" * 1024 * 1024)

    service = world.service("archives", {"type": "archive"})
    for name, fill in {"bomb": bomb, "escape": lambda file: file.writestr("../../escaped", "x"), "absolute": lambda file: file.writestr("/tmp/seaway-escaped", "x")}.items():
        try:
            upload = world.owner.upload(service, archive(fill))
            done = world.owner.deploy(service, upload=upload["id"])
        except Refused as problem:
            assert problem.status in (413, 422), problem
            continue
        assert done["phase"] == "failed" and done["failure"]["cause"] == "source", f"{name}: {done}"
    assert not os.path.exists("/tmp/seaway-escaped") and not list(world.seaway.data.glob("**/escaped"))
    try:
        upload = world.owner.upload(service, b"this is no archive")
        done = world.owner.deploy(service, upload=upload["id"])
        assert done["phase"] == "failed" and done["failure"]["cause"] == "source", done
    except Refused as problem:
        assert problem.status == 422, problem


@scenario("bad")
def requests_that_are_wrong(world):
    owner = world.owner
    refused(422, owner.post, f"/organizations/{world.organization}/projects", {"name": "x", "nmae": "typo"})
    refused(404, owner.get, "/no/such/thing")
    refused(400, owner.call, "POST", f"/organizations/{world.organization}/projects", raw="{", kind="application/json")
    refused(422, owner.post, f"/organizations/{world.organization}/projects", {"name": ""})
    service = world.service("wrong", {"type": "image", "reference": "seaway-test/behave"}, builder={"type": "none"})
    refused(422, owner.scale, service, web=5000)
    refused(422, owner.configure, service, {"engine": {"privileged": True}})
    refused(422, owner.configure, service, {"mounts": [{"type": "bind", "host_path": "/", "path": "/host"}]})


@scenario("bad")
def a_disk_that_is_too_full_to_begin(world):
    """What runs goes on, a rollback works, and a deployment says why it does not begin."""
    service, repository, app = world.behave("beside-full")
    world.next_revision(repository, 2)
    world.owner.live(world.owner.deploy(service))
    world.seaway.stop()
    world.seaway.environment |= {"SEAWAY_DISK_USED_PERCENT_MAX": "1", "SEAWAY_BUILD_CACHE_BYTES_MAX": "0"}
    try:
        world.seaway.start(tolerated=("disk",))
        done = fails(world, service, "disk_full", "no build begins", "disk_used_percent_max")
        assert done["failure"]["next_step"], done
        world.owner.live(world.owner.rollback(service))
        assert app.json()["revision"] == "1"
    finally:
        for name in ("SEAWAY_DISK_USED_PERCENT_MAX", "SEAWAY_BUILD_CACHE_BYTES_MAX"):
            world.seaway.environment.pop(name)
        world.seaway.stop()
        world.seaway.start()
    world.next_revision(repository, 3)
    world.owner.live(world.owner.deploy(service))


@scenario("bad")
def a_disk_that_is_full_during_a_build(world):
    """A step of the build is told by the kernel that no space is left (ENOSPC, from /dev/full)."""
    repository = world.git.repository("full", "behave")
    repository.write("Dockerfile", "FROM seaway-test/behave\nRUN dd if=/dev/zero of=/dev/full bs=1M count=1\n")
    repository.commit("Full")
    fails(world, git_service(world, "full", repository.https), ("disk_full", "build"), "space")
