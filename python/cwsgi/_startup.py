"""What runs in a worker before it listens, and what runs when it ends.

Imported only where there are functions of on_startup() or on_shutdown().
"""

from . import _shutdown_functions, _startup_functions
from ._error_log import Log, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


LEAST = 0.5  # seconds for on_shutdown functions


class StartupFailed(Exception):
    """The worker must not serve. The text says which function failed, and how."""


def is_async(function: "Any") -> bool:
    """Whether a function is to be awaited."""
    from inspect import iscoroutinefunction

    return iscoroutinefunction(function)


def run(has_loop: bool = False) -> None:
    """Run the start-up functions.

    Several run in parallel, each in a thread; a single one in the calling thread. Those that
    are coroutine functions run in an event loop: the one of ASGI apps, later (_asgi.py), where
    the worker has one, or one of their own.

    Raises:
        StartupFailed: caused by the exception, or the first of several (the tracebacks of the
            others are written).
    """
    functions = [fn for fn in _startup_functions if not (has_loop and is_async(fn))]
    failures = _run_all(functions)
    if not failures:
        return
    log = Log()
    for function, error in failures[1:]:
        log.error("on_startup function %s failed", name_of(function), exc_info=error)
    texts = [f"{name_of(function)} failed: {_text(error)}" for function, error in failures]
    raise StartupFailed("on_startup function " + "; ".join(texts)) from failures[0][1]


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _call(function: "Any") -> None:
    result = function()
    if is_async(function):
        import asyncio

        asyncio.run(result)


def _run_all(functions: "list[Any]") -> "list[tuple[Any, BaseException]]":
    """Run all and return those that failed, in the order of registration."""
    errors: list[BaseException | None] = [None] * len(functions)

    def run(i: int) -> None:
        try:
            _call(functions[i])
        except BaseException as error:
            errors[i] = error

    if len(functions) == 1:
        run(0)
    elif functions:
        from threading import Thread

        threads = [
            Thread(target=run, args=(i,), name=f"cwsgi-startup-{i}", daemon=True)
            for i in range(len(functions))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return [(fn, e) for fn, e in zip(functions, errors, strict=True) if e is not None]


def shutdown(timeout: float) -> None:
    """Run the functions of on_shutdown(), the last registered first, one after another.

    They run in a thread of their own: what has not ended in `timeout` seconds, or LEAST where
    requests have used up the time, is left behind with a warning that names it. An exception
    is logged, and the next one runs. Never raises.
    """
    functions = list(reversed(_shutdown_functions))
    if not functions:
        return
    from threading import Thread

    log = Log()
    left = list(functions)

    def run() -> None:
        for function in functions:
            try:
                _call(function)
            except BaseException:
                log.exception("Exception in on_shutdown function %s", name_of(function))
            del left[0]

    thread = Thread(target=run, name="cwsgi-shutdown", daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        log.warning("on_shutdown functions cannot run: %s", error)
        return
    timeout = max(timeout, LEAST)
    thread.join(timeout)
    waiting = list(left)
    if waiting:
        log.warning(
            "on_shutdown functions did not end in %g s: %s",
            timeout,
            ", ".join(name_of(function) for function in waiting),
        )
