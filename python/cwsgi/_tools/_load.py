"""A small load generator: keep-alive connections to one port, in a process of its own.

Closed loop (each connection asks again once it is answered) finds how much a server bears. Open
loop sends at fixed times whatever the answers do, and a request's latency counts from when it was
due: a server that stalls is charged for all that should have been sent meanwhile.
"""

import collections
import errno
import json
import math
import os
import selectors
import signal
import socket
import time
from typing import Any, NamedTuple

from . import ToolError
from ._http import Answer, Broken

PATIENCE = 10.0  # seconds for answers once nothing more is sent
READ = 1 << 16


class Schedule:
    """When requests are due at a rate, and how long each took from then on. Times in seconds."""

    def __init__(self, rate: float, count: int, start: float) -> None:
        self.rate, self.count, self.start = rate, count, start
        self.next = 0  # the first that was not due yet
        self.late: list[float] = []  # how much later than due the generator got to each
        self.latencies: list[float] = []

    def due(self, number: int) -> float:
        return self.start + number / self.rate

    def take(self, now: float) -> list[int]:
        """Return the numbers that have become due."""
        taken = []
        while self.next < self.count and self.due(self.next) <= now:
            self.late.append(now - self.due(self.next))
            taken.append(self.next)
            self.next += 1
        return taken

    def wait(self, now: float) -> "float | None":
        """Return the seconds until the next is due, None after the last."""
        return max(self.due(self.next) - now, 0.0) if self.next < self.count else None

    def answered(self, number: int, now: float) -> None:
        self.latencies.append(now - self.due(number))


