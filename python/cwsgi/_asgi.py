"""The event loop of ASGI apps: made, started and ended here; what runs in it is in C.

Imported only where an app is an ASGI app. The loop is asyncio's own, or uvloop's. asyncio's
waits by a turn of the server's loop in place of epoll (``_core._asgi_select``); what its own
transports and timers wait for is in the same wait. uvloop waits in its own way, and reads a
descriptor that tells of requests.
"""

import asyncio
import functools
import inspect
import selectors
import sys

from . import _core, _shutdown_functions, _startup_functions
from ._error_log import Log, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Any

    from ._hooks import WorkerHooks

    App = Callable[[Any, Any, Any], Awaitable[None]]

MOST_FAILURES = 100  # of the loop itself, each within a second of the last
LEAST = 0.5  # seconds for the end of an app, and for what is left of the loop


class StartupFailed(Exception):
    """An app must not be served; the text is what it said."""


class Loop(asyncio.SelectorEventLoop):
    """asyncio's loop for Unix; it leaves signals to the server where the app does not."""

    def __init__(self) -> None:
        self.own = selectors.EpollSelector()
        super().__init__(self.own)

    def remove_signal_handler(self, sig: int) -> bool:
        """As asyncio's; afterwards signals that Python handles end a wait again."""
        removed = super().remove_signal_handler(sig)
        _core._asgi_keep_wakeup()
        return removed


def _uvloop() -> "Any":
    try:
        import uvloop  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise StartupFailed(f"--loop uvloop: {error}; pip install uvloop") from None
    return uvloop.new_event_loop()


class Lifespan:
    """The lifespan of one app (ASGI 3.0, lifespan 2.0)."""

    def __init__(
        self, app: "App", mode: str, state: "dict[str, Any]", lose: "Callable[[], None]"
    ) -> None:
        """`lose` is called where a task that waits for this app was forgotten."""
        self.app, self.mode, self.state, self.lose = app, mode, state, lose
        self.log = Log()
        self.messages: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.started: asyncio.Event = asyncio.Event()
        self.ended: asyncio.Event = asyncio.Event()
        self.failure: str | None = None
        self.complete = False
        self.task: asyncio.Task[None] | None = None

    def tell(self, event: asyncio.Event) -> None:
        try:
            event.set()
        except MemoryError:
            # It is set, and who waits for it is never woken.
            self.lose()
            raise

    async def receive(self) -> "dict[str, str]":
        return await self.messages.get()

    async def send(self, message: "dict[str, Any]") -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self.complete = True
            self.tell(self.started)
        elif kind == "lifespan.startup.failed":
            self.failure = message.get("message") or "it sent lifespan.startup.failed"
            self.tell(self.started)
        elif kind == "lifespan.shutdown.complete":
            self.tell(self.ended)
        elif kind == "lifespan.shutdown.failed":
            self.log.error("the app's shutdown failed: %s", message.get("message") or "")
            self.tell(self.ended)
        else:
            raise RuntimeError(f"unexpected ASGI message {kind!r}")

    async def run(self) -> None:
        try:
            scope = {
                "type": "lifespan",
                "asgi": {"version": "3.0", "spec_version": "2.0"},
                "state": self.state,
            }
            await self.app(scope, self.receive, self.send)
        except (asyncio.CancelledError, GeneratorExit):
            raise
        except BaseException as error:
            if self.complete:
                self.log.exception("Exception in the app's lifespan")
            elif self.failure is None and (self.mode == "on" or isinstance(error, MemoryError)):
                # Whether it knows of it, one without memory has not said.
                self.log.exception("Exception in the app's lifespan")
                self.failure = f"{type(error).__name__}: {error}".rstrip(": ")
            elif self.failure is None:
                # The specification: an app that does not know of it raises.
                self.log.debug("the app has no lifespan: %s: %s", type(error).__name__, error)
            if isinstance(error, (SystemExit, KeyboardInterrupt)):
                self.failure = self.failure or f"{type(error).__name__}: {error}"
        finally:
            self.tell(self.started)
            self.tell(self.ended)

    async def startup(self) -> None:
        self.messages.put_nowait({"type": "lifespan.startup"})
        self.task = asyncio.get_running_loop().create_task(self.run(), name="lifespan")
        await self.started.wait()
        if self.failure is not None:
            await asyncio.wait({self.task}, timeout=LEAST)
            raise StartupFailed(self.failure)
        if not self.complete and self.mode == "on":
            raise StartupFailed("it did not send lifespan.startup.complete")

    async def shutdown(self, timeout: float) -> None:
        if self.task is None or not self.complete:
            return
        self.messages.put_nowait({"type": "lifespan.shutdown"})
        try:
            await asyncio.wait_for(self.ended.wait(), timeout)
            await asyncio.wait({self.task}, timeout=timeout)
        except asyncio.TimeoutError:
            self.log.warning("the app's shutdown did not end in %g s", timeout)


