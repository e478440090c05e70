"""Fails, and says a secret."""

import os

raise RuntimeError(f"cannot connect to {os.environ['DATABASE_URL']}, {os.environ['API_KEY']}")


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
