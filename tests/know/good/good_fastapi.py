"""A FastAPI app as it should be."""

from contextlib import asynccontextmanager

from fastapi import FastAPI
from pydantic import BaseModel


@asynccontextmanager
async def lifespan(app):
    yield


class Item(BaseModel):
    name: str


app = FastAPI(lifespan=lifespan)


@app.post("/")
async def index(item: Item):
    return {"name": item.name}
