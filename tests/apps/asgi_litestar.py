"""A Litestar app."""

import asyncio
import contextlib
import hashlib

from common import mark
from litestar import Litestar, Request, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.response import Response, ServerSentEvent, Stream


@post("/json", status_code=200)
async def echo(data: dict[str, int]) -> dict[str, int]:
    return {name: value + 1 for name, value in data.items()}


@post("/digest", status_code=200, request_max_body_size=None)
async def digest(request: Request) -> dict[str, str | int]:
    total, size = hashlib.sha256(), 0
    async for piece in request.stream():
        total.update(piece)
        size += len(piece)
    return {"size": size, "sha256": total.hexdigest()}


@get("/thread", sync_to_thread=True)
def thread() -> str:
    return "from a thread"


@get("/stream")
async def stream() -> Stream:
    async def pieces():
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return Stream(pieces())


@get("/events")
async def events() -> ServerSentEvent:
    async def pieces():
        try:
            while True:
                yield "tick"
                await asyncio.sleep(0.005)
        finally:
            mark("events", "end")

    return ServerSentEvent(pieces())


@get("/background")
async def background() -> Response[str]:
    async def later() -> None:
        mark("background", "ran")

    return Response("answered", background=BackgroundTask(later))


@get("/raise")
async def raises() -> None:
    raise ValueError("deliberate")


@websocket("/echo")
async def echo_socket(socket: WebSocket) -> None:
    await socket.accept()
    async for text in socket.iter_data():
        await socket.send_text(text.upper())


@contextlib.asynccontextmanager
async def lifespan(app):
    mark("lifespan", "start")
    yield
    mark("lifespan", "end")


handlers = [echo, digest, thread, stream, events, background, raises, echo_socket]
app = Litestar(handlers, lifespan=[lifespan])
