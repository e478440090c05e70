"""Access lines through Python's ``logging``, where the logger ``gunicorn.access`` is set up.

The server writes what there is to tell of each request into a pipe, without waiting; a thread
here makes records of it, as gunicorn does: the format is their message, the atoms are their
arguments. Imported by a worker only if ``logging`` is.
"""

import logging
import os
import re
import sys
from threading import Thread

from ._error_log import Log, custom_logger, unquoted
from .glogging import SafeAtoms, SyslogHandler, handler_for, reopen_files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

# What is short comes first: a record has an end.
NAMES = "hltmHsBbTMDLpurfaUq"
NUMBERS = frozenset("BTMD")
VARIABLES = (
    "REQUEST_METHOD wsgi.url_scheme REMOTE_ADDR REMOTE_PORT SERVER_NAME SERVER_PORT"
    " SERVER_PROTOCOL SERVER_SOFTWARE REMOTE_USER SCRIPT_NAME PATH_INFO"
).split()
ALL = ("{*}o", "{*}i")  # every field of the response, of the request: `name:value"` each
NAMED = re.compile(r"\{[^{}]+\}[ioe]")
ESCAPE = re.compile(rb"\\(x([0-9A-F]{2})|.)")
CONTROL = re.compile("[\\x00-\\x1f\\x7f-\\x9f]")
FIELD = re.compile(r'([^:"]+):((?:[^"\\]|\\.)*)"')
DEFAULT = '%(h)s %(l)s %(u)s %(t)s "%(r)s" %(s)s %(b)s "%(f)s" "%(a)s"'
SEPARATOR, REOPEN, END = "\x1f", b"\x05", b"\x04"
ROOM = 1 << 20  # bytes of the pipe, where the kernel grants them
PATIENCE = 2.0  # seconds for the last records


class Atoms(SafeAtoms):
    """Atoms that come from the server, which has escaped them."""

    def __init__(self, *args: "Any") -> None:
        dict.__init__(self, *args)


class Route:
    """The pipe, and the thread that reads it."""

    atoms: "Sequence[str]" = NAMES

    def __init__(self, form: str) -> None:
        """Make both.

        Args:
            form: the format of the records, in gunicorn's atoms.
        """
        self.form = form
        named = [part.partition(")")[0] for part in form.split("%(")[1:]]
        named = [name for name in named if NAMED.fullmatch(name)]
        # A line has its limit: what the format names comes first.
        self.names = list(dict.fromkeys([*self.atoms, *named, *ALL]))
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
                try:
                    if line == REOPEN:
                        self.reopen()
                    else:
                        self.emit(self.read(line))
                except Exception:
                    if not self.failed:
                        self.log.exception("Access lines cannot be logged")
                    self.failed = True

    def read(self, line: bytes) -> "dict[str, str]":
        """Return what the server has written of a request, by its names on the wire."""
        values = line.decode("utf-8", "replace").split(SEPARATOR)
        return {
            name: value
            for name, value in zip(self.names, values, strict=False)
            if value != "-" or name[0] != "{"
        }

    def emit(self, values: "dict[str, str]") -> None:
        atoms = Atoms(
            (name.lower() if name[0] == "{" else name, value)
            for name, value in values.items()
            if name not in ALL
        )
        for name in ALL:
            for field, value in FIELD.findall(values.get(name, "")):
                atoms[f"{{{field.lower()}}}{name[-1]}"] = value
        for name in NUMBERS & atoms.keys():
            if dict.get(atoms, name, "").isdigit():
                atoms[name] = int(atoms[name])
        self.logger.info(self.form, atoms)

    def reopen(self) -> None:
        """The log files may have been renamed."""
        reopen_files()

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


class Calls(Route):
    """The same for a logger of --logger-class: its access() is called, with objects."""

    # Variables that apps and middleware change, and those that only the worker knows.
    atoms = (
        *"hsBDr",
        *(f"{{{name}}}e" for name in VARIABLES),
    )

    def __init__(self, form: str, target: "Any") -> None:
        self.target = target
        super().__init__(form)

    def emit(self, values: "dict[str, str]") -> None:
        from datetime import timedelta

        from ._hooks import Request, Response

        values = {
            name: _unescaped(value, "utf-8" if name[-1:] == "e" else "latin-1")
            for name, value in values.items()
            if name not in ALL
        } | {name: values.get(name, "") for name in ALL}
        environ = _environ(values)
        status = values.get("s", "-")
        resp = Response(Request(environ), _status(status), _fields(values, "{*}o"))
        resp.sent = int(values.get("B", 0))
        took = timedelta(microseconds=int(values.get("D", 0)))
        self.target.access(resp, resp.req, environ, took)

    def reopen(self) -> None:
        self.target.reopen_files()


