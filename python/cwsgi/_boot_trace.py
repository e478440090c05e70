"""``--boot-trace``: where the time and the memory of a worker's start went.

Imported only with that option. What came before this module could be imported was recorded by
csrc/launcher/recorder.c, in the module ``_cwsgi_boot``; what came before Python, by the
launcher (csrc/base/marks.c). All times are of CLOCK_MONOTONIC, in ns.
"""

import _thread
import os
import sys
import time

from ._core import _log, _replace_app

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

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


def begin(path: str, level: str, app: str) -> "Trace | None":
    """Return the trace of this start, or None where its file cannot be written (said)."""
    boot = sys.modules.pop("_cwsgi_boot")
    full = path if path == "-" else os.path.abspath(path)
    why = None if full == "-" else _unwritable(full)
    if why:
        _log("error", f"--boot-trace: cannot write {full}: {why}; the start is not traced")
        _undo(boot)
        return None
    return Trace(boot, full, level, app)


def _unwritable(path: str) -> "str | None":
    """Return why a file cannot be written, or None where it looks as if it could."""
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        return "it is a folder"
    try:
        if os.path.exists(path):
            os.close(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY))
            return None
        probe = f"{path}.{os.getpid()}"
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        os.unlink(probe)
    except OSError as error:
        if not os.path.isdir(folder):
            return f"there is no folder {folder}"
        return error.strerror or str(error)
    return None


def _undo(boot: "Any") -> None:
    """Put back what the recorder has replaced. Its audit hook stays, and does nothing."""
    boot.listens = False
    for holder, name, inner in reversed(boot.undo):
        setattr(holder, name, inner)
    boot.undo.clear()


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


