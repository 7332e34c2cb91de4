"""`python3 -m bench ingress`: our ingress beside nginx, HAProxy and Caddy from Debian; `conformance`: the same odd requests
through ours and HAProxy. Neither needs Docker."""

import asyncio
import json
import pathlib
import re
import statistics
import subprocess
import tempfile
import threading

from .proxies import HOST, Caddy, Haproxy, Nginx, Origin, Seaway, exchange

RIVALS = (Seaway, Nginx, Haproxy, Caddy)
SECONDS, CONNECTIONS, SOCKETS = 4, 32, 1_000
JOBS = (("small answers", "/"), ("64 KiB bodies", "/64k"), ("10 MiB bodies", "/10m"))
ROWS = pathlib.Path(__file__).parent.parent / "crates/ingress/tests/it/conformance.json"
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1_000.0, "m": 60_000.0}


def wrk(port, path):
    """(requests per second, p99 in ms, errors)."""
    command = ["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{SECONDS}s", "--latency", "-H", f"Host: {HOST}", f"http://127.0.0.1:{port}{path}"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", told).group(1))
    value, unit = re.search(r"99%\s+([\d.]+)(\w+)", told).groups()
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", told)
    broken = re.search(r"Socket errors: (.*)", told)
    return rate, float(value) * UNITS_MS[unit], (bad.group(0) if bad else "") + (broken.group(0) if broken else "")


class Loop:
    """asyncio in a thread: the WebSocket app, and its clients."""

    def __enter__(self):
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.server = self.run(asyncio.start_server(self.accept, "127.0.0.1", 0, backlog=4096))
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.loop.stop)

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)

    @staticmethod
    async def accept(reader, writer):
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
            await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    async def open(self, port, count):
        request = b"GET / HTTP/1.1\r\nHost: ws.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        found = []
        for number in range(count):
            # An address of loopback for every 200: one client may not have every connection.
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(f"127.0.0.{2 + number // 200}", 0))
            writer.write(request)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
            assert b" 101 " in head.split(b"\r\n")[0] + b" ", head
            found.append((reader, writer))
        return found


def measure(rounds):
    rows = []
    with tempfile.TemporaryDirectory(prefix="seaway-bench-") as folder, Loop() as sockets, Origin(folder) as origin:
        proxies = []
        try:
            for kind in RIVALS:
                proxies.append(kind(folder, origin.port, sockets.port).__enter__())
            idle = {proxy.name: proxy.pss_mib() for proxy in proxies}
            for what, path in JOBS:
                found = {proxy.name: [] for proxy in proxies}
                for _ in range(rounds):
                    for proxy in proxies:  # interleaved: what else the machine does hits all of them
                        found[proxy.name].append(wrk(proxy.port, path))
                for name, results in found.items():
                    rate, p99 = (statistics.median(result[index] for result in results) for index in (0, 1))
                    errors = "; ".join(sorted({result[2] for result in results if result[2]}))
                    rows.append((f"{what}: {name}", f"{rate:,.0f}/s, p99 {p99:.1f} ms", f"median of {rounds} rounds of {SECONDS} s, {CONNECTIONS} connections {errors}"))
            after = {proxy.name: proxy.pss_mib() for proxy in proxies}
            for proxy in proxies:
                before = proxy.pss_mib()
                streams = sockets.run(sockets.open(proxy.port, SOCKETS))
                with_them = proxy.pss_mib()
                each = (with_them - before) * 1024 / SOCKETS
                rows.append((f"memory (PSS): {proxy.name}", f"{idle[proxy.name]:.1f}, {after[proxy.name]:.1f}, {with_them:.1f} MiB", f"idle, after load, with {SOCKETS} idle WebSockets ({each:.1f} KiB each)"))
                for _, writer in streams:
                    sockets.loop.call_soon_threadsafe(writer.close)
        finally:
            for proxy in proxies:
                proxy.__exit__()
    return rows


class Recorder(Loop):
    """An app that answers 200 and remembers the first line of what it got."""

    seen = []

    @classmethod
    async def accept(cls, reader, writer):
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode("latin1").split("\r\n")
                fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
                size = 0
                if "chunked" in fields.get("transfer-encoding", ""):
                    while length := int((await reader.readline()).split(b";")[0], 16):
                        size += len(await reader.readexactly(length))
                        await reader.readline()
                    while (await reader.readline()).strip():
                        pass
                else:
                    size = len(await reader.readexactly(int(fields.get("content-length") or 0)))
                cls.seen.append(f"{' '.join(lines[0].split(' ')[:-1])} {size}")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except (OSError, ValueError, asyncio.IncompleteReadError):
            writer.close()


def conformance(_):
    rows, same = [], 0
    with tempfile.TemporaryDirectory(prefix="seaway-bench-") as folder, Recorder() as app, Origin(folder) as _origin:
        ours, theirs = Seaway(folder, app.port, app.port), Haproxy(folder, app.port, app.port)
        with ours, theirs:
            for row in json.loads(ROWS.read_text()):
                found = []
                for proxy in (ours, theirs):
                    Recorder.seen.clear()
                    answer = exchange(proxy.port, row["request"].encode("latin1"))
                    status = re.match(rb"HTTP/1.\d (\d+)", answer)
                    found.append(f"{status.group(1).decode() if status else 'closed'} {' + '.join(Recorder.seen) or '-'}")
                if found[0] == found[1]:
                    same += 1
                else:
                    rows.append((row["name"], found[0], f"HAProxy: {found[1]}"))
    return [*rows, ("answered alike", str(same), "rows of crates/ingress/tests/it/conformance.json")]
