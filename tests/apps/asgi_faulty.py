"""ASGI requests of every kind, whose allocations are made to fail one after the other.

`control` is a WSGI app beside them, which arms the failure and says whether it came. /tasks
tells which tasks there are, and which of them asyncio has lost.
"""

import asyncio
import gc
import json

from asgiapp import answer, body_of, start
from common import STATE, query
from cwsgi import _core

OK = [b"ok"]
PLAIN = [("Content-Type", "text/plain")]
FILE = STATE / "content"
FILE.write_bytes(b"x" * 300_000)
BIG = b"b" * 1_000_000
ROUNDS = 10  # of the event loop: more than any of these apps lets pass one after the other
tasks = set()


def control(environ, start_response):
    start_response("200 OK", PLAIN)
    if environ["PATH_INFO"] == "/has":
        return [b"yes" if hasattr(_core, "_fault_arm") else b"no"]
    if environ["PATH_INFO"] == "/arm":
        _core._fault_arm(int(query(environ)["n"]))
        return OK
    left = _core._fault_left()
    _core._fault_arm(0)
    return [b"%d" % left]


def awaited(coro):
    """What the innermost of a chain of coroutines awaits, or is."""
    while getattr(coro, "cr_await", None) is not None:
        coro = coro.cr_await
    return coro


def seems_lost(task):
    """Whether nothing that asyncio waits for is to run this task again.

    It may be true of one whose next step is ready, for a round of the loop.
    """
    future = task._fut_waiter
    if future is None or future.done():
        return True
    if isinstance(future, asyncio.Task):
        return seems_lost(future)
    if type(awaited(task.get_coro())).__name__ == "Waiter":
        return False  # cwsgi has to set it
    timers = asyncio.get_running_loop()._scheduled
    return not any(future in (timer._args or ()) for timer in timers)


async def list_tasks(scope, receive, send):
    """The tasks beside this one. With ?end those that asyncio has lost end: it never ends them."""
    me, lost = asyncio.current_task(), asyncio.all_tasks()
    for _ in range(ROUNDS):
        lost = {task for task in lost if task is not me and not task.done() and seems_lost(task)}
        await asyncio.sleep(0)
    run = asyncio.all_tasks() - lost - {me}
    told = json.dumps({"run": [*map(repr, run)], "lost": [*map(repr, lost)]})
    if scope["query_string"] == b"end":
        for task in lost:
            task.get_coro().close()
        lost = task = run = None
        gc.collect()
    await answer(send, told.encode())


async def hello(scope, receive, send):
    await answer(send, b"hello", headers=[(b"content-type", b"text/plain")])


async def echo(scope, receive, send):
    await answer(send, await body_of(receive))


async def stream(scope, receive, send):
    """Takes and sends in pieces."""
    await start(send)
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        piece = message.get("body", b"")
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b"end"})


async def waits(scope, receive, send):
    """For the loop, for a timer, for another task, for a thread."""
    await asyncio.sleep(0)
    await asyncio.sleep(0.001)
    task = asyncio.ensure_future(asyncio.sleep(0, b"task"))
    tasks.add(task)
    try:
        body = await task
    finally:
        tasks.discard(task)
    await answer(send, body)


async def big(scope, receive, send):
    """More than the client takes at once."""
    await answer(send, BIG, headers=[(b"content-length", b"1000000")])


async def file(scope, receive, send):
    await start(send)
    await send({"type": "http.response.pathsend", "path": str(FILE)})


async def hint(scope, receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    await answer(send, b"hinted")


async def trailers(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "trailers": True})
    await send({"type": "http.response.body", "body": b"body"})
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


async def later(scope, receive, send):
    """Goes on after its response."""
    await answer(send, b"answered")
    await asyncio.sleep(0)


async def listens(scope, receive, send):
    """Waits for the client to leave, while it sends."""
    task = asyncio.ensure_future(receive())
    tasks.add(task)
    try:
        await answer(send, b"heard")
        await task
    finally:
        task.cancel()
        tasks.discard(task)


async def nothing(scope, receive, send):
    pass


async def unfinished(scope, receive, send):
    await start(send)
    await send({"type": "http.response.body", "body": b"some", "more_body": True})


async def refused(scope, receive, send):
    """A message that is none, and then a response."""
    try:
        await send({"type": "http.response.start", "status": 1000})
    except ValueError:
        await answer(send, b"refused")


async def raises(scope, receive, send):
    raise ValueError("deliberate")


async def raises_late(scope, receive, send):
    await start(send)
    await send({"type": "http.response.body", "body": b"some", "more_body": True})
    raise ValueError("deliberate")


async def socket_echo(scope, receive, send):
    await send({"type": "websocket.accept", "headers": [(b"x-app", b"socket")]})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("text") is not None:
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            await send({"type": "websocket.send", "bytes": message["bytes"]})


async def socket_closes(scope, receive, send):
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": "bye"})
    await send({"type": "websocket.close", "code": 4000, "reason": "bye"})


async def socket_refused(scope, receive, send):
    await send({"type": "websocket.close"})


async def socket_denied(scope, receive, send):
    await send({"type": "websocket.http.response.start", "status": 401})
    await send({"type": "websocket.http.response.body", "body": b"who are you?"})


ROUTES = {"/tasks": list_tasks} | {
    "/" + function.__name__.replace("_", "-"): function
    for function in (
        hello,
        echo,
        stream,
        waits,
        big,
        file,
        hint,
        trailers,
        later,
        listens,
        nothing,
        unfinished,
        refused,
        raises,
        raises_late,
        socket_echo,
        socket_closes,
        socket_refused,
        socket_denied,
    )
}


async def app(scope, receive, send):
    assert scope["type"] != "lifespan"
    if scope["type"] == "websocket":
        await receive()
    await ROUTES[scope["path"]](scope, receive, send)
