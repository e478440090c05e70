"""Access lines through Python's ``logging``, where the logger ``gunicorn.access`` is set up.

The server writes what there is to tell of each request into a pipe, without waiting; a thread
here makes records of it, as gunicorn does: the format is their message, the atoms are their
arguments. Imported by a worker only if ``logging`` is.
"""

import logging
import os
import sys
from threading import Thread

from ._log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

NAMES = "hlutrmUqHsBbfaTMDLp"
NUMBERS = frozenset("BTMD")
# What formatters read besides what the format names.
FIELDS = (
    "host x-forwarded-for x-forwarded-proto x-forwarded-host x-real-ip x-request-id"
    " x-correlation-id traceparent x-cloud-trace-context x-amzn-trace-id content-type"
    " content-length"
)
DEFAULT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
SEPARATOR, END = "\x1f", b"\x04"
ROOM = 1 << 20  # bytes of the pipe, where the kernel grants them
PATIENCE = 2.0  # seconds for the last records


class Atoms(dict):  # type: ignore[type-arg]
    """The atoms of a request, as gunicorn's: a header in any case, "-" for what is not there."""

    def __getitem__(self, name: str) -> "Any":
        if name.startswith("{"):
            name = name.lower()
        return super().get(name, "-")


class Route:
    """The pipe, and the thread that reads it."""

    def __init__(self, form: str) -> None:
        """Make both.

        Args:
            form: the format of the records, in gunicorn's atoms.
        """
        self.form = form
        named = [part.partition(")")[0] for part in form.split("%(")[1:]]
        fields = [f"{{{name}}}i" for name in FIELDS.split()]
        self.names = list(dict.fromkeys([*NAMES, *(n for n in named if n[:1] == "{"), *fields]))
        self.logger = logging.getLogger("gunicorn.access")
        self.log = Log()
        self.failed = False
        self.source, self.sink = os.pipe()
        _widen(self.sink)
        self.thread = Thread(target=self.run, name="cwsgi-access", daemon=True)
        self.thread.start()

    @property
    def wire(self) -> str:
        """The format that the server is to write into the pipe."""
        return SEPARATOR.join(f"%({name})s" for name in self.names)

    def run(self) -> None:
        rest = b""
        while data := os.read(self.source, 1 << 16):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line == END:
                    return
                self.emit(line)

    def emit(self, line: bytes) -> None:
        values = line.decode("utf-8", "replace").split(SEPARATOR)
        atoms = Atoms(
            (name.lower() if name[0] == "{" else name, value)
            for name, value in zip(self.names, values, strict=False)
            if value != "-" or name[0] != "{"
        )
        for name in NUMBERS & atoms.keys():
            if dict.get(atoms, name, "").isdigit():
                atoms[name] = int(atoms[name])
        try:
            self.logger.info(self.form, atoms)
        except Exception:
            if not self.failed:
                self.log.exception("Access lines cannot be logged")
            self.failed = True

    def finish(self) -> None:
        """Have what was written so far logged, and end."""
        try:
            os.write(self.sink, END + b"\n")
        except OSError:  # Full: nobody has read it for long.
            return
        self.thread.join(PATIENCE)


def _widen(fd: int) -> None:
    import fcntl

    os.set_blocking(fd, False)
    try:
        fcntl.fcntl(fd, 1031, ROOM)  # F_SETPIPE_SZ
    except OSError:
        pass


_route: "Route | None" = None


def prepare(form: str, accesslog: "str | None", by_file: bool) -> "tuple[str, str] | None":
    """Look at the logger, and route the access log through it where somebody has set it up.

    Args:
        form: --access-logformat.
        accesslog: --access-logfile, or None.
        by_file: whether there is a log configuration; without one, lines are written where
            `accesslog` says as well, and none without it, as with gunicorn.

    Returns:
        The file and the format for the server to write; None where nothing is to change.
    """
    global _route
    logger = logging.getLogger("gunicorn.access")
    plain = getattr(sys.modules.get("cwsgi._loggers"), "access_is_plain", False)
    set_up = logger.handlers or logger.filters or logger.propagate
    if not (by_file or accesslog) or plain or logger.disabled or not set_up:
        return None
    if accesslog and not by_file:
        logger.addHandler(_handler(accesslog))
    _route = Route(form if "%" in form else DEFAULT)
    Log().info("Access lines go through the logger gunicorn.access: slower than its formats here")
    return f"/proc/self/fd/{_route.sink}", _route.wire


def _handler(accesslog: str) -> logging.Handler:
    handler: logging.Handler = logging.StreamHandler(sys.stdout)
    if accesslog != "-":
        from logging.handlers import WatchedFileHandler

        handler = WatchedFileHandler(accesslog, delay=True)
    handler.setFormatter(logging.Formatter("%(message)s"))
    return handler


def finish() -> None:
    """Wait for the last records, when the server writes no more."""
    if _route is not None:
        _route.finish()
