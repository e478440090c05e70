"""The server itself, in C. Public names are those that the package exports."""

from collections.abc import Callable, Iterable
from selectors import SelectorKey
from typing import Any, ParamSpec

from _typeshed import ReadableBuffer as Buffer

_P = ParamSpec("_P")

class ClientDisconnected(ConnectionError):
    """The client left while its request was read or its response sent."""

class RequestTimeout(Exception):
    """Raised in a thread whose request has run longer than --request-timeout."""

def after_response(fn: Callable[_P, object], /, *args: _P.args, **kwargs: _P.kwargs) -> None:
    """Have `fn(*args, **kwargs)` called when the bytes of this thread's response have left.

    Calls run in the worker, one after another for one response, while the client already has
    its answer; what a worker still has to call when it ends is called within the graceful
    timeout. An exception is logged. Raises RuntimeError where the thread runs no request.
    """

def _worker(fd: int, slot: int, /) -> int: ...
def _log(level: str, text: str, /) -> None:
    """Write a line to the error log and, in the same piece, what follows a line break under it."""

def _replace_app(old: object, new: object, /) -> None:
    """Have requests call another object from now on."""

def _changed(path: str, /) -> None:
    """Reload everything: a file of the app has changed."""

def _syslog(source: str, level: int, text: bytes, /) -> None:
    """Send a line of the log `source` (access or error) to syslog, where that is on."""

def _board_read(memory: Buffer, /) -> dict[str, Any]:
    """Return what is on the board that is mapped there."""

def _board_watch(memory: Buffer, ms: int, /) -> bool:
    """Have workers time their requests for `ms`; return whether they do at the moment."""

def _board_ask(memory: Buffer, slot: int, now: bool, /) -> int:
    """Have the next signal to a worker ask for its stacks; return the question's number."""

def _board_answer(memory: Buffer, number: int, /) -> tuple[bytes, int, int] | None:
    """Return stacks, how many bytes there were of them, and an errno; None: not yet."""

def _asgi_select(timeout: float | None, /) -> Iterable[tuple[SelectorKey, int]]:
    """Serve for `timeout` seconds at most: a selector's select() of the event loop."""

def _asgi_pump() -> None:
    """Run what is there; for a loop that waits elsewhere."""

def _asgi_serve(poll: Callable[[], Iterable[tuple[SelectorKey, int]]] | None, /) -> None:
    """Begin. `poll()` returns the events of the loop's own descriptors; None for another loop."""

def _asgi_is_finished() -> bool: ...
def _asgi_stop(quick: bool, /) -> None: ...
def _asgi_keep_wakeup() -> None: ...
