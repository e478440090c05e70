"""cwsgi: a WSGI server in C with CPython embedded. Run it as `cwsgi main:app`.

Apps need nothing of this package; ``ClientDisconnected`` is there for those who want to
tell a client that left from other errors. Types are in the stub beside this file: importing
``typing`` here would cost every start.
"""

from ._version import __version__

__all__ = ["ClientDisconnected", "RequestTimeout", "__version__", "after_response"]


def __getattr__(name):
    """Load the extension only where something of it is asked for (PEP 562)."""
    if name in ("ClientDisconnected", "RequestTimeout", "after_response"):
        from . import _core

        return getattr(_core, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
