"""FastAPI's debug mode."""

from fastapi import FastAPI

app = FastAPI(debug=True)
