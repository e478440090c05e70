"""A Falcon app."""

import asyncio
import hashlib

import falcon
import falcon.asgi
from common import mark


class Json:
    async def on_post(self, req, resp):
        resp.media = {"got": await req.get_media()}


class Digest:
    async def on_post(self, req, resp):
        total, size = hashlib.sha256(), 0
        async for piece in req.stream:
            total.update(piece)
            size += len(piece)
        resp.media = {"size": size, "sha256": total.hexdigest()}


class Stream:
    async def on_get(self, req, resp):
        async def pieces():
            for number in range(3):
                yield b"%d\n" % number
                await asyncio.sleep(0)

        resp.stream = pieces()


class Events:
    async def on_get(self, req, resp):
        async def events():
            try:
                while True:
                    yield falcon.asgi.SSEvent(text="tick")
                    await asyncio.sleep(0.005)
            finally:
                mark("events", "end")

        resp.sse = events()


class Background:
    async def on_get(self, req, resp):
        async def later():
            mark("background", "ran")

        resp.text = "answered"
        resp.schedule(later)


class Raise:
    async def on_get(self, req, resp):
        raise ValueError("deliberate")


class Echo:
    async def on_websocket(self, req, socket):
        await socket.accept()
        while True:
            try:
                await socket.send_text((await socket.receive_text()).upper())
            except falcon.WebSocketDisconnected:
                mark("closed")
                return


class Lifespan:
    async def process_startup(self, scope, event):
        mark("lifespan", "start")

    async def process_shutdown(self, scope, event):
        mark("lifespan", "end")


app = falcon.asgi.App(middleware=[Lifespan()])
for resource in (Json, Digest, Stream, Events, Background, Raise, Echo):
    app.add_route(f"/{resource.__name__.lower()}", resource())
