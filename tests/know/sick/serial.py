"""Waits twice in one start-up function."""

import time

import cwsgi


@cwsgi.on_startup
def connect_all():
    time.sleep(0.2)
    time.sleep(0.2)


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
