"""What ``--boot-trace`` has recorded, made sense of: as a tree, and as text, JSON and page."""

import os
import sys

from ._mapped_files import mapped_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from ._boot_trace import Trace

# What a start without the option does not read.
OWN = ("_boot_trace", "_boot_report", "_mapped_files")
SHOWN = 0.01  # of the whole: what takes less is not in the text's tree
MOST = 20  # lines of a table in the text
NS = 1e6  # a millisecond

# What each phase is, for those who read the report.
PHASES = {
    "settings": "the program: command line, configuration file, which Python",
    "supervisor": "the supervisor: sockets, logs, hooks of the master",
    "fork": "fork of the worker",
    "process": "the new process: folder, environment, user",
    "library": "libpython is loaded",
    "interpreter": "the interpreter starts",
    "site": "site: .pth files, sitecustomize",
    "server": "cwsgi's own modules, logging, hooks",
    "app": "import of the app",
    "worker": "fork of the worker from the preloaded app",
    "start-up": "hooks and on_startup functions",
    "lifespan": "event loop, async on_startup functions, lifespan",
    "warm-up": "requests of --warmup",
    "listen": "the port opens",
    "waiting": "no request yet",
    "first request": "the first request, until the app returned",
}


class Span:
    """Something that took time, and what it was made of."""

    __slots__ = ("kind", "name", "start", "end", "size", "parts", "facts")

    def __init__(self, kind: str, name: str, start: int) -> None:
        self.kind, self.name, self.start, self.end = kind, name, start, start
        self.size: int | None = None
        self.parts: list[Span] = []
        self.facts: dict[str, Any] = {}

    @property
    def took(self) -> int:
        return self.end - self.start

    def imports(self) -> "Iterator[Span]":
        """Yield the imports right below this one."""
        for part in self.parts:
            if part.kind == "import":
                yield part
            else:
                yield from part.imports()

    def below(self, kind: str) -> "Iterator[Span]":
        """Yield what of this kind belongs to this import itself."""
        for part in self.parts:
            if part.kind == kind:
                yield part
            if part.kind != "import":
                yield from part.below(kind)

    def own(self) -> int:
        """Return the time without that of the imports below."""
        return self.took - sum(part.took for part in self.imports())

    def walk(self) -> "Iterator[Span]":
        yield self
        for part in self.parts:
            yield from part.walk()