class Runner:
    """The loop of a worker, and the lifespans of its apps."""

    def __init__(
        self, apps: "list[App]", kind: str, lifespan: str, hooks: "WorkerHooks | None" = None
    ) -> None:
        """Make the loop. `hooks` are called around each request; None: there are none."""
        self.remote = kind == "uvloop"
        self.loop: Any = _uvloop() if self.remote else Loop()
        asyncio.set_event_loop(self.loop)
        self.state: dict[str, Any] = {}
        # Each once: an app may be mounted at several places.
        unique = list({id(app): app for app in apps}.values())
        self.apps, self.mode = unique if lifespan != "off" else [], lifespan
        self.lifespans: list[Lifespan] = []
        self.lost = False
        if hooks is not None:
            from ._asgi_hooks import Hooked

            for app in unique:
                _core._replace_app(app, Hooked(app, hooks))

    def descriptor(self) -> int:
        """Return the descriptor by which the loop's own ones can be waited for; -1: none."""
        return -1 if self.remote else self.loop.own.fileno()

    def startup(self) -> None:
        """Run the start-up of every app. Raises StartupFailed."""
        self._run(self._startup())

    def _run(self, awaitable: "Awaitable[object]") -> None:
        """Run until it is done. Raises MemoryError where that may never be.

        asyncio forgets what it has no memory for: a task's next step, or the end of a wait.
        """
        loop, before = self.loop, self.loop.get_exception_handler()

        def on_exception(loop: "Any", context: "dict[str, Any]") -> None:
            if before is None:
                loop.default_exception_handler(context)
            else:
                before(loop, context)
            if "handle" in context and isinstance(context.get("exception"), MemoryError):
                self._lose()

        self.lost = False
        loop.set_exception_handler(on_exception)
        try:
            loop.run_until_complete(awaitable)
        except RuntimeError:
            if self.lost:
                raise MemoryError("the event loop has lost a task") from None
            raise
        finally:
            if loop.get_exception_handler() is on_exception:
                loop.set_exception_handler(before)

    def _lose(self) -> None:
        # Needs no memory.
        self.lost = True
        self.loop.stop()

    async def _startup(self) -> None:
        await _start_functions()
        for app in self.apps:
            lifespan = Lifespan(app, self.mode, self.state, self._lose)
            self.lifespans.append(lifespan)
            await lifespan.startup()

    def serve(self, fd: int) -> None:
        """Run requests until the worker has stopped. `fd` tells another loop of them."""
        if self.remote:
            _core._asgi_serve(None)
            self.loop.add_reader(fd, _core._asgi_pump)
        else:
            selector = self.loop.own
            poll = functools.partial(selectors.EpollSelector.select, selector, 0)
            _core._asgi_serve(poll)
            selector.select = _core._asgi_select
        failures = 0
        try:
            while not _core._asgi_is_finished():
                began = self.loop.time()
                try:
                    self.loop.run_forever()
                except (KeyboardInterrupt, SystemExit) as error:
                    _core._asgi_stop(isinstance(error, KeyboardInterrupt))
                except Exception:
                    # Out of memory in asyncio itself, as a rule. What is ready stays so.
                    failures = failures + 1 if self.loop.time() - began < 1 else 1
                    if failures == MOST_FAILURES:
                        raise
                    Log().exception("Exception in the event loop, which goes on")
        finally:
            if self.remote:
                self.loop.remove_reader(fd)
            else:
                del self.loop.own.select

    def shutdown(self, timeout: float) -> None:
        """End the apps and the loop; each step may take `timeout` seconds, or LEAST."""
        timeout = max(timeout, LEAST)
        loop, log = self.loop, Log()
        try:
            for lifespan in reversed(self.lifespans):
                self._run(lifespan.shutdown(timeout))
            self._run(_end_functions(timeout, log))
            self._run(_cancel_all(loop, timeout, log))
            self._run(loop.shutdown_asyncgens())
            executor = loop.shutdown_default_executor()
            try:
                self._run(asyncio.wait_for(executor, timeout))
            except asyncio.TimeoutError:
                log.warning("functions in the loop's executor did not end in %g s", timeout)
        except BaseException:
            log.exception("Exception at the end of the event loop")
        finally:
            asyncio.set_event_loop(None)
            loop.close()


