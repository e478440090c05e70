"""cwsgi: a WSGI server in C with CPython embedded. Run it as `cwsgi main:app`.

Apps need nothing of this package; ``ClientDisconnected`` is there for those who want to
tell a client that left from other errors.
"""

from ._core import ClientDisconnected
from ._version import __version__

__all__ = ["ClientDisconnected", "__version__"]
