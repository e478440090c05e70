"""Computes as it is imported."""

import time

began = time.process_time()
while time.process_time() - began < 0.9:
    pass


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
