"""What the scenarios share: an instance with an owner, a second person, a git host; and the list of scenarios."""

import contextlib
import pathlib
import shutil
import sys
import tempfile

from .. import leftovers
from .client import App, Client
from .dead_runs import FOLDER_PREFIX, mark_as_ours
from .githost import TOKEN, GitHost
from .machine import Inventory, Postgres
from .seaway import Seaway

OWNER, SECOND = "olga@example.org", "samir@example.org"
PASSWORD, SECOND_PASSWORD = "orbit-lantern-quarry-58", "meadow-copper-violin-31"

SCENARIOS = []


def scenario(group):
    """Adds a scenario to a group. A scenario takes the world and raises when something is wrong."""

    def add(function):
        SCENARIOS.append((group, function))
        return function

    return add


class World:
    """One instance, from nothing. `with World() as world:`"""

    def __init__(self, profile="debug", postgres=False, kind=Seaway, **environment):
        self.postgres = postgres
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX))
        mark_as_ours(self.folder)
        self.before = Inventory()
        self.git = GitHost(self.folder / "git")
        environment.setdefault("SEAWAY_EGRESS_CA_FILE", str(self.git.certificate))
        self.seaway = kind(self.folder / "instance", profile, **environment)
        self.services = {}
        self.owner = self.organization = self.project = self.environment = None
        self.numbers = iter(range(1, 10_000))

    def __enter__(self):
        self.stack = contextlib.ExitStack()
        try:
            self.stack.enter_context(self.git)
            if self.postgres:
                self.postgres = Postgres(self.folder / "postgres")
                self.seaway.environment["DATABASE_URL"] = self.stack.enter_context(self.postgres)
            self.stack.enter_context(self.seaway)
        except BaseException:
            # What was started before the part that did not start must not outlive it.
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, kind, *_):
        instance = self.instance()
        try:
            self.stack.close()
        finally:
            # Groups that do not end with a delete, or that failed, leave no container for the next one.
            if instance:
                leftovers.remove(instance)
        if kind is None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def instance(self):
        """What Seaway marks its objects in Docker with; `None` before its first start."""
        file = self.seaway.data / "agent" / "instance"
        return file.read_text().strip() if file.exists() else None

    # --- steps that many scenarios begin with ---

    def set_up(self):
        """The owner, the first organization, a project and its production environment."""
        if self.owner:
            return
        visitor = Client(self.seaway)
        visitor.set_up(self.seaway.setup_token(), OWNER, PASSWORD, "Olga Owner", "First Light")
        if not visitor.cookie:
            visitor.log_in(OWNER, PASSWORD)
        # The instance's own settings are changed in a browser's session, not with a token.
        self.session = visitor
        self.owner = self.token_of(visitor)
        self.organization = self.owner.get("/organizations")["data"][0]["id"]
        self.project = self.owner.create_project(self.organization, "shop")
        self.environment = self.owner.environments(self.project["id"])[0]

    def token_of(self, person):
        """The same person with an access token that may do everything."""
        scopes = self.all_scopes()
        return Client(self.seaway, person.create_token("end-to-end", scopes)["text"])

    def all_scopes(self):
        document = Client(self.seaway).get("/openapi.json")
        return document["components"]["schemas"]["Permission"]["enum"]

    def service(self, name, source, **configuration):
        """A new service of the project. What is not said is quick: probe over HTTP, short drain."""
        wanted = {
            "source": source,
            "port": 8080,
            "health": {"probe": {"type": "http", "path": "/healthz"}, "interval_ms": 50, "deadline_seconds": 20},
            "drain_seconds": 5,
            "stop_grace_seconds": 5,
        } | configuration
        made = self.owner.create_service(self.environment["id"], name, wanted)
        self.services[name] = made["id"]
        return made["id"]

    def app(self, name):
        return App(self.seaway, f"{name}-{self.environment['slug']}-{self.project['slug']}.localhost")

    def behave(self, name=None, **configuration):
        """A deployed service of the app that misbehaves on demand: (service id, repository, app)."""
        name = name or f"behave{next(self.numbers)}"
        repository = self.git.repository(name, "behave")
        repository.write("revision", "1")
        repository.commit("Revision 1")
        service = self.service(name, {"type": "git", "url": repository.https, "reference": "main"}, **configuration)
        self.owner.live(self.owner.deploy(service))
        return service, repository, self.app(name)

    def next_revision(self, repository, revision):
        repository.write("revision", str(revision))
        return repository.commit(f"Revision {revision}")

    def inventory(self):
        """What Docker holds, without what belongs to other instances."""
        return Inventory(self.instance())

    def left(self):
        """Containers that were not there before this world."""
        return self.inventory().added_since(self.before).get("containers")

    def token_credential(self):
        return self.owner.create_credential(self.organization, {"name": "token", "kind": "git_token", "username": "token", "token": TOKEN})["id"]

    def key_credential(self, key=None):
        body = {"name": f"key{next(self.numbers)}", "kind": "deploy_key", "private_key": key or self.git.deploy_key, "known_hosts": self.git.known_hosts}
        return self.owner.create_credential(self.organization, body)["id"]

    def second_person(self):
        """Somebody who signed up by himself, with an organization of his own."""
        visitor = Client(self.seaway)
        visitor.sign_up(SECOND, SECOND_PASSWORD, "Samir Second")
        visitor.verify_email(SECOND, self.seaway.code(SECOND))
        if not visitor.cookie:
            visitor.log_in(SECOND, SECOND_PASSWORD)
        return self.token_of(visitor)