def _unescaped(text: str, encoding: str = "latin-1") -> str:
    """Undo the server's escapes, but for those of control characters: a log is a log."""
    if "\\" not in text:
        return text
    data = ESCAPE.sub(
        lambda match: bytes.fromhex(match[2].decode()) if match[2] else match[1], text.encode()
    )
    return CONTROL.sub(lambda match: f"\\x{ord(match[0]):02X}", data.decode(encoding, "replace"))


def _fields(values: "dict[str, str]", name: str) -> "list[tuple[str, str]]":
    return [(key, _unescaped(value)) for key, value in FIELD.findall(values.get(name, ""))]


def _status(code: str) -> str:
    """Return ``200 OK``; 000 where nothing was answered, as the number that loggers read."""
    from http import HTTPStatus

    try:
        return f"{code} {HTTPStatus(int(code)).phrase}"
    except ValueError:
        return f"{code} Unknown" if code.isdigit() else "000 Nothing"


def _environ(values: "dict[str, str]") -> "dict[str, Any]":
    """Return a request's variables, as text. One that no app has seen has some of them."""
    method, _, rest = values.get("r", "-").partition(" ")
    uri, _, protocol = rest.rpartition(" ")
    path, _, query = uri.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "RAW_URI": uri or "-",
        "REQUEST_URI": uri or "-",
        "SERVER_PROTOCOL": protocol if protocol.startswith("HTTP/") else "HTTP/1.1",
        "SCRIPT_NAME": "",
        "PATH_INFO": unquoted(path) if uri else "-",
        "QUERY_STRING": query,
        "REMOTE_ADDR": values.get("h", ""),
        "wsgi.url_scheme": "http",
    }
    for name, value in _fields(values, "{*}i"):
        key = name.upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        environ[key] = f"{environ[key]},{value}" if key in environ else value
    environ.update((name[1:-2], value) for name, value in values.items() if name[-2:] == "}e")
    return environ


_route: "Route | None" = None


def prepare(
    form: str, accesslog: "str | None", by_file: bool, syslog: bool = False
) -> "tuple[str, str] | None":
    """Look at the logger, and route the access log through it where somebody has set it up.

    Args:
        form: --access-logformat.
        accesslog: --access-logfile, or None.
        by_file: whether there is a log configuration; without one, lines are written where
            `accesslog` says as well, and none without it, as with gunicorn.
        syslog: whether they go to syslog, too.

    Returns:
        The file and the format for the server to write; None where nothing is to change.
    """
    global _route
    target = custom_logger()
    form = form if "%" in form else DEFAULT
    if target is not None:
        target.close_on_exec()
        _route = Calls(form, target)
        why = "access() of logger_class"
    elif _is_set_up(by_file, accesslog, syslog):
        _route = Route(form)
        why = "the logger gunicorn.access"
    else:
        return None
    Log(own=True).info("Access lines go through %s: slower than --access-logformat alone", why)
    return f"/proc/self/fd/{_route.sink}", _route.wire


def _is_set_up(by_file: bool, accesslog: "str | None", syslog: bool) -> bool:
    """Return whether somebody has set the logger up, and give it what settings ask for."""
    logger = logging.getLogger("gunicorn.access")
    plain = getattr(sys.modules.get("cwsgi._gunicorn_loggers"), "access_is_plain", False)
    set_up = logger.handlers or logger.filters or logger.propagate
    if not (by_file or accesslog or syslog) or plain or logger.disabled or not set_up:
        return False
    if accesslog and not by_file:
        handler = handler_for(accesslog, sys.stdout)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
    if syslog:
        logger.addHandler(SyslogHandler("access"))
    return True


def finish() -> None:
    """Wait for the last records, when the server writes no more."""
    if _route is not None:
        _route.finish()
