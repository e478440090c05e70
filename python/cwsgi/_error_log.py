"""cwsgi's own log lines from Python, as csrc/base/log.c writes them, without ``logging``.

In workers they go through that very code. Elsewhere each record is one write, so that lines
of two processes never mix.
"""

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from logging import Logger
    from typing import Any

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

# Words for levels that --log-level takes besides.
OTHER_LEVELS = {"warn": 30, "notset": 10, "trace": 10, "fatal": 50}

_STDERR = 2
_LONGEST = 1500  # characters of a line that the C code surely takes
_PACKAGE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def level_of(name: str, otherwise: int = 20) -> int:
    """Return the number of a level's name, in any case."""
    name = name.lower()
    return LEVELS.get(name) or OTHER_LEVELS.get(name) or otherwise


def put(text: str, path: "str | None" = None) -> None:
    """Write `text` to the file at `path`, else to standard error, in one piece.

    The file is opened each time: it may have been renamed, and this is seldom called. A
    failure has nowhere to be told.
    """
    data = _escaped(text).encode("utf-8", "backslashreplace")
    fd = _STDERR
    if path and path != "-":
        try:
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            pass
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError:
        pass
    finally:
        if fd != _STDERR:
            os.close(fd)


def _escaped(text: str) -> str:
    """Return text without what speaks to a terminal; tabs and line breaks stay."""
    if text.isascii() and text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(
        "".join(f"\\x{byte:02X}" for byte in c.encode()) if _is_control(c) else c for c in text
    )


def _is_control(c: str) -> bool:
    return (c < " " and c not in "\n\t") or "\x7f" <= c <= "\x9f" or c in "\u2028\u2029"


def complain(text: str) -> None:
    """Write the one line ``cwsgi: text``; control characters become blanks."""
    put("cwsgi: " + "".join(c if c.isprintable() else " " for c in text) + "\n")


def trace(error: BaseException) -> str:
    """Return the traceback of `error` as text, without the outer frames, cwsgi's and import's."""
    import traceback

    tb = error.__traceback__
    while tb is not None and tb.tb_frame.f_code.co_filename.startswith(
        (_PACKAGE, "<frozen importlib")
    ):
        tb = tb.tb_next
    return "".join(traceback.format_exception(type(error), error, tb))


def name_of(function: "Any") -> str:
    """Return ``module.name`` of a function, or the repr of what has no name."""
    name = getattr(function, "__qualname__", None)
    return f"{function.__module__}.{name}" if isinstance(name, str) else repr(function)


def unquoted(path: str) -> str:
    """Return a path's bytes, percent-decoded, as the str that PEP 3333 wants."""
    first, *rest = path.encode("utf-8", "surrogateescape").split(b"%")
    parts = [first]
    for part in rest:
        try:
            parts.append(bytes((int(part[:2], 16),)) + part[2:])
        except ValueError:
            parts.append(b"%" + part)
    return b"".join(parts).decode("latin-1")


class Log:
    """``worker.log`` and ``server.log``: the methods of gunicorn's logger that hooks use."""

    def __init__(self, level: str = "debug", path: "str | None" = None, own: bool = False) -> None:
        """Write records of at least `level`.

        Args:
            level: a level's name. In a worker, --log-level decides as well.
            path: the file, outside of workers; ``-`` or None is standard error.
            own: write them even where there is a logger of --logger-class.
        """
        self.loglevel = level_of(level)
        self.path = path
        self.own = own

    def debug(self, msg: object, *args: object, **kwargs: object) -> None:
        self._record(10, msg, args, kwargs)

    def info(self, msg: object, *args: object, **kwargs: object) -> None:
        self._record(20, msg, args, kwargs)

    def warning(self, msg: object, *args: object, **kwargs: object) -> None:
        self._record(30, msg, args, kwargs)

    warn = warning

    def error(self, msg: object, *args: object, **kwargs: object) -> None:
        self._record(40, msg, args, kwargs)

    def critical(self, msg: object, *args: object, **kwargs: object) -> None:
        self._record(50, msg, args, kwargs)

    fatal = critical

    def exception(self, msg: object, *args: object, **kwargs: object) -> None:
        """Log an error with the traceback of the exception being handled."""
        self._record(40, msg, args, {"exc_info": True, **kwargs})

    def log(self, lvl: "int | str", msg: object, *args: object, **kwargs: object) -> None:
        level = level_of(lvl) if isinstance(lvl, str) else int(lvl)
        self._record(level, msg, args, kwargs)

    def isEnabledFor(self, level: int) -> bool:
        return level >= self.loglevel

    def access(self, *args: object, **kwargs: object) -> None:
        """Do nothing: the access log is written in C."""

    def reopen_files(self) -> None:
        """Do nothing: so are its files opened."""

    close_on_exec = reopen_files

    @property
    def error_log(self) -> "Logger":
        """The logger that gunicorn writes with; one for the app, here."""
        import logging

        return logging.getLogger("gunicorn.error")

    @property
    def access_log(self) -> "Logger":
        import logging

        return logging.getLogger("gunicorn.access")

    def _record(
        self, level: int, msg: object, args: "tuple[Any, ...]", kwargs: "dict[str, object]"
    ) -> None:
        """Write one record: %-arguments and exc_info as in logging, the rest passed over."""
        if level < self.loglevel:
            return
        if not self.own and _hand_over(level, msg, args, kwargs):
            return
        text = str(msg)
        if args:
            # logging takes one dict for %(name)s.
            values = args[0] if len(args) == 1 and isinstance(args[0], dict) and args[0] else args
            try:
                text %= values
            except (TypeError, ValueError, KeyError) as error:
                text = f"{text} {args!r} ({type(error).__name__}: {error})"
        name = _name_of_level(level)
        failure = _exception(kwargs.get("exc_info"))
        below = "" if failure is None else trace(failure)
        write = getattr(sys.modules.get("cwsgi._core"), "_log", None)
        if write is None:
            stamp = time.strftime("[%Y-%m-%d %H:%M:%S %z]")
            put(f"{stamp} [{os.getpid()}] [{name.upper()}] {text}\n{below}", self.path)
            return
        # A long line goes on below itself, where nothing is cut off.
        line = text.partition("\n")[0][:_LONGEST]
        rest = text[len(line) :].strip("\n")
        write(name, _plain("\n".join(part for part in (line, rest, below.rstrip()) if part)))


def custom_logger() -> "Any":
    """Return the logger of --logger-class where this process has made one, else None."""
    return getattr(sys.modules.get("cwsgi._logger_class"), "current", None)


def _name_of_level(level: int) -> str:
    return [name for name, least in LEVELS.items() if least <= level or name == "debug"][-1]


def _hand_over(
    level: int, msg: object, args: "tuple[Any, ...]", kwargs: "dict[str, object]"
) -> bool:
    """Let the logger of --logger-class write a record, where this process has one."""
    logger = custom_logger()
    if logger is None:
        return False
    try:
        getattr(logger, _name_of_level(level))(msg, *args, **kwargs)
    except Exception as failure:
        from . import _logger_class

        _logger_class.complain(failure)
        return False
    return True


def _plain(text: str) -> str:
    """Return text that C can take as UTF-8: no surrogates, no NUL."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")


def _exception(exc_info: object) -> "BaseException | None":
    """Return the exception that an exc_info argument means."""
    if isinstance(exc_info, tuple) and len(exc_info) == 3:
        exc_info = exc_info[1]
    elif exc_info and not isinstance(exc_info, BaseException):
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None
