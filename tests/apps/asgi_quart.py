"""A Quart app."""

import asyncio
import hashlib

from common import mark
from quart import Quart, jsonify, request, websocket

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = None


@app.before_serving
async def start():
    mark("lifespan", "start")


@app.after_serving
async def end():
    mark("lifespan", "end")


@app.post("/json")
async def echo():
    return jsonify(got=await request.get_json())


@app.post("/form")
async def form():
    fields, files = await request.form, await request.files
    return jsonify(a=fields["a"], file=files["file"].read().decode())


@app.post("/digest")
async def digest():
    total, size = hashlib.sha256(), 0
    async for piece in request.body:
        total.update(piece)
        size += len(piece)
    return jsonify(size=size, sha256=total.hexdigest())


@app.get("/stream")
async def stream():
    async def pieces():
        for number in range(3):
            yield f"{number}\n"
            await asyncio.sleep(0)

    return pieces(), 200, {"Content-Type": "text/plain"}


@app.get("/endless")
async def endless():
    async def pieces():
        try:
            while True:
                yield b"tick\n"
                await asyncio.sleep(0.005)
        finally:
            mark("endless", "end")

    return pieces()


@app.get("/background")
async def background():
    async def later():
        mark("background", "ran")

    app.add_background_task(later)
    return "answered"


@app.get("/raise")
async def raises():
    raise ValueError("deliberate")


@app.websocket("/echo")
async def echo_socket():
    while True:
        await websocket.send((await websocket.receive()).upper())
