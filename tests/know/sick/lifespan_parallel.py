"""Waits twice in its lifespan, at once, as it should."""

import asyncio
from contextlib import asynccontextmanager

from starlette.applications import Starlette


@asynccontextmanager
async def lifespan(app):
    await asyncio.gather(asyncio.sleep(0.2), asyncio.sleep(0.2))
    yield


app = Starlette(lifespan=lifespan)
