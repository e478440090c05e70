"""What `cwsgi tune` found, as text; and what it is at meanwhile."""

import math
import shutil
import sys
import textwrap
from typing import Any

from . import _trials
from ._screen import size

BAR = 24
MEMORY = 1.25  # what is advised, by what was held under this load: what requests need grows
STEP = 128 << 20


class Progress:
    """A bar on a terminal, a line for each measurement elsewhere. On standard error."""

    def __init__(self, quiet: bool) -> None:
        self._bar = sys.stderr.isatty()
        self._lines = not self._bar and not quiet

    def say(self, done: int, most: int, what: str) -> None:
        if self._bar:
            full = BAR * done // most
            bar = "#" * full + "." * (BAR - full)
            print(f"\rcwsgi tune [{bar}] {what} ...\x1b[K", end="", file=sys.stderr, flush=True)

    def tell(self, trial: _trials.Trial) -> None:
        if self._lines:
            what = trial.failed or f"{trial.per_s:.0f} requests/s"
            print(f"cwsgi tune: {trial.setting}: {what}", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._bar:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def findings(trials: "list[_trials.Trial]", stops: "list[str]", asgi: bool) -> "dict[str, Any]":
    """Return the part of the report that follows from the trials."""
    chosen = _trials.best(trials)
    notes = []
    if asgi:
        notes.append(
            "an ASGI app runs in a loop: threads serve nothing, so only workers were tried"
        )
    for one in trials:
        if one.failed:
            notes.append(f"{one.setting} is not to be used: {one.failed}")
        if one.capped:
            notes.append(
                f"{one.setting}: the load generator was at its limit at {one.per_s:.0f} requests/s:"
                " the setting bears that, maybe more, and is not compared with others"
            )
    doubtful = [
        str(one.setting) for one in trials if one.figures.get("latency_doubtful") and not one.capped
    ]
    if doubtful:
        notes.append(
            "the load generator had to wait for a processor itself, so no latency is told of: "
            + ", ".join(doubtful)
        )
    # A round is repeated only where something else computes.
    others = [one.figures["cpu_of_others"] for one in trials if one.figures.get("rounds", 1) > 1]
    if others:
        notes.append(
            f"something else computes here: it had up to {max(others):.1f} processors during "
            f"{len(others)} of {len(trials)} settings, whose figures are the best of several and "
            "lower than they could be; once more when it is quiet"
        )
    return {
        "advice": _advice(trials, chosen, asgi) if chosen else None,
        "notes": notes,
        "stops": stops,
        "trials": [_row(one, one is chosen) for one in trials],
    }


def _advice(trials: "list[_trials.Trial]", chosen: _trials.Trial, asgi: bool) -> "dict[str, Any]":
    first = trials[0]
    reasons = _trials.reasons(trials, chosen)
    if asgi:
        reasons[0] = f"the loop wants a processor {100 * min(first.busy, 1):.0f} % of the time"
    return {
        "workers": chosen.setting.workers,
        "threads": None if asgi else chosen.setting.threads,
        "preload": chosen.setting.preload,
        "options": chosen.setting.words()
        if not asgi
        else chosen.setting.words()[:2] + ["--preload"] * chosen.setting.preload,
        "kind": _trials.kind(first),
        "reasons": reasons,
        "cloud_run": {
            "concurrency": None if asgi else chosen.setting.workers * chosen.setting.threads,
            "memory_bytes": math.ceil(chosen.memory * MEMORY / STEP) * STEP,
            "cpu": max(math.ceil(chosen.figures["cpu"] - 0.1), 1),
        },
    }


def _row(one: _trials.Trial, chosen: bool) -> "dict[str, Any]":
    return {
        "workers": one.setting.workers,
        "threads": one.setting.threads,
        "preload": one.setting.preload,
        "chosen": chosen,
        "counts": one.counts(),
        "requests_per_s": one.per_s,
        "memory_bytes": one.memory,
        "start_s": one.start_s,
        "failed": one.failed or None,
        "generator_at_limit": one.capped,
        **one.figures,
    }


# ---- as text ----


def text(report: "dict[str, Any]") -> str:
    width = min(shutil.get_terminal_size((100, 24)).columns, 110)
    facts, advice = report["facts"], report["advice"]
    limit = facts["memory_limit_bytes"]
    head = (
        f"{report['app']} ({facts['interface']}), {report['took_s']:g} s, {facts['cpus']} "
        f"processor{'s' * (facts['cpus'] > 1)}, memory "
        f"{'limited to ' + size(limit) if limit else 'not limited'}"
    )
    lines = [head, "", *table(report["trials"]), ""]
    lines += [
        wrap(
            "requests/s: of as many connections as the setting bears. p50, p99: at "
            f"{100 * facts['offered_share']:.0f} % of that, from when each request was due; queue: "
            "the part of it that waited for a thread, less than that",
            width,
        ),
        "",
    ]
    lines += sum(([wrap(f"note: {one}", width)] for one in said(report)), [])
    if report["stops"]:
        lines += ["", "why no further:", *(wrap(f"  {one}", width) for one in report["stops"])]
    if not advice:
        return "\n".join([*lines, "", "no setting can be advised by these figures"])
    lines += ["", f"advice: {' '.join(advice['options'])}"]
    lines += [wrap(f"  {one}", width) for one in advice["reasons"]]
    return "\n".join([*lines, wrap(f"  Cloud Run: {cloud_run(advice)}", width)])


def wrap(line: str, width: int) -> str:
    return textwrap.fill(line, width, subsequent_indent="    ", break_on_hyphens=False)


def said(report: "dict[str, Any]") -> "list[str]":
    """Return the notes, and what follows from the requests themselves."""
    facts = report["facts"]
    notes = list(report["notes"])
    if facts["requests_left_out"]:
        notes.append(
            f"{facts['requests_left_out']} requests were left out since they may change data "
            "(--all-methods)"
        )
    bad = {code: count for code, count in facts["statuses"].items() if code[0] not in "23"}
    if bad:
        counts = ", ".join(f"{code} {count} times" for code, count in sorted(bad.items()))
        notes.append(f"not all requests were answered with success: {counts}")
    return notes


def cloud_run(advice: "dict[str, Any]") -> str:
    told = advice["cloud_run"]
    concurrency = (
        f"concurrency {told['concurrency']} (workers x threads)"
        if told["concurrency"]
        else "concurrency: what the app and its database bear (docs/cloud-run.md)"
    )
    return (
        f"{concurrency}, memory {told['memory_bytes'] >> 20} MiB (a quarter more than was held), "
        f"cpu {told['cpu']}"
    )


COLUMNS = ("setting", "requests/s", "p50", "p99", "queue p99", "cpu", "memory", "start")


def table(trials: "list[dict[str, Any]]") -> "list[str]":
    rows = [COLUMNS, *map(cells, trials)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def cells(one: "dict[str, Any]") -> "tuple[str, ...]":
    name = f"{one['workers']} x {one['threads']}{' --preload' * one['preload']}"
    name = f"{'*' if one['chosen'] else ' '} {name}"
    if one["failed"]:
        return (name, "failed", *[""] * (len(COLUMNS) - 2))
    return (
        name,
        f"{one['requests_per_s']:.0f}" if one["counts"] else "(limit)",
        _ms(one.get("p50_ms")),
        _ms(one.get("p99_ms")),
        _ms(one.get("queue_p99_ms")),
        f"{one['cpu']:.2f}",
        size(one["memory_bytes"]),
        f"{one['start_s']:.2f} s",
    )


def _ms(value: "float | None") -> str:
    return "-" if value is None else f"{value:.3g} ms" if value < 1000 else f"{value / 1000:.2f} s"
