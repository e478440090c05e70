"""Measures one setting: starts a server with it, asks it all it bears, then a part of that."""

import collections
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from . import ToolError, _load
from ._run import NotStarted, Running, running
from ._sample import TICKS, Watch, cpu_seconds
from ._servers import children
from ._trials import Setting, Trial

BUSY = 0.8  # of a processor: the generator is taken to be at its limit
SHARE = 0.7  # of what a server bears, that the open loop offers
LATE_MS = 5.0  # of the generator, before its latencies are in doubt
CONNECTIONS = 512
OTHERS = 0.25  # processors that something else uses, while hardly more are free
ROUNDS = 3


class Load:
    """What is sent, and for how long.

    Attributes:
        requests: pairs of a method and the whole request.
        names: what is shown of each.
    """

    def __init__(
        self, requests: "list[tuple[str, bytes]]", names: "list[str]", seconds: float
    ) -> None:
        self.requests, self.names, self.seconds = requests, names, seconds


def check(program: str, words: "list[str]", load: Load) -> "tuple[dict[str, int], bool]":
    """Send each request once; return how many answers had each status, and whether it is ASGI.

    Raises:
        ToolError: an answer is an error: nothing is to be tuned by it.
    """
    statuses: collections.Counter[str] = collections.Counter()
    first = dict(zip(load.requests, load.names, strict=True))
    # Two threads: the only one of a worker has no name of its own.
    with _started(program, words, Setting(1, 2)) as server:
        for request, name in list(first.items())[:50]:
            found = _load.run(_load.Job(server.port, [request], 1, 0.0, rate=1.0))
            problem = _problem(found)
            if problem:
                raise ToolError(f"{name}: {problem}: errors are not to be tuned for")
            statuses.update(found["statuses"])
        asgi = not _has_app_threads(server)
    if not any(status[0] in "23" for status in statuses):
        raise ToolError(
            "no request was answered with success, only with "
            f"{', '.join(sorted(statuses))}: what the app really does would not be measured"
        )
    return dict(statuses), asgi


def _has_app_threads(server: Running) -> bool:
    """Return whether requests were run by threads for them, as those of WSGI apps are."""
    for pid in children(server.process.pid):
        for file in Path(f"/proc/{pid}/task").glob("*/comm"):
            with contextlib.suppress(OSError):
                if file.read_bytes().strip() == b"cwsgi-app":
                    return True
    return False


@contextlib.contextmanager
def _started(program: str, words: "list[str]", setting: Setting) -> "Iterator[Running]":
    try:
        with running(program, words, *setting.words()) as server:
            server.await_workers(setting.workers)
            yield server
    except NotStarted as error:
        lines = str(error).strip().splitlines()[-25:]
        raise ToolError("the app cannot be served:\n" + "\n".join(lines)) from None


def measure(program: str, words: "list[str]", setting: Setting, load: Load) -> Trial:
    """Return what was measured; a setting that cannot be started is one that has failed."""
    try:
        with running(program, words, *setting.words()) as server:
            server.await_workers(setting.workers)
            return _measure(server, setting, load)
    except NotStarted as error:
        lines = str(error).strip().splitlines() or ["it has ended"]
        return Trial(setting, 0.0, failed=f"not started: {lines[-1]}")


def _measure(server: Running, setting: Setting, load: Load) -> Trial:
    at_once = setting.workers * setting.threads
    start_s = server.ready_s
    most = min(max(2 * at_once, 8 * setting.workers), CONNECTIONS)
    job = _load.Job(server.port, load.requests, most, load.seconds, warm=load.seconds / 4)
    one, count = best_round(lambda: _round(server, job))
    closed = one.found
    figures = {
        "cpu": round(one.cpu, 3),
        "cpu_waited": round(one.waited, 3),
        "cpu_of_others": round(one.others, 3),
        "rounds": count,
        "generator_cpu": round(closed["generator_cpu"], 3),
        "connections": most,
        "answered": closed["answered"],
    }
    capped = closed["generator_cpu"] > BUSY
    failed = _problem(closed)
    if not failed and closed["per_s"] <= 0:
        failed = f"nothing was answered in {load.seconds:g} s"
    if not failed:
        opened, queue = _open(server, load, closed["per_s"] * SHARE, min(2 * most, CONNECTIONS))
        failed = _problem(opened)
        figures.update(_latency(opened), **queue)
    memory, memory_kind = server.memory()
    figures["memory_kind"] = memory_kind
    return Trial(
        setting,
        round(closed["per_s"], 1),
        round(one.cpu + one.waited, 3),
        memory,
        round(start_s, 3),
        failed,
        capped,
        figures,
    )


