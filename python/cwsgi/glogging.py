"""A logger of gunicorn's kind, for a logger_class where gunicorn is not installed.

``Logger`` has the attributes and methods that subclasses of ``gunicorn.glogging.Logger`` use or
override. A worker makes one, after its configuration and before the app, and calls ``access()``
from one thread of its own, when a request is over; the other methods from any.
"""

import base64
import logging
import os
import sys
import threading
import time

from ._error_log import level_of
from ._gunicorn_loggers import DATE, FORMAT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta
    from typing import Any, TextIO

    from ._hooks import Request, Response
    from ._settings import Config

_LOGCONFIGS = ("logconfig_dict", "logconfig_json", "logconfig")


class SafeAtoms(dict):  # type: ignore[type-arg]
    """The atoms of a request: a header in any case, "-" for what is not there."""

    def __init__(self, atoms: "Mapping[str, Any]") -> None:
        """Take atoms as they are, and escape the quotes in them."""
        super().__init__(
            (name, value.replace('"', '\\"') if isinstance(value, str) else value)
            for name, value in atoms.items()
        )

    def __getitem__(self, name: str) -> "Any":
        if name.startswith("{"):
            name = name.lower()
        return super().get(name, "-")


class SyslogHandler(logging.Handler):
    """Sends records the way that the server's own lines go (--log-syslog-to); never waits."""

    def __init__(self, source: str) -> None:
        """Args: source: ``access`` or ``error``: which of the two logs it is."""
        super().__init__()
        self.source = source

    def emit(self, record: logging.LogRecord) -> None:
        send = getattr(sys.modules.get("cwsgi._core"), "_syslog", None)
        if send is not None:  # outside of workers there is no connection
            try:
                text = self.format(record).encode("utf-8", "backslashreplace")
                send(self.source, record.levelno, text)
            except Exception:
                self.handleError(record)


def handler_for(output: str, stream: "TextIO | None" = None) -> logging.Handler:
    """Return a handler that writes to the file `output`, or to `stream` where that is ``-``."""
    if output == "-":
        return logging.StreamHandler(stream)
    from logging.handlers import WatchedFileHandler

    # It notices by itself that the file was rotated.
    return WatchedFileHandler(output, delay=True)


def reopen_files() -> None:
    """Open the files of all loggers' handlers anew: their names may have been changed."""
    for handler in _file_handlers():
        handler.acquire()
        try:
            old, handler.stream = handler.stream, None
            if old is not None:
                old.close()
                handler.stream = handler._open()
        finally:
            handler.release()


def _file_handlers() -> "list[logging.FileHandler]":
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    return [
        handler
        for logger in loggers
        for handler in getattr(logger, "handlers", ())
        if isinstance(handler, logging.FileHandler)
    ]


