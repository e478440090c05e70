"""What there is in a worker when its app is loaded. Runs in the worker, when doctor asks."""

# Runs before all else, where nothing may be imported for types.
# mypy: ignore-errors
import os
import sys
import time

FRAMEWORKS = ("django", "flask", "werkzeug", "fastapi", "starlette", "wagtail", "dash")
MOST = 50  # of whatever is listed


def look(observer):
    """Return what the observer has seen, and what is there now."""
    marks = observer.marks
    marks.setdefault("imported", time.perf_counter() - observer.began)
    return {
        "pid": os.getpid(),
        "python": list(sys.version_info[:3]),
        "marks": marks,
        "events": observer.events,
        "opened": observer.opened,
        "written": observer.written,
        "at_end": {
            "threads": observer.at_end.get("threads", []),
            "staying": observer.at_end.get("staying", []),
            "connections": connections(observer.at_end.get("sockets", [])),
        },
        "modules": modules(),
        "uncompiled": uncompiled(),
        "frameworks": versions(),
        "debug": debug(observer.app),
        "django": django(),
        "logging": logging_state(),
        "random": generators(),
    }


def modules():
    return sorted(name for name in sys.modules if "." not in name)


def uncompiled():
    """Return paths of modules that are compiled anew at each start, since nothing can keep it."""
    found = []
    for module in list(sys.modules.values()):
        spec = getattr(module, "__spec__", None)
        origin, cached = getattr(spec, "origin", None), getattr(spec, "cached", None)
        if not origin or not cached or not origin.endswith(".py") or os.path.exists(cached):
            continue
        folder = os.path.dirname(cached)
        while folder and not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        if sys.dont_write_bytecode or not os.access(folder, os.W_OK):
            found.append(origin)
    return found


def versions():
    from importlib import metadata

    found = {}
    for name in FRAMEWORKS:
        if name in sys.modules:
            try:
                found[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                found[name] = str(getattr(sys.modules[name], "__version__", "?"))
    return found


# ---- the app ----


def _bases(value):
    return {f"{one.__module__}.{one.__qualname__}" for one in type(value).__mro__}


def _globals(app):
    module = sys.modules.get(app)
    return dict(vars(module)) if module is not None else {}


def debug(app):
    """Return what says that a debug mode is on."""
    found = []
    for name, value in _globals(app).items():
        bases = _bases(value)
        kinds = {"flask.app.Flask", "starlette.applications.Starlette", "quart.app.Quart"}
        if bases & kinds and getattr(value, "debug", False) is True:
            kind = next(iter(bases & kinds)).rpartition(".")[2]
            found.append(f"{kind} {app}:{name} has debug on")
        if "werkzeug.debug.DebuggedApplication" in bases:
            found.append(f"{app}:{name} is werkzeug's debugger, which runs what a browser sends")
    settings = _django_settings()
    if settings is not None and settings.DEBUG:
        found.append("Django's settings have DEBUG = True")
    return found


def _django_settings():
    conf = sys.modules.get("django.conf")
    settings = getattr(conf, "settings", None)
    return settings if getattr(settings, "configured", False) else None


def django():
    settings = _django_settings()
    if settings is None:
        return {}
    return {
        "proxy_ssl_header": bool(getattr(settings, "SECURE_PROXY_SSL_HEADER", None)),
        "use_x_forwarded_host": bool(getattr(settings, "USE_X_FORWARDED_HOST", False)),
        "any_host": "*" in getattr(settings, "ALLOWED_HOSTS", ()),
    }


# ---- logging ----


def logging_state():
    logging = sys.modules.get("logging")
    if logging is None:
        return {}
    manager = logging.root.manager
    loggers = {
        name: one for name, one in manager.loggerDict.items() if isinstance(one, logging.Logger)
    }
    files, queues = [], []
    for name, logger in [("root", logging.root), *loggers.items()]:
        for handler in logger.handlers:
            path = getattr(handler, "baseFilename", None)
            if isinstance(path, str) and not path.startswith(("/dev/", "/proc/")):
                files.append([name, path])
            kinds = _bases(handler)
            if "logging.handlers.QueueHandler" in kinds and not _listens(handler):
                queues.append(name)
    silent = [
        name
        for name, one in loggers.items()
        if not one.propagate
        and not one.handlers
        and one.level != logging.NOTSET
        and not name.startswith("gunicorn")  # the server's own
    ]
    return {
        "disabled": sorted(name for name, one in loggers.items() if one.disabled)[:MOST],
        "disable_below": manager.disable,
        "files": files[:MOST],
        "queues": queues[:MOST],
        "silent": sorted(silent)[:MOST],
    }


def _listens(handler):
    """Return whether a thread takes what a QueueHandler puts into its queue."""
    listener = getattr(handler, "listener", None)
    if listener is not None:
        return getattr(listener, "_thread", None) is not None
    import gc

    name = "logging.handlers.QueueListener"
    return any(
        one.queue is handler.queue and one._thread is not None
        for one in gc.get_objects()
        if hasattr(type(one), "__mro__") and name in _bases(one)
    )


# ---- what a fork copies ----


def generators():
    """Return names of random generators of the app's own modules: each worker has the same."""
    found = []
    packages = f"-packages{os.sep}"
    library = os.path.dirname(os.path.abspath(os.__file__)) + os.sep
    for name, module in list(sys.modules.items()):
        path = getattr(module, "__file__", None)
        if not isinstance(path, str) or packages in path or path.startswith(library):
            continue
        for key, value in list(vars(module).items()):
            bases = _bases(value)
            seeded = "random.Random" in bases and "random.SystemRandom" not in bases
            if seeded or bases & {
                "numpy.random._generator.Generator",
                "numpy.random.mtrand.RandomState",
            }:
                found.append(f"{name}.{key}")
    return found[:MOST]


def connections(inodes):
    """Return the peers of the sockets with these inodes that are connected."""
    found = []
    for table in ("tcp", "tcp6"):
        try:
            with open(f"/proc/self/net/{table}") as file:
                rows = [line.split() for line in file][1:]
        except OSError:
            continue
        established = "01"
        found += [_peer(row[2]) for row in rows if row[9] in inodes and row[3] == established]
    return found[:MOST]


def _peer(text):
    import socket

    address, port = text.split(":")
    raw = bytes.fromhex(address)
    words = b"".join(raw[i : i + 4][::-1] for i in range(0, len(raw), 4))
    family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
    return f"{socket.inet_ntop(family, words)}:{int(port, 16)}"
