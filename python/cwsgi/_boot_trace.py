"""``--boot-trace``: where the time and the memory of a worker's start went.

Imported only with that option. What came before this module could be imported was recorded by
csrc/launcher/recorder.c, in the module ``_cwsgi_boot``; what came before Python, by the
launcher (csrc/base/marks.c). All times are of CLOCK_MONOTONIC, in ns.
"""

import _thread
import os
import sys
import time

from ._boot_report import Report
from ._core import _log, _replace_app

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


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

    def _put(self, report: Report) -> None:
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