class Report:
    """The trace as it is now, made sense of."""

    def __init__(self, trace: "Trace") -> None:
        self.trace = trace
        self.tracks, self.opened = _spans(list(trace.boot.events), trace.began)
        self.phases = [dict(phase) for phase in trace.phases]
        listening = [p for p in self.phases if p["phase"] == "listen"]
        self.end = (listening or self.phases)[-1]["end"]
        self.is_served = bool(listening)
        self.modules = [s for t in self.tracks.values() for top in t for s in top.walk()]
        self.modules = [s for s in self.modules if s.kind == "import"]
        for span in self.modules:
            _describe(span)
        self.total = max(self.end - trace.began, 1)
        self.sources = _sources()

    def at(self, ns: int) -> float:
        return round((ns - self.trace.began) / NS, 3)

    def of_kind(self, *kinds: str) -> "list[tuple[int, Span]]":
        return [
            (track, span)
            for track, tops in self.tracks.items()
            for top in tops
            for span in top.walk()
            if span.kind in kinds
        ]

    def counts(self) -> "dict[str, dict[str, float]]":
        """Return number, own time and bytes of modules by where they came from."""
        found: dict[str, dict[str, float]] = {}
        for span in self.modules:
            one = found.setdefault(span.facts["from"], {"modules": 0, "ms": 0.0, "bytes": 0})
            one["modules"] += 1
            one["ms"] = round(one["ms"] + span.own() / NS, 3)
            one["bytes"] += span.facts.get("bytes", 0)
        return found

    def head(self) -> "dict[str, Any]":
        trace = self.trace
        from ._version import __version__

        return {
            "app": trace.name,
            "cwsgi": __version__,
            "python": sys.version.split()[0],
            "executable": sys.executable,
            "interpreter": "embedded" if trace.embedded else "executed",
            "optimize": sys.flags.optimize,
            "folder": trace.folder,
            "pid": os.getpid(),
            "total_ms": self.at(self.end),
            "ends_with": "listening" if self.is_served else self.phases[-1]["phase"],
            "before_main_cpu_ms": round(trace.before / NS, 3),
            "tracing_ms": round(trace.spent / NS, 3),
        }

    # ---- JSON and page ----

    def data(self) -> "dict[str, Any]":
        """Return all of it, as JSON has it."""
        return {
            **self.head(),
            "phases": [self._phase(phase) for phase in self.phases],
            "modules": self.counts(),
            "tracks": [
                {
                    "track": self.track_name(track),
                    "spans": [self._span(span) for span in tops],
                }
                for track, tops in self.tracks.items()
            ],
            "files": self.files(),
            "sources": self.sources,
        }

    def track_name(self, track: int) -> str:
        if track == self.trace.main:
            return "main thread"
        threads = [t for t in self.tracks if t >= 0 and t != self.trace.main]
        return f"task {-track}" if track < 0 else f"thread {threads.index(track) + 1}"

    def _phase(self, phase: "dict[str, Any]") -> "dict[str, Any]":
        rest = {k: v for k, v in phase.items() if k not in ("phase", "start", "end", "cpu")}
        took = round((phase["end"] - phase["start"]) / NS, 3)
        shown = {"phase": phase["phase"], "start_ms": self.at(phase["start"]), "ms": took, **rest}
        if "cpu" in phase:
            shown["cpu_ms"] = round(phase["cpu"] / NS, 3)
        return shown

    def _span(self, span: Span) -> "dict[str, Any]":
        shown: dict[str, Any] = {
            "kind": span.kind,
            "name": span.name,
            "start_ms": self.at(span.start),
            "ms": round(span.took / NS, 3),
        }
        if span.kind == "import":
            shown["own_ms"] = round(span.own() / NS, 3)
            shown.update(span.facts)
        if span.size is not None:
            shown["bytes"] = span.size
        parts = [self._span(part) for part in span.parts if part.kind not in ("read",)]
        if parts:
            shown["parts"] = parts
        return shown

    def files(self) -> "list[dict[str, Any]]":
        """Return every file that was read, in order, with what was mapped of libraries."""
        mapped = mapped_files()
        found: dict[str, dict[str, Any]] = {}
        for path in self.opened:
            if path in found or os.path.basename(path).partition(".")[0] in OWN:
                continue
            try:
                size = os.stat(path).st_size
            except OSError:
                continue
            found[path] = {"path": path, "bytes": size, "opened": True}
        # What the loader has mapped before Python ran comes first: the library, libc.
        early = {path: one for path, one in mapped.items() if path not in found}
        return [*early.values(), *({**one, **mapped.get(p, {})} for p, one in found.items())]

    def json(self) -> str:
        import json

        return json.dumps(self.data(), ensure_ascii=False) + "\n"

    def page(self) -> str:
        import json

        here = os.path.dirname(os.path.abspath(__file__))
        with open(os.path.join(here, "boot_trace.html"), encoding="utf-8") as file:
            template = file.read()
        data = self.data()
        del data["files"], data["sources"]
        text = json.dumps(data)  # ASCII
        # Nothing in it may end the script.
        return template.replace("/*DATA*/null", text.replace("<", "\\u003c"))

    # ---- text ----

    def text(self) -> str:
        head = self.head()
        lines = [
            f"Boot trace of {head['app']}: {head['total_ms']:.1f} ms until "
            f"{head['ends_with']} (Python {head['python']}, {head['interpreter']}, "
            f"pid {head['pid']})",
            "",
            *self._phase_lines(self.phases),
            f"  Before its first instruction the program took {head['before_main_cpu_ms']:.1f} ms "
            "of the processor (exec, dynamic linking).",
        ]
        for title, kinds in (
            ("site", ("pth", "customize")),
            ("hooks", ("hook",)),
            ("on_startup functions and lifespan", ("startup",)),
            ("requests", ("request",)),
        ):
            lines += self._table(title, self.of_kind(*kinds))
        lines += ["", "Modules, by where their code came from"]
        for name, one in sorted(self.counts().items(), key=lambda item: -item[1]["ms"]):
            lines.append(
                f"  {one['ms']:9.1f} ms  {one['modules']:5d}  {_size(one['bytes']):>9}  {name}"
            )
        lines += ["", "Modules that took longest by themselves (own, with all they import)"]
        slowest = sorted(self.modules, key=Span.own, reverse=True)[:MOST]
        lines += [self._module(span) for span in slowest]
        lines += ["", f"Imports that took {SHOWN:.0%} of the start or more, as a tree"]
        least = self.total * SHOWN
        for tops in self.tracks.values():
            for top in tops:
                lines += self._tree(top, 0, least)
        return "\n".join(lines) + "\n"

    def request_text(self) -> str:
        """Return what is new after the first request."""
        last = [p for p in self.phases if p["phase"] in ("waiting", "first request")]
        lines = [f"Boot trace of {self.trace.name}: the first request", ""]
        lines += self._phase_lines(last)
        requests = [one for _, one in self.of_kind("request") if one.start >= last[0]["end"]]
        modules = [s for one in requests for s in one.walk() if s.kind == "import"]
        if modules:
            lines += ["", "Modules that it imported (own, with all they import)"]
            lines += [self._module(s) for s in sorted(modules, key=Span.own)[: -MOST - 1 : -1]]
        return "\n".join(lines) + "\n"

    def _phase_lines(self, phases: "list[dict[str, Any]]") -> "list[str]":
        lines = [f"  {'at':>9}  {'took':>9}     {'RSS':>9}  {'PSS':>9}  {'read':>9}  {'disk':>9}"]
        lines[0] += "  phase"
        for phase in phases:
            keys = ("rss", "pss", "read", "storage")
            shown = [_size(phase[key]) if key in phase else "" for key in keys]
            took = (phase["end"] - phase["start"]) / NS
            name = PHASES.get(phase["phase"], phase["phase"])
            lines.append(
                f"  {self.at(phase['start']):9.1f}  {took:9.1f} ms  "
                + "  ".join(f"{text:>9}" for text in shown)
                + f"  {name}"
            )
        return lines

    def _table(self, title: str, found: "list[tuple[int, Span]]") -> "list[str]":
        if not found:
            return []
        spans = sorted((span for _, span in found), key=lambda span: span.start)
        overlap = any(b.start < a.end for a, b in zip(spans, spans[1:], strict=False))
        many = "" if len(spans) == 1 else ", in parallel" if overlap else ", one after another"
        lines = ["", title + many]
        return lines + [f"  {s.took / NS:9.1f} ms  {s.name}" for s in spans]

    def _module(self, span: Span) -> str:
        facts = span.facts
        more = [facts["from"]]
        if facts.get("compile_ms"):
            more.append(f"compiled in {facts['compile_ms']:.1f} ms")
        if facts.get("load_ms"):
            more.append(f"loaded in {facts['load_ms']:.1f} ms")
        if facts.get("bytes"):
            more.append(_size(facts["bytes"]))
        return (
            f"  {span.own() / NS:9.1f} ms  {span.took / NS:9.1f} ms  {span.name}"
            f"  ({', '.join(more)})"
        )

    def _tree(self, span: Span, depth: int, least: float) -> "Iterator[str]":
        if span.took < least:
            return
        if span.kind != "read":
            own = f"own {span.own() / NS:.1f}" if span.kind == "import" else span.kind
            yield f"  {span.took / NS:9.1f} ms  {'  ' * depth}{span.name}  ({own})"
        for part in span.parts:
            yield from self._tree(part, depth + 1, least)


