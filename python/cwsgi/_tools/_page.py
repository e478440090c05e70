"""Doctor's report as one page, without anything from elsewhere, on this machine's loopback."""

import http.server
import json
from html import escape
from typing import Any

from . import ToolError
from ._report import summary
from ._screen import size

POLICY = "default-src 'none'; style-src 'unsafe-inline'"

STYLE = """
:root { color-scheme: light dark; --back: #fbfbf9; --card: #fff; --text: #1c1f23; --dim: #5b636d;
  --line: #dfe2e6; --error: #b3261e; --warning: #8a5a00; --advice: #1b5e9b; --bar: #9db8d6; }
@media (prefers-color-scheme: dark) { :root { --back: #14171a; --card: #1c2024; --text: #e6e9ec;
  --dim: #9aa4ae; --line: #333a41; --error: #ff8a80; --warning: #ffc266; --advice: #84bdf2;
  --bar: #41607f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .35rem 0; }
.dim { color: var(--dim); }
article { background: var(--card); border: 1px solid var(--line); border-left: .35rem solid;
  border-radius: .4rem; padding: .8rem 1rem; margin: .8rem 0; }
.error { border-left-color: var(--error); } .error b { color: var(--error); }
.warning { border-left-color: var(--warning); } .warning b { color: var(--warning); }
.advice { border-left-color: var(--advice); } .advice b { color: var(--advice); }
dl { display: grid; grid-template-columns: 4rem 1fr; gap: .2rem .8rem; margin: .5rem 0; }
dt { color: var(--dim); } dd { margin: 0; overflow-wrap: anywhere; }
pre { margin: .5rem 0 0; padding: .6rem .8rem; background: var(--back); border-radius: .3rem;
  font-size: .85rem; white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .25rem .5rem .25rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; vertical-align: top; }
td.n { text-align: right; white-space: nowrap; width: 7rem; }
.bar { height: .5rem; background: var(--bar); border-radius: .2rem; min-width: 1px; }
@media (max-width: 34rem) { dl { grid-template-columns: 1fr; gap: 0; } dt { margin-top: .3rem; }
  td.n { width: auto; } }
"""


def page(report: dict[str, Any]) -> str:
    """Return the report as HTML."""
    *facts, _, counts = summary(report)
    cards = "".join(map(_card, report["findings"])) or "<p>Nothing was found.</p>"
    parts = [
        f"<h1>cwsgi doctor: {escape(report['app'] or 'no app')}</h1>",
        f"<p class=dim>{escape(counts)}</p>",
        f"<h2>Findings</h2>{cards}",
        f"<h2>Measured</h2><pre>{escape(chr(10).join(facts))}</pre>",
        *_tables(report["facts"]),
    ]
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>cwsgi doctor: {escape(report['app'])}</title><style>{STYLE}</style>"
        f"<main>{''.join(parts)}</main></html>"
    )


def _card(one: dict[str, Any]) -> str:
    details = f"<pre>{escape(chr(10).join(one['details']))}</pre>" if one["details"] else ""
    return (
        f'<article class="{escape(one["severity"])}" id="{escape(one["id"])}">'
        f"<h3><b>{escape(one['severity'])}</b> {escape(one['title'])}</h3>"
        f"<dl><dt>costs</dt><dd>{escape(one['cost'])}</dd>"
        f"<dt>do</dt><dd>{escape(one['advice'])}</dd>"
        f"<dt>id</dt><dd class=dim>{escape(one['id'])}</dd></dl>{details}</article>"
    )


def _tables(facts: dict[str, Any]) -> list[str]:
    found = []
    if slowest := (facts.get("start") or {}).get("slowest"):
        rows = [(name, seconds, f"{seconds * 1000:.1f} ms") for name, seconds in slowest]
        found.append(_table("Slowest imports, each by itself", rows))
    memory = facts.get("memory") or {}
    rows = [
        (f"{workers} workers, {title}", count, size(count))
        for name, title in (("plain", "each for itself"), ("preload", "--preload"))
        for workers, count in (memory.get(name) or {"sizes": {}})["sizes"].items()
    ]
    found.append(_table("Memory before the first request", rows))
    for name in ("packages", "folders", "files"):
        listed = (facts.get("image") or {}).get(name, ())
        rows = [(one, count, size(count)) for one, count in listed]
        found.append(_table(f"Largest {name} of the image", rows))
    return found


def _table(title: str, rows: "list[tuple[str, float, str]]") -> str:
    if not rows:
        return ""
    most = max(value for _, value, _ in rows) or 1
    lines = "".join(
        f"<tr><td>{escape(name)}<div class=bar style='width:{100 * value / most:.1f}%'></div></td>"
        f"<td class=n>{escape(text)}</td></tr>"
        for name, value, text in rows
    )
    return f"<h2>{escape(title)}</h2><table>{lines}</table>"


def serve(report: dict[str, Any], port: int) -> int:
    """Show the page until ^C. Returns the report's exit status."""
    body, data = page(report).encode(), json.dumps(report, indent=2).encode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # A name that somebody has pointed here is no reason to show it to their page.
            host = (self.headers.get("Host") or "").rpartition(":")[0]
            paths = {
                "/": ("text/html; charset=utf-8", body),
                "/report.json": ("application/json", data),
            }
            kind, content = paths.get(self.path, ("text/plain", b"Not Found\n"))
            status = 200 if self.path in paths else 404
            if host not in ("127.0.0.1", "localhost"):
                status, kind, content = 403, "text/plain", b"Forbidden\n"
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Security-Policy", POLICY)
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise ToolError(f"--serve: cannot listen on port {port}: {error.strerror}") from None
    with server:
        print(f"http://127.0.0.1:{server.server_address[1]}/  (^C ends)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            pass
    return int(report["exit"])
