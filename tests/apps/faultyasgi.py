"""An ASGI app whose every allocation may fail; beside faulty:app (faulty.py), which arms them."""

import asyncio
import contextlib

FILE = __file__
OK = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]}
END = {"type": "http.response.body", "body": b"hello"}


async def hello(scope, receive, send):
    await send(OK)
    await send(END)


async def read(scope, receive, send):
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send(OK)
    await send({"type": "http.response.body", "body": str(size).encode()})


async def stream(scope, receive, send):
    await send(OK)
    for _ in range(3):
        await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})
        await asyncio.sleep(0)
    await send({"type": "http.response.body"})


async def trailers(scope, receive, send):
    await send({**OK, "trailers": True})
    await send(END)
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


async def hints(scope, receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
    await hello(scope, receive, send)


async def file(scope, receive, send):
    await send(OK)
    await send({"type": "http.response.pathsend", "path": FILE})


async def waiting(scope, receive, send):
    """Waits for the client's end in one task, and answers in another."""
    watch = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await hello(scope, receive, send)
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(watch, 5)


async def socket(scope, receive, send):
    """An echo."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": message["text"]})


ROUTES = {f"/{one.__name__}": one for one in (hello, read, stream, trailers, hints, file, waiting)}


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await socket(scope, receive, send)
    elif scope["type"] == "http":
        path = scope["path"].removeprefix(scope["root_path"])
        await ROUTES[path](scope, receive, send)
    else:
        raise RuntimeError("no lifespan")
