"""Every allocation on the way of an ASGI app's request fails once: ours, asyncio's, CPython's.

Each failure ends in an answer or a closed connection, with a line in the log where the answer
is not the ordinary one, and the next request is served. asyncio forgets a step of a task that
it has no memory for: such a task is found by what asyncio itself knows of it, has a line too,
and is ended here; then nothing may be left. Needs the fault-injection build: make faults.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from client import Client, request, wait_for
from faultwalk import Replay, Walk, begin, converse, whole
from server import ALARMS, descriptors, rss

MIB = 1 << 20
TESTS = Path(__file__).resolve().parents[1]
LINES = b"line one\nline two\n" * 20


def socket(path, *frames, compression=False):
    """The pieces of a conversation: a handshake, and frames masked with zeros."""
    fields = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        *([("Sec-WebSocket-Extensions", "permessage-deflate")] if compression else []),
    ]
    return [request(path, headers=fields), *frames]


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
    "socket, broken": socket("/socket-echo", frame(b"text"), frame(b"", 3)),
    "socket, broken off": socket("/socket-echo", frame(b"text") + frame(b"text")[:-1]),
    "socket, left": socket("/socket-echo", frame(b"text")),
    "socket, closed by the app": socket("/socket-closes"),
    "socket, refused": socket("/socket-refused"),
    "socket, denied": socket("/socket-denied"),
}
# CPython 3.12 and 3.13 crash on their own where memory fails in their traceback module.
WITH_TRACEBACK = {"exception", "exception, later"}
# Said where asyncio could not begin a step of a task, a timer, or a round of its loop. It forgets
# that: the task never ends.
LOST_STEP = re.compile(r"Exception in callback|Exception in the event loop")
# The same, but it was a step that cwsgi had wanted: it ends the request itself.
LOST_WAKE = "Cannot wake a request up"
SOON = 0.1  # seconds
MOUNTS = ["--mount", "/control=asgi_faulty:control", "--mount", "/=asgi_faulty:app"]


@pytest.fixture(scope="module")
def server(serve_all):
    server = serve_all(None, *MOUNTS, threads=2)
    if server.get("/control/has").body != b"yes":
        pytest.skip("this build injects no faults: see make faults")
    return server


def plain(answer):
    """Without what depends on time: the date, and where chunks end."""
    answer = re.sub(rb"Date: [^\r]*\r\n", b"", answer)
    return re.sub(rb"\r\n[0-9a-f]+\r\n", b"", answer)


def is_over(client):
    """Reads what there is. Returns whether the connection has ended."""
    try:
        client.buf[:] = client.read()
    except TimeoutError:
        return False
    return True


def read_frame(client):
    """A frame of the server's; what there is of one at the end."""
    head = client.read(2)
    size = head[1:]
    if size == b"\x7e":
        size = client.read(2)
        head += size
    return head + client.read(int.from_bytes(size, "big"))


def closes(frames):
    return [frame for frame in frames if frame.startswith(b"\x88")]


def frames_of(data):
    with Client(Replay(data), 1) as client:
        return [*iter(lambda: read_frame(client), b"")]


