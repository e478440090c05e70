"""ASGI apps that differ in what they are, how they start and how they end (asgiapp.py)."""

import asyncio

from asgiapp import app, hello
from common import mark


async def without_lifespan(scope, receive, send):
    assert scope["type"] == "http", scope["type"]
    await hello(scope, receive, send)


async def failing(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def raising_at_start(scope, receive, send):
    await receive()
    raise RuntimeError("broken start")


async def without_memory(scope, receive, send):
    raise MemoryError


def raise_memory_error():
    raise MemoryError


async def losing_a_callback(scope, receive, send):
    """Waits for what asyncio forgets, as it does with a step of a task."""
    await receive()
    asyncio.get_running_loop().call_soon(raise_memory_error)
    await asyncio.Event().wait()


async def losing_at_its_end(scope, receive, send):
    if scope["type"] != "lifespan":
        return await app(scope, receive, send)
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await losing_a_callback(scope, receive, send)


async def slow_end(scope, receive, send):
    if scope["type"] != "lifespan":
        return await app(scope, receive, send)
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    mark("ending")
    await asyncio.sleep(3600)


class Instance:
    async def __call__(self, scope, receive, send):
        await app(scope, receive, send)


instance = Instance()


def make():
    return app


def old(scope):
    return lambda receive, send: None


def undecorated(*args):
    """An ASGI app that does not look like one."""
    return app(*args)