class Trace:
    """What is known of one start. The main thread's, but for first_request()."""

    def __init__(self, boot: "Any", path: str, level: str, app: str) -> None:
        self.boot, self.path, self.level, self.name = boot, path, level, app
        self.main = _thread.get_ident()
        self.folder = os.getcwd()  # the app may leave it
        self.pid = os.getpid()
        self.phases: list[dict[str, Any]] = []
        self.wrappers: dict[int, tuple[Any, Any]] = {}
        self.is_listening = self.is_written = False
        self.once = _thread.allocate_lock()
        self.writing = _thread.allocate_lock()
        self.spent = 0  # by looking at memory, ns
        self.tracks = 0
        self.counts = {"read": 0, "storage": 0, "cpu": 0}  # at the last phase's end
        self._launcher()

    def _launcher(self) -> None:
        """Take what came before this module."""
        first, *rest = self.boot.marks.split(" ")
        began, cpu = first.split(":")
        self.began = int(began) * 1000
        self.before = int(cpu) * 1000
        at = self.began
        for mark in rest:
            name, us, rss, pss = mark.split(":")
            self._add(name, at, int(us) * 1000, rss=int(rss) * 1024, pss=int(pss) * 1024)
            at = int(us) * 1000
        for name in ("interpreter", "site"):
            self._looked(name, getattr(self.boot, name))
        self.embedded = any(phase["phase"] == "library" for phase in self.phases)

    def _add(self, name: str, start: int, end: int, **facts: object) -> None:
        self.phases.append({"phase": name, "start": start, "end": end, **facts})

    def _looked(self, name: str, looked: "Any") -> None:
        at, memory, io, cpu = looked
        rollup, counts = _numbers(memory), _numbers(io)
        start = self.phases[-1]["end"] if self.phases else self.began
        now = {"read": counts.get("rchar", 0), "storage": counts.get("read_bytes", 0), "cpu": cpu}
        # Below what it was: in the process of a fork it began anew.
        used = {k: n - self.counts[k] if n >= self.counts[k] else n for k, n in now.items()}
        self.counts = now
        self._add(
            name,
            start,
            at,
            rss=rollup.get("Rss", 0) * 1024,
            pss=rollup.get("Pss", 0) * 1024,
            **used,
        )

    # ---- what the worker says ----

    def phase(self, name: str) -> None:
        """End a phase now."""
        at = time.perf_counter_ns()
        looked = self.boot.look()
        self._looked(name, (at, *looked[1:]))
        self.spent += time.perf_counter_ns() - at
        if name == "server":
            self._wrap_hooks()

    def drop(self) -> None:
        """Stop: another worker is traced."""
        self._let_go()
        self.is_written = True

    def _let_go(self) -> None:
        _undo(self.boot)
        for app, wrapper in self.wrappers.values():
            _replace_app(wrapper, app)

    def app(self, app: "Any", is_async: bool) -> "Any":
        """Return what requests are to call in place of `app`, until the first has come."""
        if id(app) not in self.wrappers:
            self.wrappers[id(app)] = (app, self._asgi(app) if is_async else self._wsgi(app))
        return self.wrappers[id(app)][1]

    def _wsgi(self, app: "Any") -> "Any":
        def call(environ: "dict[str, Any]", start_response: "Any") -> "Any":
            name = f"{environ['REQUEST_METHOD']} {environ['SCRIPT_NAME']}{environ['PATH_INFO']}"
            done = self._request(name, _thread.get_ident())
            try:
                return app(environ, start_response)
            finally:
                done()

        return call

    def _asgi(self, app: "Any") -> "Any":
        async def call(scope: "Any", receive: "Any", send: "Any") -> None:
            if scope["type"] == "lifespan":
                await app(scope, receive, send)
                return
            done = self._request(
                f"{scope.get('method', 'WebSocket')} {scope['path']}", self._track()
            )
            try:
                await app(scope, receive, send)
            finally:
                done()

        return call

    def _request(self, name: str, track: int) -> "Callable[[], None]":
        """Note that a request begins. What is returned notes its end."""
        first = self.is_listening and self.once.acquire(False)
        start = time.perf_counter_ns()
        if self.is_written and not first:
            return _nothing
        if first:
            self._looked("waiting", (start, *self.boot.look()[1:]))
        self.boot.put((start, track, "request", name))

        def done() -> None:
            self.boot.put((time.perf_counter_ns(), track, "", None))
            if first:
                self.phase("first request")
                self._let_go()
                _thread.start_new_thread(self._write, ())

        return done

    def _track(self) -> int:
        """Return a number that no thread has, for what takes turns with others on one."""
        self.tracks -= 1
        return self.tracks

    def startup(self) -> None:
        """Have on_startup functions, and lifespans, tell when they run."""
        functions = getattr(sys.modules.get("cwsgi"), "_startup_functions", [])
        if functions:
            from ._error_log import name_of
            from ._startup import is_async

            for i, fn in enumerate(functions):
                functions[i] = self._timed(fn, name_of(fn), is_async(fn))
        for _, wrapper in self.wrappers.values():
            if wrapper.__code__.co_flags & 0x80:  # CO_COROUTINE
                self._wrap_lifespan()
                break

    def _timed(self, fn: "Any", name: str, is_async: bool) -> "Any":
        put, now, ident = self.boot.put, time.perf_counter_ns, _thread.get_ident

        def call() -> "Any":
            put((now(), ident(), "startup", name))
            try:
                return fn()
            finally:
                put((now(), ident(), "", None))

        async def call_async() -> None:
            track = self._track()
            put((now(), track, "startup", name))
            try:
                await fn()
            finally:
                put((now(), track, "", None))

        timed: Any = call_async if is_async else call
        # What name_of() makes of it, should it fail.
        timed.__module__, _, timed.__qualname__ = name.rpartition(".")
        return timed

    def _wrap_lifespan(self) -> None:
        from . import _asgi

        inner = _asgi.Lifespan.startup

        async def startup(lifespan: "_asgi.Lifespan") -> None:
            track = self._track()
            self.boot.put((time.perf_counter_ns(), track, "startup", "lifespan"))
            try:
                await inner(lifespan)
            finally:
                self.boot.put((time.perf_counter_ns(), track, "", None))

        setattr(_asgi.Lifespan, "startup", startup)  # noqa: B010
        self.boot.undo.append((_asgi.Lifespan, "startup", inner))

    def _wrap_hooks(self) -> None:
        hooks = getattr(sys.modules.get("cwsgi._hooks"), "WorkerHooks", None)
        for name in ("post_fork", "post_worker_init"):
            if hooks is not None:
                self.boot.wrap(hooks, name, "hook", lambda *_, name=name: name)

    def listening(self) -> None:
        """Write the trace; the port has opened."""
        self.phase("listen")
        self.is_listening = True
        self._write()

    def end(self) -> None:
        """Write the trace of a start that has come to no port, or only checked the app."""
        if not self.is_written:
            self._write()

    # ---- the report ----

    def _write(self) -> None:
        with self.writing:
            try:
                self._put(Report(self))
            except OSError as error:
                _log("error", f"--boot-trace: cannot write {self.path}: {error.strerror}")
            self.is_written = True

    def _put(self, report: "Report") -> None:
        if self.path == "-":
            text = report.text() if not self.is_written else report.request_text()
            head, _, rest = text.partition("\n")
            level = self.level if self.level in ("warning", "error", "critical") else "info"
            _log(level, f"{head}\n{rest}")
            return
        if self.path.endswith(".json"):
            text = report.json()
        elif self.path.endswith(".html"):
            text = report.page()
        else:
            text = report.text()
        put_file(self.path, text.encode("utf-8", "backslashreplace"))


