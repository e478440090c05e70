"""A FastAPI app: JSON that is checked, a stream of events, a WebSocket, a lifespan."""

import asyncio
import contextlib

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel

PAGE = """\
<!doctype html>
<title>cwsgi and FastAPI</title>
<h1>Hello, World!</h1>
<p><a href="/docs">The API</a>, <a href="/count">a stream of events</a>.
<p><input id="text" placeholder="say something"> <span id="answer"></span>
<script>
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(`${scheme}//${location.host}/echo`);
  socket.onmessage = (event) => { answer.textContent = event.data; };
  text.oninput = () => socket.send(text.value);
</script>
"""


class Order(BaseModel):
    what: str
    count: int = 1


@contextlib.asynccontextmanager
async def lifespan(app):
    # In each worker, before the port opens: pools, models. What is yielded is request.state.
    yield {"prices": {"tea": 2.5, "coffee": 3.0}}


app = FastAPI(lifespan=lifespan)


@app.get("/", response_class=HTMLResponse)
async def index():
    return PAGE


@app.post("/orders")
async def order(order: Order, request: Request):
    price = request.state.prices.get(order.what, 1.0)
    return {"what": order.what, "total": price * order.count}


@app.get("/count")
async def count():
    async def events():
        for number in range(1, 6):
            yield f"data: {number}\n\n"
            await asyncio.sleep(0.5)

    return StreamingResponse(events(), media_type="text/event-stream")


@app.websocket("/echo")
async def echo(socket: WebSocket):
    await socket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        while True:
            await socket.send_text((await socket.receive_text()).upper())
