"""The API as a client sees it. Every path of the API that the tests use is in this file."""

import base64
import http.client
import json
import os
import socket
import time
import urllib.parse
import uuid

from .machine import until

DEPLOY_SECONDS_MAX = 180


class Refused(AssertionError):
    """A problem answer."""

    def __init__(self, method, path, status, problem, headers):
        super().__init__(f"{method} {path} answered {status}: {problem}")
        self.status, self.problem, self.headers = status, problem, headers
        self.code = problem.get("code") if isinstance(problem, dict) else None


class Client:
    """A person (or nobody) at the API of one instance."""

    def __init__(self, seaway, token=None):
        self.seaway, self.token, self.cookie, self.csrf = seaway, token, None, None
        self.last_headers = {}

    # --- requests ---

    def call(self, method, path, body=None, headers=None, raw=None, kind=None):
        connection = http.client.HTTPConnection("localhost", self.seaway.port, timeout=90)
        given = {"accept": "application/json"} | (headers or {})
        if self.token:
            given["authorization"] = f"Bearer {self.token}"
        if self.cookie:
            given["cookie"] = self.cookie
            given["x-csrf-token"] = self.csrf or ""
            given["origin"] = self.seaway.url
        content = raw
        if body is not None:
            content, given["content-type"] = json.dumps(body), "application/json"
        elif kind:
            given["content-type"] = kind
        if method == "POST":
            given.setdefault("idempotency-key", f'"{uuid.uuid4()}"')
        try:
            connection.request(method, f"/api/v1{path}", content, given)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        self.last_headers = {name.lower(): value for name, value in answer.getheaders()}
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie" and "seaway" in value.split("=")[0]:
                self.cookie = value.split(";")[0]
        try:
            decoded = json.loads(text) if text else None
        except ValueError:
            decoded = text
        if answer.status >= 400:
            raise Refused(method, path, answer.status, decoded, self.last_headers)
        if isinstance(decoded, dict) and "csrf_token" in decoded:
            self.csrf = decoded["csrf_token"]
        return decoded

    def get(self, path, **query):
        return self.call("GET", path + (f"?{urllib.parse.urlencode(query)}" if query else ""))

    def post(self, path, body=None, **options):
        return self.call("POST", path, {} if body is None else body, **options)

    def patch(self, path, body, **options):
        return self.call("PATCH", path, body, **options)

    def put(self, path, body, **options):
        return self.call("PUT", path, body, **options)

    def delete(self, path, **options):
        return self.call("DELETE", path, **options)

    def all(self, path, **query):
        """Every item of a list."""
        items, cursor = [], None
        while True:
            page = self.get(path, **query | ({"cursor": cursor} if cursor else {}))
            items += page["data"]
            cursor = page.get("next_cursor")
            if not cursor:
                return items

    # --- accounts ---

    def set_up(self, token, email, password, name, organization):
        return self.post("/setup", {"token": token, "email": email, "password": password, "name": name, "organization_name": organization})

    def sign_up(self, email, password, name, **more):
        return self.post("/sign-up", {"email": email, "password": password, "name": name} | more)

    def verify_email(self, email, code):
        return self.post("/email-verifications", {"email": email, "code": code})

    def log_in(self, email, password):
        return self.post("/log-in", {"email": email, "password": password})

    def create_token(self, name, scopes, **more):
        return self.post("/me/tokens", {"name": name, "scopes": scopes} | more)

    def me(self):
        return self.get("/me")

    def create_organization(self, name):
        return self.post("/organizations", {"name": name})

    # --- what is deployed ---

    def create_project(self, organization, name):
        return self.post(f"/organizations/{organization}/projects", {"name": name})

    def environments(self, project):
        return self.all(f"/projects/{project}/environments")

    def create_service(self, environment, name, configuration=None):
        return self.post(f"/environments/{environment}/services", {"name": name} | ({"configuration": configuration} if configuration else {}))

    def configure(self, service, configuration):
        """A merge patch of the configuration, kept for the next deployment."""
        version = self.get(f"/services/{service}")["version"]
        return self.patch(f"/services/{service}?deploy=false", {"configuration": configuration}, headers={"if-match": f'"{version}"'})

    def create_credential(self, organization, body):
        return self.post(f"/organizations/{organization}/credentials", body)

    def upload(self, service, data, kind="application/zip"):
        return self.call("POST", f"/services/{service}/uploads", raw=data, kind=kind)

    def set_variables(self, owner, variables):
        """`owner` is a path: `/services/…`, `/environments/…`, `/projects/…`; variables: name → text or (kind, text)."""
        entries = []
        for name, value in variables.items():
            kind, text = value if isinstance(value, tuple) else ("plain", value)
            entries.append({"name": name, "kind": kind, "value": text})
        return self.patch(f"{owner}/variables", {"set": entries})

    def unset_variables(self, owner, *names):
        return self.patch(f"{owner}/variables", {"unset": list(names)})

    def add_domain(self, service, host):
        return self.post(f"/services/{service}/domains", {"host": host})

    def deploy(self, service, wait=True, **body):
        made = self.post(f"/services/{service}/deployments", body)
        return self.ended(made["id"]) if wait else made

    def rollback(self, service, wait=True, **body):
        made = self.post(f"/services/{service}/rollback", body)
        return self.ended(made["id"]) if wait else made

    def scale(self, service, wait=True, **processes):
        made = self.post(f"/services/{service}/scale", {"processes": processes})
        return self.ended(made["id"]) if wait and made and made.get("id") else made

    def deployment(self, identity, **query):
        return self.get(f"/deployments/{identity}", **query)

    def ended(self, identity, seconds=DEPLOY_SECONDS_MAX):
        """The deployment in its end state."""
        deadline = time.monotonic() + seconds
        while True:
            state = self.deployment(identity, wait=20)
            if state["phase"] in ("live", "failed", "canceled", "skipped"):
                return state
            if time.monotonic() > deadline:
                raise AssertionError(f"deployment {identity} did not end within {seconds} s: {state}")

    def live(self, deployment):
        """The same deployment, which must be live; its log is in the failure otherwise."""
        if deployment["phase"] != "live":
            raise AssertionError(f"not live: {deployment['phase']} {deployment.get('failure')}\n{self.log_text(deployment['id'])}")
        return deployment

    def newest_deployment(self, service):
        return self.get(f"/services/{service}/deployments", limit=1)["data"][0]

    def log_text(self, deployment):
        page = self.get(f"/deployments/{deployment}/logs")
        return "\n".join(line["text"] for line in page["data"])

    def service_log(self, service, **query):
        return [line["text"] for line in self.get(f"/services/{service}/logs", **query)["data"]]

    def follow(self, path, last_event_id=None, seconds=30):
        """Server-sent events of a log, from now on: an iterator of (id, event, data)."""
        connection = http.client.HTTPConnection("localhost", self.seaway.port, timeout=seconds)
        headers = {"accept": "text/event-stream", "authorization": f"Bearer {self.token}"}
        if last_event_id is not None:
            headers["last-event-id"] = str(last_event_id)
        connection.request("GET", f"/api/v1{path}", headers=headers)
        answer = connection.getresponse()
        if answer.status != 200:
            raise Refused("GET", path, answer.status, answer.read().decode(), {})
        return self.events(connection, answer)

    @staticmethod
    def events(connection, answer):
        event = {}
        try:
            while line := answer.readline():
                text = line.decode().rstrip("\n")
                if not text:
                    if "data" in event:
                        yield event.get("id"), event.get("event", "message"), json.loads(event["data"])
                    event = {}
                elif not text.startswith(":"):
                    name, _, value = text.partition(": ")
                    event[name] = value
        finally:
            connection.close()

    def run_once(self, service, command):
        made = self.post(f"/services/{service}/runs", {"command": command})

        def done():
            state = self.get(f"/runs/{made['id']}")
            return state if state["state"] not in ("queued", "running") else None

        ended = until(f"run {command} ends", done, 60)
        lines = [line["text"] for line in self.get(f"/runs/{made['id']}/logs")["data"] if line["channel"] != "platform"]
        return ended, lines