async def _start_functions() -> None:
    """Await the functions of cwsgi.on_startup() that are coroutine functions, all at once."""
    if not _startup_functions:
        return
    from ._startup import is_async

    functions: list[Any] = [fn for fn in _startup_functions if is_async(fn)]
    results = await asyncio.gather(*(fn() for fn in functions), return_exceptions=True)
    for function, result in zip(functions, results, strict=True):
        if isinstance(result, BaseException):
            text = f"{type(result).__name__}: {result}"
            message = f"on_startup function {name_of(function)} failed: {text}"
            Log().error("%s", message, exc_info=result)
            raise StartupFailed(message)


async def _end_functions(timeout: float, log: Log) -> None:
    """Await the functions of cwsgi.on_shutdown() that are coroutine functions."""
    if not _shutdown_functions:
        return
    from ._startup import is_async

    functions: list[Any] = [fn for fn in _shutdown_functions if is_async(fn)]
    for function in reversed(functions):
        _shutdown_functions.remove(function)
        try:
            await asyncio.wait_for(function(), timeout)
        except asyncio.TimeoutError:
            log.warning("on_shutdown function %s did not end in %g s", name_of(function), timeout)
        except BaseException:
            log.exception("Exception in on_shutdown function %s", name_of(function))


async def _cancel_all(loop: "Any", timeout: float, log: Log) -> None:
    me = asyncio.current_task()
    tasks = [task for task in asyncio.all_tasks(loop) if task is not me]
    for task in tasks:
        task.cancel()
    if not tasks:
        return
    done, pending = await asyncio.wait(tasks, timeout=timeout)
    for task in done:
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("Exception in a task that was cancelled", exc_info=error)
    if pending:
        log.warning("%d tasks did not end in %g s", len(pending), timeout)


def mark_coroutine_functions(*types: type) -> None:
    """Have inspect and asyncio take all instances of these types for coroutine functions.

    They return what can be awaited as a coroutine's. asgiref warns of what is not marked so.
    """
    for one in types:
        if sys.version_info >= (3, 12):
            inspect.markcoroutinefunction(one)
        else:
            # As asgiref itself marks what is called there.
            one._is_coroutine = asyncio.coroutines._is_coroutine  # type: ignore[attr-defined]


def stack_of(task: "asyncio.Task[Any]") -> str:
    """Return where a task waits, as traceback does, through what it awaits."""
    import traceback

    lines = []
    at: Any = getattr(task.get_coro(), "cr_await", None) or task.get_coro()
    frame = getattr(task.get_coro(), "cr_frame", None)
    while frame is not None:
        lines += traceback.format_list(traceback.extract_stack(frame, limit=1))
        frame = getattr(at, "cr_frame", None) or getattr(at, "gi_frame", None)
        at = getattr(at, "cr_await", None) or getattr(at, "gi_yieldfrom", None)
    return "".join(lines)
