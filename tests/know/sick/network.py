"""Connects as it is imported, and stays connected."""

import os
import socket

sock = socket.create_connection(("127.0.0.1", int(os.environ["SICK_PORT"])))


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