class AsgiWalk(Walk):
    """`lost` counts the failures that made asyncio lose a task: see /tasks of the app."""

    def __init__(self, server, kind):
        super().__init__(server, "/control")
        self.lost, self.bad, self.frames = 0, [], []
        pieces = [kind] if isinstance(kind, bytes) else kind
        self.raw = b"".join(pieces)
        self.ordinary = {plain(converse(server, self.raw)) for _ in range(3)}
        self.head = b""
        if len(pieces) > 1:
            self.talk(*pieces)

    def talk(self, handshake, *frames):
        """Has each frame answered before the next one is sent."""
        with self.server.connect() as client:
            client.send(handshake)
            self.head = plain(client.head())
            for frame in frames:
                client.send(frame)
                self.frames.append(read_frame(client))
            client.finish_sending()
            assert client.read() == b""

    def is_ordinary(self, answer):
        answer = plain(answer)
        if answer in self.ordinary:
            return True
        if not self.head or not answer.startswith(self.head):
            return False
        # What a client that closes or leaves at once still gets of its messages depends on time.
        frames = frames_of(answer[len(self.head) :])
        return all(one in self.frames for one in frames) and closes(frames) == closes(self.frames)

    def step(self, n):
        """Whether the n-th allocation came to fail. What was not well is kept in `bad`."""
        soon, left, lost = SOON, 0, []
        while True:
            logged = len(self.server.log())
            self.arm(n)
            with begin(self.server, self.raw, soon) as client:
                ended = is_over(client)
                (left,) = self.state()
                lost = self.wait_end(client, n, logged)
                answer = client.read() if client.eof else b""
            if ended or lost or self.bad or not left:
                break
            soon *= 2  # it was slow, and the failure was taken back before it came
        said = self.server.log()[logged:]
        if not lost and not self.is_ordinary(answer) and not said:
            if not self.is_told_of_later(answer):
                self.bad.append((n, "no line", answer[:300]))
        if answer:
            assert answer.startswith(b"HTTP/1.1 "), answer[:200]
            if b" 101 " not in answer[:20]:
                whole(answer, self.raw)
        return left == 0

    def tasks(self, end=False):
        """Those that run, and those that asyncio has lost, which are ended then if need be."""
        tasks = self.control.ask("/tasks?end" if end else "/tasks").json()
        return tasks["run"], tasks["lost"]

    def wait_end(self, client, n, logged):
        """Waits for the end of the connection and of every task. Returns what was lost."""
        run, lost = [], []

        def is_settled():
            run[:], lost[:] = self.tasks()
            return lost or (not run and is_over(client))  # others may wait for those

        try:
            wait_for(is_settled, "the end", 5)
            if lost:
                self.lost += 1
                said = self.server.log()[logged:]
                if LOST_WAKE in said:
                    wait_for(lambda: is_over(client), "the end of the connection", 5)
                elif not LOST_STEP.search(said):
                    self.bad.append((n, "lost without a line", [*lost], said))
                self.tasks(end=True)
                wait_for(
                    lambda: is_over(client) and self.tasks() == ([], []), "all of it to end", 5
                )
        except AssertionError as error:
            self.bad.append((n, str(error), *self.tasks(), self.server.log()[logged:]))
            self.tasks(end=True)
        return lost

    def is_told_of_later(self, answer):
        """Refusals leave a line a second, with the number of the others."""
        refused = b"HTTP/1.1 503 " in answer or answer.endswith(b"\x88\x02\x03\xf3")  # 1011
        return refused and "refused with" in self.server.log()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_every_allocation_fails(server, kind):
    if kind in WITH_TRACEBACK and sys.version_info >= (3, 12):
        pytest.skip("CPython itself crashes when memory fails in its traceback module")
    pid = server.worker().pid
    walk = AsgiWalk(server, KINDS[kind])
    walk.state()
    open_before, rss_before = len(descriptors(pid)), rss(pid)
    n = 1
    while walk.step(n) and not walk.bad:
        n += 1
    print(f"{kind}: {n - 1} allocations, asyncio lost {walk.lost} tasks")
    assert walk.bad == []
    assert server.worker().pid == pid
    assert server.get("/hello").body == b"hello"
    wait_for(
        lambda: len(descriptors(pid)) <= open_before, lambda: f"{descriptors(pid)} to be closed"
    )
    assert rss(pid) - rss_before < 64 * MIB


@pytest.mark.timeout(600)
def test_every_allocation_of_a_lifespan_fails(server, tmp_path):
    """A start serves or fails, an end is told of; neither waits for what asyncio has forgotten."""
    with open(tmp_path / "stderr", "a+") as said:
        walk = subprocess.run(
            [sys.executable, TESTS / "lifespan_walk.py"],
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            timeout=500,
        )
        said.seek(0)
        assert walk.returncode == 0, said.read()[-4000:]
    steps = [json.loads(line) for line in walk.stdout.splitlines()]
    *starts, last_start = [step for step in steps if step["half"] == "startup"]
    *ends, last_end = [step for step in steps if step["half"] == "shutdown"]
    print(f"lifespan: {len(starts)} and {len(ends)} allocations")
    assert len(starts) > 100
    assert len(ends) > 100
    assert [step for step in starts if not step["raised"] and step["done"] != ["startup"]] == []
    assert [step for step in ends if not step["raised"] and not step["logged"]] == []
    assert (last_start["raised"], last_start["done"]) == (None, ["startup"])
    assert (last_end["raised"], last_end["done"]) == (None, ["startup", "shutdown"])
    for alarm in ALARMS:
        assert alarm not in (tmp_path / "stderr").read_text()
