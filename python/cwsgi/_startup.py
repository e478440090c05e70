"""What runs in a worker before it listens, and what runs when it ends.

Imported only where there are functions of on_startup() or on_shutdown(), or warm-up paths.
"""

import os
from time import monotonic

from . import _shutdown_functions, _startup_functions
from ._log import Log, name_of, unquoted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any


LEAST = 0.5  # seconds for on_shutdown functions


class StartupFailed(Exception):
    """The worker must not serve. The text says which function or path failed, and how."""


def prepare(
    app: "Callable[..., Any]",
    warmup: "list[str]",
    environ: "dict[str, Any]",
    mounts: "Sequence[tuple[str, Callable[..., Any]]]" = (),
) -> None:
    """Run the start-up functions, then request the warm-up paths.

    Several functions run in parallel, each in a thread; a single one in the calling thread.

    Args:
        app: the app, for paths that no mount is for. $SCRIPT_NAME is its prefix.
        warmup: paths with an optional query, as --warmup has them, requested in this order.
        environ: what all requests have in theirs. The rest is made up as for a GET from this
            machine; a value of None stands for one that is missing.
        mounts: prefix and app for each --mount.

    Raises:
        StartupFailed: caused by the exception, or the first of several (the tracebacks of the
            others are written).
    """
    log = Log()
    failures = _run_all(list(_startup_functions))
    if failures:
        for function, error in failures[1:]:
            log.error("on_startup function %s failed", name_of(function), exc_info=error)
        texts = [f"{name_of(function)} failed: {_text(error)}" for function, error in failures]
        raise StartupFailed("on_startup function " + "; ".join(texts)) from failures[0][1]
    for path in warmup:
        began = monotonic()
        prefix, chosen = _mounted(app, path, mounts)
        status = _request(chosen, path, _environ_for(path, prefix, environ))
        took = (monotonic() - began) * 1000
        if status.startswith("5"):
            raise StartupFailed(f"warm-up of {path} answered {status}")
        log.info("warm-up of %s answered %s in %.0f ms", path, status, took)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _run_all(functions: "list[Any]") -> "list[tuple[Any, BaseException]]":
    """Run all and return those that failed, in the order of registration."""
    errors: list[BaseException | None] = [None] * len(functions)

    def run(i: int) -> None:
        try:
            functions[i]()
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


def _mounted(
    app: "Callable[..., Any]", path: str, mounts: "Sequence[tuple[str, Callable[..., Any]]]"
) -> "tuple[str, Callable[..., Any]]":
    """Return the longest prefix of the path that has an app, and that app."""
    decoded = unquoted(path.partition("?")[0])
    apps = [(os.environ.get("SCRIPT_NAME", "").rstrip("/"), app), *mounts]
    for prefix, chosen in sorted(apps, key=lambda pair: len(pair[0]), reverse=True):
        if prefix and (decoded == prefix or decoded.startswith(prefix + "/")):
            return prefix, chosen
    return "", app


def _environ_for(path: str, prefix: str, environ: "dict[str, Any]") -> "dict[str, Any]":
    from io import BytesIO

    target = path.encode("utf-8", "surrogateescape").decode("latin-1")
    path, _, query = path.partition("?")
    given = {key: value for key, value in environ.items() if value is not None}
    return {
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": os.environ.get("PORT") or "8080",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": "0",
        "HTTP_HOST": "localhost",
        "wsgi.early_hints": lambda headers: None,
        **given,
        "REQUEST_METHOD": "GET",
        "RAW_URI": target,
        "REQUEST_URI": target,
        "SCRIPT_NAME": prefix,
        "PATH_INFO": unquoted(path)[len(prefix) :],
        "QUERY_STRING": query.encode("utf-8", "surrogateescape").decode("latin-1"),
        "wsgi.input": BytesIO(),
    }


def _request(app: "Callable[..., Any]", path: str, environ: "dict[str, Any]") -> str:
    """Call the app as PEP 3333 has it and return the status; the body is thrown away.

    Raises:
        StartupFailed: the app raised, or broke the protocol.
    """
    status: list[str] = []
    sent = False

    def write(data: bytes) -> None:
        nonlocal sent
        if not status:
            raise AssertionError("a body came before start_response was called")
        sent = sent or bool(data)

    def start_response(
        text: str, headers: "list[tuple[str, str]]", exc_info: "Any" = None
    ) -> "Callable[[bytes], None]":
        try:
            if exc_info and sent:
                raise exc_info[1]
            if not exc_info and status:
                raise AssertionError("start_response was called twice")
        finally:
            exc_info = None  # a cycle through the traceback, else
        status[:] = [text]
        return write

    try:
        result = app(environ, start_response)
        try:
            for data in result:
                write(data)
        finally:
            if hasattr(result, "close"):
                result.close()
    except BaseException as error:
        raise StartupFailed(f"warm-up of {path} failed: {_text(error)}") from error
    if not status:
        raise StartupFailed(f"warm-up of {path}: the app did not call start_response")
    return status[0]


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
                function()
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
