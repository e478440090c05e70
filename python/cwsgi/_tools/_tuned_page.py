"""Tune's report as one page, without anything from elsewhere."""

from html import escape
from typing import Any

from ._page import STYLE
from ._tuned import COLUMNS, cells, cloud_run, said

PLOTS = """
svg { width: 100%; max-width: 40rem; height: auto; display: block; } .wide { overflow-x: auto; }
svg text { fill: var(--text); font: 13px system-ui, sans-serif; }
svg rect { fill: var(--bar); } svg rect.chosen { fill: var(--advice); }
svg rect.void { fill: none; stroke: var(--dim); stroke-dasharray: 3; }
tr.chosen td { font-weight: 600; } td, th { white-space: nowrap; padding-right: .8rem; }
"""
ROW = 24
# Title, field, unit, factor.
BARS = (
    ("Requests/s at most", "requests_per_s", "/s", 1.0),
    ("Latency, 99 % of requests", "p99_ms", " ms", 1.0),
    ("Queue, 99 % of requests less than", "queue_p99_ms", " ms", 1.0),
    ("Processors used", "cpu", "", 1.0),
    ("Memory", "memory_bytes", " MiB", 1 / 2**20),
    ("Start", "start_s", " s", 1.0),
)


def page(report: "dict[str, Any]") -> str:
    """Return the report as HTML."""
    advice = report["advice"]
    told = "<p>No setting can be advised by these figures.</p>"
    if advice:
        lines = [*advice["reasons"], f"Cloud Run: {cloud_run(advice)}"]
        told = (
            f'<article class="advice"><h3>{escape(" ".join(advice["options"]))}</h3>'
            f"<ul>{_items(lines)}</ul></article>"
        )
    facts = report["facts"]
    about = (
        f"{facts['interface']}; processors: {facts['cpus']}, requests, in turn: "
        f"{facts['requests']}, "
        f"{report['took_s']:g} s. Latency counts from when each request was due, at "
        f"{100 * facts['offered_share']:.0f} % of what the setting bears."
    )
    notes = said(report)
    parts = [
        f"<h1>cwsgi tune: {escape(report['app'])}</h1><p class=dim>{escape(about)}</p>{told}",
        f"<h2>Notes</h2><ul>{_items(notes)}</ul>" if notes else "",
        *(_plot(report["trials"], *bar) for bar in BARS),
        _table(report["trials"]),
        f"<h2>Why no further</h2><ul>{_items(report['stops'])}</ul>" if report["stops"] else "",
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>cwsgi tune: {escape(report['app'])}</title><style>{STYLE}{PLOTS}</style>"
        f"<main>{''.join(parts)}</main></html>\n"
    )


def _items(lines: "list[str]") -> str:
    return "".join(f"<li>{escape(line)}</li>" for line in lines)


def _plot(trials: "list[dict[str, Any]]", title: str, field: str, unit: str, factor: float) -> str:
    """A bar for each setting; an empty one where the figure does not count."""
    values = [None if one["failed"] else one.get(field) for one in trials]
    most = max((value for value in values if value), default=0)
    if not most:
        return ""
    rows = []
    for at, (one, value) in enumerate(zip(trials, values, strict=True)):
        y = at * ROW
        name = f"{one['workers']} x {one['threads']}{' preload' * one['preload']}"
        rows.append(f'<text x="0" y="{y + 16}">{name}</text>')
        if value is None:
            rows.append(f'<text x="110" y="{y + 16}">-</text>')
            continue
        kind = "chosen" if one["chosen"] else "void" if not one["counts"] else "plain"
        width = 300 * value / most
        rows.append(f'<rect class="{kind}" x="110" y="{y + 4}" width="{width:.1f}" height="16"/>')
        rows.append(f'<text x="{116 + width:.1f}" y="{y + 16}">{value * factor:.4g}{unit}</text>')
    return (
        f'<h2>{escape(title)}</h2><svg role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 500 {ROW * len(trials)}">{"".join(rows)}</svg>'
    )


def _table(trials: "list[dict[str, Any]]") -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
    rows = "".join(
        f'<tr class="{"chosen" if one["chosen"] else "other"}">'
        + "".join(f"<td>{escape(cell)}</td>" for cell in cells(one))
        + "</tr>"
        for one in trials
    )
    return f"<h2>All figures</h2><div class=wide><table><tr>{head}</tr>{rows}</table></div>"
