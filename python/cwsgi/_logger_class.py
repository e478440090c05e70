"""--logger-class: a logger of gunicorn's kind, made by a worker and by the hooks' process.

Imported only where the setting is not gunicorn's own logger.
"""

from importlib import import_module

from ._error_log import Log
from ._settings import Config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What the server does itself: gunicorn's own loggers, and what others derive from here.
# As in csrc/base/options.c.
OWN = (
    "",
    "simple",
    "gunicorn.glogging.Logger",
    "gunicorn.instrument.statsd.Statsd",
    "cwsgi.glogging.Logger",
)
METHODS = (
    *("access", "debug", "info", "warning", "error", "critical", "exception", "log"),
    *("reopen_files", "close_on_exec"),
)
BASE = "install gunicorn, or derive the class from cwsgi.glogging.Logger"

# The logger of this process; None where there is no class for it, or not yet.
current: "Any" = None


def install(entries: "list[str]") -> None:
    """Make the logger of the setting ``logger_class``; the class sets ``logging`` up itself.

    Args:
        entries: every setting, as Config takes them; ``config=`` names the file that may have
            the class.

    Raises:
        ValueError: the class cannot be had or made; the text says which and why.
    """
    cfg = Config(entries)
    namespace: dict[str, Any] = {}
    if cfg.config:
        from ._config import load

        namespace = load(cfg.config)
    make(Config(entries, namespace), namespace)


def make(cfg: Config, namespace: "dict[str, Any]") -> "Any":
    """Make the logger, or call setup() of the one there is where the class has stayed.

    Args:
        cfg: the settings.
        namespace: what the configuration file defined.

    Returns:
        The logger; None where the setting is gunicorn's own. Raises as install() does.
    """
    global current
    name = cfg.logger_class
    if name in OWN:
        current = None
        return None
    if "%" not in (cfg.access_log_format or ""):
        from ._access import DEFAULT

        # The formats of ours that are one word are no formats in Python.
        cfg._values["access_log_format"] = DEFAULT
    try:
        cls = find(name, namespace)
        if current is not None and type(current) is cls:
            current.setup(cfg)
        else:
            if hasattr(cls, "install"):
                cls.install()
            current = cls(cfg)
            missing = [f"{name}()" for name in METHODS if not hasattr(current, name)]
            if missing:
                raise TypeError(f"it lacks {', '.join(missing)}; {BASE}")
    except BaseException as error:
        current = None
        why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        module = error.name if isinstance(error, ModuleNotFoundError) else None
        hint = f"; {BASE}" if (module or "").partition(".")[0] == "gunicorn" else ""
        raise ValueError(f"logger_class {name} cannot be used: {why}{hint}") from error
    Log().debug("logger_class %s logs access lines and what hooks say", name)
    return current


def find(name: str, namespace: "dict[str, Any]") -> "Any":
    """Return the class: the configuration file's own, or what its module has.

    Raises what the import raises, AttributeError, or TypeError for what is no class.
    """
    cls = namespace.get("logger_class")
    if not isinstance(cls, type) or f"{cls.__module__}.{cls.__qualname__}" != name:
        module, dot, attribute = name.replace(":", ".").rpartition(".")
        if not dot:
            raise TypeError("it is named as MODULE.CLASS")
        cls = getattr(import_module(module), attribute)
    if not callable(cls):
        raise TypeError(f"it is {type(cls).__name__}, not a class")
    return cls


def report(what: str, request: "str | None", error: BaseException) -> bool:
    """Log an exception that nobody has caught, as gunicorn does: by exception().

    Args:
        what: what it has ended.
        request: method and target, where it was a request.
        error: the exception.

    Returns:
        Whether it was logged; not where there is no logger, or it failed.
    """
    if current is None:
        return False
    tb = error.__traceback__
    try:
        # Loggers look for it in sys.exc_info().
        raise error.with_traceback(tb)
    except BaseException:
        error.__traceback__ = tb
        try:
            if request is None:
                current.exception(what)
            else:
                current.exception(what + " %s", request)
        except Exception as failure:
            complain(failure)
            return False
    return True


def complain(failure: BaseException) -> None:
    """Say in the server's own log that the logger itself has failed."""
    Log(own=True).error("The logger of logger_class failed", exc_info=failure)
