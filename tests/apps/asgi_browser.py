"""What a browser's page asks for: events, sockets, streams, forms."""

import asyncio
import hashlib
import json

import asgisocket
from asgiapp import answer, body_of, start
from common import mark


def fields_of(scope):
    return {name.decode(): value.decode() for name, value in scope["headers"]}


async def page(scope, receive, send):
    html = b"<!doctype html><title>cwsgi</title><link rel=icon href=data:,>"
    await answer(send, html, headers=[(b"content-type", b"text/html")])


async def piece(send, data):
    await send({"type": "http.response.body", "body": data.encode(), "more_body": True})


async def events(scope, receive, send):
    """Three events, then the end: the browser comes again, and says where it was."""
    last = int(fields_of(scope).get("last-event-id", "0"))
    mark("events", last)
    await start(send, headers=[(b"content-type", b"text/event-stream")])
    await piece(send, "retry: 10\n\n")
    for number in range(last + 1, last + 4):
        await piece(send, f"id: {number}\nevent: tick\ndata: {number}\ndata: \u20ac\n\n")
    await send({"type": "http.response.body"})


async def forever(scope, receive, send):
    """Events until the page is left."""
    await start(send, headers=[(b"content-type", b"text/event-stream")])
    await piece(send, "data: first\n\n")
    mark("forever", "begin")
    while (await receive())["type"] != "http.disconnect":
        pass
    mark("forever", "end")


async def no_more(scope, receive, send):
    """204 tells a browser to come no more."""
    mark("no-more")
    await answer(send, status=204)


async def stream(scope, receive, send):
    """Each piece but the first when the page has asked for it on a way of its own."""
    await start(send, headers=[(b"content-type", b"application/octet-stream")])
    for number in range(3):
        await piece(send, f"{number}")
        await turns.setdefault(number, asyncio.Event()).wait()
    await send({"type": "http.response.body"})
    turns.clear()


async def turn(scope, receive, send):
    turns.setdefault(int(scope["query_string"]), asyncio.Event()).set()
    await answer(send, b"turned")


async def digest(scope, receive, send):
    body = await body_of(receive)
    got = {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    got["type"] = fields_of(scope).get("content-type", "")
    await answer(send, json.dumps(got))


async def extensions(scope, receive, send):
    """What the browser offered for this socket."""
    await asgisocket.accept(send)
    text = fields_of(scope).get("sec-websocket-extensions", "")
    await send({"type": "websocket.send", "text": text})
    await receive()


turns = {}
ROUTES = {
    "/page": page,
    "/events": events,
    "/forever": forever,
    "/no-more": no_more,
    "/stream": stream,
    "/turn": turn,
    "/digest": digest,
}


async def app(scope, receive, send):
    if scope["type"] == "websocket" and scope["path"] == "/extensions":
        assert (await receive())["type"] == "websocket.connect"
        return await extensions(scope, receive, send)
    if scope["type"] == "websocket":
        return await asgisocket.app(scope, receive, send)
    assert scope["type"] == "http", scope["type"]
    return await ROUTES[scope["path"]](scope, receive, send)