def put_file(path: str, data: bytes) -> None:
    """Write a file; readers see the old one or the whole new one, where that can be."""
    probe = f"{path}.{os.getpid()}"
    plain = not os.path.lexists(path) or (os.path.isfile(path) and not os.path.islink(path))
    try:
        if not plain:
            raise OSError
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
    except OSError:
        # A device, a link, or a file in a folder that is not ours.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOCTTY
        with open(os.open(path, flags, 0o644), "wb") as file:
            file.write(data)
        return
    try:
        with open(fd, "wb") as file:
            file.write(data)
        os.replace(probe, path)
    except BaseException:
        os.unlink(probe)
        raise


def _nothing() -> None:
    """The end of a request that is not traced."""


def _numbers(text: bytes) -> "dict[str, int]":
    """Return the first number of each line "NAME: NUMBER"."""
    found = {}
    for line in text.decode("ascii", "replace").splitlines():
        words = line.split()
        if len(words) > 1 and words[0].endswith(":") and words[1].isdigit():
            found[words[0][:-1]] = int(words[1])
    return found


class Report:
    """The trace as it is now, made sense of."""

    def __init__(self, trace: Trace) -> None:
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
            if path in found or os.path.basename(path).startswith("_boot_trace."):
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
    found = []
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        origin, cached = getattr(spec, "origin", None), getattr(spec, "cached", None)
        if isinstance(origin, str) and isinstance(cached, str) and name != __name__:
            found.append([os.path.abspath(origin), os.path.abspath(cached)])
    return found


def mapped_files() -> "dict[str, dict[str, Any]]":
    """Return the files that this process has mapped, with the ranges that it has touched.

    /proc/self/pagemap tells which pages of a mapping are there. The kernel maps some pages
    around each that was touched, so the ranges are those of what is near in the file.
    """
    page = os.sysconf("SC_PAGE_SIZE")
    found: dict[str, dict[str, Any]] = {}
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
            lines = file.read().splitlines()
        pagemap = os.open("/proc/self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return {}
    try:
        for line in lines:
            words = line.split(None, 5)
            if len(words) < 6 or not words[5].startswith("/") or words[4] == "0":
                continue
            path = words[5]
            if path.startswith(("/memfd:", "/dev/", "/proc/")) or path.endswith(" (deleted)"):
                continue
            begin, end = (int(text, 16) for text in words[0].split("-"))
            pages = (end - begin) // page
            data = os.pread(pagemap, pages * 8, begin // page * 8)
            # Bit 63 of an entry: the page is there; bit 62: it was, and is swapped out.
            here = [bool(data[i + 7] & 0xC0) for i in range(0, len(data), 8)]
            one = found.setdefault(path, {"path": path, "bytes": 0, "ranges": []})
            _add_ranges(one["ranges"], here, int(words[2], 16), page)
    except OSError:
        return {}
    finally:
        os.close(pagemap)
    for path, one in list(found.items()):
        try:
            one["bytes"] = os.stat(path).st_size
        except OSError:
            del found[path]
            continue
        one["ranges"] = _joined(one["ranges"], one["bytes"])
    return found


def _add_ranges(ranges: "list[list[int]]", here: "list[bool]", offset: int, page: int) -> None:
    at = 0
    while at < len(here):
        if not here[at]:
            at += 1
            continue
        first = at
        while at < len(here) and here[at]:
            at += 1
        ranges.append([offset + first * page, (at - first) * page])


def _joined(ranges: "list[list[int]]", size: int) -> "list[list[int]]":
    """Return ranges in order, without gaps of less than 128 KiB, cut to the file's size."""
    found: list[list[int]] = []
    for offset, length in sorted(ranges):
        end = min(offset + length, size)
        if end <= offset:
            continue
        if found and offset <= found[-1][0] + found[-1][1] + (128 << 10):
            found[-1][1] = max(found[-1][1], end - found[-1][0])
        else:
            found.append([offset, end - offset])
    return found


def _size(n: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if n < 1024:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1024
    return f"{n:.1f} GiB"
