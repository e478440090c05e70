"""Doctor's report as text, and what it is at meanwhile."""

import shutil
import sys
import textwrap
from typing import Any

from ._screen import size

MARKS = {"error": "ERROR", "warning": "WARNING", "advice": "advice"}


class Progress:
    """Tells a terminal what is being looked at; nobody else."""

    def __init__(self, quiet: bool) -> None:
        self._on = sys.stderr.isatty() and not quiet

    def say(self, what: str) -> None:
        if self._on:
            print(f"\rcwsgi doctor: {what} ...\x1b[K", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _wrap(text: str, indent: str, width: int) -> str:
    return textwrap.fill(
        text, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )


def write(report: dict[str, Any]) -> None:
    width = min(shutil.get_terminal_size((100, 24)).columns, 110)
    for one in report["findings"]:
        print(_wrap(f"{MARKS[one['severity']]} {one['id']}: {one['title']}", "", width))
        print(_wrap(f"costs: {one['cost']}", "  ", width))
        print(_wrap(f"do: {one['advice']}", "  ", width))
        for line in one["details"]:
            print(f"    {line}")
        print()
    print("\n".join(summary(report)))


def summary(report: dict[str, Any]) -> list[str]:
    """Return the facts, and how many findings there are, as lines."""
    facts = report["facts"]
    lines = [f"measured ({report['app'] or 'no app'}, {report['took_s']} s):"]
    limit = facts["memory_limit_bytes"]
    lines.append(
        f"  {facts['cpus']} processor{'s' * (facts['cpus'] > 1)}, memory "
        f"{'limited to ' + size(limit) if limit else 'without a limit'}"
        f"{', in a container' if facts['container'] else ''}"
    )
    if start := facts.get("start"):
        frameworks = "".join(f", {name} {one}" for name, one in start["frameworks"].items())
        lines.append(f"  Python {start['python']}{frameworks}")
        lines.append(
            f"  import {start['import_s'] * 1000:.0f} ms (observed), {start['modules']} modules; "
            "slowest: " + ", ".join(f"{n} {s * 1000:.0f} ms" for n, s in start["slowest"][:3])
        )
        lines += [f"  on_startup {name}: {took:.3f} s" for name, took in start["startup"]]
    lines += _memory(facts.get("memory") or {})
    if start and start["preload_would_break"]:
        lines.append("  --preload would break:")
        lines += [f"    {one}" for one in start["preload_would_break"]]
    lines += _image(facts.get("image"))
    lines += [f"  not looked at: {one}" for one in report["skipped"]]
    counts = [one["severity"] for one in report["findings"]]
    named = [
        f"{counts.count(name)} {name}{'s' * (counts.count(name) > 1 and name != 'advice')}"
        for name in MARKS
        if name in counts
    ]
    return [*lines, "", "findings: " + (", ".join(named) or "none")]


def _memory(measured: dict[str, Any]) -> list[str]:
    lines = []
    for name, title in (("plain", "memory"), ("preload", "memory with --preload")):
        if one := measured.get(name):
            sizes = ", ".join(
                f"{size(count)} with {workers} worker{'s' * (int(workers) > 1)}"
                for workers, count in one["sizes"].items()
            )
            kind = "" if one["kind"] == "pss" else " (resident: shared parts count again)"
            lines.append(f"  {title}: {sizes}{kind}; ready in {one['ready_s']} s")
        elif why := measured.get(f"{name}_error"):
            lines.append(f"  {title}: not measured: {why.strip().splitlines()[-1]}")
    return lines


def _image(image: "dict[str, Any] | None") -> list[str]:
    if not image:
        return []
    lines = [f"  image: {size(image['bytes'])}"]
    if not image["whole"]:
        lines.append("    there is more, that was not read in time")
    for name in ("packages", "folders", "files"):
        if image[name]:
            lines.append(f"  largest {name}:")
            lines += [f"    {size(count):>10}  {one}" for one, count in image[name]]
    return lines
