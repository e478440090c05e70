"""What happened on a server's board between two looks at it."""

import os
import time
from typing import Any

from .. import _core
from . import ToolError
from ._servers import (
    DRAINING,
    READY,
    SIGNAL_SHOW,
    STATES,
    ZYGOTE,
    Server,
    Worker,
    read,
    requests_of,
    send,
)

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
# Counters that are shown as so many a second, by their name in the output.
RATES = {
    "requests": "requests",
    "accepted": "connections_accepted",
    "received": "bytes_received",
    "sent": "bytes_sent",
    "ws_received": "ws_messages_received",
    "ws_sent": "ws_messages_sent",
}


class Watch:
    """Looks at a server again and again.

    Attributes:
        shown: what the last look found; None before the second one.
    """

    def __init__(self, server: Server, interval: float, query: bool) -> None:
        self.server, self.interval, self.query = server, interval, query
        self.shown: dict[str, Any] | None = None
        self._told: set[int] = set()
        self._at = 0.0
        self._slots: dict[int, dict[str, Any]] = {}
        self._cpu: dict[int, float] = {}

    def left(self) -> float:
        """Return how much of the interval is left."""
        return max(self._at + self.interval - time.monotonic(), 0)

    def look(self) -> "dict[str, Any]":
        """Return what happened since the last look; of no use the first time."""
        # Longer than an interval: this process may be late.
        went_on = _core._board_watch(self.server.memory, int(self.interval * 1000) + 5000)
        board = self.server.read()
        workers = self.server.workers(board)
        self._tell(workers, went_on)
        now = time.monotonic()
        span = max(now - self._at, 1e-6)
        found = [self._of(worker, span) for worker in workers]
        rows = [one for one in found if one["slot"] is not None]
        # A worker that has gone has left its counters in its slot.
        slots = {one["slot"]: one for one in board["slots"]}
        parts = [_change(one, self._slots.get(number)) for number, one in slots.items()]
        self._slots, self._at = slots, now
        self.shown = {
            "pid": self.server.pid,
            "version": board["version"],
            "uptime_s": round(uptime(self.server.pid), 1),
            "interval_s": round(span, 3),
            "draining": bool(board["draining"]),
            "restarts": board["restarts"],
            "reloads": board["reloads"],
            "workers_wanted": board["workers"],
            "workers_serving": sum(one["state"] == "serving" for one in rows),
            **_figures(parts, span, board["bounds_us"]),
            **{
                name: sum(one[name] for one in rows)
                for name in ("threads", "threads_busy", "connections", "websockets")
            },
            "memory_bytes": sum(one["memory_bytes"] for one in found)
            + memory_of(self.server.pid)[0],
            "memory_kind": _kind(found),
            "workers": found,
        }
        return self.shown

    def _tell(self, workers: "list[Worker]", went_on: bool) -> None:
        """Have workers that do not know it yet look at the board."""
        if not went_on:
            self._told.clear()
        serving = [one for one in workers if one.told.get("state") in (READY, DRAINING)]
        for worker in serving:
            if worker.pid not in self._told and worker.answers():
                try:
                    send(worker, self.server.pid, SIGNAL_SHOW)
                except ToolError:
                    continue  # it has gone; the next look says so
                self._told.add(worker.pid)
        self._told &= {one.pid for one in serving}

    def _of(self, worker: Worker, span: float) -> "dict[str, Any]":
        slot = worker.told
        cpu = cpu_seconds(worker.pid)
        used = cpu - self._cpu.get(worker.pid, cpu)
        self._cpu[worker.pid] = cpu
        memory, kind = memory_of(worker.pid)
        busy = len(slot.get("running", ()))
        shown = {
            "pid": worker.pid,
            "slot": None if worker.slot == ZYGOTE else worker.slot + 1,
            "state": "preloading" if worker.slot == ZYGOTE else STATES.get(slot["state"], "none"),
            "uptime_s": round(uptime(worker.pid), 1),
            "cpu_percent": round(100 * used / span, 1),
            "memory_bytes": memory,
            "memory_kind": kind,
        }
        if worker.slot == ZYGOTE:
            return shown
        change = _change(slot, self._slots.get(slot["slot"]))
        return {
            **shown,
            "requests_total": slot["requests"],
            "requests_per_s": round(change["requests"] / span, 1),
            # What a new worker has not said yet.
            "threads": max(slot["threads_most"], 0),
            "threads_busy": busy,
            "connections": slot["connections"],
            "websockets": slot["ws_open"],
            "running": requests_of(slot, self.query),
        }


def _kind(found: "list[dict[str, Any]]") -> str:
    """Return what the sum of memory is: of shares, or of what is shared as well."""
    return "pss" if all(one["memory_kind"] == "pss" for one in found) else "rss"


def _change(now: "dict[str, Any]", before: "dict[str, Any] | None") -> "dict[str, Any]":
    """Return how much counters of a slot have grown."""
    grown: dict[str, Any] = {}
    for name in RATES:
        grown[name] = now[name] - (before[name] if before else now[name])
    for name in ("duration", "queued"):
        old = before[name] if before else now[name]
        grown[name] = [a - b for a, b in zip(now[name], old, strict=True)]
    old_status = before["status"] if before else now["status"]
    grown["status"] = {
        code: count - old_status.get(code, 0) for code, count in now["status"].items()
    }
    return grown


def _figures(parts: "list[dict[str, Any]]", span: float, bounds: "list[int]") -> "dict[str, Any]":
    figures: dict[str, Any] = {
        f"{shown}_per_s": round(sum(part[name] for part in parts) / span, 1)
        for name, shown in RATES.items()
    }
    status: dict[str, int] = {}
    for part in parts:
        for code, count in part["status"].items():
            if count > 0:
                status[code] = status.get(code, 0) + count
    figures["status"] = dict(sorted(status.items()))
    for name, shown in (("duration", "latency"), ("queued", "queue")):
        buckets = [sum(part[name][i] for part in parts) for i in range(len(bounds) + 1)]
        figures[shown] = {
            "count": sum(buckets),
            **{f"p{at}_ms": percentile(buckets, bounds, at) for at in (50, 90, 99)},
            "buckets": [
                {"le_ms": bounds[i] / 1000 if i < len(bounds) else None, "count": count}
                for i, count in enumerate(buckets)
                if count
            ],
        }
    return figures


def percentile(buckets: "list[int]", bounds: "list[int]", percent: int) -> "float | None":
    """Return the bound in ms that so many percent stayed below; None: no request, or no bound.

    Args:
        buckets: counts, the last of those above every bound.
        bounds: in µs.
    """
    wanted = sum(buckets) * percent / 100
    seen = 0
    for bound, count in zip(bounds, buckets, strict=False):
        seen += count
        if count and seen >= wanted:
            return bound / 1000
    return None


# ---- of processes ----


def memory_of(pid: int) -> "tuple[int, str]":
    """Return a process's share of memory in bytes ("pss"), or where that is not to be had what
    is resident ("rss")."""
    try:
        for line in read(pid, "smaps_rollup").splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024, "pss"
    except OSError:
        pass
    try:
        return int(read(pid, "statm").split()[1]) * PAGE, "rss"
    except (OSError, IndexError):
        return 0, "rss"


def _stat(pid: int) -> "list[bytes]":
    try:
        return read(pid, "stat").rpartition(b")")[2].split()
    except OSError:
        return []


def cpu_seconds(pid: int) -> float:
    fields = _stat(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def uptime(pid: int) -> float:
    """Return for how many seconds a process has been there."""
    fields = _stat(pid)
    if not fields:
        return 0.0
    return max(time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / TICKS, 0)