def percentile(values: "list[float]", percent: float) -> "float | None":
    """Return the value that so many percent do not exceed."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


class Job(NamedTuple):
    """What is to be sent: bytes of requests in turn, to 127.0.0.1.

    Attributes:
        requests: pairs of a method and the whole request.
        connections: the most that are open at a time.
        rate: a second, for the open loop; 0: the closed loop.
        warm: seconds at the beginning that do not count, closed loop only.
    """

    port: int
    requests: "list[tuple[str, bytes]]"
    connections: int
    seconds: float
    rate: float = 0.0
    warm: float = 0.0


class Conn:
    def __init__(self) -> None:
        self.sock: socket.socket | None = None
        self.out = b""
        self.answer: Answer | None = None
        self.request = -1  # index into the requests
        self.number = -1  # of the schedule
        self.used = False  # has answered on this connection before


class Generator:
    """Runs one job."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.selector = selectors.DefaultSelector()
        # The longest unused first: so all workers get their share.
        self.idle = collections.deque(Conn() for _ in range(job.connections))
        self.busy: set[Conn] = set()
        self.waiting: collections.deque[int] = collections.deque()
        self.schedule: Schedule | None = None
        self.turn = self.sent = self.answered = 0
        self.errors: collections.Counter[str] = collections.Counter()
        self.statuses: collections.Counter[str] = collections.Counter()
        self.counted = 0  # answers after the warm-up
        self.measured_from = 0.0

    def run(self) -> "dict[str, Any]":
        began, cpu = time.monotonic(), time.process_time()
        if self.job.rate:
            took = self._open(began)
        else:
            took = self._closed(began)
        wall = time.monotonic() - began
        used = time.process_time() - cpu
        for conn in [*self.idle, *self.busy]:
            self._close(conn)
        found: dict[str, Any] = {
            "sent": self.sent,
            "answered": self.answered,
            "errors": dict(self.errors),
            "statuses": dict(self.statuses),
            "seconds": took,
            "per_s": self.counted / took if took > 0 else 0.0,
            "generator_cpu": used / wall if wall > 0 else 0.0,
        }
        if self.schedule:
            took_ms = [1000 * one for one in self.schedule.latencies]
            late_ms = [1000 * one for one in self.schedule.late]
            found.update(
                p50_ms=percentile(took_ms, 50),
                p99_ms=percentile(took_ms, 99),
                late_p99_ms=percentile(late_ms, 99),
                due=self.schedule.count,
                rate=self.job.rate,
            )
        return found

    def _closed(self, began: float) -> float:
        end = began + self.job.warm + self.job.seconds
        self.measured_from = began + self.job.warm
        while (now := time.monotonic()) < end:
            # One after another at first: a worker that is busy leaves new ones to others.
            share = (now - began) / self.job.warm if self.job.warm else 1.0
            begun = min(math.ceil(share * self.job.connections), self.job.connections)
            # One that fails at once is idle again.
            for _ in range(len(self.idle) - (self.job.connections - begun)):
                self._send(self.idle.pop(), -1)
            self._turn(min(end - now, 0.01) if begun < self.job.connections else end - now)
        took = time.monotonic() - self.measured_from
        counted = self.counted
        # What is under way is answered still: an error among it is one.
        self._drain()
        self.counted = counted
        return took

    def _open(self, began: float) -> float:
        count = max(int(self.job.rate * self.job.seconds), 1)
        self.schedule = schedule = Schedule(self.job.rate, count, began)
        end = began + self.job.seconds + PATIENCE
        while (now := time.monotonic()) < end:
            self.waiting.extend(schedule.take(now))
            while self.waiting and self.idle:
                self._send(self.idle.popleft(), self.waiting.popleft())
            wait = schedule.wait(now)
            if wait is None and not self.busy:
                break
            self._turn(PATIENCE if wait is None else wait)
        for _ in self.waiting:
            self.errors["not sent: no answers"] += 1
        self._drain(0)
        return time.monotonic() - began

    def _drain(self, patience: float = PATIENCE) -> None:
        end = time.monotonic() + patience
        while self.busy and (now := time.monotonic()) < end:
            self._turn(end - now)
        for conn in list(self.busy):
            self._fail(conn, f"no answer in {PATIENCE:g} s")

    def _turn(self, wait: float) -> None:
        if not self.busy:
            time.sleep(min(wait, 0.5 if self.job.rate else 0.02))
            return
        for key, mask in self.selector.select(min(wait, 0.5)):
            conn = key.data
            if mask & selectors.EVENT_WRITE:
                self._write(conn)
            if mask & selectors.EVENT_READ and conn in self.busy:
                self._read(conn)

    def _send(self, conn: Conn, number: int) -> None:
        conn.request, conn.number = self.turn % len(self.job.requests), number
        self.turn += 1
        self.sent += 1
        self.busy.add(conn)
        self._begin(conn)

    def _begin(self, conn: Conn) -> None:
        method, conn.out = self.job.requests[conn.request]
        conn.answer = Answer(method)
        if conn.sock is None:
            conn.sock, conn.used = socket.socket(), False
            conn.sock.setblocking(False)
            conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            problem = conn.sock.connect_ex(("127.0.0.1", self.job.port))
            self.selector.register(conn.sock, selectors.EVENT_READ | selectors.EVENT_WRITE, conn)
            if problem not in (0, errno.EINPROGRESS):
                self._fail(conn, os.strerror(problem))
            return
        self._write(conn)

    def _write(self, conn: Conn) -> None:
        if conn.sock is None or not conn.out:
            return
        try:
            conn.out = conn.out[conn.sock.send(conn.out) :]
        except BlockingIOError:
            pass
        except OSError as error:
            self._again_or_fail(conn, error)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if conn.out else 0)
        if self.selector.get_key(conn.sock).events != events:
            self.selector.modify(conn.sock, events, conn)

    def _read(self, conn: Conn) -> None:
        if conn.sock is None or conn.answer is None:
            return
        try:
            data = conn.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError as error:
            self._again_or_fail(conn, error)
            return
        answer = conn.answer
        try:
            done = answer.feed(data) if data else answer.end()
        except Broken as error:
            if data or answer.begun or not conn.used:
                self._fail(conn, str(error))
            else:
                self._again(conn)
            return
        if done:
            self._done(conn, answer)

    def _done(self, conn: Conn, answer: Answer) -> None:
        now = time.monotonic()
        self.answered += 1
        self.statuses[str(answer.status)] += 1
        if self.schedule:
            self.schedule.answered(conn.number, now)
        if now >= self.measured_from:
            self.counted += 1
        self.busy.discard(conn)
        self.idle.append(conn)
        conn.used = True
        if answer.closes:
            self._close(conn)

    def _again_or_fail(self, conn: Conn, error: OSError) -> None:
        if conn.used and conn.answer and not conn.answer.begun:
            self._again(conn)
        else:
            self._fail(conn, os.strerror(error.errno or 0))

    def _again(self, conn: Conn) -> None:
        """A kept connection was closed as the request went out (RFC 9112 9.3.1)."""
        self._close(conn)
        self._begin(conn)

    def _fail(self, conn: Conn, why: str) -> None:
        self.errors[why] += 1
        self._close(conn)
        self.busy.discard(conn)
        self.idle.append(conn)

    def _close(self, conn: Conn) -> None:
        if conn.sock is not None:
            self.selector.unregister(conn.sock)
            conn.sock.close()
            conn.sock = None


def run(job: Job) -> "dict[str, Any]":
    """Return what a process of its own found, which is gone then.

    Raises:
        ToolError: it has failed.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        _child(job, writer)
    os.close(writer)
    try:
        with open(reader, "rb") as file:
            text = file.read()
        found: dict[str, Any] = json.loads(text) if text else {"failed": "it was ended"}
    finally:
        # Of use on ^C only: whoever has written its result ends.
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    if "failed" in found:
        raise ToolError(f"the load generator has failed: {found['failed']}")
    return found


def _child(job: Job, writer: int) -> None:
    """Run the job and end. The terminal's ^C is the parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    try:
        found = Generator(job).run()
    except Exception as error:
        found = {"failed": f"{type(error).__name__}: {error}"}
    with open(writer, "wb") as file:
        file.write(json.dumps(found).encode())
    os._exit(0)
