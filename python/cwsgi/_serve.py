"""``cwsgi.serve()``: the program in place of the script that calls it."""

import os
import sys

from .__main__ import run

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import ModuleType
    from typing import Any, NoReturn

# Settings whose option is not the setting's name with dashes.
FLAGS = {
    "accesslog": "--access-logfile",
    "errorlog": "--error-logfile",
    "keepalive": "--keep-alive",
    "logconfig": "--log-config",
    "logconfig_json": "--log-config-json",
    "loglevel": "--log-level",
    "pidfile": "--pid",
    "preload_app": "--preload",
    "proc_name": "--name",
    "proxy_allow_ips": "--proxy-allow-from",
    "raw_env": "--env",
    "syslog": "--log-syslog",
    "syslog_addr": "--log-syslog-to",
    "syslog_facility": "--log-syslog-facility",
    "syslog_prefix": "--log-syslog-prefix",
}
# Settings without an option.
FILE_ONLY = ("logconfig_dict", "secure_scheme_headers", "wsgi_app")

# Set for the program: its process id, which is this one's.
SERVING = "CWSGI_SERVING"


def serve(app: "Any", options: "dict[str, Any]") -> "NoReturn":
    """Execute the program. What cwsgi.serve() says holds here."""
    if os.environ.get(SERVING) == str(os.getppid()):
        raise RuntimeError(
            "cwsgi.serve() was called by the import of the app that it serves; "
            'put it under: if __name__ == "__main__":'
        )
    words = arguments(app, options)
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    os.environ[SERVING] = str(os.getpid())
    run(words)


def arguments(app: "Any", options: "dict[str, Any]") -> "list[str]":
    """Return the command line, without the program, for cwsgi.serve(app, **options)."""
    options = dict(options)
    reference = app if isinstance(app, str) else reference_of(app)
    folder = script_folder()
    if folder is not None:
        paths = options.get("pythonpath") or ()
        paths = paths.split(",") if isinstance(paths, str) else list(paths)
        options["pythonpath"] = [folder, *map(os.fspath, paths)]
    words = [word for name, value in options.items() for word in option(name, value)]
    return [*words, "--", reference]


def option(name: str, value: "Any") -> "list[str]":
    """Return the words that set one setting."""
    from ._settings import KINDS, SPLIT

    kind = KINDS.get(name)
    if kind is None:
        raise TypeError(f"serve() got an unexpected option {name!r}")
    if name in FILE_ONLY:
        raise TypeError(f"serve(): {name} can only be set in a configuration file")
    flag = FLAGS.get(name) or "--" + name.replace("_", "-")
    if value is None:
        return []
    if kind == "bool":
        if not isinstance(value, (bool, int)):
            raise TypeError(f"serve(): {name} is True or False, not {value!r}")
        if value:
            return [flag]
        return ["--no-sendfile"] if name == "sendfile" else []
    if isinstance(value, (list, tuple, set, frozenset)):
        items = [text(name, item) for item in value]
        if kind == "list":
            return [f"{flag}={item}" for item in items]
        if name in SPLIT or name == "pythonpath":
            if any("," in item for item in items):
                raise ValueError(f"serve(): {name}: a comma cannot be part of {items!r}")
            return [f"{flag}={','.join(items)}"]
    return [f"{flag}={text(name, value)}"]


def text(name: str, value: "Any") -> str:
    if name == "proxy_protocol" and isinstance(value, bool):
        return "auto" if value else "off"
    if isinstance(value, bool) or not (
        isinstance(value, (str, int, float)) or hasattr(value, "__fspath__")
    ):
        raise TypeError(f"serve(): {name} cannot be {value!r}")
    return str(os.fsdecode(value) if hasattr(value, "__fspath__") else value)


# ---- the app's name ----


def main_name(main: "ModuleType") -> "str | None":
    """Return the name by which a worker can import the running script, or None."""
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)  # python -m
    path = getattr(main, "__file__", None)
    stem, ending = os.path.splitext(os.path.basename(path or ""))
    return stem if ending == ".py" and "." not in stem and ":" not in stem else None


def script_folder() -> "str | None":
    """Return the folder that running a script has put on sys.path; None for ``python -m``.

    Workers have the current folder there, not the script's.
    """
    main = sys.modules["__main__"]
    path: str | None = getattr(main, "__file__", None)
    if path is None or getattr(main, "__spec__", None) is not None:
        return None
    return os.path.dirname(os.path.abspath(path))


def reference_of(app: "Any") -> str:
    """Return ``module:name`` for an app.

    Raises ValueError where no module has it under a name of its own.
    """
    if not callable(app):
        raise TypeError(f"serve(): the app is a {type(app).__name__}, which is not callable")
    home = getattr(app, "__module__", None)
    # The module that says it is its own comes first, then the script, then any.
    for module_name in dict.fromkeys((home, "__main__", *sys.modules)):
        module = sys.modules.get(module_name) if isinstance(module_name, str) else None
        names = getattr(module, "__dict__", {})
        found = [name for name, value in list(names.items()) if value is app]
        known = main_name(module) if module_name == "__main__" and module else module_name
        if found and known:
            # A script's app is usually called so; of several names any will do.
            best = next((name for name in ("application", "app") if name in found), found[0])
            return f"{known}:{best}"
    raise ValueError(
        'serve(): no module has this app under a name of its own; pass "module:name" instead'
    )
