"""Reads much data as it is imported."""

import os

with open(os.environ["SICK_FILE"], "rb") as file:
    DATA = file.read()


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
