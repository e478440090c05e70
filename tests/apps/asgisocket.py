"""A raw ASGI app for WebSockets: each path does one thing that a test asks for."""

import asyncio
import json

from asgiapp import answer, forget_next, jsonable
from common import mark


async def accept(send, **more):
    await send({"type": "websocket.accept", **more})


async def echo(scope, receive, send):
    await accept(send)
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            # Sockets of other tests may end at any later time: each test looks for its own.
            mark("disconnect-" + scope["query_string"].decode(), json.dumps(message))
            return
        await send({**message, "type": "websocket.send"})


async def scope_(scope, receive, send):
    await accept(send)
    await send({"type": "websocket.send", "text": json.dumps(jsonable(scope))})
    await receive()


async def accepted(scope, receive, send):
    chosen = scope["query_string"].decode()
    await accept(send, subprotocol=chosen, headers=[(b"x-app", b"socket")])
    await receive()


async def early(scope, receive, send):
    """Begins to receive before it accepts, as Quart does."""
    receiver = asyncio.create_task(receive())
    await asyncio.sleep(0)
    await accept(send)
    message = await receiver
    await send({**message, "type": "websocket.send"})


async def close(scope, receive, send):
    await accept(send)
    await send({"type": "websocket.close", "code": 4001, "reason": "bye \u20ac"})
    mark("closed", json.dumps(await receive()))


async def return_(scope, receive, send):
    await accept(send)


async def raise_(scope, receive, send):
    await accept(send)
    raise ValueError("deliberate")


async def refuse(scope, receive, send):
    await send({"type": "websocket.close"})


async def deny(scope, receive, send):
    start = {"status": 401, "headers": [(b"x-why", b"token")]}
    await send({"type": "websocket.http.response.start", **start})
    body = {"type": "websocket.http.response.body"}
    await send({**body, "body": b"who are ", "more_body": True})
    await send({**body, "body": b"you?"})


async def nothing(scope, receive, send):
    pass


async def raise_first(scope, receive, send):
    raise ValueError("deliberate")


BAD = {
    "send-first": {"type": "websocket.send", "text": "x"},
    "accept-twice": {"type": "websocket.accept"},
    "empty": {"type": "websocket.send"},
    "both-wrong": {"type": "websocket.send", "text": b"x", "bytes": "y"},
    "code": {"type": "websocket.close", "code": 1005},
    "long-reason": {"type": "websocket.close", "reason": "x" * 200},
    "reason": {"type": "websocket.close", "reason": b"x"},
    "http": {"type": "http.response.start", "status": 200},
    "surrogate": {"type": "websocket.send", "text": "\ud800"},
}


async def bad(scope, receive, send):
    what = scope["query_string"].decode()
    said = "was taken"
    if what != "send-first":
        await accept(send)
    try:
        await send(BAD[what])
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
    if what == "send-first":
        await accept(send)
    await send({"type": "websocket.send", "text": said})
    await receive()


async def late(scope, receive, send):
    await accept(send)
    while (await receive())["type"] != "websocket.disconnect":
        pass
    try:
        await send({"type": "websocket.send", "text": "x"})
    except OSError as error:
        mark("late", type(error).__name__)


async def forgotten(scope, receive, send):
    """Receives before it accepts, and is not woken then."""
    forget_next()
    task = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await accept(send)
    message = await receive()
    mark("forgotten", f"{message['type']} {task.done()}")
    task.cancel()


async def flood(scope, receive, send):
    await accept(send)
    while True:
        await send({"type": "websocket.send", "bytes": b"x" * 65536})
        mark("flood")
        await asyncio.sleep(0)


ROUTES = {
    "/": echo,
    "/scope": scope_,
    "/accept": accepted,
    "/early": early,
    "/close": close,
    "/return": return_,
    "/raise": raise_,
    "/refuse": refuse,
    "/deny": deny,
    "/nothing": nothing,
    "/raise-first": raise_first,
    "/bad": bad,
    "/late": late,
    "/forgotten": forgotten,
    "/flood": flood,
}


async def app(scope, receive, send):
    if scope["type"] == "http":
        return await answer(send, b"no socket\n")
    assert scope["type"] == "websocket", scope["type"]
    assert (await receive()) == {"type": "websocket.connect"}
    return await ROUTES[scope["path"]](scope, receive, send)