class App:
    """An app as its visitors see it: through the ingress, under a host name."""

    def __init__(self, seaway, url_or_host):
        self.port = seaway.ingress_port
        self.host = urllib.parse.urlsplit(url_or_host).hostname if "://" in url_or_host else url_or_host

    def request(self, path="/", method="GET", body=None, timeout=15, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {"host": self.host} | {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace"), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()

    def json(self, path="/", **options):
        status, text, _ = self.request(path, **options)
        if status != 200:
            raise AssertionError(f"http://{self.host}{path} answered {status}: {text[:300]}")
        return json.loads(text)

    def text(self, path="/"):
        status, text, _ = self.request(path)
        if status != 200:
            raise AssertionError(f"http://{self.host}{path} answered {status}: {text[:300]}")
        return text

    def variable(self, name):
        """What the app behave sees in its environment; `None` when it is not there, or the app is not."""
        status, text, _ = self.request(f"/env?name={name}")
        return json.loads(text)["value"] if status == 200 else None

    def web_socket(self):
        return WebSocket(self)


class WebSocket:
    """As much of RFC 6455 as the tests need."""

    def __init__(self, app):
        self.socket = socket.create_connection(("127.0.0.1", app.port), 15)
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(f"GET /ws HTTP/1.1\r\nhost: {app.host}\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n".encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        while self.file.readline().strip():
            pass

    def send(self, text):
        data, mask = text.encode(), os.urandom(4)
        self.socket.sendall(bytes([0x81, 0x80 | len(data)]) + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(data)))

    def receive(self):
        """(opcode, payload) of the next frame; `None` when the connection ended without a close frame."""
        head = self.file.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 0x7F
        if length == 126:
            length = int.from_bytes(self.file.read(2), "big")
        return head[0] & 0x0F, self.file.read(length)

    def close(self):
        self.socket.close()
