"""cwsgi: a WSGI server in C with CPython embedded. Run it as `cwsgi main:app`."""

from ._version import __version__

__all__ = ["__version__"]
