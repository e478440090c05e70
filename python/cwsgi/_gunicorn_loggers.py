"""The loggers that apps expect of gunicorn, made when the app first imports ``logging``.

Many apps take over ``logging.getLogger("gunicorn.error")``'s handlers and level. This module
is imported at every start: it imports nothing that is not there.
"""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

FORMAT = "%(asctime)s [%(process)d] [%(levelname)s] %(message)s"
# Whether a log configuration leaves the access logger as it is without one.
access_is_plain = False

DATE = "[%Y-%m-%d %H:%M:%S %z]"


def install_lazy(level: str = "info", errorlog: "str | None" = "-") -> None:
    """Make the loggers as soon as ``logging`` is imported; now, if it is.

    ``gunicorn.error`` and ``cwsgi.error`` get one handler, `level`, and do not propagate;
    ``gunicorn.access`` gets no handler: the access log is written in C.

    Args:
        level: --log-level.
        errorlog: --error-logfile; ``-`` or None means standard error.
    """
    if "logging" in sys.modules:
        install(level, errorlog)
    else:
        sys.meta_path.insert(0, Finder(level, errorlog))


def install(level: str, errorlog: "str | None") -> None:
    """Make the loggers, unless that was done. Imports logging."""
    import logging

    from ._error_log import level_of

    number = level_of(level)
    if any(hasattr(one, "_gunicorn") for one in logging.getLogger("gunicorn.error").handlers):
        return
    handler: logging.Handler = logging.StreamHandler()
    if errorlog and errorlog != "-":
        from logging.handlers import WatchedFileHandler

        # It notices by itself that the file was rotated: USR1 cannot wait for the GIL.
        handler = WatchedFileHandler(errorlog, delay=True)
    handler.setFormatter(logging.Formatter(FORMAT, DATE))
    handler._gunicorn = True  # type: ignore[attr-defined]  # ours, as gunicorn marks its own
    for name in ("gunicorn.error", "cwsgi.error"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(number)
        logger.addHandler(handler)
    access = logging.getLogger("gunicorn.access")
    access.propagate = False
    access.setLevel(logging.INFO)


class Finder:
    """Waits on sys.meta_path for the first import of ``logging``, then leaves it."""

    def __init__(self, level: str, errorlog: "str | None") -> None:
        self.level = level
        self.errorlog = errorlog

    def find_spec(self, name: str, path: "Any" = None, target: "Any" = None) -> "ModuleSpec | None":
        """Find as the others do, and have what loads `logging` call us afterwards."""
        if name != "logging":
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if finder is not self else None
            if spec is not None:
                self.follow(spec.loader)
                return spec
        return None

    def follow(self, loader: "Any") -> None:
        execute = loader.exec_module

        def exec_module(module: "ModuleType") -> None:
            execute(module)
            # A zip file's loader loads other modules, too.
            if module.__name__ == "logging" and self in sys.meta_path:
                sys.meta_path.remove(self)
                del loader.exec_module
                install(self.level, self.errorlog)

        try:
            loader.exec_module = exec_module
        except (AttributeError, TypeError):
            pass  # a loader that cannot be followed: logging stays as it is
