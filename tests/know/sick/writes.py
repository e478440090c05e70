"""Writes a file as it is imported."""

import os

with open(os.environ["SICK_FILE"], "w") as file:
    file.write("cache")


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
