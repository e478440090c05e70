"""Every allocation on the way of an ASGI app's request fails once: ours, asyncio's, CPython's.

Each failure ends in an answer or a closed connection, with a line in the log where the answer
is not the ordinary one, and the next request is served. Needs the fault-injection build: make
faults-asgi.
"""

import re
import sys

import pytest
from client import request, wait_for
from faultwalk import Walk, converse, whole
from server import descriptors, rss

MIB = 1 << 20
LINES = b"line one\nline two\n" * 20


def socket(path, *frames, compression=False):
    """A handshake, and frames masked with zeros."""
    fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        *([("Sec-WebSocket-Extensions", "permessage-deflate")] if compression else []),
    ]
    return request(path, headers=fields) + b"".join(frames)


def frame(payload, opcode=1):
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else bytes([0xFE, size >> 8, size & 255])
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


CLOSE = frame(b"\x03\xe8", 8)
KINDS = {
    "hello": request("/hello"),
    "many headers": request("/hello?q=1", headers=[(f"X-Name-{n}", "v" * n) for n in range(40)]),
    "HEAD": request("/hello", "HEAD"),
    "HTTP/1.0": request("/stream", version="1.0"),
    "echo": request("/echo", "POST", body=LINES),
    "echo, chunked": request("/echo", "POST", body=[LINES, LINES * 10]),
    "stream with a body": request("/stream", "POST", body=LINES * 1000),
    "stream with a body, chunked": request("/stream", "POST", body=[LINES, LINES * 100, LINES]),
    "100-continue": request("/echo", "POST", [("Expect", "100-continue")], LINES),
    "body left": request("/hello", "POST", body=LINES),
    "waits": request("/waits"),
    "big": request("/big"),
    "file": request("/file"),
    "early hint": request("/hint"),
    "trailers": request("/trailers", headers=[("TE", "trailers")]),
    "goes on after its response": request("/later"),
    "listens": request("/listens"),
    "pipelined": request("/hello") + request("/echo", "POST", body=LINES) + request("/stream"),
    "nothing": request("/nothing"),
    "unfinished": request("/unfinished"),
    "a message that is none": request("/refused"),
    "exception": request("/raises"),
    "exception, later": request("/raises-late"),
    "socket": socket("/socket-echo", frame(b"text"), frame(b"\0\xff", 2), frame(b"", 9), CLOSE),
    "socket, large message": socket("/socket-echo", frame(b"x" * 60_000), CLOSE),
    "socket, compressed": socket(
        "/socket-echo", frame(b"text" * 100), frame(b"more" * 1000), CLOSE, compression=True
    ),
    "socket, left": socket("/socket-echo", frame(b"text")),
    "socket, closed by the app": socket("/socket-closes"),
    "socket, refused": socket("/socket-refused"),
    "socket, denied": socket("/socket-denied"),
}
# CPython 3.12 and 3.13 crash on their own where memory fails in their traceback module.
WITH_TRACEBACK = {"exception", "exception, later"}
# What asyncio says of a task whose next step it could not note down: it never goes on.
LOST_STEP = re.compile(r"Exception in callback|MemoryError|Exception in the event loop")
MOUNTS = ["--mount", "/control=asgi_faulty:control", "--mount", "/=asgi_faulty:app"]


@pytest.fixture(scope="module")
def server(serve_all):
    # One whose task asyncio has lost would be waited for.
    server = serve_all(None, *MOUNTS, "--graceful-timeout", "2", threads=2)
    server.check_connections = False
    if server.get("/control/has").body != b"yes":
        pytest.skip("this build injects no faults: see make faults-asgi")
    return server


def plain(answer):
    """Without what depends on time: the date, and where chunks end."""
    answer = re.sub(rb"Date: [^\r]*\r\n", b"", answer)
    return re.sub(rb"\r\n[0-9a-f]+\r\n", b"", answer)


class AsgiWalk(Walk):
    def __init__(self, server, raw):
        super().__init__(server, "/control")
        self.raw, self.lost, self.bad = raw, 0, []
        _, begun, ended = self.state()
        self.before = begun - ended  # what other walks have lost
        self.ordinary = {plain(converse(server, raw)) for _ in range(3)}

    def step(self, n):
        """Whether the n-th allocation came to fail. What was not well is kept in `bad`."""
        logged = len(self.server.log())
        self.arm(n)
        try:
            answer = converse(self.server, self.raw, timeout=0.25)
        except TimeoutError:
            answer = None
        left = self.state()[0]
        said = self.server.log()[logged:]
        if answer is None:
            # Only asyncio's own loss of a step leaves a client without an answer.
            if not LOST_STEP.search(said):
                self.bad.append((n, "no end", said))
            self.lost += 1
        elif plain(answer) not in self.ordinary:
            if not said and not self.is_told_of_later(answer):
                self.bad.append((n, "no line", answer[:300]))
            assert not answer or answer.startswith(b"HTTP/1.1 "), answer[:200]
            if b" 101 " not in answer[:20]:
                whole(answer, self.raw)
        try:
            wait_for(self.all_ended, "the app to end", 0.5)
        except AssertionError:
            if not LOST_STEP.search(said):
                self.bad.append((n, "the app did not end", answer, said))
            self.lost += 1
        return left == 0

    def is_told_of_later(self, answer):
        """Refusals leave a line a second, with the number of the others."""
        refused = b"HTTP/1.1 503 " in answer or answer.endswith(b"\x88\x02\x03\xf3")  # 1011
        return refused and "refused with" in self.server.log()

    def all_ended(self):
        _, begun, ended = self.state()
        return (begun - ended - self.before) % 256 <= self.lost


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_every_allocation_fails(server, kind):
    if kind in WITH_TRACEBACK and sys.version_info >= (3, 12):
        pytest.skip("CPython itself crashes when memory fails in its traceback module")
    pid = server.worker().pid
    walk = AsgiWalk(server, KINDS[kind])
    if kind == "socket, left":
        # Its end may be seen before its message is echoed.
        walk.ordinary.add(plain(converse(server, socket("/socket-echo"))))
    walk.state()
    open_before, rss_before = len(descriptors(pid)), rss(pid)
    n = 1
    while walk.step(n):
        n += 1
    print(f"{kind}: {n - 1} allocations, {walk.lost} without an end")
    assert walk.bad == []
    assert server.worker().pid == pid
    assert server.get("/hello").body == b"hello"
    most = open_before + walk.lost  # a request that never ends keeps its connection
    wait_for(lambda: len(descriptors(pid)) <= most, "descriptors to be closed")
    assert rss(pid) - rss_before < 64 * MIB
