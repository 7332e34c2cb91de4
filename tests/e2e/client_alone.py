"""The whole journey with the client alone: nobody calls the API, nothing is clicked."""

import json
import re

from .client import App
from .githost import TOKEN
from .machine import until
from .world import OWNER, PASSWORD, SECOND, SECOND_PASSWORD, scenario


class Person:
    """Somebody with a home of their own; a verb reads `said` from its input."""

    def __init__(self, world, name):
        self.world, self.home = world, world.folder / f"home-{name}"
        self.home.mkdir(exist_ok=True)

    def run(self, *words, said="", check=True, cwd=None):
        return self.world.seaway.run(*words, stdin=said, check=check, cwd=cwd or self.home, HOME=str(self.home))

    def json(self, *words, **options):
        return json.loads(self.run(*words, "--json", **options).stdout)

    def refused(self, code, *words, **options):
        done = self.run(*words, check=False, **options)
        assert done.returncode == code, done
        return done.stdout + done.stderr

    def app(self, service, **options):
        return App(self.world.seaway, self.run("open", "--print", *service, **options).stdout.strip())


@scenario("client")
def the_first_person_sets_the_instance_up(world):
    link = until("the set-up link is printed", lambda: re.search(r"https?://\S+/setup#token=\S+", world.seaway.said()), 10).group()
    world.person = owner = Person(world, "owner")
    assert "seaway login" in owner.refused(3, "whoami")
    owner.run("setup", link, "--email", OWNER, "--name", "Olga Owner", "-o", "First Light", said=PASSWORD + "\n")
    assert OWNER in owner.run("whoami").stdout
    assert (owner.home / ".config/seaway/config.toml").stat().st_mode & 0o777 == 0o600


@scenario("client")
def a_private_repository_over_https(world):
    owner = world.person
    repository = world.git.repository("guestbook", "node", closed=True)
    repository.git("remote", "add", "origin", repository.https)
    tree = repository.tree
    # Without the credential the deployment says what is missing; with it, it is live.
    owner.run("init", "-y", "-p", "shop", "--port", "3000", cwd=tree)
    assert "cause: clone" in owner.refused(1, "deploy", cwd=tree)
    added = owner.run("credentials", "add", "git-token", "ci", "--host", "localhost", said=TOKEN + "\n")
    assert TOKEN not in added.stdout + added.stderr
    assert "is live" in owner.run("deploy", "--credential", "ci", cwd=tree).stdout
    app = owner.app((), cwd=tree)
    assert "<h1>Welcome</h1>" in app.text()
    assert "guestbook" in owner.run("status", cwd=tree).stdout
    assert TOKEN not in owner.run("logs", "--build", cwd=tree).stdout


@scenario("client")
def a_private_repository_over_ssh_with_a_key_that_seaway_made(world):
    owner = world.person
    repository = world.git.repository("lamp", "behave", closed=True)
    lamp = ("-a", "shop/lamp")
    known_hosts = owner.home / "known_hosts"
    known_hosts.write_text(world.git.known_hosts)
    key = owner.json("credentials", "add", "deploy-key", "deploy", "--known-hosts", str(known_hosts))
    owner.run("services", "create", "lamp", "-p", "shop", "--port", "8080")
    owner.run("source", "git", repository.ssh, "--ref", "main", "--credential", "deploy", *lamp)
    owner.run("health", "http", "/healthz", "--interval", "50ms", "--deadline", "20s", *lamp)
    owner.run("settings", "set", "drain_seconds=5", "stop_grace_seconds=5", *lamp)
    assert "clone" in owner.refused(1, "deploy", *lamp)
    world.git.authorize(key["public_line"])
    owner.run("deploy", *lamp)
    app = owner.app(lamp)
    assert app.json()["revision"], app.json()
    shown = owner.run("credentials", "show", "deploy").stdout
    assert key["public_line"] in shown and "svc_" in shown


@scenario("client")
def variables_files_and_the_way_back(world):
    owner, lamp = world.person, ("-a", "shop/lamp")
    app = owner.app(lamp)
    owner.run("env", "set", "MESSAGE=from the client", *lamp)
    until("the variable is live", lambda: app.variable("MESSAGE") == "from the client", 30)
    owner.run("env", "set", "--secret", "API_KEY", *lamp, said="harbour key\n")
    until("the secret is live", lambda: app.variable("API_KEY") == "harbour key", 30)
    assert "harbour key" not in owner.run("env", "ls", *lamp).stdout
    assert owner.run("env", "get", "API_KEY", "--reveal", *lamp).stdout.strip() == "harbour key"
    # A secret file would be masked in the output of a command; the app itself sees it.
    owner.run("files", "set", "note", "-", "--path", "/etc/note.txt", *lamp, said="a note\n")
    until("the file is there", lambda: app.json("/file?path=/etc/note.txt")["text"] == "a note\n", 30)
    assert owner.run("run", *lamp, "--", "sh", "-c", "exit 4", check=False).returncode == 4
    owner.run("processes", "set", "web", "--replicas", "2", "--memory", "256m", "--draft", *lamp)
    assert "replicas" in owner.run("changes", *lamp).stdout
    owner.run("deploy", *lamp)
    assert len(owner.json("ps", *lamp)) == 2
    releases = owner.json("releases", *lamp)
    first = releases[-1]["version"]
    owner.run("rollback", f"v{first}", *lamp)
    until("the first release is back", lambda: app.variable("MESSAGE") is None, 15)
    assert "steps" in owner.json("deployments", "show", owner.json("deployments", "ls", *lamp)[0]["id"])


@scenario("client")
def a_second_person_joins(world):
    owner, second = world.person, Person(world, "second")
    url = world.seaway.url
    owner.run("instance", "set", "sign_up=open", said=PASSWORD + "\n")
    second.run("sign-up", url, "--email", SECOND, "--name", "Samir Second", said=SECOND_PASSWORD + "\n")
    second.run("verify-email", SECOND, world.seaway.code(SECOND), "--url", url)
    second.run("login", url, "--email", SECOND, said=SECOND_PASSWORD + "\n")
    link = owner.run("invitations", "create", SECOND, "--role", "viewer").stdout.strip()
    second.run("invitations", "accept", link, said=SECOND_PASSWORD + "\n")
    assert "lamp" in second.run("services", "ls", "-p", "shop", "-o", "first-light").stdout
    assert "forbidden" in second.refused(1, "restart", "-a", "first-light/shop/lamp")
    owner.run("members", "set-role", SECOND, "member")
    second.run("restart", "-a", "first-light/shop/lamp")
    owner.run("members", "remove", SECOND, "-y")
    second.refused(4, "services", "ls", "-p", "shop", "-o", "first-light")
    assert "member.removed" in owner.run("audit", "ls").stdout


@scenario("client")
def what_was_made_is_deleted_and_nothing_is_left(world):
    owner = world.person
    said = owner.refused(2, "projects", "delete", "shop")
    assert "lamp" in said and "--yes" in said, said
    owner.run("services", "delete", "-y", "-a", "shop/lamp")
    owner.run("projects", "delete", "shop", "--volumes", "-y")
    until("the project is gone", lambda: not owner.json("projects", "ls"), 60)
    owner.run("credentials", "remove", "ci", "-y")
    # What deploys leave on purpose for the next build (images, caches) goes with the services; nothing of this instance stays.
    until("nothing is left in Docker", lambda: not world.inventory().added_since(world.before), 60)
    owner.run("logout")
    owner.refused(3, "whoami")
