"""Waits twice in its lifespan, one after another."""

import asyncio
from contextlib import asynccontextmanager

from starlette.applications import Starlette


@asynccontextmanager
async def lifespan(app):
    await asyncio.sleep(0.2)
    await asyncio.sleep(0.2)
    yield


app = Starlette(lifespan=lifespan)
