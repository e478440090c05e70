"""A Starlette app: streams, disconnects, middleware, files, WebSockets."""

import asyncio
import contextlib
import contextvars
import gc
import hashlib
import os

import anyio
from common import STATE, mark
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

seen = contextvars.ContextVar("seen", default="nobody")


class Stamp(BaseHTTPMiddleware):
    """Runs the app in a task of its own, and hands its messages on through a stream."""

    async def dispatch(self, request, call_next):
        seen.set(request.headers.get("x-name", "nobody"))
        response = await call_next(request)
        response.headers["x-stamp"] = request.url.path
        return response


async def digest(request):
    """An upload as it comes."""
    total, size = hashlib.sha256(), 0
    async for piece in request.stream():
        total.update(piece)
        size += len(piece)
    return JSONResponse({"size": size, "sha256": total.hexdigest()})


async def form(request):
    async with request.form() as fields:
        file = fields["file"]
        return JSONResponse({"a": fields["a"], "file": (await file.read()).decode()})


async def cut(request):
    """A body that its client does not end."""
    try:
        await request.body()
    except ClientDisconnect:
        mark("cut", "ClientDisconnect")
        raise
    return PlainTextResponse("whole")


async def count(request):
    async def lines():
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return StreamingResponse(lines(), media_type="text/plain")


async def endless(request):
    """Server-sent events until the client leaves."""

    async def events():
        mark("events", "begin")
        try:
            number = 0
            while True:
                yield f"id: {number}\ndata: tick\n\n"
                number += 1
                await asyncio.sleep(0.005)
        finally:
            mark("events", "end")

    return StreamingResponse(events(), media_type="text/event-stream")


async def silent(request):
    """A stream that has nothing to say for long."""

    async def events():
        try:
            yield "first\n"
            await asyncio.Event().wait()
        finally:
            mark("silent", "end")

    return StreamingResponse(events())


async def collect(request):
    """A generator that is given up may be in a cycle, with the exception that ended it."""
    return JSONResponse(gc.collect())


async def poll(request):
    """Asks again and again whether somebody still listens."""
    mark("poll", await request.is_disconnected())
    while not await request.is_disconnected():
        await asyncio.sleep(0.005)
    mark("poll", True)
    return PlainTextResponse("to nobody")


async def poll_body(request):
    """is_disconnected() before and after the body, from which it must take nothing away."""
    body = await request.body()
    gone = [await request.is_disconnected() for _ in range(3)]
    return JSONResponse({"body": body.decode(), "gone": gone})


async def background(request):
    async def later():
        mark("background", "ran")

    return PlainTextResponse("answered", background=BackgroundTask(later))


async def context(request):
    return PlainTextResponse(seen.get())


async def group(request):
    """Tasks of a group that all end where one of them fails."""
    ended = []

    async def wait():
        try:
            await anyio.sleep(3600)
        finally:
            ended.append("cancelled")

    async def fail():
        await anyio.sleep(0)
        raise KeyError("deliberate")

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            tasks.start_soon(wait)
            tasks.start_soon(fail)
    except BaseException as error:
        ended.append(type(error).__name__)
    with anyio.move_on_after(0.01):
        await anyio.sleep(3600)
        ended.append("slept")
    ended.append(await anyio.to_thread.run_sync(lambda: "thread"))
    return JSONResponse(ended)


async def file(request):
    return FileResponse(STATE / "served.bin", filename="served.bin")


async def state(request):
    request.state.of_mine = "this request's"
    return JSONResponse({"shared": request.state.shared["key"]})


async def raises(request):
    raise ValueError("deliberate")


async def raises_in_stream(request):
    async def broken():
        yield b"some"
        raise ValueError("deliberate")

    return StreamingResponse(broken())


async def refuses(request):
    raise HTTPException(418, "short and stout", headers={"x-tea": "pot"})


async def fork(request):
    """A child that is made in a handler ends, and takes nothing of the server's with it."""
    pid = os.fork()
    if pid == 0:
        os._exit(7)
    return JSONResponse({"status": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])})


class Echo(WebSocketEndpoint):
    encoding = "text"

    async def on_connect(self, socket):
        await socket.accept(subprotocol=(socket.scope["subprotocols"] or [None])[0])

    async def on_receive(self, socket, data):
        await socket.send_text(data.upper())

    async def on_disconnect(self, socket, code):
        mark("closed", code)


async def deny(socket):
    await socket.send_denial_response(PlainTextResponse("not you", status_code=403))


async def ticks(socket):
    """Sends by itself, while another task listens."""
    await socket.accept()

    async def listen():
        async for _ in socket.iter_text():
            pass
        mark("ticks", "left")
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        for number in range(1_000_000):
            await socket.send_text(str(number))
            await anyio.sleep(0.001)


@contextlib.asynccontextmanager
async def lifespan(app):
    mark("lifespan", "start")
    yield {"shared": {"key": "value"}}
    mark("lifespan", "end")


async def where(request):
    return JSONResponse({"root": request.scope["root_path"], "url": str(request.url)})


def functions(*all_of_them, methods=("GET", "POST")):
    return [
        Route("/" + one.__name__.replace("_", "-"), one, methods=list(methods))
        for one in all_of_them
    ]


routes = [
    *functions(
        digest,
        form,
        cut,
        count,
        endless,
        silent,
        collect,
        poll,
        poll_body,
        background,
        context,
        group,
    ),
    *functions(file, state, raises, raises_in_stream, refuses, fork),
    Mount("/sub", routes=[Route("/where", where)]),
    Mount("/static", StaticFiles(directory=STATE)),
    WebSocketRoute("/echo", Echo),
    WebSocketRoute("/deny", deny),
    WebSocketRoute("/ticks", ticks),
]
inner = Starlette(routes=functions(count, context, endless, digest, background, raises))
inner.add_middleware(Stamp)
zipped = Starlette(routes=functions(count, endless), middleware=[Middleware(GZipMiddleware)])
routes += [Mount("/stamped", inner), Mount("/zipped", zipped)]
app = Starlette(routes=routes, lifespan=lifespan)
