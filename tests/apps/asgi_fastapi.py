"""A FastAPI app: what it has beyond Starlette, and what of it leans on the server."""

import contextlib
import hashlib
import threading
from typing import Annotated

from common import mark
from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    File,
    Form,
    HTTPException,
    Request,
    UploadFile,
    WebSocket,
    WebSocketDisconnect,
)
from pydantic import BaseModel


@contextlib.asynccontextmanager
async def lifespan(app):
    mark("lifespan", "start")
    yield {"pool": "open"}
    mark("lifespan", "end")


app = FastAPI(lifespan=lifespan)


class Item(BaseModel):
    name: str
    price: float
    tags: list[str] = []


@app.post("/items")
async def make_item(item: Item):
    return {**item.model_dump(), "total": item.price * 2}


@app.get("/items/{number}")
async def item(number: int, q: str = "none"):
    if number == 404:
        raise HTTPException(404, "no such item")
    return {"number": number, "q": q}


@app.post("/form")
async def form(name: Annotated[str, Form()], note: Annotated[str, Form()] = ""):
    return {"name": name, "note": note}


@app.post("/upload")
async def upload(file: Annotated[UploadFile, File()], name: Annotated[str, Form()]):
    digest = hashlib.sha256()
    size = 0
    while piece := await file.read(1 << 20):
        digest.update(piece)
        size += len(piece)
    return {"file": file.filename, "name": name, "size": size, "sha256": digest.hexdigest()}


@app.get("/state")
async def state(request: Request):
    return {"pool": request.state.pool}


@app.get("/thread")
def thread():
    """A plain function: FastAPI runs it in its thread pool."""
    return {"main": threading.current_thread() is threading.main_thread()}


@app.get("/background")
async def background(tasks: BackgroundTasks):
    tasks.add_task(mark, "background", "ran")
    return {"answered": True}


async def resource():
    mark("resource", "taken")
    try:
        yield "resource"
    finally:
        mark("resource", "given back")


@app.get("/depends")
async def depends(one: Annotated[str, Depends(resource)]):
    return {"has": one}


@app.get("/raise")
async def raises():
    raise ValueError("deliberate")


@app.websocket("/chat/{room}")
async def chat(socket: WebSocket, room: str):
    await socket.accept()
    try:
        while True:
            message = await socket.receive_json()
            await socket.send_json({"room": room, "got": message})
    except WebSocketDisconnect as gone:
        mark("gone", gone.code)


below = FastAPI()


@below.get("/where")
async def where(request: Request):
    return {"root": request.scope["root_path"], "url": str(request.url_for("where"))}


app.mount("/below", below)