class Logger:
    """Both logs: ``error_log`` and ``access_log`` are the loggers behind the methods."""

    LOG_LEVELS = {
        name: level_of(name) for name in ("critical", "error", "warning", "info", "debug")
    }
    loglevel = logging.INFO
    error_fmt = FORMAT
    datefmt = DATE
    access_fmt = "%(message)s"
    syslog_fmt = "%(message)s"
    atoms_wrapper_class: "Any" = SafeAtoms

    def __init__(self, cfg: "Config") -> None:
        """Take the settings and call setup()."""
        self.error_log = logging.getLogger("gunicorn.error")
        self.access_log = logging.getLogger("gunicorn.access")
        self.error_log.propagate = self.access_log.propagate = False
        self.error_handlers: list[logging.Handler] = []
        self.access_handlers: list[logging.Handler] = []
        self.logfile: TextIO | None = None
        self.lock = threading.Lock()
        self.cfg = cfg
        self.setup(cfg)

    def setup(self, cfg: "Config") -> None:
        """Give both loggers their levels and handlers, then apply the log configuration.

        Called again where settings were read anew. Raises what a log configuration that
        cannot be used raises.
        """
        self.cfg = cfg
        self.loglevel = level_of(cfg.loglevel or "info")
        self.error_log.setLevel(self.loglevel)
        self.access_log.setLevel(logging.INFO)
        form = logging.Formatter(self.error_fmt, self.datefmt)
        self._set_handler(self.error_log, cfg.errorlog or "-", form)
        form = logging.Formatter(self.access_fmt)
        self._set_handler(self.access_log, cfg.accesslog, form, stream=sys.stdout)
        if cfg.syslog:
            self._set_syslog_handler(self.error_log, cfg, self.syslog_fmt, "error")
            if not cfg.disable_redirect_access_to_syslog:
                self._set_syslog_handler(self.access_log, cfg, self.syslog_fmt, "access")
        for name in _LOGCONFIGS:
            if getattr(cfg, name):
                from ._log_config import apply

                apply(name, getattr(cfg, name))
                break

    # ---- the error log ----

    def critical(self, msg: object, *args: object, **kwargs: "Any") -> None:
        self.error_log.critical(msg, *args, **kwargs)

    def error(self, msg: object, *args: object, **kwargs: "Any") -> None:
        self.error_log.error(msg, *args, **kwargs)

    def warning(self, msg: object, *args: object, **kwargs: "Any") -> None:
        self.error_log.warning(msg, *args, **kwargs)

    def info(self, msg: object, *args: object, **kwargs: "Any") -> None:
        self.error_log.info(msg, *args, **kwargs)

    def debug(self, msg: object, *args: object, **kwargs: "Any") -> None:
        self.error_log.debug(msg, *args, **kwargs)

    def exception(self, msg: object, *args: object, **kwargs: "Any") -> None:
        self.error_log.exception(msg, *args, **kwargs)

    def log(self, lvl: "int | str", msg: object, *args: object, **kwargs: "Any") -> None:
        level = level_of(lvl) if isinstance(lvl, str) else lvl
        self.error_log.log(level, msg, *args, **kwargs)

    # ---- the access log ----

    @property
    def access_log_enabled(self) -> bool:
        """Whether settings name a place for access lines."""
        cfg = self.cfg
        to_syslog = cfg.syslog and not cfg.disable_redirect_access_to_syslog
        return bool(cfg.accesslog or to_syslog or any(getattr(cfg, n) for n in _LOGCONFIGS))

    def access(
        self,
        resp: "Response",
        req: "Request",
        environ: "dict[str, Any]",
        request_time: "timedelta",
    ) -> None:
        """Log a request that is over; overridden to leave some out, or to say it otherwise.

        Args:
            resp: what was answered: status, headers, sent (bytes of the body).
            req: what was asked: method, uri, path, query, version, headers.
            environ: the request's variables, as text.
            request_time: from the request's head to the end of the response.
        """
        if not self.access_log_enabled:
            return
        atoms = self.atoms_wrapper_class(self.atoms(resp, req, environ, request_time))
        try:
            self.access_log.info(self.cfg.access_log_format, atoms)
        except Exception:
            self.exception("An access line cannot be logged")

    def atoms(
        self,
        resp: "Response",
        req: "Request",
        environ: "dict[str, Any]",
        request_time: "timedelta",
    ) -> "dict[str, Any]":
        """Return what the access log's format may name, by gunicorn's letters.

        Headers and variables are ``{name}i``, ``{name}o`` and ``{name}e``, in lower case.
        """
        micros = request_time.days * 86_400_000_000
        micros += request_time.seconds * 1_000_000 + request_time.microseconds
        found = {
            "h": environ.get("REMOTE_ADDR", "-"),
            "l": "-",
            "u": self._get_user(environ) or "-",
            "t": self.now(),
            "r": "{REQUEST_METHOD} {RAW_URI} {SERVER_PROTOCOL}".format(**environ),
            "s": str(resp.status).partition(" ")[0],
            "m": environ.get("REQUEST_METHOD"),
            "U": environ.get("PATH_INFO"),
            "q": environ.get("QUERY_STRING"),
            "H": environ.get("SERVER_PROTOCOL"),
            "b": str(resp.sent),
            "B": resp.sent,
            "f": environ.get("HTTP_REFERER", "-"),
            "a": environ.get("HTTP_USER_AGENT", "-"),
            "T": micros // 1_000_000,
            "D": micros,
            "M": micros // 1000,
            "L": f"{micros // 1_000_000}.{micros % 1_000_000:06}",
            "p": f"<{os.getpid()}>",
        }
        found.update((f"{{{name.lower()}}}i", value) for name, value in req.headers)
        found.update((f"{{{name.lower()}}}o", value) for name, value in resp.headers)
        found.update((f"{{{name.lower()}}}e", value) for name, value in environ.items())
        return found

    def now(self) -> str:
        """Return the time as Apache's logs have it, in brackets."""
        return time.strftime("[%d/%b/%Y:%H:%M:%S %z]")

    def _get_user(self, environ: "dict[str, Any]") -> "str | None":
        """Return the name in Basic credentials (RFC 7617), or None."""
        scheme, _, words = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            name, colon, _ = base64.b64decode(words.strip()).decode().partition(":")
        except ValueError:
            return None
        return name if colon else None

    # ---- files and handlers ----

    def reopen_files(self) -> None:
        """Open the log files anew (USR1). Called in the thread that calls access()."""
        reopen_files()

    def close_on_exec(self) -> None:
        """Keep the log files from programs that the app starts."""
        for handler in _file_handlers():
            if handler.stream is not None:
                os.set_inheritable(handler.stream.fileno(), False)

    def _get_gunicorn_handler(self, log: logging.Logger) -> "logging.Handler | None":
        own = (handler for handler in log.handlers if getattr(handler, "_gunicorn", False))
        return next(own, None)

    def _set_handler(
        self,
        log: logging.Logger,
        output: "str | None",
        fmt: logging.Formatter,
        stream: "TextIO | None" = None,
    ) -> None:
        """Replace the handlers that setup() has made by one; None: by none."""
        while (old := self._get_gunicorn_handler(log)) is not None:
            log.removeHandler(old)
        if output is not None:
            self._add(log, handler_for(output, stream), fmt)

    def _set_syslog_handler(self, log: logging.Logger, cfg: "Config", fmt: str, name: str) -> None:
        self._add(log, SyslogHandler(name), logging.Formatter(fmt))

    def _add(self, log: logging.Logger, handler: logging.Handler, fmt: logging.Formatter) -> None:
        handler.setFormatter(fmt)
        handler._gunicorn = True  # type: ignore[attr-defined]
        log.addHandler(handler)
