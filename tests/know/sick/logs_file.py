"""Logs to a file."""

import logging
import os

logging.basicConfig(filename=os.environ["SICK_FILE"])


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
