"""What the interpreter holds, beside the apps whose leaks are looked for."""

import gc
import json
import sys

import asgiapp
import asgisocket

# Objects that a careless server would forget to release, or release too often.
SENTINELS = {
    "None": None,
    "True": True,
    "empty bytes": b"",
    "empty str": "",
    "dict": dict,
    "zero": 0,
    **{text: sys.intern(text) for text in ("type", "http", "GET", "http.request", "body")},
}


async def stats(scope, receive, send):
    gc.collect()
    counts = {name: sys.getrefcount(value) for name, value in SENTINELS.items()}
    counts.update(
        {f"type {type(one).__name__}": sys.getrefcount(type(one)) for one in (receive, send)}
    )
    objects, blocks = len(gc.get_objects()), sys.getallocatedblocks()
    await asgiapp.answer(send, json.dumps({"refs": counts, "objects": objects, "blocks": blocks}))


async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await asgisocket.app(scope, receive, send)
    elif scope["type"] == "http" and scope["path"] == "/stats":
        await stats(scope, receive, send)
    else:
        await asgiapp.app(scope, receive, send)