def _spans(
    events: "list[tuple[Any, ...]]", began: int
) -> "tuple[dict[int, list[Span]], list[str]]":
    """Return the spans of each thread, and the files that were opened to read, in order."""
    tracks: dict[int, list[Span]] = {}
    stacks: dict[int, list[Span]] = {}
    opened: dict[str, None] = {}
    last = began
    for at, track, kind, text in events:
        last = max(last, at)
        stack = stacks.setdefault(track, [])
        if kind == "open":
            path = _opened(*text)
            if path:
                opened[path] = None
        elif kind:
            span = Span(kind, str(text), at)
            (stack[-1].parts if stack else tracks.setdefault(track, [])).append(span)
            stack.append(span)
            if kind == "load":
                opened[str(text)] = None
        elif stack:
            stack[-1].end, stack[-1].size = at, text
            stack.pop()
    # What still runs.
    for stack in stacks.values():
        for span in stack:
            span.end = last
    return tracks, list(opened)


def _opened(path: object, mode: object, flags: object) -> "str | None":
    """Return the path where the audit event ``open`` is about a file that is read."""
    if not isinstance(path, (str, bytes)):
        return None
    if isinstance(flags, int) and flags & os.O_ACCMODE != os.O_RDONLY:
        return None
    if isinstance(flags, int) and flags & (os.O_DIRECTORY | getattr(os, "O_PATH", 0)):
        return None
    full = os.path.abspath(os.fsdecode(path))
    return None if full.startswith(("/proc/", "/sys/", "/dev/")) else full