class Round(NamedTuple):
    """A closed loop, and who had the processors meanwhile.

    Attributes:
        cpu: processors that the server used.
        waited: threads of the server that waited for one, on the average.
        others: processors that neither it nor the generator used.
        idle: processors that nobody used.
    """

    found: "dict[str, Any]"
    cpu: float
    waited: float
    others: float
    idle: float

    def disturbed(self) -> bool:
        return self.others > OTHERS and self.idle < OTHERS


def _round(server: Running, job: _load.Job) -> Round:
    began, (used, waited), (busy, idle) = time.monotonic(), _processor(server), _machine_time()
    found = _load.run(job)
    span = time.monotonic() - began
    (used_after, waited_after), (busy_after, idle_after) = _processor(server), _machine_time()
    cpu = (used_after - used) / span
    return Round(
        found,
        cpu,
        max(waited_after - waited, 0.0) / span,
        max((busy_after - busy) / span - cpu - found["generator_cpu"], 0.0),
        (idle_after - idle) / span,
    )


def best_round(measure_one: "Callable[[], Round]") -> "tuple[Round, int]":
    """Return the best of several where something else computes here: it has suffered the least.

    One with errors is the last, and the one that counts. Also returns how many there were.
    """
    rounds: list[Round] = []
    while len(rounds) < ROUNDS:
        rounds.append(measure_one())
        if _problem(rounds[-1].found):
            return rounds[-1], len(rounds)
        if not rounds[-1].disturbed():
            break
    return max(rounds, key=lambda one: float(one.found["per_s"])), len(rounds)


def _machine_time() -> "tuple[float, float]":
    """Return the seconds that all processors were busy, and idle. Of the host, in a container."""
    try:
        with open("/proc/stat", "rb") as file:
            fields = [int(word) / TICKS for word in file.readline().split()[1:9]]
    except (OSError, ValueError):
        fields = []
    if len(fields) < 8:
        return 0.0, 1e9 * time.monotonic()  # not told: never disturbed
    idle = fields[3] + fields[4]
    return sum(fields) - idle, idle


def _open(
    server: Running, load: Load, rate: float, connections: int
) -> "tuple[dict[str, Any], dict[str, Any]]":
    watch = Watch(server.server, load.seconds + _load.PATIENCE, False)
    watch.look()
    job = _load.Job(server.port, load.requests, max(connections, 16), load.seconds, rate=rate)
    opened = _load.run(job)
    queue = watch.look()["queue"]
    return opened, {f"queue_p{at}_ms": queue[f"p{at}_ms"] for at in (50, 99)}


def _latency(opened: "dict[str, Any]") -> "dict[str, Any]":
    """Return latencies; none where it was the generator that was late."""
    figures = {
        "offered_per_s": round(opened["rate"], 1),
        "offered": opened["due"],
        "late_p99_ms": _rounded(opened["late_p99_ms"]),
    }
    late = opened["late_p99_ms"] or 0.0
    doubtful = opened["generator_cpu"] > BUSY or late > max(
        LATE_MS, 0.5 * (opened["p99_ms"] or 0.0)
    )
    figures["latency_doubtful"] = doubtful
    for name in ("p50_ms", "p99_ms"):
        figures[name] = None if doubtful else _rounded(opened[name])
    return figures


def _rounded(value: "float | None") -> "float | None":
    return None if value is None else round(value, 2)


def _problem(found: "dict[str, Any]") -> str:
    """Return what was wrong with answers, "" if nothing was."""
    wrong = {f"status {code}": n for code, n in found["statuses"].items() if code >= "500"}
    wrong.update(found["errors"])
    sent = max(found["sent"], 1)
    told = [f"{what} ({count} of {sent} requests)" for what, count in wrong.items()]
    return "; ".join(told[:3])


def _processor(server: Running) -> "tuple[float, float]":
    """Return the seconds for which all processes had a processor, and waited for one."""
    used = waited = 0.0
    for pid in [server.process.pid, *children(server.process.pid)]:
        ran = 0.0
        for file in Path(f"/proc/{pid}/task").glob("*/schedstat"):
            # A thread may end meanwhile, and some kernels do not tell.
            with contextlib.suppress(OSError, IndexError, ValueError):
                on, off = map(int, file.read_bytes().split()[:2])
                ran, waited = ran + on / 1e9, waited + off / 1e9
        # Finer than clock ticks, but without threads that have ended.
        used += max(ran, cpu_seconds(pid))
    return used, waited
