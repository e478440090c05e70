"""The ASGI apps that bench/asgi.py serves."""

BODY = b"Hello, World!"
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")],
}


async def app(scope, receive, send):
    """Raw ASGI, and an echo for WebSockets."""
    if scope["type"] == "http":
        await send(START)
        await send({"type": "http.response.body", "body": BODY})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            await send({"type": "websocket.send", "bytes": message.get("bytes")})
    else:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})


def __getattr__(name):
    """Load a framework only where it is served."""
    if name == "fast":
        globals()["fast"] = make_fastapi()
    elif name == "star":
        globals()["star"] = make_starlette()
    else:
        raise AttributeError(name)
    return globals()[name]


def make_fastapi():
    from fastapi import FastAPI
    from fastapi.responses import PlainTextResponse
    from pydantic import BaseModel

    class Item(BaseModel):
        name: str
        price: float
        tags: list[str] = []

    fast = FastAPI()

    @fast.get("/", response_class=PlainTextResponse)
    async def plain():
        return "Hello, World!"

    @fast.get("/json")
    async def as_json():
        return {"hello": "world", "numbers": [1, 2, 3]}

    @fast.post("/item")
    async def take_item(item: Item):
        return item

    return fast


def make_starlette():
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def plain(request):
        return PlainTextResponse("Hello, World!")

    return Starlette(routes=[Route("/", plain)])
