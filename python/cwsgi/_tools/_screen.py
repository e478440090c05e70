"""What `cwsgi top` found, as text: for a terminal, a dumb one, or a pipe."""

import os
import sys
from typing import Any

FULL = "\x1b[H\x1b[2J"  # to the top, and clear
BAR = 24  # columns of a histogram's longest bar


def is_clever() -> bool:
    """Return whether the terminal can be cleared."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "")


def draw(shown: "dict[str, Any]", again: bool = True) -> None:
    """Write one look; in place of the last one where the terminal can do that."""
    try:
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
    except OSError:
        columns = rows = 0
    # Whoever reads a pipe wants it all, and some terminals tell no size.
    lines = [line[: columns or None] for line in page(shown)]
    if again and is_clever():
        if rows and len(lines) > rows - 1:
            lines = [*lines[: max(rows - 2, 1)], "..."]
        sys.stdout.write(FULL)
        sys.stdout.write("\n".join(lines) + "\n")
    else:
        sys.stdout.write("\n".join(lines) + "\n" + ("\n" if again else ""))
    sys.stdout.flush()


def page(shown: "dict[str, Any]") -> "list[str]":
    latency, queue = shown["latency"], shown["queue"]
    classes: dict[str, int] = {}
    for code, count in shown["status"].items():
        name = f"{code[0]}xx" if code.isdigit() else code
        classes[name] = classes.get(name, 0) + count
    memory = "memory" if shown["memory_kind"] == "pss" else "resident memory"
    head = [
        f"cwsgi {shown['version']}, pid {shown['pid']}, up {span(shown['uptime_s'])}"
        f"{', DRAINING' if shown['draining'] else ''}",
        f"workers {shown['workers_serving']} of {shown['workers_wanted']} serving, "
        f"{shown['restarts']} restarts, {shown['reloads']} reloads, {memory} "
        f"{size(shown['memory_bytes'])}",
        "",
        f"requests {shown['requests_per_s']:.1f}/s"
        + "".join(f"  {name} {count}" for name, count in sorted(classes.items()))
        + f"  in {size(shown['bytes_received_per_s'])}/s  out {size(shown['bytes_sent_per_s'])}/s",
        f"latency  {percentiles(latency)}",
        f"queue    {percentiles(queue)}",
        f"threads {shown['threads_busy']} of {shown['threads']} busy, connections "
        f"{shown['connections']} ({shown['connections_accepted_per_s']:.1f}/s new), "
        f"WebSockets {shown['websockets']}",
    ]
    if shown["websockets"] or shown["ws_messages_received_per_s"]:
        head[-1] += (
            f" ({shown['ws_messages_received_per_s']:.1f}/s messages in, "
            f"{shown['ws_messages_sent_per_s']:.1f}/s out)"
        )
    return [*head, *_histograms(latency, queue), "", *_workers(shown["workers"])]


def percentiles(times: "dict[str, Any]") -> str:
    if not times["count"]:
        return "no request"
    parts = []
    for name in ("p50", "p90", "p99"):
        bound = times[f"{name}_ms"]
        parts.append(f"{name} {'< ' + milliseconds(bound) if bound else '> 60 s'}")
    return "  ".join(parts)


def _histograms(latency: "dict[str, Any]", queue: "dict[str, Any]") -> "list[str]":
    """Return both side by side, a row for each bucket that has anything."""
    counts: dict[float, list[int]] = {}
    for column, times in enumerate((latency, queue)):
        for bucket in times["buckets"]:
            bound = bucket["le_ms"] or float("inf")
            counts.setdefault(bound, [0, 0])[column] = bucket["count"]
    if not counts:
        return []
    most = [max(max(pair[column] for pair in counts.values()), 1) for column in (0, 1)]
    lines = ["", f"{'':>9}  {'latency':<{BAR + 9}} queue"]
    for bound, pair in sorted(counts.items()):
        label = "more" if bound == float("inf") else "< " + milliseconds(bound)
        bars = [
            f"{'#' * -(-BAR * count // most[column]):<{BAR}} {count or '':<8}"
            for column, count in enumerate(pair)
        ]
        lines.append(f"{label:>9}  {' '.join(bars)}".rstrip())
    return lines


def _workers(workers: "list[dict[str, Any]]") -> "list[str]":
    lines = [
        f"{'worker':<8}{'pid':>8}  {'state':<10} {'up':>7} {'cpu%':>6} {'memory':>9} "
        f"{'req/s':>8} {'busy':>7} {'conns':>6} {'ws':>5}"
    ]
    for one in workers:
        row = (
            f"{one['slot'] or '-':<8}{one['pid']:>8}  {one['state']:<10} "
            f"{span(one['uptime_s']):>7} {one['cpu_percent']:>6.1f} {size(one['memory_bytes']):>9}"
        )
        if one["slot"]:
            busy = f"{one['threads_busy']}/{one['threads']}"
            row += (
                f" {one['requests_per_s']:>8.1f} {busy:>7} {one['connections']:>6} "
                f"{one['websockets']:>5}"
            )
        lines.append(row)
        lines += [f"{'':10}{line}" for line in one.get("running", ())]
    return lines


def milliseconds(ms: float) -> str:
    return f"{ms / 1000:g} s" if ms >= 1000 else f"{ms:g} ms"


def size(count: float) -> str:
    """Return a number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.2f} GiB"


def span(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d{hours:02}h"
    if hours:
        return f"{hours}h{minutes:02}m"
    return f"{minutes}m{rest:02}s" if minutes else f"{rest}s"