def _describe(span: Span) -> None:
    """Say where the code of an import came from."""
    facts = span.facts
    module = sys.modules.get(span.name)
    spec = getattr(module, "__spec__", None)
    reads = list(span.below("read"))
    compiles, loads = list(span.below("compile")), list(span.below("load"))
    cached = [one for one in reads if one.name.endswith(".pyc") and one.size is not None]
    origin = getattr(spec, "origin", None)
    facts["bytes"] = sum(one.size or 0 for one in reads)
    if compiles:
        facts["from"] = "source, its .pyc being out of date" if cached else "source"
        facts["compile_ms"] = round(sum(one.took for one in compiles) / NS, 3)
        facts["file"] = compiles[0].name
    elif loads:
        facts["from"] = "extension"
        facts["load_ms"] = round(sum(one.took for one in loads) / NS, 3)
        facts["file"] = loads[0].name
        try:
            facts["bytes"] += os.stat(loads[0].name).st_size
        except OSError:
            pass
    elif cached:
        facts["from"] = "pyc"
        facts["file"] = cached[0].name
    elif origin in ("frozen", "built-in"):
        facts["from"] = str(origin)
    elif module is None:
        facts["from"] = "not found, or failed"
    elif spec is not None and origin is None and spec.submodule_search_locations is not None:
        facts["from"] = "namespace package"
    else:
        facts["from"] = "other"
    source = getattr(spec, "cached", None)
    if isinstance(origin, str) and os.path.isabs(origin):
        facts["source"] = origin
        if isinstance(source, str):
            facts["cached"] = source


def _sources() -> "list[list[str]]":
    """Return source and .pyc file of every module that is there, what ran early included."""
    found, own = [], [f"{__package__}.{name}" for name in OWN]
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        origin, cached = getattr(spec, "origin", None), getattr(spec, "cached", None)
        if isinstance(origin, str) and isinstance(cached, str) and name not in own:
            found.append([os.path.abspath(origin), os.path.abspath(cached)])
    return found


def _size(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} GiB"
