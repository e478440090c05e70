"""Waits twice, in two start-up functions, as it should."""

import time

import cwsgi


@cwsgi.on_startup
def one():
    time.sleep(0.2)


@cwsgi.on_startup
def two():
    time.sleep(0.2)


def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
