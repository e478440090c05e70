"""cwsgi: a WSGI server in C with CPython embedded. Run it as `cwsgi main:app`.

Apps need nothing of this package; what it offers to those who want it is described in
docs/python-api.md. Types are in the stub beside this file: importing ``typing`` here would
cost every start.
"""

from ._version import __version__

__all__ = [
    "ClientDisconnected",
    "RequestTimeout",
    "__version__",
    "after_response",
    "on_shutdown",
    "on_startup",
    "serve",
]

# The worker looks at these, if the app has imported this package.
_startup_functions = []
_shutdown_functions = []


def on_startup(function):
    """Have `function()` called in each worker after the app's import, before the port opens.

    All such functions run in parallel, each in a thread; one that raises ends the start.
    Returns `function`, so that it can be used as a decorator.
    """
    _startup_functions.append(function)
    return function


def on_shutdown(function):
    """Have `function()` called in each worker when its last request is done.

    Such functions run one after another, the last registered first, within the graceful
    timeout. Returns `function`, so that it can be used as a decorator.
    """
    _shutdown_functions.append(function)
    return function


def serve(app, **options):
    """Become the server: replace this process with `cwsgi APP`. Never returns.

    Args:
        app: ``"module:name"``, or the app itself where a module has it by name.
        options: settings by the names that they have in a configuration file.

    Raises:
        TypeError: an unknown option, or a value of a wrong type.
        ValueError: no module has `app` by name.
        RuntimeError: called while a worker imports the app; OSError: no program.
    """
    from ._serve import serve as become

    become(app, options)


def __getattr__(name):
    """Load the extension only where something of it is asked for (PEP 562)."""
    if name in ("ClientDisconnected", "RequestTimeout", "after_response"):
        from . import _core

        value = globals()[name] = getattr(_core, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
