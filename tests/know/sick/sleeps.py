"""Waits as it is imported."""

import time

time.sleep(0.2)


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
