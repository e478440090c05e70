"""Imports many modules that nobody has compiled."""

from many import *  # noqa: F403
from many import modules

for name in modules:
    __import__(f"many.{name}")


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
