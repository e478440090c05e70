"""Measures one setting: starts a server with it, asks it all it bears, then a part of that."""

import collections
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import ToolError, _load
from ._run import NotStarted, Running, running
from ._sample import Watch, cpu_seconds
from ._servers import children
from ._trials import Setting, Trial

BUSY = 0.8  # of a processor: the generator is taken to be at its limit
SHARE = 0.7  # of what a server bears, that the open loop offers
LATE_MS = 5.0  # of the generator, before its latencies are in doubt
CONNECTIONS = 512


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
    most = min(max(2 * at_once, 4 * setting.workers), CONNECTIONS)
    job = _load.Job(server.port, load.requests, most, load.seconds, warm=load.seconds / 4)
    began, used, waited = time.monotonic(), *_processor(server)
    closed = _load.run(job)
    span = time.monotonic() - began
    used_after, waited_after = _processor(server)
    cpu, delayed = (used_after - used) / span, max(waited_after - waited, 0.0) / span
    figures = {
        "cpu": round(cpu, 3),
        "cpu_waited": round(delayed, 3),
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
        round(cpu + delayed, 3),
        memory,
        round(start_s, 3),
        failed,
        capped,
        figures,
    )


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
        "offered_per_s": round(opened["due"] / max(opened["seconds"], 1e-9), 1),
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
